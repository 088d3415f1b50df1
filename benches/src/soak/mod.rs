//! A daemon that is killed again and again for hours, over a log that is written and rotated meanwhile, with an outage of its destination; and
//! a check that everything is stored, once.
//!
//! - [`log`] writes the log: the generator's, at a steady rate, renamed and begun anew every few seconds.
//! - [`store`] is the destination: a directory, or a bucket of an S3 server that runs as a process of its own; either has a switch.
//! - [`daemon`] is one life of `reassemble`, watched from outside.
//! - [`check`] compares the log with what is stored.

pub mod check;
pub mod daemon;
pub mod log;
pub mod store;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use self::check::Check;
use self::daemon::{Daemon, Place};
use self::log::Writer;
use self::store::Store;
use crate::generate::Random;

/// How long draining may take once nobody kills any more.
const DRAIN: Duration = Duration::from_secs(3600);
/// How often what a daemon holds is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// Of so many kills one comes within the first 50 ms, when the daemon goes back to its last commit.
const EARLY: u64 = 4;
/// Of so many kills one comes while the daemon is shutting down.
const LATE: u64 = 8;

/// What is done.
#[derive(Debug)]
pub struct Plan {
    /// The program.
    pub reassemble: PathBuf,
    /// Where everything lies; empty at the start.
    pub dir: PathBuf,
    /// The destination is an S3 server.
    pub s3: bool,
    /// Kills at least.
    pub kills: u64,
    /// How long the destination refuses, from a third of the kills on; kills go on.
    pub outage: Duration,
    /// Bytes of log a second.
    pub rate: u64,
    /// Longest life between two kills.
    pub longest_life: Duration,
    /// For the log and the kills.
    pub seed: u64,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Report {
    /// SIGKILLs.
    pub kills: u64,
    /// Those among them during the outage.
    pub kills_in_outage: u64,
    /// From a daemon's start to its readiness, of each that came so far.
    pub ready: Vec<Duration>,
    /// Most memory that a daemon held, in bytes.
    pub peak_rss_bytes: u64,
    /// Most bytes of spool files that were seen.
    pub peak_spool_bytes: u64,
    /// Lines and bytes of the log.
    pub lines: u64,
    /// Bytes of the log.
    pub bytes: u64,
    /// Times that the log was renamed.
    pub rotations: u64,
    /// From the last kill to an empty spool.
    pub drained_in: Duration,
    /// What the check found.
    pub check: Check,
    /// What `reassemble verify` said, where there is such a command, and whether it found all in order.
    pub verify: Option<(bool, String)>,
}

/// Does it all.
///
/// # Errors
/// Where a program does not start, ends by itself, or never drains.
pub fn soak(plan: &Plan) -> Result<Report> {
    let mut random = Random::new(plan.seed);
    let mut report = Report::default();
    let mut store = Store::open(&plan.dir, plan.s3)?;
    let place = Place {
        reassemble: plan.reassemble.clone(),
        log: plan.dir.join("app.log"),
        state: plan.dir.join("state"),
        said: plan.dir.join("stderr.log"),
        destination: store.arguments(),
    };
    let writer = Writer::start(&place.log, plan.rate, plan.seed)?;
    let mut outage: Option<Instant> = None;
    let mut outage_is_over = plan.outage.is_zero();
    while report.kills < plan.kills || !outage_is_over {
        match outage {
            None if !outage_is_over && report.kills >= plan.kills / 3 => {
                eprintln!("kill {}: the outage begins", report.kills);
                store.refuse()?;
                outage = Some(Instant::now());
            }
            Some(began) if began.elapsed() >= plan.outage => {
                eprintln!("kill {}: the outage is over", report.kills);
                store.serve()?;
                (outage, outage_is_over) = (None, true);
            }
            _ => {}
        }
        let mut daemon = Daemon::start(&place)?;
        live(&mut daemon, &mut random, plan.longest_life, &mut report)?;
        daemon.kill()?;
        report.ready.extend(daemon.ready());
        report.kills += 1;
        report.kills_in_outage += u64::from(outage.is_some());
        if report.kills % 50 == 0 {
            eprintln!("kill {} of {}", report.kills, plan.kills);
        }
    }
    let written = writer.finish()?;
    (report.lines, report.bytes, report.rotations) = (written.lines, written.bytes, written.rotations);
    report.drained_in = drain(&place, &mut report)?;
    report.check = check::compare(&plan.dir, &store.root())?;
    report.verify = check::verify(&place, &plan.dir)?;
    Ok(report)
}

/// One life up to its kill.
fn live(daemon: &mut Daemon, random: &mut Random, longest: Duration, report: &mut Report) -> Result<()> {
    let early = random.below(EARLY) == 0;
    let late = random.below(LATE) == 0;
    let life = if early { Duration::from_millis(50) } else { longest }.mul_f64(random.fraction());
    let until = Instant::now() + life;
    loop {
        watch(daemon, report);
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        std::thread::sleep(left.min(LOOK));
    }
    ensure!(daemon.is_alive()?, "the daemon ended by itself: {}", daemon.words());
    if late && !early {
        daemon.terminate()?;
        std::thread::sleep(Duration::from_millis(200).mul_f64(random.fraction()));
    }
    Ok(())
}

fn watch(daemon: &mut Daemon, report: &mut Report) {
    report.peak_rss_bytes = report.peak_rss_bytes.max(daemon.peak_bytes());
    report.peak_spool_bytes = report.peak_spool_bytes.max(daemon.spool_bytes());
}

/// Lets a last daemon store all that is left, and ends it in order.
fn drain(place: &Place, report: &mut Report) -> Result<Duration> {
    let began = Instant::now();
    let mut daemon = Daemon::start(place)?;
    // Twice in a row: a batch that is sealed by age comes after an empty look.
    let mut drained = 0;
    while drained < 3 {
        ensure!(daemon.is_alive()?, "the daemon ended by itself: {}", daemon.words());
        ensure!(began.elapsed() < DRAIN, "it does not drain: {}", daemon.words());
        std::thread::sleep(Duration::from_secs(1));
        watch(&mut daemon, report);
        drained = if daemon.is_drained()? { drained + 1 } else { 0 };
    }
    daemon.terminate()?;
    let ended = daemon.wait().context("failed to wait for the daemon")?;
    ensure!(ended.success(), "the daemon ended with {ended}: {}", daemon.words());
    Ok(began.elapsed())
}
