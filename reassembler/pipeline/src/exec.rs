//! The wrapped command: started, given the signals that this process gets, and waited for. As process 1 of a container it also reaps
//! what other processes leave behind, as an init must.

use std::ffi::OsString;
use std::process::{ChildStderr, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, getpid};
use signal_hook::consts::signal::{
    SIGALRM, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2, SIGWINCH,
};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;

use crate::run::RunError;

/// What goes on to the command. SIGKILL and SIGSTOP cannot be caught; SIGCHLD and SIGPIPE are this process's own.
const PASSED_ON: [i32; 10] = [SIGALRM, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2, SIGWINCH];

/// A command that runs.
pub(crate) struct Child {
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    gone: Arc<AtomicBool>,
    waiter: JoinHandle<i32>,
}

impl Child {
    /// Starts a command with its output piped and its input this process's.
    pub(crate) fn spawn(command: &[OsString]) -> Result<Child, RunError> {
        let failed = |source| RunError::Command {
            command: command.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            source,
        };
        let (name, arguments) = command.split_first().ok_or_else(|| failed(Errno::EINVAL.into()))?;
        // Caught before the command starts, so that none falls between.
        let signals = SignalsInfo::<WithOrigin>::new(PASSED_ON).map_err(failed)?;
        let mut child =
            Command::new(name).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(failed)?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
        let gone = Arc::new(AtomicBool::new(false));
        let passing = gone.clone();
        thread::Builder::new()
            .name("signals".into())
            .spawn(move || pass_signals(signals, pid, &passing))
            .map_err(RunError::Thread)?;
        let ended = gone.clone();
        let waiter = thread::Builder::new()
            .name("wait".into())
            .spawn(move || {
                let code = wait_for(pid);
                ended.store(true, Ordering::Release);
                code
            })
            .map_err(RunError::Thread)?;
        Ok(Child { stdout, stderr, gone, waiter })
    }

    /// The pipes of its standard output and error, once.
    pub(crate) fn take_outputs(&mut self) -> (ChildStdout, ChildStderr) {
        match (self.stdout.take(), self.stderr.take()) {
            (Some(stdout), Some(stderr)) => (stdout, stderr),
            _ => unreachable!("both are piped, and taken once"),
        }
    }

    /// Set when the command has ended.
    pub(crate) fn gone(&self) -> Arc<AtomicBool> {
        self.gone.clone()
    }

    /// Waits for its end; gives its exit code, or 128 and the signal's number.
    pub(crate) fn wait(self) -> i32 {
        self.waiter.join().unwrap_or(1)
    }
}

fn pass_signals(mut signals: SignalsInfo<WithOrigin>, pid: Pid, gone: &AtomicBool) {
    for origin in signals.forever() {
        // What comes from the terminal itself went to the whole foreground group, the command included.
        let from_terminal = origin.process.is_none();
        if from_terminal || gone.load(Ordering::Acquire) {
            continue;
        }
        if let Ok(signal) = Signal::try_from(origin.signal)
            && let Err(error) = kill(pid, signal)
        {
            tracing::warn!("cannot pass {signal} on to the command: {error}");
        }
    }
}

fn wait_for(pid: Pid) -> i32 {
    let is_init = getpid().as_raw() == 1;
    loop {
        match waitpid(if is_init { None } else { Some(pid) }, None) {
            Ok(WaitStatus::Exited(of, code)) if of == pid => return code,
            Ok(WaitStatus::Signaled(of, signal, _)) if of == pid => return 128 + signal as i32,
            Ok(_) | Err(Errno::EINTR) => (),
            Err(error) => {
                tracing::error!("cannot wait for the command: {error}");
                return 1;
            }
        }
    }
}
