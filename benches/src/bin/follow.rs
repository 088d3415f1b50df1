//! What following costs and how soon what was written is durable, each figure beside its bar. See `benches/README.md`.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use reassemble_benches::bars::{Bar, Figure, Limit, table, tally};
use reassemble_benches::contest::Compression;
use reassemble_benches::follow::daemon::Place;
use reassemble_benches::follow::latency;
use reassemble_benches::follow::steady::{self, Log, Span};
use reassemble_benches::generate::{Envelope, LogOptions, write_log};
use reassemble_benches::measure::{PARENT_COMMAND, run_as_parent};
use reassemble_benches::results::{self, Conditions};
use reassemble_benches::size::parse_bytes;

/// Measure what following costs: at a steady rate, at rest, and from a write to its exchange being durable
#[derive(Parser)]
struct Args {
    /// Measure only what has this in its name: none, gzip, rest, latency
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,

    /// Runs of each; the table has medians
    #[arg(long, default_value_t = 3)]
    runs: usize,

    /// Bytes of log a second
    #[arg(long, value_name = "SIZE", default_value = "10MB", value_parser = parse_bytes)]
    rate: u64,

    /// Seconds that a flow is measured, after a sixth as long of warming up
    #[arg(long, default_value_t = 30)]
    seconds: u64,

    /// Seconds that files at rest are measured
    #[arg(long, default_value_t = 60)]
    rest_seconds: u64,

    /// Files at rest
    #[arg(long, default_value_t = 1_000)]
    files: usize,

    /// Exchanges that are timed
    #[arg(long, default_value_t = 1_500)]
    exchanges: usize,

    /// The program that is measured
    #[arg(long, value_name = "FILE", default_value = "target/release/reassemble")]
    reassemble: PathBuf,

    /// Write the table into this page, in the place of all that an earlier run wrote there
    #[arg(long, value_name = "FILE")]
    write_results: Option<PathBuf>,

    /// Where logs and results are written, and removed afterwards
    #[arg(long, value_name = "DIR", default_value = "target/bench/follow")]
    dir: PathBuf,
}

/// Batches that go at once, as soon as anything was read.
const AT_ONCE: [&str; 6] = ["--batch-age", "0s", "--commit-interval", "10ms", "--compression", "none"];
/// Between two exchanges that are timed.
const PAUSE: Duration = Duration::from_millis(20);

const MIB: f64 = 1_048_576.0;

fn main() -> Result<()> {
    let mut args = std::env::args_os().skip(1).peekable();
    if args.next_if(|first| first == PARENT_COMMAND).is_some() {
        return run_as_parent(args);
    }
    let args = Args::parse();
    ensure!(args.reassemble.exists(), "{} is not there: cargo build --release", args.reassemble.display());
    fs::create_dir_all(&args.dir).with_context(|| format!("failed to create {}", args.dir.display()))?;
    let place = Place { reassemble: fs::canonicalize(&args.reassemble)?, dir: fs::canonicalize(&args.dir)? };
    let log = make_log(&args, &place)?;
    let run = format!("{:.0} MB a second for {} s; {} runs of each", args.rate as f64 / 1e6, args.seconds, args.runs);
    let conditions = Conditions::now(&run);
    let mut bars = Vec::new();
    if wanted(&args, "none") {
        flow(&args, &place, &log, Compression::None, &mut bars)?;
    }
    if wanted(&args, "gzip") {
        flow(&args, &place, &log, Compression::Gzip, &mut bars)?;
    }
    if wanted(&args, "rest") {
        rest(&args, &place, &mut bars)?;
    }
    if wanted(&args, "latency") {
        latency(&args, &place, &log, &mut bars)?;
    }
    println!("{}\n{}", table(&bars), tally(&bars));
    fs::remove_dir_all(&place.dir).context("failed to clean up")?;
    if let Some(page) = &args.write_results {
        results::write(page, "Following", &conditions, &bars, "")?;
    }
    Ok(())
}

fn wanted(args: &Args, name: &str) -> bool {
    name.contains(&args.only)
}

