//! Measures what the Lambda extension costs a function. See [`reassemble_benches::extension`] for what the times are.
//!
//!     cargo build --profile layer -p reassemble-extension
//!     cargo run --release -p reassemble-benches --bin extension

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use reassemble_benches::bars::{all_met, table, tally};
use reassemble_benches::contest::binary::Binary;
use reassemble_benches::extension::environment::Environment;
use reassemble_benches::extension::verdict::{self, Series};
use reassemble_benches::extension::{Flush, layer, start};
use reassemble_benches::results::{self, Conditions};
use reassemble_benches::soak::store::{SERVER_COMMAND, serve_s3};

/// Measure what the Lambda extension costs a function: its size, its start, its memory, and what it adds after a response
#[derive(Parser)]
struct Args {
    /// Starts of the extension, each beside one of a process that does nothing; 0 leaves them out
    #[arg(long, default_value_t = 40)]
    starts: u32,

    /// Invocations of each environment that stores at their ends; 0 leaves it out
    #[arg(long, default_value_t = 200)]
    invocations: u32,

    /// Invocations of each environment that stores at other times; 0 leaves it out
    #[arg(long, default_value_t = 60)]
    others: u32,

    /// Capture lines of an invocation; repeatable or separated by commas
    #[arg(long, value_delimiter = ',', default_values_t = [1, 100, 10_000])]
    lines: Vec<usize>,

    /// End with 1 where a bar is not met
    #[arg(long)]
    check: bool,

    /// Write the table into this page, in the place of all that an earlier run wrote there
    #[arg(long, value_name = "FILE")]
    write_results: Option<PathBuf>,

    /// The program that is measured
    #[arg(long, value_name = "FILE", default_value = "target/layer/reassemble-extension")]
    extension: PathBuf,

    /// Where the bucket and the function's /tmp are, and removed afterwards
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    dir: PathBuf,
}

fn main() -> Result<ExitCode> {
    let mut args = std::env::args_os().skip(1).peekable();
    if args.next_if(|first| first == SERVER_COMMAND).is_some() {
        return serve_s3(args).map(|()| ExitCode::SUCCESS);
    }
    measure(&Args::parse())
}

fn measure(args: &Args) -> Result<ExitCode> {
    let built = "cargo build --profile layer -p reassemble-extension";
    ensure!(args.extension.is_file(), "{} is not there: {built}", args.extension.display());
    let binary = std::fs::canonicalize(&args.extension).context("failed to find the extension")?;
    std::fs::create_dir_all(&args.dir).with_context(|| format!("failed to create {}", args.dir.display()))?;
    let run = format!(
        "{} starts, {} invocations with a flush at the end of each, {} with other policies",
        args.starts, args.invocations, args.others
    );
    let conditions = Conditions::now(run);
    let mut bars = vec![verdict::zip(layer::zip_bytes(&binary)?, Binary::of(&binary)?)];
    if args.starts > 0 {
        let starts: Vec<_> = (0..args.starts).map(|_| start::once(&binary)).collect::<Result<_>>()?;
        bars.extend(verdict::starts(&starts));
    }
    for flush in Flush::ALL {
        let count = if flush == Flush::End { args.invocations } else { args.others };
        for &lines in args.lines.iter().filter(|_| count > 0) {
            eprintln!("flush {flush}, {lines} capture lines: {count} invocations");
            bars.extend(series(args, &binary, flush, lines, count)?.bars());
        }
    }
    println!("{}\n{}", table(&bars), tally(&bars));
    if let Some(page) = &args.write_results {
        results::write(page, "The Lambda extension", &conditions, &bars, NOTES)?;
    }
    Ok(if args.check && !all_met(&bars) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

const NOTES: &str = "\
Medians; in brackets the least and the most. One line is half a capture: of two invocations the first leaves it open, and waits for lines that may come late. \
Nothing is added where the next event was asked for before the runtime was done. The response has gone before anything is added; CPU before that is what reading the function's lines takes beside the function.";

fn series(args: &Args, binary: &Path, flush: Flush, lines: usize, count: u32) -> Result<Series> {
    let mut environment = Environment::start(binary, &args.dir, flush)?;
    let mut invocations = Vec::new();
    let mut warm = environment.memory();
    for number in 0..count {
        invocations.push(environment.invoke(lines)?);
        if number == count / 2 {
            warm = environment.memory();
        }
    }
    let memory = environment.memory();
    environment.end()?;
    Ok(Series { flush, lines, invocations, warm, memory })
}
