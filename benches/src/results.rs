//! The results page: one section for each program that measures, each with its own date, commit and machine, so that a program that ran alone
//! replaces what it said before and leaves the others' words as they are.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::bars::{Bar, markdown, tally};

const HEAD: &str = "\
# Results

Written by the programs that measure (`--write-results`), not by hand. How to run them and how to read this: [README.md](README.md).
";

/// Where, when and of what was measured.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// Processor, cores, memory, kernel.
    pub machine: String,
    /// How busy the machine was before the first run: processes that wanted a core in the last minute.
    pub load: String,
    /// `2026-11-22`, UTC.
    pub date: String,
    /// The commit that is checked out, and whether files differ from it.
    pub commit: String,
    /// What was run: sizes, runs, options.
    pub run: String,
}

impl Conditions {
    /// Those of this moment; to be asked before the first run. `run` says what is about to run.
    pub fn now(run: impl Into<String>) -> Conditions {
        Conditions {
            machine: machine(),
            load: field(&read("/proc/loadavg"), 0).to_owned(),
            date: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
            commit: commit(),
            run: run.into(),
        }
    }
}

/// Writes a program's section (`title`) into the page, in the place of the one that it wrote before, or behind the others. `notes` is Markdown and
/// stands below the table.
///
/// # Errors
/// Where the page cannot be read or written.
pub fn write(page: &Path, title: &str, conditions: &Conditions, bars: &[Bar], notes: &str) -> Result<()> {
    let old = if page.exists() {
        fs::read_to_string(page).with_context(|| format!("failed to read {}", page.display()))?
    } else {
        HEAD.to_owned()
    };
    let new = with_section(&old, title, &section(title, conditions, bars, notes));
    fs::write(page, new).with_context(|| format!("failed to write {}", page.display()))
}

fn section(title: &str, conditions: &Conditions, bars: &[Bar], notes: &str) -> String {
    let Conditions { machine, load, date, commit, run } = conditions;
    let notes = if notes.is_empty() { String::new() } else { format!("\n{}\n", notes.trim_end()) };
    format!(
        "## {title}\n\n{date}, commit {commit}; {machine}; load {load} before the first run. {run}. **{}.**\n\n{}{notes}",
        tally(bars),
        markdown(bars)
    )
}

/// The page with this section for the one of the same title.
fn with_section(page: &str, title: &str, section: &str) -> String {
    let (head, rest) = match page.find("\n## ") {
        Some(at) => page.split_at(at + 1),
        None => (page, ""),
    };
    let mut sections: Vec<&str> = Vec::new();
    let mut left = rest;
    while !left.is_empty() {
        let end = left[1..].find("\n## ").map_or(left.len(), |at| at + 2);
        let (one, others) = left.split_at(end);
        sections.push(one);
        left = others;
    }
    let heading = format!("## {title}\n");
    match sections.iter_mut().find(|one| one.starts_with(&heading)) {
        Some(one) => *one = section,
        None => sections.push(section),
    }
    let mut out = head.trim_end().to_owned();
    out.push('\n');
    for one in sections {
        out.push('\n');
        out += one.trim_end();
        out.push('\n');
    }
    out
}

fn machine() -> String {
    let cpuinfo = read("/proc/cpuinfo");
    let model =
        cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let meminfo = read("/proc/meminfo");
    let total_kib: f64 = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .map_or(0.0, |line| field(line, 0).parse().unwrap_or(0.0));
    let release = read("/proc/sys/kernel/osrelease");
    // What stands behind the numbers is who built it.
    let kernel = release.trim().split('-').next().unwrap_or_default();
    format!(
        "{} ({}), {cores} cores, {:.0} GiB, Linux {}",
        model.unwrap_or("a processor without a name").trim(),
        std::env::consts::ARCH,
        total_kib / f64::from(1 << 20),
        kernel
    )
}

fn commit() -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return "unknown".to_owned() };
    // The page itself changes with every run.
    let changed = git(&["status", "--porcelain", "--untracked-files=no", "--", ":!:*RESULTS.md"]);
    if changed.is_none_or(|changed| changed.is_empty()) { commit } else { format!("{commit} with changes") }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn field(line: &str, index: usize) -> &str {
    line.split_whitespace().nth(index).unwrap_or("?")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bars::{Figure, Limit};

    #[test]
    fn a_section_replaces_its_own_and_leaves_the_others() {
        let first = with_section(HEAD, "One", "## One\n\n| a |\n");
        let both = with_section(&first, "Two", "## Two\n\n| b |\n");
        let again = with_section(&both, "One", "## One\n\n| c |\n\nA note.\n");
        assert_eq!(again, format!("{HEAD}\n## One\n\n| c |\n\nA note.\n\n## Two\n\n| b |\n"));
        assert_eq!(with_section(&again, "Two", "## Two\n\n| b |\n"), again);
        assert_eq!(with_section(&again, "On", "## On\n"), format!("{again}\n## On\n"));
    }

    #[test]
    fn a_section_says_when_where_and_of_what() {
        let conditions = Conditions {
            machine: "a machine".into(),
            load: "0.10".into(),
            date: "2026-11-22".into(),
            commit: "abc".into(),
            run: "5 runs".into(),
        };
        let bars = [Bar::new(9, "size", Figure::one(13.0, "MB")).within(Limit::AtMost(12.0))];
        let text = section("Size", &conditions, &bars, "");
        for part in
            ["## Size\n", "2026-11-22, commit abc", "a machine", "load 0.10", "5 runs", "**0 of 1 met.**", "NOT MET"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
