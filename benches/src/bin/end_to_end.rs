//! Runs reassemble and yardsticks over one log in turn, and prints one table. See `benches/README.md`.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use reassemble_benches::contest::{Compression, Contestant, Outcome};
use reassemble_benches::generate::{Envelope, LogOptions, Summary, write_log};
use reassemble_benches::measure::{PARENT_COMMAND, Program, run, run_as_parent};
use reassemble_benches::size::parse_bytes;
use reassemble_benches::table::{layout, median};

/// Counts in the log's file name: to be raised when the generator's output changes, so that no old log is taken for a new one.
const LOG_VERSION: u32 = 1;

/// Measure reassemble from a log to a directory, beside programs that do a part of its work
#[derive(Parser)]
struct Args {
    /// Size of the log
    #[arg(long, value_name = "SIZE", default_value = "500MB", value_parser = parse_bytes)]
    bytes: u64,

    /// Runs of each program; the table shows medians
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,

    /// What stands around the log's lines
    #[arg(long, value_enum, default_value = "plain")]
    envelope: Envelope,

    /// A log without any capture, beside `grep -c cap1`
    #[arg(long)]
    no_captures: bool,

    /// How reassemble compresses; repeatable or separated by commas
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["gzip", "zstd", "none"])]
    compression: Vec<Compression>,

    /// The program that is measured
    #[arg(long, value_name = "FILE", default_value = "target/release/reassemble")]
    reassemble: PathBuf,

    /// Where the log is kept and results are written
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    dir: PathBuf,
}

fn main() -> Result<()> {
    let mut args = std::env::args_os().skip(1).peekable();
    if args.next_if(|first| first == PARENT_COMMAND).is_some() {
        return run_as_parent(args);
    }
    let args = Args::parse();
    fs::create_dir_all(&args.dir).with_context(|| format!("failed to create {}", args.dir.display()))?;
    let (log, summary) = cached_log(&args)?;
    let contestants = contestants(&args, &log);
    ensure!(
        contestants.iter().any(|each| each.yardstick.is_some()),
        "{} is not there: cargo build --release",
        args.reassemble.display()
    );
    read_once(&log)?;
    let floor = run(&Program::new("true", [""; 0]))?;

    let mut outcomes = vec![Vec::new(); contestants.len()];
    for round in 1..=args.runs {
        for (contestant, outcomes) in contestants.iter().zip(&mut outcomes) {
            eprintln!("run {round} of {}: {}", args.runs, contestant.name);
            outcomes.push(contestant.run(&summary).with_context(|| contestant.name.clone())?);
        }
    }
    println!(
        "{} MB, {} lines, {} records, {} captures; {:?} envelope; medians of {} runs in turn; peak memory's floor {:.1} MiB\n",
        summary.bytes / 1_000_000,
        summary.lines,
        summary.records,
        summary.captures,
        args.envelope,
        args.runs,
        mib(floor.peak_bytes),
    );
    print!("{}", layout(&rows(&contestants, &outcomes, &summary)));
    Ok(())
}

/// The log of these options, made once and kept with its summary.
fn cached_log(args: &Args) -> Result<(PathBuf, Summary)> {
    let envelope = args.envelope.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
    let captures = if args.no_captures { "-no-captures" } else { "" };
    let path = args.dir.join(format!("log-v{LOG_VERSION}-{envelope}{captures}-{}.log", args.bytes));
    let counts = path.with_extension("counts");
    if let (Ok(text), Ok(metadata)) = (fs::read_to_string(&counts), fs::metadata(&path)) {
        let figures: Vec<u64> = text.split_whitespace().filter_map(|figure| figure.parse().ok()).collect();
        if let [bytes, lines, records, captures] = figures[..]
            && bytes == metadata.len()
        {
            return Ok((path, Summary { bytes, lines, records, captures }));
        }
    }
    eprintln!("making {}", path.display());
    let file = File::create(&path).with_context(|| format!("failed to create {}", path.display()))?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let options = LogOptions { bytes: args.bytes, envelope: args.envelope, captures: !args.no_captures, seed: 1 };
    let summary = write_log(&options, &mut out)?;
    out.flush().context("failed to write the log")?;
    let text = format!("{} {} {} {}\n", summary.bytes, summary.lines, summary.records, summary.captures);
    fs::write(&counts, text).context("failed to write the log's counts")?;
    Ok((path, summary))
}

