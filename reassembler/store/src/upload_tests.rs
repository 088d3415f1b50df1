//! Tests of the uploader against a scripted destination; time is tokio's, paused.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::Instant;

use super::*;
use crate::object::ObjectKind;

/// Answers each object's tries in turn from a script, then with success.
#[derive(Clone, Default)]
struct Scripted {
    shared: Arc<Script>,
}

#[derive(Default)]
struct Script {
    /// Object number and the faults that its tries meet.
    faults: Mutex<HashMap<u64, VecDeque<FaultKind>>>,
    /// Faults for whatever comes.
    outage: AtomicBool,
    /// Start and end of each successful put.
    log: Mutex<Vec<String>>,
    took: Mutex<HashMap<u64, Duration>>,
}

fn error(kind: FaultKind) -> StoreError {
    let (place, detail) = ("test".to_owned(), "scripted".to_owned());
    match kind {
        FaultKind::Transient => StoreError::Busy { place, detail, retry_after: None },
        FaultKind::Credentials => StoreError::ExpiredCredentials { place, detail },
        FaultKind::Permanent => StoreError::NoSuchBucket { bucket: detail, place },
        FaultKind::Object => StoreError::Conflict { target: place, detail },
    }
}

impl Put for Scripted {
    async fn put(&self, object: &SealedObject) -> Result<PutOutcome, StoreError> {
        let no = object.object_no;
        let took = self.shared.took.lock().unwrap().get(&no).copied();
        self.shared.log.lock().unwrap().push(format!("start {no}"));
        if let Some(took) = took {
            tokio::time::sleep(took).await;
        }
        let fault = self.shared.faults.lock().unwrap().get_mut(&no).and_then(VecDeque::pop_front);
        if let Some(kind) = fault {
            return Err(error(kind));
        }
        if self.shared.outage.load(Ordering::Relaxed) {
            return Err(error(FaultKind::Transient));
        }
        self.shared.log.lock().unwrap().push(format!("end {no}"));
        Ok(PutOutcome::Stored)
    }
}

impl Scripted {
    fn fail(&self, no: u64, kinds: &[FaultKind]) {
        self.shared.faults.lock().unwrap().insert(no, kinds.iter().copied().collect());
    }

    fn position(&self, entry: &str) -> usize {
        let log = self.shared.log.lock().unwrap();
        log.iter().position(|line| line == entry).unwrap_or_else(|| panic!("{entry} is not in {log:?}"))
    }
}

#[derive(Default)]
struct Queue(Mutex<Vec<SealedObject>>);

impl SealedQueue for Queue {
    fn after(&self, object_no: Option<u64>, limit: usize) -> Result<Vec<SealedObject>, StateError> {
        let objects = self.0.lock().unwrap();
        let new = objects.iter().filter(|object| object_no.is_none_or(|no| object.object_no > no));
        Ok(new.take(limit).cloned().collect())
    }
}

impl Queue {
    /// `B` is a batch, `b` a body; a digit changes the folder of what follows.
    fn of(kinds: &str) -> Arc<Self> {
        let queue = Self::default();
        queue.add(kinds);
        Arc::new(queue)
    }

    fn add(&self, kinds: &str) {
        let mut objects = self.0.lock().unwrap();
        let mut folder = '0';
        for kind in kinds.chars() {
            if kind.is_ascii_digit() {
                folder = kind;
                continue;
            }
            let object_no = objects.len() as u64;
            objects.push(SealedObject {
                object_no,
                kind: if kind == 'b' { ObjectKind::Body } else { ObjectKind::Batch },
                key: format!("{folder}/key-{object_no}"),
                path: "/nowhere".into(),
                bytes: 10,
                lines: 1,
                hash: [0; 32],
                crc32: 0,
                written: None,
            });
        }
    }
}

/// Reads events until so many objects are stored.
async fn stored(events: &mut mpsc::Receiver<UploadEvent>, count: usize) -> (Vec<u64>, Vec<UploadEvent>) {
    let (mut numbers, mut others) = (Vec::new(), Vec::new());
    while numbers.len() < count {
        match events.recv().await.expect("the uploader ended") {
            UploadEvent::Stored { object_no, .. } => numbers.push(object_no),
            other => others.push(other),
        }
    }
    (numbers, others)
}

