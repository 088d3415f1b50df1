//! Where lines go: one `write` a line, and what a descriptor may answer to it.
//!
//! Invariant: after a line that could not be written whole, the next begins on a line of its own.

use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

/// An open output.
pub(crate) struct Sink {
    target: Target,
    /// The last write stopped within a line.
    torn: bool,
    /// Nobody will ever read more.
    gone: bool,
}

enum Target {
    /// A descriptor of the emitter's own, so that `write` goes to the system unbuffered.
    File(File),
    Path {
        path: PathBuf,
        file: File,
    },
    Writer(Box<dyn Write + Send>),
}

impl Sink {
    pub(crate) fn file(file: File) -> Sink {
        Sink::of(Target::File(file))
    }

    /// Opens a file for appending; it is created for its owner alone, for captures hold what users sent.
    pub(crate) fn path(path: PathBuf) -> io::Result<Sink> {
        let file = open(&path)?;
        Ok(Sink::of(Target::Path { path, file }))
    }

    pub(crate) fn writer(writer: Box<dyn Write + Send>) -> Sink {
        Sink::of(Target::Writer(writer))
    }

    fn of(target: Target) -> Sink {
        Sink { target, torn: false, gone: false }
    }

    /// Opens the path again, after the file there was renamed away. Where that fails, the old file goes on.
    pub(crate) fn reopen(&mut self) {
        if let Target::Path { path, file } = &mut self.target
            && let Ok(anew) = open(path)
        {
            *file = anew;
            self.torn = false;
            self.gone = false;
        }
    }

    /// Whether no later write can succeed.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone
    }

    /// Writes one line, its newline included. False where it was lost, whole or in part.
    pub(crate) fn write_line(&mut self, line: &[u8]) -> bool {
        if self.gone {
            return false;
        }
        if self.torn {
            match self.write(b"\n") {
                Ok(()) => self.torn = false,
                Err(_) => return false,
            }
        }
        self.write(line).is_ok()
    }

    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let whole = bytes.len();
        let fault = loop {
            let written = match &mut self.target {
                Target::File(file) | Target::Path { file, .. } => file.write(bytes),
                Target::Writer(writer) => writer.write(bytes),
            };
            match written {
                Ok(0) => break ErrorKind::WriteZero.into(),
                Ok(count) if count >= bytes.len() => return Ok(()),
                Ok(count) => bytes = &bytes[count..],
                Err(fault) if fault.kind() == ErrorKind::Interrupted => {}
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => self.wait_until_writable(),
                Err(fault) => break fault,
            }
        };
        self.torn |= bytes.len() < whole;
        self.gone = is_gone(&fault);
        Err(fault)
    }

    /// Waits for a descriptor that somebody (a terminal's other user, an async runtime) has set not to block.
    fn wait_until_writable(&self) {
        #[cfg(unix)]
        if let Target::File(file) | Target::Path { file, .. } = &self.target {
            use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
            use std::os::fd::AsFd;
            let mut watched = [PollFd::new(file.as_fd(), PollFlags::POLLOUT)];
            // Whatever the answer, the next write tells what is the matter; the time-out makes sure that it is asked.
            if poll(&mut watched, PollTimeout::from(1000u16)).is_ok() {
                return;
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// Whether a fault means that no later write can succeed.
fn is_gone(fault: &io::Error) -> bool {
    #[cfg(unix)]
    if fault.raw_os_error() == Some(nix::errno::Errno::EBADF as i32) {
        return true;
    }
    fault.kind() == ErrorKind::BrokenPipe
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use std::{
        collections::VecDeque,
        sync::{Arc, Mutex},
    };

    use super::*;

    /// Answers as scripted, then takes everything; notes what it took.
    struct Script(VecDeque<io::Result<usize>>, Arc<Mutex<Vec<Vec<u8>>>>);

    impl Write for Script {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = self.0.pop_front().unwrap_or(Ok(bytes.len()))?.min(bytes.len());
            self.1.lock().unwrap().push(bytes[..count].to_vec());
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(answers: Vec<io::Result<usize>>, lines: &[&str]) -> (Vec<bool>, String) {
        let taken = Arc::default();
        let mut sink = Sink::writer(Box::new(Script(answers.into(), Arc::clone(&taken))));
        let kept = lines.iter().map(|line| sink.write_line(line.as_bytes())).collect();
        let taken = taken.lock().unwrap().concat();
        (kept, String::from_utf8(taken).unwrap())
    }

    #[test]
    fn interruptions_and_short_writes_lose_nothing() {
        let answers = vec![Err(ErrorKind::Interrupted.into()), Ok(2), Err(ErrorKind::WouldBlock.into()), Ok(1)];
        assert_eq!(written(answers, &["abcde\n", "f\n"]), (vec![true, true], "abcde\nf\n".into()));
    }

    #[test]
    fn after_a_torn_line_the_next_stands_alone() {
        let answers = vec![Ok(2), Err(ErrorKind::StorageFull.into()), Err(ErrorKind::StorageFull.into())];
        let (kept, text) = written(answers, &["abcde\n", "lost\n", "f\n"]);
        assert_eq!((kept, text.as_str()), (vec![false, false, true], "ab\nf\n"));
    }

    #[test]
    fn a_closed_pipe_is_not_written_to_again() {
        let answers = vec![Err(ErrorKind::BrokenPipe.into())];
        assert_eq!(written(answers, &["a\n", "b\n"]), (vec![false, false], String::new()));
    }

    #[test]
    fn a_reopened_path_is_a_new_file_of_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("x.log"), folder.path().join("x.log.1"));
        let mut sink = Sink::path(path.clone()).unwrap();
        assert!(sink.write_line(b"1\n"));
        std::fs::rename(&path, &old).unwrap();
        assert!(sink.write_line(b"2\n"));
        sink.reopen();
        assert!(sink.write_line(b"3\n"));
        let read = |path: &PathBuf| std::fs::read_to_string(path).unwrap();
        assert_eq!((read(&old).as_str(), read(&path).as_str()), ("1\n2\n", "3\n"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}
