//! The programs under test, as processes.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::OnceLock;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use reassemble_testkit::process::signal;
use serde_json::Value;

/// `reassemble` with arguments; nothing of this process's environment but PATH.
pub(crate) fn reassemble<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reassemble"));
    command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The shop's binary. It belongs to another package, so this test builds it where nobody did.
pub(crate) fn shop_binary() -> &'static Path {
    static SHOP: OnceLock<PathBuf> = OnceLock::new();
    SHOP.get_or_init(|| {
        let built = Command::new(env!("CARGO")).args(["build", "--quiet", "-p", "shop"]).status().unwrap();
        assert!(built.success(), "the shop does not build");
        Path::new(env!("CARGO_BIN_EXE_reassemble")).with_file_name("shop")
    })
}

/// Runs to the end; gives its summary (`--summary json` is added).
pub(crate) fn run(mut command: Command) -> (Option<i32>, Value, String) {
    command.args(["--summary", "json"]);
    finished(command.output().unwrap())
}

fn finished(output: Output) -> (Option<i32>, Value, String) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let summary = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    assert_adds_up(&summary);
    (output.status.code(), summary, said)
}

/// Whether every record is accounted for, over all and for each input, in this run and since the state was made.
fn assert_adds_up(summary: &Value) {
    for ledger in ["run", "total"] {
        let inputs = summary[ledger]["inputs"].as_object().into_iter().flatten();
        let all = Some(&summary[ledger]["records"]).filter(|records| records.is_object());
        let mut sum = 0;
        for records in inputs.map(|(_, records)| records).chain(all) {
            let count = |key: &str| records[key].as_i64().unwrap();
            let bad: i64 = records["bad"].as_object().unwrap().values().map(|count| count.as_i64().unwrap()).sum();
            let ends = ["in_exchanges", "open", "repeated", "conflicting", "meta", "shed"];
            assert_eq!(count("read"), ends.map(count).iter().sum::<i64>() + bad, "{ledger}: {summary}");
            sum += count("read");
        }
        assert_eq!(sum, 2 * all.map_or(0, |all| all["read"].as_i64().unwrap()), "{ledger}: {summary}");
    }
}

/// The shop, running.
pub(crate) struct Shop {
    child: Child,
    pub(crate) url: String,
    stderr: Option<BufReader<ChildStderr>>,
}

impl Shop {
    /// Starts it with its log in a file.
    pub(crate) fn start(log: &Path) -> Shop {
        Shop::start_as(log, |_| ())
    }

    /// Starts it likewise, with more arguments or variables.
    pub(crate) fn start_as(log: &Path, configure: impl FnOnce(&mut Command)) -> Shop {
        let mut command = Command::new(shop_binary());
        command.args(["--listen", "127.0.0.1:0", "--log"]).arg(log).stderr(Stdio::piped());
        configure(&mut command);
        let mut child = command.spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let url = url_in(&mut stderr);
        Shop { child, url, stderr: Some(stderr) }
    }

    /// Tells it to open its log again.
    pub(crate) fn reopen_log(&self) {
        signal(&self.child, Signal::SIGHUP);
    }

    /// Ends it; gives how many captures it dropped.
    pub(crate) fn end(mut self) -> u64 {
        signal(&self.child, Signal::SIGTERM);
        assert!(self.child.wait().unwrap().success());
        let mut words = String::new();
        self.stderr.take().unwrap().read_to_string(&mut words).unwrap();
        dropped_in(&words)
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        drop(self.child.kill());
    }
}

/// The shop's address, from what it says at its start.
pub(crate) fn url_in(stderr: &mut impl BufRead) -> String {
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    line.trim().strip_prefix("listening on ").expect("the shop's address").to_owned()
}

/// How many captures the shop dropped, from what it says at its end.
pub(crate) fn dropped_in(words: &str) -> u64 {
    let (_, rest) = words.split_once("dropped=").expect("the shop's counts");
    rest.split(|character: char| !character.is_ascii_digit()).next().unwrap().parse().unwrap()
}

/// `reassemble`, running until it is told to stop.
pub(crate) struct Follower {
    child: Option<Child>,
    stderr: Option<JoinHandle<String>>,
}

impl Follower {
    pub(crate) fn start(mut command: Command) -> Follower {
        command.args(["--summary", "json"]);
        let mut child = command.spawn().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let reading = std::thread::spawn(move || {
            let mut said = Vec::new();
            stderr.read_to_end(&mut said).unwrap();
            String::from_utf8_lossy(&said).into_owned()
        });
        Follower { child: Some(child), stderr: Some(reading) }
    }

    /// Sends SIGTERM and waits; gives its summary and what it said.
    pub(crate) fn stop(mut self) -> (Value, String) {
        let child = self.child.take().unwrap();
        let began = Instant::now();
        signal(&child, Signal::SIGTERM);
        let output = child.wait_with_output().unwrap();
        let said = self.stderr.take().unwrap().join().unwrap();
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(began.elapsed() < Duration::from_secs(10), "took {:?} to stop", began.elapsed());
        let summary = serde_json::from_slice(&output.stdout).unwrap();
        assert_adds_up(&summary);
        (summary, said)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            drop(child.kill());
        }
    }
}
