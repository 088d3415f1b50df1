//! Runs of a sample app with and without the emitter, in turn.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use memchr::memmem;

use super::app::Sample;
use super::load::{Load, percentile};
use super::{BODY_BYTES, json_body};

/// What is run, and for how long.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The app.
    pub sample: Sample,
    /// Where its output goes; removed after each run.
    pub output: PathBuf,
    /// Requests a second.
    pub rate: u32,
    /// Kept-alive connections.
    pub connections: usize,
    /// What of each run is not counted.
    pub warm_up: Duration,
    /// What is.
    pub time: Duration,
    /// How long each connection then sends its next request as soon as it is answered.
    pub full_load: Duration,
}

/// What one run showed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Run {
    /// Half of the requests took less, in microseconds.
    pub p50_us: f64,
    /// All but a hundredth took less, in microseconds.
    pub p99_us: f64,
    /// CPU time of the app, in percent of one core.
    pub cpu_percent: f64,
    /// Its peak resident memory in MiB.
    pub peak_mib: f64,
    /// Requests a second under full load; 0 where there was none.
    pub full_per_second: f64,
}

/// One pair of runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pair {
    /// Without the emitter.
    pub without: Run,
    /// With it.
    pub with: Run,
}

impl Plan {
    /// Runs the pair of this number, from 0: even ones begin without the emitter, odd ones with it.
    ///
    /// # Errors
    /// Where a run fails, an answer is wrong, or a capture is missing.
    pub fn pair(&self, number: u32) -> Result<Pair> {
        let mut pair = Pair::default();
        for with in [!number.is_multiple_of(2), number.is_multiple_of(2)] {
            let run = self.run(with).context(if with { "with the emitter" } else { "without the emitter" })?;
            *(if with { &mut pair.with } else { &mut pair.without }) = run;
        }
        Ok(pair)
    }

    fn run(&self, with_emitter: bool) -> Result<Run> {
        let app = self.sample.start(&self.output, with_emitter)?;
        let load = Load::echo("/echo?page=2&sort=name", &json_body(), self.rate, self.connections);
        let mut client = load.connect(app.address)?;
        let warm_up = client.run(self.warm_up)?.len();
        let (cpu, began) = (app.cpu()?, Instant::now());
        let mut latencies = client.run(self.time)?;
        let (cpu, took) = (app.cpu()? - cpu, began.elapsed());
        let peak_bytes = app.peak_bytes()?;
        let began = Instant::now();
        let answered = client.run_flat_out(self.full_load)?;
        let full_per_second = answered as f64 / began.elapsed().as_secs_f64();
        drop(client);
        app.end()?;
        let least = if with_emitter { warm_up + latencies.len() } else { 0 };
        check_captures(&self.output, least, if with_emitter { least + answered } else { 0 })?;
        std::fs::remove_file(&self.output).context("failed to remove the app's output")?;
        latencies.sort_unstable();
        Ok(Run {
            p50_us: percentile(&latencies, 0.5) as f64 / 1e3,
            p99_us: percentile(&latencies, 0.99) as f64 / 1e3,
            cpu_percent: 100.0 * cpu.as_secs_f64() / took.as_secs_f64(),
            peak_mib: peak_bytes as f64 / f64::from(1 << 20),
            full_per_second: if answered > 0 { full_per_second } else { 0.0 },
        })
    }
}

/// A figure of a run that captured something else than it was asked is worth nothing. Under full load captures may be dropped, for the app never
/// waits for them.
fn check_captures(output: &Path, least: usize, most: usize) -> Result<()> {
    let written = std::fs::read(output).context("failed to read the app's output")?;
    let begun = |part: &str| memmem::find_iter(&written, &format!(r#""part":"{part}","seq":0,"#)).count();
    let (asked, answered) = (begun("req"), begun("res"));
    ensure!(
        asked == answered && (least..=most).contains(&asked),
        "{asked} requests and {answered} responses captured, {least} to {most} expected"
    );
    // Each body is there once as it came; what stands around it takes at least its quotes' escapes.
    let least_bytes = 2 * BODY_BYTES * asked;
    ensure!(written.len() >= least_bytes, "{} bytes written, at least {least_bytes} expected", written.len());
    Ok(())
}

/// The values below which a quarter and three quarters of the figures lie; 0 of none.
pub fn quartiles(figures: &[f64]) -> (f64, f64) {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |share: usize| sorted.get(sorted.len().saturating_sub(1) * share / 4).copied().unwrap_or(0.0);
    (at(1), at(3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_are_quartiles() {
        assert_eq!(quartiles(&[5.0, 1.0, 4.0, 2.0, 3.0]), (2.0, 4.0));
        assert_eq!(quartiles(&[]), (0.0, 0.0));
    }
}
