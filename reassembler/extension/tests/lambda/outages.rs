//! When the bucket cannot be reached, the environment freezes, or is reset: captures wait in the spool, and the function never for them.

use std::time::Duration;

use nix::sys::signal::Signal;
use reassemble_testkit::gate::Way;
use reassemble_testkit::lambda::platform::Options;

use crate::scene::Scene;

#[test]
fn captures_wait_while_the_bucket_is_out_of_reach() {
    let mut scene = Scene::start_impatient();
    scene.gate.set(Way::Shut);
    for _ in 0..3 {
        let lines = scene.captures.lines(5);
        scene.invocation(&lines);
    }
    assert!(scene.stored().is_empty());
    scene.extension.says("captures wait for the next invocation");
    scene.gate.set(Way::Open);
    let lines = scene.captures.lines(1);
    scene.invocation(&lines);
    scene.until_stored();
    scene.finish();
}

#[test]
fn a_bucket_that_never_answers_does_not_make_the_function_time_out() {
    let mut scene = Scene::start_impatient();
    scene.platform.idle();
    scene.gate.set(Way::Silent);
    for number in 0..2 {
        let id = format!("short-{number}");
        scene.platform.invoke(&id, Duration::from_secs(3));
        let lines = scene.captures.lines(2);
        scene.platform.push(&scene.platform.printed(&lines));
        scene.platform.push(&[scene.platform.runtime_done(&id)]);
        scene.platform.idle();
    }
    assert_eq!(scene.platform.overdue(), 0);
    scene.gate.set(Way::Open);
    let lines = scene.captures.lines(1);
    scene.invocation(&lines);
    scene.until_stored();
    scene.finish();
}

#[test]
fn an_invocation_whose_end_is_not_told_does_not_make_the_function_time_out() {
    let mut scene = Scene::start();
    scene.platform.idle();
    scene.platform.invoke("crashed", Duration::from_secs(2));
    let lines = scene.captures.lines(2);
    scene.platform.push(&scene.platform.printed(&lines));
    scene.platform.idle();
    assert_eq!(scene.platform.overdue(), 0);
    scene.finish();
}

#[test]
fn a_shutdown_ends_in_time_whatever_the_bucket_does_and_the_spool_goes_on() {
    for way in [Way::Shut, Way::Silent] {
        let mut scene = Scene::start();
        let lines = scene.captures.lines(3);
        scene.platform.idle();
        scene.platform.push(&scene.platform.printed(&lines));
        scene.gate.set(way);
        scene.shut_down("failure");
        assert!(scene.stored().is_empty(), "{way:?}");
        scene.gate.set(Way::Open);
        // Over the same /tmp.
        scene.reset();
        scene.until_stored();
        scene.finish();
    }
}

#[test]
fn a_freeze_with_dead_connections_loses_nothing() {
    let mut scene = Scene::start();
    let lines = scene.captures.lines(5);
    scene.invocation(&lines);
    for _ in 0..3 {
        scene.extension.signal(Signal::SIGSTOP);
        scene.gate.set(Way::Shut);
        std::thread::sleep(Duration::from_millis(100));
        scene.gate.set(Way::Open);
        scene.extension.signal(Signal::SIGCONT);
        let lines = scene.captures.lines(5);
        scene.invocation(&lines);
        scene.assert_stored();
    }
    scene.finish();
}

#[test]
fn a_freeze_in_mid_invocation_loses_nothing() {
    let mut scene = Scene::start();
    let lines = scene.captures.lines(30);
    let id = scene.invoke();
    let (before, after) = lines.split_at(lines.len() / 2);
    scene.platform.push(&scene.platform.printed(before));
    scene.extension.signal(Signal::SIGSTOP);
    scene.gate.set(Way::Shut);
    std::thread::sleep(Duration::from_millis(100));
    scene.gate.set(Way::Open);
    scene.extension.signal(Signal::SIGCONT);
    scene.platform.push(&scene.platform.printed(after));
    scene.platform.push(&[scene.platform.runtime_done(&id)]);
    scene.finish();
}

#[test]
fn a_reset_goes_on_from_the_spool() {
    let mut scene = Scene::start_impatient();
    scene.gate.set(Way::Shut);
    let (whole, open) = (scene.captures.lines(8), scene.captures.one(6_000));
    // A flush makes durable what came, also where it cannot be stored.
    scene.invocation(&[whole, open.request].concat());
    scene.gate.set(Way::Open);
    scene.reset();
    scene.invocation(&open.response);
    scene.until_stored();
    scene.finish();
}

#[test]
fn a_spool_that_is_full_holds_up_no_invocation() {
    let mut scene = Scene::start_with(Options::default(), |command| {
        command.env("REASSEMBLE_SPOOL_LIMIT", "1MiB").env("REASSEMBLE_COMPRESSION", "none");
    });
    scene.platform.idle();
    scene.gate.set(Way::Shut);
    for _ in 0..3 {
        let lines = scene.captures.one(700_000).lines();
        scene.invocation(&lines);
    }
    assert_eq!(scene.platform.overdue(), 0);
    scene.gate.set(Way::Open);
    let lines = scene.captures.lines(1);
    scene.invocation(&lines);
    scene.extension.says("the spool has room again");
    scene.invocation(&["there was room".to_owned()]);
    scene.until_stored();
    scene.finish();
}

#[test]
fn the_next_event_is_asked_for_again_where_the_connection_broke() {
    let mut scene = Scene::start();
    for _ in 0..3 {
        let lines = scene.captures.lines(2);
        scene.invocation(&lines);
        scene.platform.break_waiting(3);
    }
    scene.finish();
}
