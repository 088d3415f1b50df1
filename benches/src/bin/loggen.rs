//! Writes a log to a file or standard output: `loggen --bytes 500MB --envelope docker > app.log`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use reassemble_benches::generate::{Envelope, LogOptions, write_log};
use reassemble_benches::size::parse_bytes;

/// Write a log of three services with their captures
#[derive(Parser)]
struct Args {
    /// Size at which no new capture begins
    #[arg(long, value_name = "SIZE", default_value = "500MB", value_parser = parse_bytes)]
    bytes: u64,

    /// What container runtimes and loggers wrap around a line
    #[arg(long, value_enum, default_value = "plain")]
    envelope: Envelope,

    /// `none` for ordinary lines only
    #[arg(long, value_enum, default_value = "mix")]
    captures: CaptureMix,

    /// The same seed and options give the same bytes
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Where to write [default: standard output]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum CaptureMix {
    /// 64 captures interleaved
    Mix,
    /// None
    None,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let out: Box<dyn Write> = match &args.file {
        Some(path) => Box::new(File::create(path).with_context(|| format!("failed to create {}", path.display()))?),
        None => Box::new(std::io::stdout().lock()),
    };
    let mut out = BufWriter::with_capacity(1 << 20, out);
    let options = LogOptions {
        bytes: args.bytes,
        envelope: args.envelope,
        captures: args.captures == CaptureMix::Mix,
        seed: args.seed,
    };
    let summary = write_log(&options, &mut out)?;
    out.flush().context("failed to write the log")?;
    eprintln!(
        "{} bytes, {} lines, {} records, {} captures",
        summary.bytes, summary.lines, summary.records, summary.captures
    );
    Ok(())
}
