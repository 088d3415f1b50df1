//! Bars of what the runs gave. A row stands where what it needs was run; so a selection gives the rows of that selection.

use super::binary::Binary;
use super::run::Outcome;
use super::{Compression, Contestant, Selection};
use crate::bars::{Bar, Figure, Limit};
use crate::generate::{Envelope, Summary};
use crate::table::layout;

const MIB: f64 = (1 << 20) as f64;

/// A contestant's runs.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Who ran.
    pub contestant: Contestant,
    /// What the log holds that it ran on.
    pub log: Summary,
    /// What each run gave.
    pub outcomes: Vec<Outcome>,
}

impl Measured {
    fn of(&self, unit: &'static str, figure: impl Fn(&Outcome) -> f64) -> Figure {
        Figure::of(self.outcomes.iter().map(figure), unit)
    }

    fn cpu(&self) -> Figure {
        self.of("s", |outcome| outcome.cost.cpu.as_secs_f64())
    }

    fn wall(&self) -> Figure {
        self.of("s", |outcome| outcome.cost.wall.as_secs_f64())
    }

    /// Megabytes of log a second of CPU time.
    fn speed(&self) -> Figure {
        let megabytes = self.log.bytes as f64 / 1e6;
        self.of("MB/CPU s", |outcome| megabytes / outcome.cost.cpu.as_secs_f64())
    }

    fn stored(&self) -> Figure {
        self.of("MB", |outcome| outcome.stored_bytes as f64 / 1e6)
    }

    fn peak(&self) -> Figure {
        self.of("MiB", |outcome| outcome.cost.peak_bytes as f64 / MIB)
    }
}

/// The rows of the selected bars.
pub fn bars(selection: &Selection, measured: &[Measured], binary: Binary) -> Vec<Bar> {
    let of = |contestant: Contestant| measured.iter().find(|each| each.contestant == contestant);
    let mut bars = Vec::new();
    for &compression in &selection.compressions {
        let Some(ours) = of(Contestant::plain(compression)) else { continue };
        bars.extend(log_to_directory(compression, ours, of(Contestant::Yardstick(compression))));
        if let Some(to_s3) = of(Contestant::to_s3(compression)) {
            let what = format!("{}: CPU to S3 on loopback, beside the directory's", compression.name());
            bars.push(Bar::new(1, what, to_s3.cpu()).beside(ours.cpu()).within(Limit::AtMost(1.25)));
        }
        let overlap = Bar::new(2, format!("{}: wall time, beside its CPU time", compression.name()), ours.wall())
            .beside(ours.cpu());
        bars.push(if compression == Compression::None { overlap } else { overlap.within(Limit::AtMost(0.65)) });
        for &envelope in &selection.envelopes {
            bars.extend(
                of(Contestant::enveloped(envelope, compression)).and_then(|each| enveloped(envelope, each, ours)),
            );
        }
    }
    if let Some(ours) = of(Contestant::no_captures()) {
        bars.push(Bar::new(3, "no capture in the log", ours.speed()).within(Limit::AtLeast(2_000.0)));
        if let Some(grep) = of(Contestant::Grep) {
            let what = "no capture in the log: CPU beside grep -c cap1";
            bars.push(Bar::new(3, what, ours.cpu()).beside(grep.cpu()).within(Limit::AtMost(4.0)));
        }
    }
    let peaks = measured.iter().filter(|each| each.contestant.is_reassemble()).map(|each| (each, each.peak().max));
    if let Some((each, peak)) = peaks.max_by(|(_, one), (_, other)| one.total_cmp(other)) {
        let what = format!("peak resident memory, the highest of all runs: {}", each.contestant.name());
        bars.push(Bar::new(5, what, Figure::one(peak, "MiB")).within(Limit::AtMost(32.0)));
    }
    let what =
        if binary.is_stripped { "size of the binary, stripped" } else { "size of the binary, which is NOT stripped" };
    bars.push(Bar::new(9, what, Figure::one(binary.bytes as f64 / 1e6, "MB")).within(Limit::AtMost(12.0)));
    bars.retain(|bar| selection.bars.contains(&bar.number));
    bars.sort_by_key(|bar| bar.number);
    bars
}

