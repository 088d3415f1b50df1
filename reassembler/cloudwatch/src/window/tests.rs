use proptest::prelude::*;

use super::*;

const MINUTE: i64 = 60_000;
const NOW: i64 = 1_790_000_000_000;

fn rules(overlap_ms: i64, until_ms: Option<i64>) -> Rules {
    Rules { overlap_ms, until_ms, streams: String::new() }
}

fn event(id: impl ToString, timestamp_ms: i64) -> Event {
    let (id, stream) = (id.to_string(), "s".to_owned());
    Event { message: format!("m{id}"), id, timestamp_ms, ingestion_ms: timestamp_ms, stream }
}

fn page(events: Vec<Event>, token: Option<&str>, served_ms: i64) -> EventPage {
    EventPage { events, next_token: token.map(str::to_owned), served_ms }
}

/// Asks, and answers with this.
fn turn(window: &mut Window, rules: &Rules, events: Vec<Event>, token: Option<&str>, now: i64) -> (Ask, Taken) {
    let ask = window.ask(now, rules);
    (ask, window.take(page(events, token, now), now, rules))
}

#[test]
fn an_empty_page_with_a_token_is_not_the_end() {
    let rules = rules(5 * MINUTE, None);
    let mut window = Window::new(NOW - MINUTE, &rules);
    let (ask, taken) = turn(&mut window, &rules, vec![], Some("t"), NOW);
    assert_eq!((ask.start_ms, ask.end_ms, ask.token), (NOW - MINUTE, None, None));
    assert!(!taken.caught_up);
    let (ask, taken) = turn(&mut window, &rules, vec![event(1, NOW)], None, NOW);
    assert_eq!(ask.token.as_deref(), Some("t"));
    assert_eq!(taken.lines, b"m1\n");
    assert!(taken.caught_up);
}

#[test]
fn a_newline_is_added_where_there_is_none_and_inner_ones_are_kept() {
    let rules = rules(5 * MINUTE, None);
    let mut window = Window::new(NOW, &rules);
    let events = ["a\nb", "c\n", ""].into_iter().enumerate();
    let events = events.map(|(id, text)| Event { message: text.to_owned(), ..event(id, NOW) }).collect();
    assert_eq!(turn(&mut window, &rules, events, None, NOW).1.lines, b"a\nb\nc\n\n");
}

#[test]
fn the_window_follows_the_newest_event_that_was_known_when_the_sweep_began() {
    let rules = rules(5 * MINUTE, None);
    let mut window = Window::new(NOW - 15 * MINUTE, &rules);
    let newest = NOW - MINUTE;
    turn(&mut window, &rules, vec![event(1, newest)], None, NOW);
    assert_eq!(window.begins_ms(), NOW - 15 * MINUTE, "what came during the sweep says nothing of what it had passed");
    turn(&mut window, &rules, vec![event(1, newest)], None, NOW + 1000);
    assert_eq!(window.begins_ms(), newest - 5 * MINUTE);
}

#[test]
fn an_event_from_the_future_settles_nothing() {
    let rules = rules(5 * MINUTE, None);
    let mut window = Window::new(NOW - 5 * MINUTE, &rules);
    for step in 0..3 {
        turn(&mut window, &rules, vec![event(1, NOW + 120 * MINUTE)], None, NOW + step);
    }
    assert_eq!(window.begins_ms(), NOW + 2 - 5 * MINUTE);
}

#[test]
fn a_group_whose_events_all_come_late_is_read_from_its_newest() {
    let rules = rules(5 * MINUTE, None);
    let mut window = Window::new(NOW - 18 * MINUTE, &rules);
    for step in 0..3 {
        turn(&mut window, &rules, vec![event(1, NOW - 12 * MINUTE)], None, NOW + step);
    }
    assert_eq!(window.begins_ms(), NOW - 17 * MINUTE);
}

#[test]
fn a_silent_group_is_not_read_from_its_last_event_for_ever() {
    let rules = rules(5 * MINUTE, None);
    let mut window = Window::new(NOW, &rules);
    turn(&mut window, &rules, vec![event(1, NOW)], None, NOW);
    turn(&mut window, &rules, vec![], None, NOW + 60 * MINUTE);
    turn(&mut window, &rules, vec![], None, NOW + 60 * MINUTE);
    assert_eq!(window.begins_ms(), NOW + 40 * MINUTE);
}

