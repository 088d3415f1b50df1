//! Bars of what was measured: number 11.

use reassemble_testkit::process::Memory;

use super::Flush;
use super::environment::Invocation;
use super::start::Start;
use crate::bars::{Bar, Figure, Limit};
use crate::contest::binary::Binary;

/// The number of all of these bars.
const NUMBER: u32 = 11;
/// The layer's zip file, in bytes.
const ZIP_BYTES: f64 = 4_000_000.0;
/// From the start of the process to the subscription, less what a process that does nothing takes, in milliseconds.
const START_MS: f64 = 20.0;
/// Resident memory.
const PEAK_MIB: f64 = 16.0;
/// By how much its peak may grow when it is warm: what the allocator rounds to.
const GROWTH_MIB: f64 = 1.0;
const MIB: f64 = (1 << 20) as f64;

/// The invocations of one environment.
#[derive(Clone, Debug)]
pub struct Series {
    /// When it stored.
    pub flush: Flush,
    /// Lines that each of them printed.
    pub lines: usize,
    /// What each cost.
    pub invocations: Vec<Invocation>,
    /// Memory when it was warm, and remembered as many ids as it ever does: after half of them.
    pub warm: Memory,
    /// Memory after the last.
    pub memory: Memory,
}

/// The layer's zip file.
pub fn zip(bytes: u64, binary: Binary) -> Bar {
    let what = if binary.is_stripped { "the layer's zip file" } else { "the layer's zip file, NOT stripped" };
    Bar::new(NUMBER, what, Figure::one(bytes as f64, "bytes")).within(Limit::AtMost(ZIP_BYTES))
}

/// The starts.
pub fn starts(starts: &[Start]) -> [Bar; 3] {
    let of = |ms: fn(&Start) -> f64| Figure::of(starts.iter().map(ms), "ms");
    let beyond = |start: &Start| 1e3 * (start.subscribed.as_secs_f64() - start.nothing.as_secs_f64());
    [
        Bar::new(
            NUMBER,
            "from process start to registered and subscribed, less a process that does nothing",
            of(beyond),
        )
        .within(Limit::AtMost(START_MS)),
        Bar::new(
            NUMBER,
            "from process start to registered and subscribed",
            of(|start| 1e3 * start.subscribed.as_secs_f64()),
        ),
        Bar::new(NUMBER, "a process that does nothing, /bin/true", of(|start| 1e3 * start.nothing.as_secs_f64())),
    ]
}

impl Series {
    /// Its memory, and what it added after responses; for the default policy also whether memory grows, and its CPU time.
    pub fn bars(&self) -> Vec<Bar> {
        let name = match self.lines {
            1 => "1 line".to_owned(),
            lines => format!("{lines} lines"),
        };
        let of = |what: &str| format!("flush {}, {name}: {what}", self.flush);
        let peak = Figure::one(self.memory.peak_bytes as f64 / MIB, "MiB");
        let count = self.invocations.len();
        let mut bars = vec![
            Bar::new(NUMBER, of(&format!("peak memory, {count} invocations")), peak).within(Limit::AtMost(PEAK_MIB)),
        ];
        if self.flush == Flush::End {
            let growth = Figure::one((self.memory.peak_bytes - self.warm.peak_bytes) as f64 / MIB, "MiB");
            bars.push(Bar::new(NUMBER, of("growth of the peak once warm"), growth).within(Limit::AtMost(GROWTH_MIB)));
        }
        // One line is half a capture: what is added tells the one half from the other.
        if self.lines == 1 {
            for (is_open, half) in [(true, "added, its capture left open"), (false, "added, its capture ended")] {
                bars.push(Bar::new(NUMBER, of(half), self.added(|invocation| invocation.is_open == is_open)));
            }
        } else {
            bars.push(Bar::new(NUMBER, of("added after the response"), self.added(|_| true)));
        }
        if self.flush == Flush::End {
            for (what, cpu) in [
                ("CPU before the runtime is done", (|invocation| invocation.cpu_before) as fn(&Invocation) -> _),
                ("CPU after it", |invocation| invocation.cpu_after),
            ] {
                let ms = self.invocations.iter().map(|invocation| 1e3 * cpu(invocation).as_secs_f64());
                bars.push(Bar::new(NUMBER, of(what), Figure::of(ms, "ms")));
            }
        }
        bars
    }

    fn added(&self, which: impl Fn(&&Invocation) -> bool) -> Figure {
        let which = self.invocations.iter().filter(which);
        Figure::of(which.map(|invocation| 1e3 * invocation.added.as_secs_f64()), "ms")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::bars::all_met;

    fn series(flush: Flush, lines: usize, peaks_mib: [u64; 2]) -> Series {
        let invocation = |number: u64| Invocation {
            added: Duration::from_millis(10 + 40 * (number % 2)),
            cpu_before: Duration::from_micros(500),
            cpu_after: Duration::from_millis(2),
            is_open: number % 2 == 1,
        };
        let memory = |mib: u64| Memory { now_bytes: mib << 20, peak_bytes: mib << 20 };
        let [warm, memory] = peaks_mib.map(memory);
        Series { flush, lines, invocations: (0..4).map(invocation).collect(), warm, memory }
    }

    #[test]
    fn memory_is_held_against_its_limit_and_may_not_grow() {
        assert!(all_met(&series(Flush::End, 100, [15, 16]).bars()));
        assert!(!all_met(&series(Flush::End, 100, [16, 17]).bars()));
        assert!(!all_met(&series(Flush::End, 100, [10, 12]).bars()));
        assert!(!all_met(&series(Flush::Shutdown, 100, [17, 17]).bars()));
    }

    #[test]
    fn halves_of_captures_are_told_apart() {
        let bars = series(Flush::Periodic, 1, [8, 8]).bars();
        let added: Vec<_> = bars[1..].iter().map(|bar| (bar.what.as_str(), bar.figure.median.round())).collect();
        let expected = [
            ("flush periodic:1, 1 line: added, its capture left open", 50.0),
            ("flush periodic:1, 1 line: added, its capture ended", 10.0),
        ];
        assert_eq!(added, expected);
    }

    #[test]
    fn a_start_is_judged_beyond_a_process_that_does_nothing() {
        let start =
            |subscribed| Start { nothing: Duration::from_millis(5), subscribed: Duration::from_millis(subscribed) };
        assert_eq!(starts(&[start(24)])[0].is_met(), Some(true));
        assert_eq!(starts(&[start(26)])[0].is_met(), Some(false));
    }
}
