//! Peak resident memory over logs that are made to take memory, each read into a directory with the default `--memory`. See `benches/README.md`.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use reassemble_benches::generate::{Envelope, LogOptions, write_log};
use reassemble_benches::measure::{PARENT_COMMAND, Program, run, run_as_parent};
use reassemble_benches::size::parse_bytes;
use reassemble_benches::table::layout;

/// Measure reassemble's peak memory over logs that are made to take memory
#[derive(Parser)]
struct Args {
    /// Run only the scenarios whose name contains this
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,

    /// Length of the long body
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = parse_bytes)]
    body: u64,

    /// The program that is measured
    #[arg(long, value_name = "FILE", default_value = "target/release/reassemble")]
    reassemble: PathBuf,

    /// Where logs and results are written, and removed afterwards
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    dir: PathBuf,
}

/// A log, and how much memory it may take.
struct Scenario {
    name: &'static str,
    /// The bar in MiB.
    bar_mib: u64,
    /// Writes the log.
    write: fn(&Args, &mut dyn Write) -> io::Result<()>,
    /// Whether the destination is a store that nobody answers for.
    outage: bool,
}

const SCENARIOS: [Scenario; 9] = [
    Scenario::new("ordinary traffic, 500 MB", 32, |_, out| traffic(out, 500_000_000)),
    Scenario::new("100,000 captures open at once", 64, |_, out| open_at_once(out, 100_000)),
    Scenario::new("1,000,000 ids that never finish", 64, |_, out| {
        (0..1_000_000).try_for_each(|n| request(out, &format!("n{n}"), "shop", ""))
    }),
    Scenario::new("a long body", 64, |args, out| long_body(out, args.body, true)),
    Scenario::new("a long body without its first chunk", 64, |args, out| long_body(out, args.body / 4, false)),
    Scenario::new("10,000 partitions", 64, |_, out| partitions(out, 10_000)),
    Scenario::new("200,000 services", 64, |_, out| partitions(out, 200_000)),
    Scenario::new("an endless line", 64, |_, out| {
        request(out, "before", "shop", "")?;
        (0..1_000).try_for_each(|_| out.write_all(&[b'z'; 1 << 20]))
    }),
    Scenario {
        outage: true,
        ..Scenario::new("an outage of the store, 2 GB", 64, |_, out| traffic(out, 2_000_000_000))
    },
];

impl Scenario {
    const fn new(name: &'static str, bar_mib: u64, write: fn(&Args, &mut dyn Write) -> io::Result<()>) -> Self {
        Scenario { name, bar_mib, write, outage: false }
    }
}

fn main() -> Result<()> {
    let mut args = std::env::args_os().skip(1).peekable();
    if args.next_if(|first| first == PARENT_COMMAND).is_some() {
        return run_as_parent(args);
    }
    let args = Args::parse();
    ensure!(args.reassemble.exists(), "{} is not there: cargo build --release", args.reassemble.display());
    fs::create_dir_all(&args.dir).with_context(|| format!("failed to create {}", args.dir.display()))?;
    let mut rows =
        vec![["scenario", "log MB", "CPU s", "wall s", "peak MiB", "bar MiB", ""].map(str::to_owned).to_vec()];
    for scenario in SCENARIOS.iter().filter(|scenario| scenario.name.contains(&args.only)) {
        eprintln!("{}", scenario.name);
        rows.push(measured(scenario, &args).context(scenario.name)?);
    }
    print!("{}", layout(&rows));
    Ok(())
}