#[test]
fn what_lies_far_back_is_read_in_slices_that_grow_where_little_is_there() {
    let rules = rules(5 * MINUTE, None);
    let start = NOW - 30 * 24 * 60 * MINUTE;
    let mut window = Window::new(start, &rules);
    let mut asks = vec![];
    loop {
        let (ask, taken) = turn(&mut window, &rules, vec![], None, NOW);
        asks.push((ask.start_ms, ask.end_ms));
        if taken.caught_up {
            break;
        }
    }
    assert!(asks.len() < 20, "{asks:?}");
    assert_eq!(asks[0].0, start);
    assert!(asks.windows(2).all(|pair| pair[0].1 == Some(pair[1].0)), "no gap and nothing twice: {asks:?}");
    assert_eq!(asks.last().unwrap(), &(NOW - 20 * MINUTE, None));
}

#[test]
fn a_slice_of_many_pages_is_followed_by_a_shorter_one() {
    let rules = rules(5 * MINUTE, None);
    let mut window = Window::new(NOW - 24 * 60 * MINUTE, &rules);
    let (first, _) = turn(&mut window, &rules, vec![], Some("t"), NOW);
    (0..MANY_PAGES).for_each(|_| _ = turn(&mut window, &rules, vec![], Some("t"), NOW));
    turn(&mut window, &rules, vec![], None, NOW);
    let next = window.ask(NOW, &rules);
    let length = |ask: &Ask| ask.end_ms.unwrap() - ask.start_ms;
    assert_eq!(length(&next) * 2, length(&first));
}

#[test]
fn a_token_that_has_expired_or_is_about_to_is_let_go_and_nothing_comes_twice() {
    let rules = rules(5 * MINUTE, None);
    let mut window = Window::new(NOW, &rules);
    assert!(!window.start_over(), "there was none");
    turn(&mut window, &rules, vec![event(1, NOW)], Some("t"), NOW);
    assert!(window.start_over());
    let (ask, taken) = turn(&mut window, &rules, vec![event(1, NOW), event(2, NOW)], Some("u"), NOW);
    assert_eq!((ask.start_ms, ask.token), (NOW, None));
    assert_eq!(taken.lines, b"m2\n");
    assert_eq!(window.ask(NOW + 13 * 3600 * 1000, &rules).token, None);
    for _ in 0..MOST_STARTS {
        turn(&mut window, &rules, vec![], Some("v"), NOW);
        window.start_over();
    }
    turn(&mut window, &rules, vec![], Some("v"), NOW);
    assert!(!window.start_over(), "it is not the token");
    assert_eq!(window.ask(NOW, &rules).token, None);
    turn(&mut window, &rules, vec![], None, NOW);
    turn(&mut window, &rules, vec![], Some("w"), NOW);
    assert!(window.start_over());
}

#[test]
fn reading_ends_where_it_is_told_once_late_events_must_be_there() {
    let until = NOW;
    let rules = rules(5 * MINUTE, Some(until));
    let mut window = Window::new(NOW - 10 * MINUTE, &rules);
    let (ask, _) = turn(&mut window, &rules, vec![event(1, NOW)], None, NOW + MINUTE);
    assert_eq!(ask.end_ms, Some(until));
    assert!(!window.is_done(), "events of this time may still come");
    turn(&mut window, &rules, vec![event(1, NOW)], None, NOW + 5 * MINUTE);
    assert!(window.is_done());
    assert!(Window::new(until + 1, &rules).is_done());
}

#[test]
fn streams_are_chosen_where_the_service_does_not() {
    let rules = Rules { streams: "web/".to_owned(), ..rules(5 * MINUTE, None) };
    let mut window = Window::new(NOW, &rules);
    let events = vec![Event { stream: "web/1".to_owned(), ..event(1, NOW) }, event(2, NOW)];
    assert_eq!(turn(&mut window, &rules, events, None, NOW).1.lines, b"m1\n");
}

/// A service in which events become visible at their own times, in an order of its own, at most the overlap after their time.
#[derive(Debug, Clone)]
struct Service {
    /// Each event's time, and when it is seen; its place is its id.
    events: Vec<(i64, i64)>,
    /// Where in the service's order each event stands.
    order: Vec<usize>,
}