/// Those that are installed, each yardstick before the run that it measures; the others are named.
fn contestants(args: &Args, log: &Path) -> Vec<Contestant> {
    let mut all = Vec::new();
    if args.no_captures {
        let grep = Contestant::grep(log);
        let name = grep.name.clone();
        all.push(grep);
        all.push(Contestant::reassemble(&args.reassemble, Compression::None, log, &args.dir).beside(&name));
    } else {
        for compression in &args.compression {
            all.push(Contestant::yardstick(*compression, log, &args.dir));
            all.push(Contestant::reassemble(&args.reassemble, *compression, log, &args.dir));
        }
    }
    all.retain(|each| {
        let installed = each.is_installed();
        if !installed {
            eprintln!("left out: {}; to have it: {}", each.name, each.install.unwrap_or("install it"));
        }
        installed
    });
    all
}

/// Reads the file, so that the first run does not read it from a disk and the others from memory.
fn read_once(path: &Path) -> Result<()> {
    let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
    std::io::copy(&mut file.by_ref().take(u64::MAX), &mut std::io::sink()).context("failed to read the log")?;
    Ok(())
}

/// Medians of a program's runs.
struct Medians {
    cpu_s: f64,
    wall_s: f64,
    peak_bytes: f64,
    stored_bytes: f64,
}

impl Medians {
    fn of(outcomes: &[Outcome]) -> Medians {
        let of = |figure: fn(&Outcome) -> f64| median(outcomes.iter().map(figure));
        Medians {
            cpu_s: of(|outcome| outcome.cost.cpu.as_secs_f64()),
            wall_s: of(|outcome| outcome.cost.wall.as_secs_f64()),
            peak_bytes: of(|outcome| outcome.cost.peak_bytes as f64),
            stored_bytes: of(|outcome| outcome.stored_bytes as f64),
        }
    }
}

fn rows(contestants: &[Contestant], outcomes: &[Vec<Outcome>], log: &Summary) -> Vec<Vec<String>> {
    let header = [
        "program",
        "MB/CPU s",
        "CPU s",
        "wall s",
        "wall/CPU",
        "peak MiB",
        "stored MB",
        "of log",
        "CPU ratio",
        "stored ratio",
    ];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    let medians: Vec<Medians> = outcomes.iter().map(|outcomes| Medians::of(outcomes)).collect();
    let mb = log.bytes as f64 / 1e6;
    for (contestant, of) in contestants.iter().zip(&medians) {
        let mut row = vec![
            contestant.name.clone(),
            format!("{:.0}", mb / of.cpu_s),
            format!("{:.2}", of.cpu_s),
            format!("{:.2}", of.wall_s),
            format!("{:.2}", of.wall_s / of.cpu_s),
            format!("{:.1}", of.peak_bytes / f64::from(1 << 20)),
            format!("{:.1}", of.stored_bytes / 1e6),
            format!("{:.3}", of.stored_bytes / 1e6 / mb),
        ];
        let yardstick =
            contestant.yardstick.as_ref().and_then(|name| contestants.iter().position(|each| each.name == *name));
        if let Some(yardstick) = yardstick.map(|index| &medians[index]) {
            row.push(format!("{:.2}", of.cpu_s / yardstick.cpu_s));
            if yardstick.stored_bytes > 0.0 {
                row.push(format!("{:.3}", of.stored_bytes / yardstick.stored_bytes));
            }
        }
        rows.push(row);
    }
    rows
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
