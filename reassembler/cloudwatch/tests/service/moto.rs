//! The same against moto's CloudWatch Logs, which has its own ideas of ids, order and pages.

use std::collections::HashSet;

use reassemble_cloudwatch::{Ended, PollerConfig};
use reassemble_testkit::moto::Moto;

use crate::rig::{Delivered, bounded, client, config, lines_of, now_ms, run};

#[test]
fn groups_streams_and_pages_are_read_to_their_end_and_again_from_any_position() {
    let moto = Moto::start();
    moto.python(
        "for group in ['/app/a', '/app/b', '/other']:
    logs.create_log_group(logGroupName=group)
    for stream in ['web/1', 'web/2', 'job/1']:
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
# One slice of more than one page, and events of two streams that are not sorted with each other.
many = [(now - 3000000 + i, f'a1-{i}') for i in range(9000)]
put('/app/a', 'web/1', many)
put('/app/a', 'web/2', [(t, 'b' + m) for t, m in many])
put('/app/a', 'job/1', [(now - 3000000, 'not of web')])
put('/app/b', 'web/1', [(now - 2000000, 'old'), (now - 1000000, 'new\\n'), (now - 5000, 'after until')])
put('/other', 'web/1', [(now - 2000000, 'not asked for')])",
    );
    let client = client(moto.url());
    let config = || PollerConfig { stream_prefix: "web/".to_owned(), ..bounded(&["/app/*"]) };
    let (whole, ended) = run(&client, config(), &[], |_| false);
    assert!(matches!(ended, Ended::Done { failed } if failed.is_empty()));
    let wanted: HashSet<(String, String)> = (0..9000)
        .flat_map(|number| [format!("a1-{number}"), format!("ba1-{number}")])
        .map(|line| ("/app/a".to_owned(), line))
        .chain(["old", "new"].map(|line| ("/app/b".to_owned(), line.to_owned())))
        .collect();
    assert_eq!(whole.lines().len(), wanted.len(), "each once");
    assert_eq!(whole.lines().into_iter().collect::<HashSet<_>>(), wanted);
    for stop in 0..whole.pages.len() {
        let before = &whole.pages[..=stop];
        let (after, _) = run(&client, config(), &Delivered::positions(before), |_| false);
        let both: HashSet<_> = before.iter().flat_map(lines_of).chain(after.lines()).collect();
        assert_eq!(both, wanted, "after page {stop}");
    }
}

#[test]
fn a_followed_group_gives_late_events_and_groups_that_appear() {
    let moto = Moto::start();
    moto.python(
        "logs.create_log_group(logGroupName='/app/a')
logs.create_log_stream(logGroupName='/app/a', logStreamName='s')
put('/app/a', 's', [(now - 1000, 'first')])",
    );
    let mut step = 0;
    let (delivered, _) = run(&client(moto.url()), config(&["/app/*", "/late"]), &[], |delivered| {
        match (step, delivered.lines().len()) {
            (0, 1) => moto.python("put('/app/a', 's', [(now - 200000, 'late'), (now, 'next')])"),
            (1, 3) => moto.python(
                "for group in ['/app/b', '/late']:
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName='s')
    put(group, 's', [(now, 'appeared in ' + group)])",
            ),
            _ => return delivered.lines().len() >= 5,
        };
        step += 1;
        false
    });
    assert_eq!(delivered.sorted(), ["appeared in /app/b", "appeared in /late", "first", "late", "next"]);
}

#[test]
fn only_what_lies_between_since_and_until_is_read() {
    let moto = Moto::start();
    let (since, until) = (now_ms() - 3_000_000, now_ms() - 2_000_000);
    moto.python(&format!(
        "logs.create_log_group(logGroupName='g')
logs.create_log_stream(logGroupName='g', logStreamName='s')
put('g', 's', [({since} - 1, 'before'), ({since}, 'from'), ({until}, 'to'), ({until} + 1, 'after')])"
    ));
    let config = PollerConfig { since_ms: Some(since), until_ms: Some(until), ..config(&["g"]) };
    let (delivered, _) = run(&client(moto.url()), config, &[], |_| false);
    assert_eq!(delivered.sorted(), ["from", "to"]);
}