const OVERLAP: i64 = 1000;

fn service() -> impl Strategy<Value = Service> {
    // Some hours of silence between bursts, so that slices, patience and the overlap all have their part.
    let gaps = prop_oneof![4 => 0..400i64, 1 => 0..60_000i64];
    let event = (gaps, 0..=OVERLAP);
    (prop::collection::vec(event, 1..60), any::<u64>()).prop_map(|(steps, seed)| {
        let mut time = NOW;
        let events: Vec<(i64, i64)> = steps
            .into_iter()
            .map(|(gap, late)| {
                time += gap;
                (time, time + late)
            })
            .collect();
        let mut order: Vec<usize> = (0..events.len()).collect();
        order.sort_by_key(|id| (*id as u64).wrapping_mul(seed | 1).rotate_left(17));
        Service { events, order }
    })
}

impl Service {
    /// A page of what is visible now, from a place in the order on.
    fn answer(&self, ask: &Ask, size: usize, now: i64) -> EventPage {
        let from = ask.token.as_ref().map_or(0, |token| token.parse().unwrap());
        let end = (from + size).min(self.order.len());
        let fits = |time: i64| time >= ask.start_ms && ask.end_ms.is_none_or(|end| time <= end);
        let events = self.order[from..end]
            .iter()
            .filter(|id| self.events[**id].1 <= now && fits(self.events[**id].0))
            .map(|id| event(id, self.events[*id].0))
            .collect();
        let next_token = (end < self.order.len()).then(|| end.to_string());
        EventPage { events, next_token, served_ms: now }
    }
}

#[derive(Debug, Clone)]
enum Action {
    /// One page of this size, after so long.
    Page(usize, i64),
    TokenExpires,
    /// What was delivered so far is committed.
    Commit,
    /// What was not committed is lost.
    Restart,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        12 => (1..30usize, prop_oneof![5 => 0..500i64, 1 => 0..30_000i64]).prop_map(|(size, wait)| Action::Page(size, wait)),
        1 => Just(Action::TokenExpires),
        2 => Just(Action::Commit),
        1 => Just(Action::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn every_event_is_delivered_and_none_twice_in_one_life(
        service in service(),
        actions in prop::collection::vec(action(), 0..200),
        bounded in any::<bool>(),
        early in 0..100_000i64,
    ) {
        let last = service.events.iter().map(|event| event.0).max().unwrap();
        let rules = rules(OVERLAP, bounded.then_some(last));
        let start = NOW - early;
        let mut now = NOW;
        let mut window = Window::new(start, &rules);
        let (mut committed, mut committed_from): (Vec<String>, i64) = (vec![], start);
        let mut life: Vec<String> = vec![];
        let read = |window: &mut Window, life: &mut Vec<String>, size: usize, now: i64| {
            let ask = window.ask(now, &rules);
            let taken = window.take(service.answer(&ask, size, now), now, &rules);
            let lines = String::from_utf8(taken.lines).unwrap();
            for line in lines.lines() {
                prop_assert!(!life.iter().any(|known| known == line), "{line} twice in one life");
                life.push(line.to_owned());
            }
            Ok(())
        };
        let mut uncommitted_from_life = 0;
        for action in actions {
            match action {
                Action::Page(size, wait) => {
                    now += wait;
                    if !window.is_done() {
                        read(&mut window, &mut life, size, now)?;
                    }
                }
                Action::TokenExpires => _ = window.start_over(),
                Action::Commit => {
                    committed.extend(life[uncommitted_from_life..].iter().cloned());
                    uncommitted_from_life = life.len();
                    committed_from = window.begins_ms();
                }
                Action::Restart => {
                    window = Window::new(committed_from, &rules);
                    life.clear();
                    uncommitted_from_life = 0;
                }
            }
        }
        // All is visible by now; read to the end.
        now = now.max(last) + 3 * OVERLAP;
        for _ in 0..2000 {
            if window.is_done() {
                break;
            }
            read(&mut window, &mut life, 7, now)?;
            now += 100;
        }
        prop_assert!(!bounded || window.is_done(), "a bounded input ends");
        for id in 0..service.events.len() {
            let line = format!("m{id}");
            prop_assert!(life.contains(&line) || committed.contains(&line), "{line} is missing");
        }
    }
}
