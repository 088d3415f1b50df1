//! Measures what an emitter costs a sample app, and the Rust one a request's own thread. See [`reassemble_benches::emitter`] for how to read it.
//!
//!     cargo build --release -p shop
//!     cargo run --release -p reassemble-benches --bin emitter
//!     cargo run --release -p reassemble-benches --bin emitter -- --app python --full-load 5

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use reassemble_benches::bars::{Bar, Figure, Limit, table, tally};
use reassemble_benches::emitter::app::{SAMPLES, Sample};
use reassemble_benches::emitter::own_thread::{self, OwnThread};
use reassemble_benches::emitter::pairs::{Pair, Plan, Run, quartiles};
use reassemble_benches::results::{self, Conditions};
use reassemble_benches::table::{layout, median};

/// Measure what an emitter costs a sample app, beside the same app without it
#[derive(Parser)]
struct Args {
    /// Pairs of runs; 0 leaves them out
    #[arg(long, default_value_t = 12)]
    pairs: u32,

    /// Seconds of each run that count
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,

    /// Seconds of each run before; 15 for Java and 2 for the others unless set
    #[arg(long)]
    warm_up: Option<u64>,

    /// The emitter's language: rust, python, node, go, java
    #[arg(long, default_value = "rust", value_parser = sample)]
    app: Sample,

    /// Requests a second; 2000 for Rust and 500 for the others unless set
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,

    /// Seconds of each run under full load; 0 leaves it out
    #[arg(long, default_value_t = 0)]
    full_load: u64,

    /// Kept-alive connections
    #[arg(long, default_value_t = 16)]
    connections: usize,

    /// Bursts of captures on one thread, of the Rust emitter alone; 0 leaves them out
    #[arg(long, default_value_t = 500)]
    bursts: u32,

    /// Write the table of bars into this page, in the place of all that an earlier run wrote there
    #[arg(long, value_name = "FILE")]
    write_results: Option<PathBuf>,

    /// Where the app's output is written, and removed after each run
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    dir: PathBuf,
}

fn main() -> Result<()> {
    let args = Args::parse();
    std::fs::create_dir_all(&args.dir).with_context(|| format!("failed to create {}", args.dir.display()))?;
    let output = args.dir.join(format!("emitter-{}.log", std::process::id()));
    let sample = args.app;
    let rate = args.rate.unwrap_or(sample.rate);
    let bursts = if sample.name == "rust" { args.bursts } else { 0 };
    let run = format!("{rate} requests a second, {} pairs of {} s, {bursts} bursts", args.pairs, args.seconds);
    let conditions = Conditions::now(&run);
    let mut bars = Vec::new();
    if bursts > 0 {
        let figures = own_thread::measure(&output, bursts);
        std::fs::remove_file(&output).ok();
        let figures = figures?;
        print!("{}", own_thread_table(&figures, bursts));
        for (name, ns) in [("plain API", figures.plain_ns), ("tower layer", figures.layer_ns)] {
            let less = Figure::one((ns - figures.copy_ns) / 1e3, "µs");
            let what = format!("a request's own thread, {name}, less the copy of the bodies");
            bars.push(Bar::new(8, what, less).within(Limit::AtMost(2.0)));
        }
    }
    if args.pairs > 0 {
        let plan = Plan {
            sample,
            output,
            rate,
            connections: args.connections,
            warm_up: Duration::from_secs(args.warm_up.unwrap_or(sample.warm_up)),
            time: Duration::from_secs(args.seconds),
            full_load: Duration::from_secs(args.full_load),
        };
        let mut pairs = Vec::new();
        for number in 0..args.pairs {
            let pair = plan.pair(number)?;
            eprintln!(
                "pair {} of {}: p99 {:.0} and {:.0} µs, CPU {:.1} and {:.1} %",
                number + 1,
                args.pairs,
                pair.without.p99_us,
                pair.with.p99_us,
                pair.without.cpu_percent,
                pair.with.cpu_percent
            );
            pairs.push(pair);
        }
        println!(
            "\nthe {} sample at {rate} requests a second, bodies of 2 KB both ways: medians of {} pairs of {} s\n",
            sample.name, args.pairs, args.seconds
        );
        print!("{}", pairs_table(&pairs, &sample));
        let added =
            |of: fn(&Run) -> f64, unit| Figure::of(pairs.iter().map(|pair| of(&pair.with) - of(&pair.without)), unit);
        let limit = |what, figure, most| Bar::new(sample.bar, what, figure).within(Limit::AtMost(most));
        bars.push(limit("added at p99", added(|run| run.p99_us, "µs"), sample.p99_us));
        bars.push(limit("CPU added", added(|run| run.cpu_percent, "% of a core"), sample.cpu_percent));
        bars.push(limit("peak memory added", added(|run| run.peak_mib, "MiB"), sample.mib));
        if args.full_load > 0 {
            let ratio = pairs.iter().map(|pair| pair.with.full_per_second / pair.without.full_per_second);
            bars.push(Bar::new(
                sample.bar,
                "requests a second under full load, with by without",
                Figure::of(ratio, ""),
            ));
        }
        let added_p50 = added(|run| run.p50_us, "µs");
        bars.push(Bar::new(sample.bar, "added at p50", added_p50));
        let without = Figure::of(pairs.iter().map(|pair| pair.without.p99_us), "µs");
        bars.push(Bar::new(sample.bar, "p99 without the emitter", without));
    }
    println!("\n{}\n{}", table(&bars), tally(&bars));
    if let Some(page) = &args.write_results {
        let notes = "Where p99 without the emitter is above a millisecond, the machine was busy and the added latency means nothing.";
        results::write(page, sample.section, &conditions, &bars, notes)?;
    }
    Ok(())
}