#[tokio::test(start_paused = true)]
async fn all_are_stored_each_once_and_new_ones_after_a_wake() {
    let (queue, store) = (Queue::of(&"B".repeat(300)), Scripted::default());
    let (uploader, mut events) = Uploader::spawn_with(queue.clone(), store, UploadConfig::default());
    let (mut numbers, _) = stored(&mut events, 300).await;
    queue.add("BB");
    uploader.wake();
    numbers.extend(stored(&mut events, 2).await.0);
    numbers.sort_unstable();
    assert_eq!(numbers, (0..302).collect::<Vec<_>>());
    assert!(uploader.stop(Duration::from_secs(1)).await);
    assert!(events.recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_batch_waits_for_the_bodies_before_it() {
    let store = Scripted::default();
    for no in [1, 2] {
        store.shared.took.lock().unwrap().insert(no, Duration::from_secs(10));
    }
    store.fail(2, &[FaultKind::Transient; 3]);
    let (_uploader, mut events) = Uploader::spawn_with(Queue::of("BbbBB"), store.clone(), UploadConfig::default());
    stored(&mut events, 5).await;
    assert!(store.position("start 2") < store.position("end 1"), "bodies do not wait for each other");
    for batch in ["start 3", "start 4"] {
        assert!(store.position(batch) > store.position("end 1").max(store.position("end 2")));
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_waited_out_with_growing_delays_and_its_end_wakes_all() {
    let store = Scripted::default();
    store.shared.outage.store(true, Ordering::Relaxed);
    let config = UploadConfig { parallel: 2, max_retry: Duration::from_secs(3600), ..UploadConfig::default() };
    let (_uploader, mut events) = Uploader::spawn_with(Queue::of("BBBBBB"), store.clone(), config);
    let mut delays: HashMap<u64, Vec<Duration>> = HashMap::new();
    for _ in 0..12 {
        match events.recv().await.unwrap() {
            UploadEvent::Failing { object_no: Some(no), retry_in, kind: FaultKind::Transient, .. } => {
                delays.entry(no).or_default().push(retry_in);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(delays.len(), 2, "an outage starts no more than its places");
    for delays in delays.values() {
        assert!(delays[0] <= Duration::from_millis(200));
        assert!(delays.windows(3).all(|w| w[2] > w[0]), "{delays:?}");
    }
    store.shared.outage.store(false, Ordering::Relaxed);
    let (_, others) = stored(&mut events, 6).await;
    assert_eq!(others.iter().filter(|event| **event == UploadEvent::Recovered).count(), 1, "{others:?}");
}

#[tokio::test(start_paused = true)]
async fn a_success_wakes_those_that_wait_long() {
    let store = Scripted::default();
    store.fail(0, &[FaultKind::Permanent]);
    store.shared.took.lock().unwrap().insert(1, Duration::from_secs(1));
    let config = UploadConfig { permanent_retry: Duration::from_secs(3600), ..UploadConfig::default() };
    let start = Instant::now();
    let (_uploader, mut events) = Uploader::spawn_with(Queue::of("BB"), store, config);
    stored(&mut events, 2).await;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_is_in_a_hurry_waits_for_no_next_try() {
    let store = Scripted::default();
    store.fail(0, &[FaultKind::Permanent]);
    store.fail(1, &[FaultKind::Object]);
    let config = UploadConfig { permanent_retry: Duration::from_secs(3600), ..UploadConfig::default() };
    let start = Instant::now();
    let (uploader, mut events) = Uploader::spawn_with(Queue::of("BB"), store, config);
    for _ in 0..2 {
        assert!(matches!(events.recv().await, Some(UploadEvent::Failing { .. })));
    }
    uploader.hurrier()();
    stored(&mut events, 2).await;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_objects_own_fault_lets_the_others_by_and_is_tried_again() {
    let store = Scripted::default();
    for no in [0, 1, 2, 3] {
        store.fail(no, &[FaultKind::Object, FaultKind::Object]);
    }
    let config = UploadConfig { parallel: 2, ..UploadConfig::default() };
    let (_uploader, mut events) = Uploader::spawn_with(Queue::of("BBBBBBBB"), store, config);
    let (first, others) = stored(&mut events, 4).await;
    assert_eq!(
        {
            let mut first = first;
            first.sort_unstable();
            first
        },
        [4, 5, 6, 7]
    );
    assert!(!others.contains(&UploadEvent::Recovered), "an object's fault is not the destination's");
    let (mut rest, _) = stored(&mut events, 4).await;
    rest.sort_unstable();
    assert_eq!(rest, [0, 1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_what_is_under_way_and_not_for_retries() {
    let store = Scripted::default();
    store.shared.took.lock().unwrap().insert(0, Duration::from_secs(1));
    store.fail(1, &[FaultKind::Permanent; 100]);
    let config = UploadConfig { parallel: 2, ..UploadConfig::default() };
    let (uploader, mut events) = Uploader::spawn_with(Queue::of("BBB"), store.clone(), config.clone());
    assert!(matches!(events.recv().await, Some(UploadEvent::Failing { object_no: Some(1), .. })));
    assert!(uploader.stop(Duration::from_secs(2)).await);
    assert_eq!(stored(&mut events, 1).await.0, [0]);
    assert_eq!(events.recv().await, Some(UploadEvent::Recovered));
    assert_eq!(events.recv().await, None);
    assert_eq!(store.shared.log.lock().unwrap().iter().filter(|line| *line == "start 2").count(), 0);

    store.shared.took.lock().unwrap().insert(0, Duration::from_secs(100));
    let (uploader, _events) = Uploader::spawn_with(Queue::of("B"), store, config);
    tokio::time::sleep(Duration::from_millis(10)).await;
    let start = Instant::now();
    assert!(!uploader.stop(Duration::from_secs(2)).await);
    assert_eq!(start.elapsed(), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_holds_the_batches_of_its_own_folder_alone() {
    let store = Scripted::default();
    store.shared.took.lock().unwrap().insert(0, Duration::from_secs(1000));
    let (_uploader, mut events) = Uploader::spawn_with(Queue::of("1bBB2BB"), store, UploadConfig::default());
    let (first, _) = stored(&mut events, 2).await;
    assert_eq!(first, [3, 4]);
    assert_eq!(stored(&mut events, 3).await.0[0], 0);
}

/// Objects that are refused for ever, as many as there are places, before some that are not.
async fn poisoned(kind: FaultKind) -> (Scripted, Uploader, mpsc::Receiver<UploadEvent>) {
    let store = Scripted::default();
    for no in 0..4 {
        store.fail(no, &vec![kind; 100_000]);
    }
    let (uploader, events) = Uploader::spawn_with(Queue::of(&"B".repeat(200)), store.clone(), UploadConfig::default());
    (store, uploader, events)
}

#[tokio::test(start_paused = true)]
async fn poisoned_objects_block_no_others_and_do_not_pass_for_an_outage() {
    for kind in [FaultKind::Transient, FaultKind::Permanent, FaultKind::Object] {
        let (store, _uploader, mut events) = poisoned(kind).await;
        let (mut numbers, _) = stored(&mut events, 196).await;
        numbers.sort_unstable();
        assert_eq!(numbers, (4..200).collect::<Vec<_>>());
        // Neither are they tried at every success of the others.
        let tries = store
            .shared
            .log
            .lock()
            .unwrap()
            .iter()
            .filter(|line| ["start 0", "start 1"].contains(&line.as_str()))
            .count();
        assert!(tries < 40, "{kind:?}: {tries} tries");
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_object_waits_for_is_told_until_it_is_stored() {
    let store = Scripted::default();
    store.fail(0, &[FaultKind::Object; 2]);
    store.fail(1, &[FaultKind::Transient]);
    let config = UploadConfig { parallel: 1, ..UploadConfig::default() };
    let (_uploader, mut events) = Uploader::spawn_with(Queue::of("BB"), store, config);
    let mut told = Vec::new();
    while told.last() != Some(&"recovered".to_owned()) {
        told.push(match events.recv().await.unwrap() {
            UploadEvent::Stored { object_no, .. } => format!("stored {object_no}"),
            UploadEvent::Failing { object_no, kind, .. } => format!("{} {kind:?}", object_no.unwrap()),
            UploadEvent::Recovered => "recovered".to_owned(),
        });
    }
    // The outage of object 1 hid what is wrong with object 0; its end shows it again.
    assert_eq!(told, ["0 Object", "1 Transient", "stored 1", "0 Object", "0 Object", "stored 0", "recovered"]);
}

#[tokio::test(start_paused = true)]
async fn an_outage_does_not_grow_the_load_when_places_go_round() {
    let store = Scripted::default();
    store.shared.outage.store(true, Ordering::Relaxed);
    let (_uploader, mut events) =
        Uploader::spawn_with(Queue::of(&"B".repeat(50)), store.clone(), UploadConfig::default());
    let reading = tokio::spawn(async move { stored(&mut events, 50).await.0.len() });
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let tries = store.shared.log.lock().unwrap().len();
    // Four places, each tried every 7.5 to 15 seconds, and a few times more at first.
    assert!((900..2200).contains(&tries), "{tries}");
    store.shared.outage.store(false, Ordering::Relaxed);
    let start = Instant::now();
    assert_eq!(reading.await.unwrap(), 50);
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_store_is_asked_again_when_it_said() {
    #[derive(Clone)]
    struct Throttled(Instant);
    impl Put for Throttled {
        async fn put(&self, _: &SealedObject) -> Result<PutOutcome, StoreError> {
            if self.0.elapsed() >= Duration::from_secs(100) {
                return Ok(PutOutcome::Stored);
            }
            let (place, detail) = ("test".to_owned(), "503".to_owned());
            Err(StoreError::Busy { place, detail, retry_after: Some(Duration::from_secs(100)) })
        }
    }
    let (_uploader, mut events) =
        Uploader::spawn_with(Queue::of("B"), Throttled(Instant::now()), UploadConfig::default());
    let (_, others) = stored(&mut events, 1).await;
    assert_eq!(others.len(), 1, "{others:?}");
}
