//! Runs reassemble and yardsticks over logs in turn, and holds what they cost against the bars. See `benches/README.md`.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use reassemble_benches::bars::{all_met, table, tally};
use reassemble_benches::contest::binary::Binary;
use reassemble_benches::contest::run::Ring;
use reassemble_benches::contest::verdict::{Measured, bars, programs};
use reassemble_benches::contest::{BARS, Compression, Contestant, Selection, plan};
use reassemble_benches::generate::Envelope;
use reassemble_benches::logs::Log;
use reassemble_benches::measure::{PARENT_COMMAND, Program, run, run_as_parent};
use reassemble_benches::results::{self, Conditions};
use reassemble_benches::size::parse_bytes;
use reassemble_benches::soak::store::{SERVER_COMMAND, serve_s3};

/// Measure reassemble from a log to a directory and to S3, beside programs that do a part of its work
#[derive(Parser)]
struct Args {
    /// Only these bars; repeatable or separated by commas
    #[arg(long, value_name = "BAR", value_delimiter = ',', default_values_t = BARS)]
    only: Vec<u32>,

    /// Size of each log
    #[arg(long, value_name = "SIZE", default_value = "500MB", value_parser = parse_bytes)]
    bytes: u64,

    /// Runs of each program; the tables show medians
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,

    /// How reassemble compresses; repeatable or separated by commas
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["gzip", "zstd", "none"])]
    compression: Vec<Compression>,

    /// What stands around the lines of bar 4's logs; repeatable or separated by commas
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["docker", "cri", "json-string"])]
    envelope: Vec<Envelope>,

    /// End with 1 where a bar is not met or a yardstick is missing
    #[arg(long)]
    check: bool,

    /// Write the tables into this page, in the place of all that an earlier run wrote there
    #[arg(long, value_name = "FILE")]
    write_results: Option<PathBuf>,

    /// The program that is measured
    #[arg(long, value_name = "FILE", default_value = "target/release/reassemble")]
    reassemble: PathBuf,

    /// Where logs are kept and results are written
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    dir: PathBuf,
}

fn main() -> Result<ExitCode> {
    let mut args = std::env::args_os().skip(1).peekable();
    if args.next_if(|first| first == PARENT_COMMAND).is_some() {
        return run_as_parent(args).map(|()| ExitCode::SUCCESS);
    }
    if args.next_if(|first| first == SERVER_COMMAND).is_some() {
        return serve_s3(args).map(|()| ExitCode::SUCCESS);
    }
    measure(&Args::parse())
}

fn measure(args: &Args) -> Result<ExitCode> {
    for bar in &args.only {
        ensure!(BARS.contains(bar), "there is no bar {bar} here, only {BARS:?}");
    }
    let binary = Binary::of(&args.reassemble)?;
    fs::create_dir_all(&args.dir).with_context(|| format!("failed to create {}", args.dir.display()))?;
    let ring = Ring { reassemble: args.reassemble.clone(), dir: args.dir.clone() };
    let selection =
        Selection { bars: args.only.clone(), compressions: args.compression.clone(), envelopes: args.envelope.clone() };
    let mut contestants = plan(&selection);
    let mut notes = missing(&ring, &mut contestants);
    ensure!(!args.check || notes.is_empty(), "{}", notes.join("\n"));

    let logs = logs(args, &contestants)?;
    let mut ran = format!("Logs of {} MB, {} runs of each program in turn", args.bytes / 1_000_000, args.runs);
    if args.only != BARS {
        ran += &format!("; of the bars only {:?}", args.only);
    }
    let conditions = Conditions::now(ran);
    let measured = rounds(args.runs, &ring, &contestants, &logs)?;
    let floor = run(&Program::new("true", [""; 0]))?.peak_bytes as f64 / f64::from(1 << 20);
    notes.push(format!("Medians; in brackets the least and the most. Peak memory's floor: {floor:.1} MiB."));

    let bars = bars(&selection, &measured, binary);
    let programs = if measured.is_empty() { String::new() } else { programs(&measured) };
    println!("{programs}\n{}\n{}\n{}", table(&bars), notes.join("\n"), tally(&bars));
    if let Some(page) = &args.write_results {
        let programs = if programs.is_empty() { String::new() } else { format!("\n\n```text\n{programs}```") };
        results::write(page, "End to end", &conditions, &bars, &format!("{}{programs}", notes.join("\n")))?;
    }
    Ok(if args.check && !all_met(&bars) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Takes those that cannot run out, and says which and what to do.
fn missing(ring: &Ring, contestants: &mut Vec<Contestant>) -> Vec<String> {
    let mut notes = Vec::new();
    contestants.retain(|contestant| {
        let lacks = ring.lacks(*contestant);
        notes.extend(lacks.map(|install| format!("Left out: {}; to have it: `{install}`.", contestant.name())));
        lacks.is_none()
    });
    notes
}

/// The logs of those that run, each once, in memory as far as that goes.
fn logs(args: &Args, contestants: &[Contestant]) -> Result<Vec<Log>> {
    let mut logs: Vec<Log> = Vec::new();
    for contestant in contestants {
        if logs.iter().all(|log| log.kind != contestant.log()) {
            let log = Log::cached(&args.dir, contestant.log(), args.bytes)?;
            log.warm()?;
            logs.push(log);
        }
    }
    Ok(logs)
}

/// Runs all in turn, so that a slow minute hurts all alike.
fn rounds(runs: u32, ring: &Ring, contestants: &[Contestant], logs: &[Log]) -> Result<Vec<Measured>> {
    let mut measured = Vec::new();
    let mut read = Vec::new();
    for contestant in contestants {
        let log = logs.iter().find(|log| log.kind == contestant.log()).context("a contestant has no log")?;
        measured.push(Measured { contestant: *contestant, log: log.summary, outcomes: Vec::new() });
        read.push(log);
    }
    for round in 1..=runs {
        for (each, log) in measured.iter_mut().zip(&read) {
            let name = each.contestant.name();
            eprintln!("run {round} of {runs}: {name}");
            each.outcomes.push(ring.run(each.contestant, log).context(name)?);
        }
    }
    Ok(measured)
}
