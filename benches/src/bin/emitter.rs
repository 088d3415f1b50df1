//! Measures what the Rust emitter costs the sample shop, and a request's own thread. See [`reassemble_benches::emitter`] for how to read it.
//!
//!     cargo build --release -p shop
//!     cargo run --release -p reassemble-benches --bin emitter

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use reassemble_benches::bars::{Bar, Figure, Limit, table, tally};
use reassemble_benches::emitter::own_thread::{self, OwnThread};
use reassemble_benches::emitter::pairs::{Pair, Plan, Run, quartiles};
use reassemble_benches::results::{self, Conditions};
use reassemble_benches::table::{layout, median};

/// Measure what the Rust emitter costs the sample shop, beside the same shop without it
#[derive(Parser)]
struct Args {
    /// Pairs of runs; 0 leaves them out
    #[arg(long, default_value_t = 12)]
    pairs: u32,

    /// Seconds of each run that count
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,

    /// Seconds of each run before
    #[arg(long, default_value_t = 2)]
    warm_up: u64,

    /// Requests a second
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,

    /// Kept-alive connections
    #[arg(long, default_value_t = 16)]
    connections: usize,

    /// Bursts of captures on one thread; 0 leaves them out
    #[arg(long, default_value_t = 500)]
    bursts: u32,

    /// The sample shop
    #[arg(long, value_name = "FILE", default_value = "target/release/shop")]
    shop: PathBuf,

    /// Write the table of bars into this page, in the place of all that an earlier run wrote there
    #[arg(long, value_name = "FILE")]
    write_results: Option<PathBuf>,

    /// Where the shop's output is written, and removed after each run
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    dir: PathBuf,
}

fn main() -> Result<()> {
    let args = Args::parse();
    std::fs::create_dir_all(&args.dir).with_context(|| format!("failed to create {}", args.dir.display()))?;
    let output = args.dir.join(format!("emitter-{}.log", std::process::id()));
    let run =
        format!("{} requests a second, {} pairs of {} s, {} bursts", args.rate, args.pairs, args.seconds, args.bursts);
    let conditions = Conditions::now(&run);
    let mut bars = Vec::new();
    if args.bursts > 0 {
        let figures = own_thread::measure(&output, args.bursts);
        std::fs::remove_file(&output).ok();
        let figures = figures?;
        print!("{}", own_thread_table(&figures, args.bursts));
        for (name, ns) in [("plain API", figures.plain_ns), ("tower layer", figures.layer_ns)] {
            let less = Figure::one((ns - figures.copy_ns) / 1e3, "µs");
            let what = format!("a request's own thread, {name}, less the copy of the bodies");
            bars.push(Bar::new(8, what, less).within(Limit::AtMost(2.0)));
        }
    }
    if args.pairs > 0 {
        let plan = Plan {
            shop: args.shop.clone(),
            output,
            rate: args.rate,
            connections: args.connections,
            warm_up: Duration::from_secs(args.warm_up),
            time: Duration::from_secs(args.seconds),
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
            "\nthe shop at {} requests a second, bodies of 2 KB both ways: medians of {} pairs of {} s\n",
            args.rate, args.pairs, args.seconds
        );
        print!("{}", pairs_table(&pairs));
        let added =
            |of: fn(&Run) -> f64, unit| Figure::of(pairs.iter().map(|pair| of(&pair.with) - of(&pair.without)), unit);
        bars.push(Bar::new(8, "added at p99", added(|run| run.p99_us, "µs")).within(Limit::AtMost(50.0)));
        bars.push(Bar::new(8, "CPU added", added(|run| run.cpu_percent, "% of a core")).within(Limit::AtMost(5.0)));
        bars.push(Bar::new(8, "peak memory added", added(|run| run.peak_mib, "MiB")).within(Limit::AtMost(4.0)));
        let without = Figure::of(pairs.iter().map(|pair| pair.without.p99_us), "µs");
        bars.push(Bar::new(8, "p99 without the emitter", without));
    }
    println!("\n{}\n{}", table(&bars), tally(&bars));
    if let Some(page) = &args.write_results {
        let notes = "Where p99 without the emitter is above a millisecond, the machine was busy and the added latency means nothing.";
        results::write(page, "The Rust emitter", &conditions, &bars, notes)?;
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

fn pairs_table(pairs: &[Pair]) -> String {
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
    row("p99, µs", Some(50.0), |run| run.p99_us, |pair| pair.with.p99_us - pair.without.p99_us);
    row(
        "CPU, % of one core",
        Some(5.0),
        |run| run.cpu_percent,
        |pair| pair.with.cpu_percent - pair.without.cpu_percent,
    );
    row(
        "CPU, % of that without",
        None,
        |_| 100.0,
        |pair| 100.0 * (pair.with.cpu_percent / pair.without.cpu_percent - 1.0),
    );
    row("peak memory, MiB", Some(4.0), |run| run.peak_mib, |pair| pair.with.peak_mib - pair.without.peak_mib);
    layout(&rows)
}

fn met(met: bool) -> String {
    if met { "met" } else { "not met" }.to_owned()
}