fn log_to_directory(compression: Compression, ours: &Measured, yardstick: Option<&Measured>) -> Vec<Bar> {
    let name = compression.name();
    let mut bars = Vec::new();
    if compression == Compression::None {
        bars.push(Bar::new(1, format!("{name}: log to directory"), ours.speed()).within(Limit::AtLeast(700.0)));
    }
    let Some(yardstick) = yardstick else { return bars };
    let beside = yardstick.contestant.name();
    let cpu =
        Bar::new(1, format!("{name}: CPU, log to directory, beside {beside}"), ours.cpu()).beside(yardstick.cpu());
    if compression == Compression::None {
        bars.push(cpu);
    } else {
        let what = format!("{name}: stored, beside {beside}");
        bars.push(cpu.within(Limit::AtMost(1.4)));
        bars.push(Bar::new(1, what, ours.stored()).beside(yardstick.stored()).within(Limit::AtMost(0.95)));
    }
    bars
}

fn enveloped(envelope: Envelope, ours: &Measured, plain: &Measured) -> Option<Bar> {
    let Contestant::Reassemble { log, compression, .. } = ours.contestant else { return None };
    let what = format!("{}, {}: speed beside plain's", log.name(), compression.name());
    let bar = Bar::new(4, what, ours.speed()).beside(plain.speed());
    let judged = matches!(envelope, Envelope::Docker | Envelope::Cri | Envelope::JsonString);
    Some(if judged && compression == Compression::None { bar.within(Limit::AtLeast(0.6)) } else { bar })
}

