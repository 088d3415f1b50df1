//! SIGTERM and SIGINT: the first begins a graceful stop, the second ends the program at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Signals that are caught from now on, and kept until somebody waits for them.
#[derive(Debug)]
pub(crate) struct Caught(Signals);

/// Whether a signal has come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stopped(Arc<AtomicBool>);

impl Stopped {
    /// As if a signal had come, or not.
    #[cfg(test)]
    pub(crate) fn new(by_signal: bool) -> Self {
        Stopped(Arc::new(AtomicBool::new(by_signal)))
    }

    /// Whether a stop was asked for.
    pub(crate) fn by_signal(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Caught {
    /// Begins to catch. Called before a run starts, so that no signal falls between.
    ///
    /// # Errors
    /// Where the system refuses.
    pub(crate) fn begin() -> io::Result<Self> {
        Signals::new([SIGTERM, SIGINT]).map(Caught)
    }

    /// Calls `first` at the first signal and `second` at the second, on a thread of its own.
    ///
    /// # Errors
    /// Where no thread starts.
    pub(crate) fn watch(
        mut self,
        first: impl FnOnce() + Send + 'static,
        second: impl FnOnce() + Send + 'static,
    ) -> io::Result<Stopped> {
        let stopped = Stopped::default();
        let seen = stopped.clone();
        let watch = move || {
            let mut signals = self.0.forever();
            if signals.next().is_some() {
                seen.0.store(true, Ordering::Release);
                first();
            }
            if signals.next().is_some() {
                second();
            }
        };
        std::thread::Builder::new().name("signals".into()).spawn(watch)?;
        Ok(stopped)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use signal_hook::low_level::raise;

    use super::*;

    #[test]
    fn the_first_signal_stops_and_the_second_ends() {
        let patience = Duration::from_secs(20);
        let (said, heard) = channel();
        let caught = Caught::begin().expect("signals");
        // A signal that comes before anybody watches is kept.
        raise(SIGTERM).expect("raised");
        let also_said = said.clone();
        let first = move || said.send("stop").expect("heard");
        let second = move || also_said.send("end").expect("heard");
        let stopped = caught.watch(first, second).expect("watched");
        assert_eq!(heard.recv_timeout(patience), Ok("stop"));
        assert!(stopped.by_signal());
        raise(SIGINT).expect("raised");
        assert_eq!(heard.recv_timeout(patience), Ok("end"));
    }
}
