//! The real binary in a directory and an environment of its own.

use std::ffi::OsStr;
use std::io::{Read as _, Seek as _, Write as _};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// A run to be made.
pub(crate) struct Program {
    command: Command,
    dir: TempDir,
}

impl Program {
    /// Without arguments, with an empty environment and empty standard input.
    pub(crate) fn new() -> Self {
        let dir = TempDir::new().expect("a directory");
        let mut command = Command::new(env!("CARGO_BIN_EXE_reassemble"));
        command.env_clear().current_dir(dir.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Program { command, dir }
    }

    /// Adds arguments.
    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Writes a file into the directory of the run.
    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        std::fs::write(self.dir.path().join(name), text).expect("written");
        self
    }

    /// Changes who may do what with a file of the run.
    pub(crate) fn mode(&self, name: &str, permissions: std::fs::Permissions) {
        std::fs::set_permissions(self.dir.path().join(name), permissions).expect("changed");
    }

    /// Gives standard input this text.
    pub(crate) fn stdin(mut self, text: &str) -> Self {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(text.as_bytes()).expect("written");
        file.rewind().expect("rewound");
        self.command.stdin(file);
        self
    }

    /// Runs to the end, whatever that is.
    pub(crate) fn output(mut self) -> Output {
        self.command.output().expect("it runs")
    }

    /// Runs, expects success and a silent standard error, and returns standard output.
    pub(crate) fn succeeds(self) -> String {
        let output = self.output();
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!((output.status.code(), said.as_str()), (Some(0), ""));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Runs, expects this exit code and a silent standard output, and returns standard error.
    pub(crate) fn fails(self, code: i32) -> String {
        let output = self.output();
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(code), &b""[..]), "{said}");
        said
    }

    /// Runs with a standard output that nobody reads, and returns the exit code.
    pub(crate) fn with_closed_stdout(mut self) -> Option<i32> {
        let mut child = self.command.spawn().expect("it runs");
        drop(child.stdout.take());
        child.wait().expect("it ends").code()
    }

    /// Starts, and leaves it running.
    pub(crate) fn start(mut self) -> Running {
        let child = self.command.spawn().expect("it runs");
        Running { child, _dir: self.dir }
    }
}

/// A run under way. It is killed where a test fails before its end.
pub(crate) struct Running {
    /// The process, with its outputs piped.
    pub(crate) child: Child,
    _dir: TempDir,
}

impl Running {
    /// Sends a signal, by its name without SIG.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().expect("kill runs");
        assert!(sent.success());
    }

    /// Waits for the end, and returns the exit code and standard output.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let mut stdout = String::new();
        self.child.stdout.take().expect("piped").read_to_string(&mut stdout).expect("UTF-8");
        (self.child.wait().expect("it ends").code(), stdout)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has mostly ended.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
