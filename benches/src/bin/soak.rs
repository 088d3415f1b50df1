//! Kills a daemon for as long as is asked, with an outage of its destination, and checks what it stored. See `benches/README.md`.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, ValueEnum};
use reassemble_benches::size::parse_bytes;
use reassemble_benches::soak::store::{SERVER_COMMAND, serve_s3};
use reassemble_benches::soak::{Plan, Report, soak};
use reassemble_benches::table::layout;

/// Kill reassemble again and again while its log is written, and check that each exchange is stored once
#[derive(Parser)]
struct Args {
    /// SIGKILLs at random instants
    #[arg(long, default_value_t = 1000)]
    kills: u64,

    /// How long the destination refuses everything meanwhile
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = parse_duration)]
    outage: Duration,

    /// Where exchanges go
    #[arg(long, value_enum, default_value = "s3")]
    to: To,

    /// The same seed gives the same log, and the same lives between kills
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Bytes of log a second
    #[arg(long, value_name = "SIZE", default_value = "500KB", value_parser = parse_bytes)]
    rate: u64,

    /// Longest life between two kills
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = parse_duration)]
    life: Duration,

    /// The program that is killed
    #[arg(long, value_name = "FILE", default_value = "target/release/reassemble")]
    reassemble: PathBuf,

    /// Where log, state and destination lie; it must not exist. Removed where all is well
    #[arg(long, value_name = "DIR", default_value = "target/soak")]
    dir: PathBuf,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum To {
    /// A directory
    Dir,
    /// A bucket of an S3 server over HTTP
    S3,
}

fn main() -> Result<()> {
    let mut args = std::env::args_os().skip(1).peekable();
    if args.next_if(|first| first == SERVER_COMMAND).is_some() {
        return serve_s3(args);
    }
    let args = Args::parse();
    ensure!(args.reassemble.is_file(), "{} is not there: cargo build --release", args.reassemble.display());
    fs::create_dir_all(args.dir.parent().unwrap_or(&args.dir)).context("failed to make the folder")?;
    fs::create_dir(&args.dir).with_context(|| format!("failed to make {}, which must be new", args.dir.display()))?;
    let dir = fs::canonicalize(&args.dir).context("failed to find the folder")?;
    let began = Instant::now();
    let plan = Plan {
        reassemble: args.reassemble,
        dir,
        s3: args.to == To::S3,
        kills: args.kills,
        outage: args.outage,
        rate: args.rate.max(1),
        longest_life: args.life,
        seed: args.seed,
    };
    let report = soak(&plan)?;
    print!("{}", layout(&rows(&report, began.elapsed())));
    if let Some((_, said)) = &report.verify {
        println!("\nreassemble verify:\n{said}");
    }
    let verified = report.verify.as_ref().is_none_or(|(clean, _)| *clean);
    if !report.check.is_clean() || !verified {
        bail!("what is stored is not what was logged; everything is kept in {}", plan.dir.display());
    }
    fs::remove_dir_all(&plan.dir).context("failed to remove the folder")
}

fn rows(report: &Report, took: Duration) -> Vec<Vec<String>> {
    let mut ready = report.ready.clone();
    ready.sort();
    let at = |share: f64| {
        let index = ((ready.len().saturating_sub(1)) as f64 * share).round() as usize;
        ready.get(index).map_or_else(|| "-".to_owned(), |time| format!("{} ms", time.as_millis()))
    };
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    let check = &report.check;
    let verify =
        report.verify.as_ref().map_or("no such command", |(clean, _)| if *clean { "clean" } else { "NOT clean" });
    [
        ("what", "figure".to_owned()),
        ("took", format!("{} s", took.as_secs())),
        ("kills", report.kills.to_string()),
        ("kills during the outage", report.kills_in_outage.to_string()),
        ("lives that became ready", ready.len().to_string()),
        ("time to ready, median", at(0.5)),
        ("time to ready, 99 %", at(0.99)),
        ("time to ready, longest", at(1.0)),
        ("drained after the last kill", format!("{} s", report.drained_in.as_secs())),
        ("log", mib(report.bytes)),
        ("lines", report.lines.to_string()),
        ("rotations", report.rotations.to_string()),
        ("exchanges expected", check.expected.to_string()),
        ("exchanges stored", check.stored.to_string()),
        ("missing", check.missing.to_string()),
        ("stored twice", check.twice.to_string()),
        ("unknown", check.unknown.to_string()),
        ("incomplete", check.incomplete.to_string()),
        ("peak resident memory", mib(report.peak_rss_bytes)),
        ("peak spool", mib(report.peak_spool_bytes)),
        ("reassemble verify", verify.to_owned()),
    ]
    .map(|(what, figure)| vec![what.to_owned(), figure])
    .into()
}

/// A whole number with `s`, `m` or `h`.
fn parse_duration(text: &str) -> Result<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => bail!("`{text}` is no duration: write 20s, 10m or 2h"),
    };
    let number: u64 = number.parse().with_context(|| format!("`{text}` is no duration: write 20s, 10m or 2h"))?;
    Ok(Duration::from_secs(number.saturating_mul(seconds)))
}