/// What each program's runs came to, in columns.
pub fn programs(measured: &[Measured]) -> String {
    let header = ["program", "MB/CPU s", "CPU s", "wall s", "wall/CPU", "peak MiB", "stored MB", "of log"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for each in measured {
        let (cpu, wall, stored) = (each.cpu(), each.wall().median, each.stored().median);
        rows.push(vec![
            each.contestant.name(),
            format!("{:.0}", each.speed().median),
            format!("{:.2} ({:.2}–{:.2})", cpu.median, cpu.min, cpu.max),
            format!("{wall:.2}"),
            format!("{:.2}", wall / cpu.median),
            format!("{:.1}", each.peak().median),
            format!("{stored:.1}"),
            format!("{:.3}", stored * 1e6 / each.log.bytes as f64),
        ]);
    }
    layout(&rows)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::contest::{BARS, plan};
    use crate::measure::Cost;

    fn selection(bars: &[u32]) -> Selection {
        Selection {
            bars: bars.to_vec(),
            compressions: vec![Compression::Gzip, Compression::Zstd, Compression::None],
            envelopes: vec![Envelope::Docker, Envelope::Cri, Envelope::JsonString, Envelope::Nested],
        }
    }

    /// Everyone planned, with these CPU seconds and peaks on 500 MB; 100 MB stored by yardsticks, 90 by reassemble.
    fn measured(
        selection: &Selection,
        cpu: impl Fn(Contestant) -> f64,
        peak_mib: impl Fn(Contestant) -> f64,
    ) -> Vec<Measured> {
        let outcome = |contestant: Contestant| Outcome {
            cost: Cost {
                cpu: Duration::from_secs_f64(cpu(contestant)),
                wall: Duration::from_secs_f64(cpu(contestant) * 0.6),
                peak_bytes: (peak_mib(contestant) * MIB) as u64,
            },
            stored_bytes: if contestant.is_reassemble() { 90_000_000 } else { 100_000_000 },
        };
        let log = Summary { bytes: 500_000_000, ..Summary::default() };
        plan(selection)
            .into_iter()
            .map(|contestant| Measured { contestant, log, outcomes: vec![outcome(contestant); 3] })
            .collect()
    }

    fn stripped(bytes: u64) -> Binary {
        Binary { bytes, is_stripped: true }
    }

    fn not_met(bars: &[Bar]) -> Vec<&str> {
        bars.iter().filter(|bar| bar.is_met() == Some(false)).map(|bar| bar.what.as_str()).collect()
    }

    #[test]
    fn a_run_that_meets_all_bars_meets_each() {
        let all = selection(&BARS);
        let cpu = |contestant| match contestant {
            Contestant::Yardstick(_) => 0.5,
            Contestant::Grep => 0.06,
            contestant if contestant == Contestant::no_captures() => 0.2,
            _ => 0.7,
        };
        let bars = bars(&all, &measured(&all, cpu, |_| 30.0), stripped(11_900_000));
        assert_eq!(not_met(&bars), [""; 0]);
        let judged = |number| bars.iter().filter(|bar| bar.number == number && bar.limit.is_some()).count();
        assert_eq!(BARS.map(judged), [2 + 2 + 1 + 3, 2, 2, 3, 1, 1]);
    }

    fn missed(cpu: impl Fn(Contestant) -> f64, peak_mib: impl Fn(Contestant) -> f64, binary_bytes: u64) -> Vec<String> {
        let all = selection(&BARS);
        let bars = bars(&all, &measured(&all, cpu, peak_mib), stripped(binary_bytes));
        not_met(&bars).into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn each_bar_can_be_missed() {
        // What has a yardstick takes as long as it does, or less than its limit allows: every bar is met.
        let even = |contestant| match contestant {
            Contestant::Grep => 0.06,
            contestant if contestant == Contestant::no_captures() => 0.2,
            _ => 0.5,
        };
        assert_eq!(missed(even, |_| 9.0, 12_000_000), [""; 0]);
        assert_eq!(missed(even, |_| 9.0, 12_000_001), ["size of the binary, stripped"]);
        let peak = |contestant| if contestant == Contestant::to_s3(Compression::Zstd) { 32.1 } else { 9.0 };
        assert_eq!(
            missed(even, peak, 1),
            ["peak resident memory, the highest of all runs: reassemble, plain, zstd to S3"]
        );
        let slow = |contestant| match contestant {
            Contestant::Grep => 0.06,
            contestant if contestant == Contestant::no_captures() => 0.26,
            contestant if contestant == Contestant::to_s3(Compression::Gzip) => 0.63,
            Contestant::Yardstick(Compression::Zstd) => 0.35,
            contestant if contestant == Contestant::enveloped(Envelope::Cri, Compression::None) => 0.84,
            contestant if contestant == Contestant::enveloped(Envelope::Nested, Compression::None) => 9.0,
            contestant if contestant == Contestant::enveloped(Envelope::Docker, Compression::Gzip) => 9.0,
            _ => 0.5,
        };
        assert_eq!(
            missed(slow, |_| 9.0, 1),
            [
                "gzip: CPU to S3 on loopback, beside the directory's",
                "zstd: CPU, log to directory, beside zstd -1 -T1",
                "no capture in the log",
                "no capture in the log: CPU beside grep -c cap1",
                "cri, none: speed beside plain's",
            ]
        );
        let slowest =
            |contestant| if contestant == Contestant::plain(Compression::None) { 0.72 } else { even(contestant) };
        assert!(missed(slowest, |_| 9.0, 1).contains(&"none: log to directory".to_owned()));
    }

    #[test]
    fn a_selection_has_its_rows_alone() {
        let two = selection(&[2]);
        let bars = bars(&two, &measured(&two, |_| 1.0, |_| 99.0), stripped(1));
        assert_eq!(
            bars.iter().map(|bar| (bar.number, bar.is_met())).collect::<Vec<_>>(),
            [(2, Some(true)), (2, Some(true)), (2, None)]
        );
    }
}
