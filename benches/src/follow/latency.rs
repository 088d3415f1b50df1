//! How soon an exchange is durable after its last line was written.
//!
//! Nothing of a spool can be read from outside while its daemon runs. But an object is stored at the destination only after the commit that made its
//! exchanges durable. So with batches that go at once, the instant at which the object's name appears in its folder comes after the one in question,
//! by what the uploader takes to check, link and fsync it: an upper bound. It is a loose one where much flows beside: then hundreds of objects a
//! second wait for their turn to be stored, long after the commit.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use notify::event::{CreateKind, EventKind};
use notify::{RecursiveMode, Watcher};

use super::daemon::{Daemon, Place};
use super::steady::Log;
use super::writer::Writer;

/// The service of what is timed.
const SERVICE: &str = "timed";
/// How long the last exchange may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the daemon and the flow beside run before anything is timed.
const WARM_UP: Duration = Duration::from_secs(2);

/// What was measured.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    /// From write to object, in milliseconds, sorted.
    pub ms: Vec<f64>,
}

impl Latencies {
    /// Below this were so many of a hundred.
    pub fn percentile(&self, percent: usize) -> f64 {
        let rank = (self.ms.len() * percent).div_ceil(100);
        self.ms.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }
}

/// Times so many exchanges, one every `pause`, written with these arguments in force; with a log, that flows beside them into the same
/// file at so many bytes a second.
///
/// # Errors
/// Where something fails, or an exchange does not come.
pub fn measure(
    place: &Place,
    args: &[&str],
    (exchanges, pause): (usize, Duration),
    beside: Option<(&Log, u64)>,
) -> Result<Latencies> {
    let followed = place.dir.join("followed.log");
    fs::write(&followed, b"").context("failed to create the log")?;
    let daemon = Daemon::follow(place, &followed, args)?;
    let writer = beside.map(|(log, rate)| Writer::begin(&log.path, &followed, rate)).transpose()?;
    let mut log = OpenOptions::new().append(true).open(&followed).context("failed to open the log")?;

    // The first one makes the folder, which then can be watched.
    thread::sleep(WARM_UP);
    write_exchange(&mut log, "first")?;
    let folder = wait_for_folder(&place.stored())?;
    thread::sleep(WARM_UP);
    let (sender, events) = channel();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Nobody listens any more once everything was seen.
        sender.send((Instant::now(), event)).ok();
    })
    .context("no file system events")?;
    watcher.watch(&folder, RecursiveMode::NonRecursive).context("failed to watch the destination")?;

    let mut written = HashMap::with_capacity(exchanges);
    let began = Instant::now();
    for number in 0..exchanges {
        let id = format!("timed-{number}");
        written.insert(id.clone(), write_exchange(&mut log, &id)?);
        let next = pause * u32::try_from(number + 1)?;
        thread::sleep(next.saturating_sub(began.elapsed()));
    }
    let ms = seen(&events, &mut written)?;
    drop(watcher);
    daemon.stop()?;
    if let Some(writer) = writer {
        writer.finish()?;
    }
    fs::remove_file(&followed)?;
    Ok(Latencies { ms })
}

/// Writes both lines; the instant is the one before the last was handed over.
fn write_exchange(log: &mut impl Write, id: &str) -> Result<Instant> {
    let body = "the quick brown fox jumps over the lazy dog; ".repeat(20);
    let now = "2026-11-20T10:00:00.000000Z";
    let head = serde_json::json!({"ts": now, "service": SERVICE, "method": "POST", "url": "http://timed/x"});
    let first = serde_json::json!({"cap1": id, "part": "req", "seq": 0, "head": head, "text": body, "of": 1});
    let head = serde_json::json!({"status": 200});
    let last = serde_json::json!({"cap1": id, "part": "res", "seq": 0, "head": head, "text": body, "of": 1});
    // A line a write, for another writer may append to the same file.
    log.write_all(format!("{first}\n").as_bytes()).context("failed to write the log")?;
    let last = format!("{last}\n");
    let at = Instant::now();
    log.write_all(last.as_bytes()).context("failed to write the log")?;
    Ok(at)
}

fn wait_for_folder(stored: &Path) -> Result<std::path::PathBuf> {
    let began = Instant::now();
    let service = format!("service={SERVICE}");
    while began.elapsed() < PATIENCE {
        for class in fs::read_dir(stored).into_iter().flatten().flatten() {
            let folder = class.path().join(&service).join("date=2026-11-20").join("hour=10");
            if folder.is_dir() {
                return Ok(folder);
            }
        }
        thread::sleep(Duration::from_millis(10));
    }
    bail!("nothing was stored")
}

/// Reads the objects that appear until every exchange was seen; milliseconds from each one's write to its object's appearance, sorted.
fn seen(
    events: &Receiver<(Instant, notify::Result<notify::Event>)>,
    written: &mut HashMap<String, Instant>,
) -> Result<Vec<f64>> {
    let mut ms = Vec::with_capacity(written.len());
    while !written.is_empty() {
        let Ok((at, event)) = events.recv_timeout(PATIENCE) else {
            bail!("{} exchanges were not stored", written.len())
        };
        let event = event.context("an error among file system events")?;
        if event.kind != EventKind::Create(CreateKind::File) {
            continue;
        }
        for path in event.paths {
            let text = fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
            for line in text.lines() {
                let exchange: serde_json::Value = serde_json::from_str(line).context("an exchange is no JSON")?;
                let id = exchange["id"].as_str().context("an exchange has no id")?;
                ensure!(exchange["complete"] == true, "{id} is incomplete");
                if let Some(began) = written.remove(id) {
                    ms.push(at.duration_since(began).as_secs_f64() * 1000.0);
                }
            }
        }
    }
    ms.sort_by(f64::total_cmp);
    Ok(ms)
}