fn own_thread_table(figures: &OwnThread, bursts: u32) -> String {
    let mut rows =
        vec![["one capture, CPU of its own thread", "µs", "less the copy", "bar", ""].map(str::to_owned).to_vec()];
    for (name, ns) in [("plain API", figures.plain_ns), ("through the tower layer", figures.layer_ns)] {
        let less = (ns - figures.copy_ns) / 1e3;
        rows.push(vec![
            name.to_owned(),
            format!("{:.2}", ns / 1e3),
            format!("{less:.2}"),
            "2".to_owned(),
            met(less <= 2.0),
        ]);
    }
    rows.push(vec!["copy of both bodies".to_owned(), format!("{:.2}", figures.copy_ns / 1e3)]);
    format!("request and response of 2 KB each: medians of {bursts} bursts\n\n{}", layout(&rows))
}

fn pairs_table(pairs: &[Pair], sample: &Sample) -> String {
    let header = ["", "without", "with", "added", "quartiles", "bar", ""];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    let mut row = |name: &str, bar: Option<f64>, of: fn(&Run) -> f64, added: fn(&Pair) -> f64| {
        let differences: Vec<f64> = pairs.iter().map(added).collect();
        let (low, high) = quartiles(&differences);
        let added = median(differences);
        rows.push(vec![
            name.to_owned(),
            format!("{:.1}", median(pairs.iter().map(|pair| of(&pair.without)))),
            format!("{:.1}", median(pairs.iter().map(|pair| of(&pair.with)))),
            format!("{added:.1}"),
            format!("{low:.1} to {high:.1}"),
            bar.map_or_else(String::new, |bar| format!("{bar:.0}")),
            bar.map_or_else(String::new, |bar| met(added <= bar)),
        ]);
    };
    row("p50, µs", None, |run| run.p50_us, |pair| pair.with.p50_us - pair.without.p50_us);
    row("p99, µs", Some(sample.p99_us), |run| run.p99_us, |pair| pair.with.p99_us - pair.without.p99_us);
    row(
        "CPU, % of one core",
        Some(sample.cpu_percent),
        |run| run.cpu_percent,
        |pair| pair.with.cpu_percent - pair.without.cpu_percent,
    );
    row(
        "CPU, % of that without",
        None,
        |_| 100.0,
        |pair| 100.0 * (pair.with.cpu_percent / pair.without.cpu_percent - 1.0),
    );
    row("peak memory, MiB", Some(sample.mib), |run| run.peak_mib, |pair| pair.with.peak_mib - pair.without.peak_mib);
    layout(&rows)
}

fn sample(name: &str) -> Result<Sample, String> {
    let known = SAMPLES.iter().find(|sample| sample.name == name).copied();
    known.ok_or_else(|| format!("it is one of {}", SAMPLES.map(|sample| sample.name).join(", ")))
}

fn met(met: bool) -> String {
    if met { "met" } else { "not met" }.to_owned()
}
