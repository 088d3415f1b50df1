//! What the extension costs a function: printed, for whoever measures. `REASSEMBLE_TEST_EXTENSION` names the layer's own binary.
//!
//!     cargo test -p reassemble-extension --test lambda -- --ignored --nocapture figures

use std::time::{Duration, Instant};

use reassemble_testkit::lambda::platform::Options;

use crate::scene::Scene;

/// How often each is done; the middle one counts.
const TIMES: usize = 15;

fn middle(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1_000.0
}

#[test]
#[ignore = "it measures"]
fn from_start_to_subscription() {
    let mut times = Vec::new();
    for _ in 0..TIMES {
        let scene = Scene::start_with(Options::default(), |_| ());
        times.push(scene.platform.subscribed_at() - scene.started);
        scene.finish();
    }
    println!("from process start to registered and subscribed: {:.1} ms", middle(times));
}

#[test]
#[ignore = "it measures"]
fn invocations() {
    // A capture is two lines at least.
    for captures in [0, 1, 50, 5_000] {
        let mut scene = Scene::start();
        let mut times = Vec::new();
        let mut lines = 0;
        for _ in 0..TIMES {
            let printed: Vec<String> = (0..captures).flat_map(|_| scene.captures.one(600).lines()).collect();
            lines = printed.len();
            let id = scene.invoke();
            // As much in a POST as is asked for.
            for lines in printed.chunks(900) {
                scene.platform.push(&scene.platform.printed(lines));
            }
            let answered = Instant::now();
            scene.platform.push(&[scene.platform.runtime_done(&id)]);
            scene.platform.idle();
            times.push(answered.elapsed());
        }
        let memory = scene.extension.memory();
        println!(
            "{lines} capture lines: {:.1} ms from the runtime's end to the next event asked for, {:.1} MiB resident, {:.1} at most",
            middle(times),
            memory.now_bytes as f64 / 1_048_576.0,
            memory.peak_bytes as f64 / 1_048_576.0,
        );
        scene.finish();
    }
}
