//! How groups are read: turns, patterns, late and repeated events, restarts.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use reassemble_cloudwatch::{Ended, PollerConfig, group_of};
use tokio_util::sync::CancellationToken;

use crate::rig::{Delivered, bounded, client, config, lines_of, now_ms, run};
use crate::server::{Server, error, events, groups};

#[test]
fn a_group_with_a_backlog_has_no_more_turns_than_others() {
    let count = AtomicUsize::new(0);
    let server = Server::start(move |asked, _| match asked.group() {
        "busy" => {
            let id = count.fetch_add(1, Ordering::Relaxed).to_string();
            events(asked, &[(&id, now_ms())], Some("more"))
        }
        _ => events(asked, &[], Some("more")),
    });
    let config = PollerConfig { since_ms: Some(now_ms() - 60_000), ..config(&["busy", "a", "b"]) };
    run(&client(&server.url), config, &[], |delivered| delivered.lines().len() >= 20);
    let turns = |group: &str| server.asked().iter().filter(|asked| asked.group() == group).count();
    assert!(turns("busy") >= 20);
    assert!(turns("a").abs_diff(turns("busy")) <= 1 && turns("b").abs_diff(turns("busy")) <= 1);
}

#[test]
fn groups_that_a_pattern_fits_are_found_also_where_they_appear_later() {
    let (looks, time) = (AtomicUsize::new(0), now_ms());
    let server = Server::start(move |asked, _| match asked.operation.as_str() {
        "DescribeLogGroups" => {
            assert_eq!(asked.body["logGroupNamePrefix"], "/app/");
            match (asked.token(), looks.fetch_add(1, Ordering::Relaxed)) {
                // The last is none that was asked for.
                (None, 0) => groups(&["/app/a", "/other"], Some("t")),
                (None, _) => groups(&["/app/a", "/app/c"], Some("t")),
                (Some(_), _) => groups(&["/app/b"], None),
            }
        }
        _ => events(asked, &[(asked.group(), time)], None),
    });
    let (delivered, _) = run(&client(&server.url), config(&["/app/*"]), &[], |delivered| delivered.lines().len() >= 3);
    assert_eq!(delivered.sorted(), ["m/app/a", "m/app/b", "m/app/c"]);
}

#[test]
fn a_bounded_pattern_that_fits_nothing_is_said() {
    let server = Server::start(|_, _| groups(&[], None));
    let (_, ended) = run(&client(&server.url), bounded(&["/none*"]), &[], |_| false);
    assert!(matches!(&ended, Ended::Done { failed } if failed[0].0 == "/none*"), "{ended:?}");
}

#[test]
fn late_and_repeated_events_are_delivered_once() {
    let base = now_ms() - 60_000;
    let server = Server::start(move |asked, number| {
        assert!(asked.body["startTime"].as_i64().unwrap() <= base - 240_000, "the overlap is kept");
        match number {
            0 => events(asked, &[("5", base)], None),
            1 => events(asked, &[("5", base), ("1", base - 200_000)], None),
            2 => events(asked, &[("5", base), ("5", base), ("1", base - 200_000), ("6", base + 1)], None),
            3..8 => events(asked, &[("0", base - 240_000), ("5", base)], None),
            _ => events(asked, &[("9", base)], None),
        }
    });
    let config = PollerConfig { since_ms: Some(base - 300_000), ..config(&["shop"]) };
    let (delivered, _) = run(&client(&server.url), config, &[], |delivered| {
        delivered.lines().last().is_some_and(|(_, line)| line == "m9")
    });
    assert_eq!(delivered.sorted(), ["m0", "m1", "m5", "m6", "m9"]);
}

#[test]
fn a_restart_from_any_position_needs_nothing_of_what_came_before() {
    // Two groups of 40 events over the hour, in pages of three, in an order that is not theirs.
    let since = now_ms() - 3_600_000;
    let server = Server::start(move |asked, _| {
        let group = asked.group();
        let from: usize = asked.token().map_or(0, |token| token.parse().unwrap());
        let (start, end) = (asked.body["startTime"].as_i64().unwrap(), asked.body["endTime"].as_i64());
        let all: Vec<(String, i64)> = (0..40)
            .map(|number| (number * 7) % 40)
            .map(|number| (format!("{group}{number}"), since + number * 74_000))
            .filter(|(_, time)| *time >= start && end.is_none_or(|end| *time <= end))
            .collect();
        let page: Vec<(&str, i64)> = all.iter().skip(from).take(3).map(|(id, time)| (id.as_str(), *time)).collect();
        let next = (from + 3).to_string();
        events(asked, &page, (from + 3 < all.len()).then_some(&next))
    });
    let client = client(&server.url);
    let config = || PollerConfig { since_ms: Some(since), ..bounded(&["a", "b"]) };
    let (whole, _) = run(&client, config(), &[], |_| false);
    let wanted: HashSet<_> = whole.lines().into_iter().collect();
    assert_eq!((wanted.len(), whole.lines().len()), (80, 80));
    for stop in 0..whole.pages.len() {
        let before = &whole.pages[..=stop];
        let (after, _) = run(&client, config(), &Delivered::positions(before), |_| false);
        let both: HashSet<_> = before.iter().flat_map(lines_of).chain(after.lines()).collect();
        assert_eq!(both, wanted, "after page {stop}");
        assert_eq!(after.lines().iter().collect::<HashSet<_>>().len(), after.lines().len());
    }
    let (again, _) = run(&client, config(), &Delivered::positions(&whole.pages), |_| false);
    assert!(again.lines().len() < 10, "what is behind is not read again");
}

#[test]
fn a_new_group_begins_where_the_first_one_did_and_an_earlier_time_is_read_back() {
    let server = Server::start(|asked, _| events(asked, &[(&format!("{}1", asked.group()), now_ms())], None));
    let client = client(&server.url);
    let since = now_ms() - 120_000;
    let from = |since_ms| PollerConfig { since_ms, ..config(&["old"]) };
    let (first, _) = run(&client, from(Some(since)), &[], |_| true);
    let positions = Delivered::positions(&first.pages);
    assert_eq!(group_of(&positions[0]).unwrap(), "old");

    let both = PollerConfig { since_ms: None, ..config(&["old", "new"]) };
    run(&client, both, &positions, |delivered| delivered.pages.len() >= 2);
    let asked = server.asked();
    let start =
        |group: &str| asked.iter().rev().find(|asked| asked.group() == group).unwrap().body["startTime"].clone();
    assert_eq!(start("new"), since, "what it logged while nothing ran is not missed");

    run(&client, from(Some(since - 60_000)), &positions, |_| true);
    assert_eq!(server.asked().last().unwrap().body["startTime"], since - 60_000);
}

#[test]
fn a_stop_ends_a_wait() {
    let server = Server::start(|_, _| error("ThrottlingException"));
    let client = client(&server.url);
    let stop = CancellationToken::new();
    let poller = reassemble_cloudwatch::Poller::new(config(&["shop"]), &[]).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ended = runtime.block_on(async {
        let stopper = async {
            while server.asked().len() < 3 {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            stop.cancel();
        };
        let mut take = |_| true;
        tokio::join!(poller.run(&client, &stop, &mut take), stopper).0
    });
    assert!(matches!(ended, Ended::Stopped));
}