/// The log of a whole flow, its warm-up included and a second more.
fn make_log(args: &Args, place: &Place) -> Result<Log> {
    let path = place.dir.join("finished.log");
    let mut file = BufWriter::with_capacity(1 << 20, File::create(&path).context("failed to create the log")?);
    let bytes = args.rate * (args.seconds + args.seconds / 6 + 1);
    let options = LogOptions { bytes, envelope: Envelope::Plain, captures: true, seed: 1 };
    let summary = write_log(&options, &mut file)?;
    file.flush().context("failed to write the log")?;
    Ok(Log { path, summary })
}

fn flow(args: &Args, place: &Place, log: &Log, compression: Compression, bars: &mut Vec<Bar>) -> Result<()> {
    let times = (Duration::from_secs(args.seconds / 6), Duration::from_secs(args.seconds));
    let (mut spans, mut yardstick, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..args.runs {
        let span = steady::flow(place, log, compression, args.rate, times)?;
        if compression == Compression::Gzip {
            yardstick.push(percent(steady::libdeflate_seconds_per_byte(place, log)?, &span));
        }
        whole.push(percent(steady::whole_file_seconds_per_byte(place, log, compression)?, &span));
        spans.push(span);
    }
    let name = format!("{:.0} MB/s, {}", args.rate as f64 / 1e6, compression.name());
    let cpu = Figure::of(spans.iter().map(Span::percent), "% of a core");
    bars.push(if compression == Compression::Gzip {
        let beside = Figure::of(yardstick, "% of a core");
        Bar::new(6, format!("{name}: CPU beside libdeflate-gzip -1 of what is stored"), cpu)
            .beside(beside)
            .within(Limit::AtMost(1.5))
    } else {
        Bar::new(6, format!("{name}: CPU"), cpu).within(Limit::AtMost(4.0))
    });
    let whole = Figure::of(whole, "% of a core");
    bars.push(Bar::new(6, format!("{name}: CPU of the same bytes in a whole file"), whole));
    let peak = Figure::of(spans.iter().map(|span| span.memory.peak_bytes as f64 / MIB), "MiB");
    bars.push(Bar::new(6, format!("{name}: peak memory"), peak).within(Limit::AtMost(24.0)));
    let now = Figure::of(spans.iter().map(|span| span.memory.now_bytes as f64 / MIB), "MiB");
    bars.push(Bar::new(6, format!("{name}: memory at the end"), now));
    Ok(())
}

/// What a cost by the byte is at the rate of this span, in percent of a core.
fn percent(seconds_per_byte: f64, span: &Span) -> f64 {
    100.0 * seconds_per_byte * span.bytes as f64 / span.wall.as_secs_f64()
}

fn rest(args: &Args, place: &Place, bars: &mut Vec<Bar>) -> Result<()> {
    let span = steady::rest(place, args.files, Duration::from_secs(args.rest_seconds))?;
    let name = format!("{} files at rest", args.files);
    let cpu = Figure::one(span.percent(), "% of a core");
    bars.push(Bar::new(6, format!("{name}: CPU"), cpu).within(Limit::AtMost(0.2)));
    let peak = Figure::one(span.memory.peak_bytes as f64 / MIB, "MiB");
    bars.push(Bar::new(6, format!("{name}: peak memory"), peak).within(Limit::AtMost(32.0)));
    Ok(())
}

fn latency(args: &Args, place: &Place, log: &Log, bars: &mut Vec<Bar>) -> Result<()> {
    for (name, beside) in [("50 exchanges/s", None), ("50 exchanges/s within the flow", Some((log, args.rate)))] {
        let latencies = latency::measure(place, &AT_ONCE, (args.exchanges, PAUSE), beside)?;
        let mut bar = |of: &str, percentile, limit: Option<Limit>| {
            let figure = Figure::one(latencies.percentile(percentile), "ms");
            bars.push(Bar { limit, ..Bar::new(7, format!("{name}: write to object, {of}"), figure) });
        };
        bar("p50", 50, None);
        // Within the flow it is no measure of the spool: see `latency`.
        bar("p99", 99, beside.is_none().then_some(Limit::AtMost(50.0)));
        bar("worst", 100, None);
    }
    Ok(())
}
