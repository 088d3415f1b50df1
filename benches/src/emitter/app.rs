//! A sample app as a process: started, watched and ended.

use std::fs::File;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::time::ClockId;
use nix::unistd::Pid;
use reassemble_testkit::process::Memory;

/// How long an app may take to listen, and to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// A sample app of one emitter, and what its emitter may cost.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// As the command line calls it.
    pub name: &'static str,
    /// The section of the results page.
    pub section: &'static str,
    /// What to do where it cannot be started.
    pub built_by: &'static str,
    dir: &'static str,
    command: &'static [&'static str],
    /// Seconds of each run before those that count: until what compiles while it runs has compiled.
    pub warm_up: u64,
    /// Requests a second.
    pub rate: u32,
    /// What may be added at the 99th percentile, in microseconds.
    pub p99_us: f64,
    /// What may be added of CPU time, in percent of one core.
    pub cpu_percent: f64,
    /// What may be added of peak memory, in MiB.
    pub mib: f64,
    /// The number of the bar that set these limits.
    pub bar: u32,
}

/// All of them.
pub const SAMPLES: [Sample; 5] = [
    Sample {
        name: "rust",
        section: "The Rust emitter",
        built_by: "cargo build --release -p shop",
        dir: ".",
        command: &["sh", "-c", "SHOP_LISTEN=127.0.0.1:$PORT exec target/release/shop --quiet"],
        warm_up: 2,
        rate: 2000,
        p99_us: 50.0,
        cpu_percent: 5.0,
        mib: 4.0,
        bar: 8,
    },
    Sample {
        name: "python",
        section: "The Python emitter, FastAPI on uvicorn",
        built_by: "pip install -e 'emitter/python[test]', with PYTHON naming that environment's python",
        dir: "samples/python",
        command: &["sh", "-c", "exec ${PYTHON:-python3} fastapi_app.py"],
        warm_up: 2,
        rate: 500,
        p99_us: 1000.0,
        cpu_percent: 10.0,
        mib: 8.0,
        bar: 10,
    },
    Sample {
        name: "node",
        section: "The Node.js emitter, Express",
        built_by: "(cd samples/node && npm ci)",
        dir: "samples/node",
        command: &["node", "express.js"],
        warm_up: 2,
        rate: 500,
        p99_us: 1000.0,
        cpu_percent: 10.0,
        mib: 8.0,
        bar: 10,
    },
    Sample {
        name: "go",
        section: "The Go emitter, net/http",
        built_by: "(cd samples/go && go build -o app .)",
        dir: "samples/go",
        command: &["./app"],
        warm_up: 2,
        rate: 500,
        p99_us: 200.0,
        cpu_percent: 10.0,
        mib: 8.0,
        bar: 10,
    },
    Sample {
        name: "java",
        section: "The Java emitter, Jetty",
        built_by: "emitter/test",
        dir: "samples/java/jetty",
        // As in a container of 512 MiB. Without a limit the heap grows with all that was ever allocated, until the machine is full.
        command: &["sh", "-c", r#"exec java -XX:MaxRAM=512m -cp "target/classes:$(cat target/classpath)" shop.App"#],
        warm_up: 15,
        rate: 500,
        p99_us: 200.0,
        cpu_percent: 10.0,
        mib: 32.0,
        bar: 10,
    },
];

/// An app that runs; dropped, it is killed.
#[derive(Debug)]
pub struct App {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Sample {
    /// Starts the app with its standard output in a file; with or without the emitter.
    ///
    /// # Errors
    /// Where it does not start, or does not listen.
    pub fn start(&self, output: &Path, with_emitter: bool) -> Result<App> {
        let output = File::create(output).with_context(|| format!("failed to create {}", output.display()))?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let address = port.context("failed to find a free port")?;
        let mut command = Command::new(self.command[0]);
        command.args(&self.command[1..]).current_dir(self.dir);
        command.env("PORT", address.port().to_string());
        command.env("CAPTURE_OUTPUT", if with_emitter { "stdout" } else { "off" });
        let failed = || format!("failed to start the {} sample: {}", self.name, self.built_by);
        let child = command.stdin(Stdio::null()).stdout(output).stderr(Stdio::piped()).spawn().with_context(failed)?;
        let mut app = App { child, address };
        app.wait_until_it_listens().with_context(failed)?;
        Ok(app)
    }
}

impl App {
    fn wait_until_it_listens(&mut self) -> Result<()> {
        let began = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            if let Some(status) = self.child.try_wait().context("failed to look at the app")? {
                bail!("it ended with {status}: {}", self.said());
            }
            ensure!(began.elapsed() < PATIENCE, "it does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// What it said, once it has ended.
    fn said(&mut self) -> String {
        let mut said = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            // What is no text says less, and nothing else.
            stderr.read_to_string(&mut said).ok();
        }
        said
    }

    /// CPU time of all its threads so far, user and system.
    ///
    /// # Errors
    /// Where it has ended.
    pub fn cpu(&self) -> Result<Duration> {
        let clock = ClockId::pid_cpu_clock_id(self.pid()?).context("the app has no CPU clock")?;
        Ok(clock.now().context("failed to read the app's CPU clock")?.into())
    }

    /// Peak resident memory so far in bytes.
    ///
    /// # Errors
    /// Where it has ended.
    pub fn peak_bytes(&self) -> Result<u64> {
        Ok(Memory::of(self.child.id()).context("failed to read the app's memory")?.peak_bytes)
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    /// Where it does not.
    pub fn end(mut self) -> Result<()> {
        kill(self.pid()?, Signal::SIGTERM).context("failed to end the app")?;
        let began = Instant::now();
        while self.child.try_wait().context("failed to wait for the app")?.is_none() {
            ensure!(began.elapsed() < PATIENCE, "the app does not end on SIGTERM");
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn pid(&self) -> Result<Pid> {
        Ok(Pid::from_raw(i32::try_from(self.child.id()).context("the app's process id")?))
    }
}

impl Drop for App {
    fn drop(&mut self) {
        // Where it has ended already there is nothing to kill.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