fn measured(scenario: &Scenario, args: &Args) -> Result<Vec<String>> {
    let (log, out) = (args.dir.join("memory.log"), args.dir.join("memory.out"));
    drop(fs::remove_dir_all(&out));
    let mut file = BufWriter::with_capacity(1 << 20, File::create(&log).context("failed to create the log")?);
    (scenario.write)(args, &mut file).and_then(|()| file.flush()).context("failed to write the log")?;
    let log_bytes = fs::metadata(&log)?.len();
    let cost = run(&program(scenario, args, &log, &out))?;
    fs::remove_file(&log)?;
    fs::remove_dir_all(&out)?;
    let peak_mib = cost.peak_bytes as f64 / f64::from(1 << 20);
    Ok(vec![
        scenario.name.to_owned(),
        (log_bytes / 1_000_000).to_string(),
        format!("{:.1}", cost.cpu.as_secs_f64()),
        format!("{:.1}", cost.wall.as_secs_f64()),
        format!("{peak_mib:.1}"),
        scenario.bar_mib.to_string(),
        if peak_mib <= scenario.bar_mib as f64 { "met" } else { "NOT MET" }.to_owned(),
    ])
}

/// The program over a log; one that ends with the news that the store does not answer counts too.
fn program(scenario: &Scenario, args: &Args, log: &Path, out: &Path) -> Program {
    let (program, log, out) = (args.reassemble.display(), log.display(), out.display());
    let to = match scenario.outage {
        // Nobody listens on port 1. The spool may hold all of it, in many objects.
        true => format!(
            "--to s3://nobody/x --s3-endpoint http://127.0.0.1:1 --state {out} --spool-limit 8GiB --batch-bytes 1MiB"
        ),
        false => format!("--to {out}"),
    };
    let credentials = "AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=x AWS_REGION=eu-central-1";
    let end = if scenario.outage { "test $? -eq 1" } else { "exit $?" };
    Program::new("sh", ["-c".to_owned(), format!("{credentials} {program} {log} {to} --quiet 2>/dev/null; {end}")])
}

fn request(out: &mut (impl Write + ?Sized), id: &str, service: &str, text: &str) -> io::Result<()> {
    let head =
        format!(r#""head":{{"ts":"2026-11-22T05:00:00.000001Z","service":"{service}","method":"GET","url":"/x"}}"#);
    let piece = if text.is_empty() { String::new() } else { format!(r#","text":"{text}""#) };
    writeln!(out, r#"{{"cap1":"{id}","part":"req","seq":0,{head}{piece},"of":1}}"#)
}

fn response(out: &mut (impl Write + ?Sized), id: &str) -> io::Result<()> {
    let text = "x".repeat(200);
    writeln!(out, r#"{{"cap1":"{id}","part":"res","seq":0,"head":{{"status":200}},"text":"{text}","of":1}}"#)
}

fn traffic(mut out: &mut dyn Write, bytes: u64) -> io::Result<()> {
    let options = LogOptions { bytes, envelope: Envelope::Plain, captures: true, seed: 1 };
    write_log(&options, &mut out).map_err(io::Error::other)?;
    Ok(())
}

/// Requests first, then all of their responses.
fn open_at_once(out: &mut dyn Write, captures: u32) -> io::Result<()> {
    let text = "y".repeat(2_000);
    (0..captures).try_for_each(|n| request(out, &format!("o{n}"), "shop", &text))?;
    (0..captures).try_for_each(|n| response(out, &format!("o{n}")))
}

/// Each service's exchanges, three rounds of all.
fn partitions(out: &mut dyn Write, services: u32) -> io::Result<()> {
    let rounds = if services > 100_000 { 1 } else { 3 };
    for (round, service) in (0..rounds).flat_map(|round| (0..services).map(move |service| (round, service))) {
        let id = format!("p{round}-{service}");
        request(out, &id, &format!("svc{service}"), "")?;
        response(out, &id)?;
    }
    Ok(())
}

/// One response of many chunks, with or without the first.
fn long_body(out: &mut dyn Write, bytes: u64, whole: bool) -> io::Result<()> {
    let text: String = (0..3_000u32).map(|n| char::from(b'a' + (n * n % 23) as u8)).collect();
    let chunks = bytes.div_ceil(text.len() as u64);
    request(out, "long", "shop", "")?;
    for seq in u64::from(!whole)..chunks {
        let end = if seq + 1 == chunks { format!(r#","of":{chunks}"#) } else { String::new() };
        writeln!(out, r#"{{"cap1":"long","part":"res","seq":{seq},"text":"{text}"{end}}}"#)?;
    }
    Ok(())
}
