//! Disks with faults: a small real file system that fills and is mounted read-only, and a library between the program and its C library
//! that lets an fsync or a write fail.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use nix::sys::statvfs::statvfs;
use tempfile::{TempDir, tempdir};

/// Set where neither user namespaces nor root may mount, to leave out the tests that need it.
const NO_MOUNTS: &str = "REASSEMBLE_TEST_NO_MOUNTS";

/// A small tmpfs in a mount namespace of its own, seen through `/proc/<pid>/root`. It goes with its holder.
pub(crate) struct SmallDisk {
    holder: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    mount_point: PathBuf,
    path: PathBuf,
    _dir: TempDir,
}

impl SmallDisk {
    /// Mounts one: in a user namespace, or as root. `None` only where the environment says that mounts are to be left out.
    ///
    /// # Panics
    /// Where neither works.
    pub(crate) fn mount(size: &str) -> Option<SmallDisk> {
        if std::env::var_os(NO_MOUNTS).is_some() {
            eprintln!("left out, as {NO_MOUNTS} says: this test mounts a small file system");
            return None;
        }
        let ways: [&[&str]; 2] = [&["--user", "--map-root-user", "--mount"], &["--mount"]];
        let mut whys = Vec::new();
        for flags in ways {
            match SmallDisk::try_mount(flags, size) {
                Ok(disk) => return Some(disk),
                Err(why) => whys.push(format!("unshare {}: {why}", flags.join(" "))),
            }
        }
        panic!(
            "cannot mount a small file system ({}). Allow user namespaces (sysctl kernel.apparmor_restrict_unprivileged_userns=0, or a container with \
             --security-opt seccomp=unconfined), run as root with CAP_SYS_ADMIN, or set {NO_MOUNTS}=1 to leave these tests out",
            whys.join("; ")
        );
    }

    fn try_mount(flags: &[&str], size: &str) -> Result<SmallDisk, String> {
        let dir = tempdir().unwrap();
        let mount_point = dir.path().join("disk");
        fs::create_dir(&mount_point).unwrap();
        let mut holder = Command::new("unshare")
            .args(flags)
            .args(["sh", "-c", r#"while read -r line; do sh -c "$line" 2>&1 | tr '\n' ' '; echo; done"#])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let commands = holder.stdin.take().unwrap();
        let answers = BufReader::new(holder.stdout.take().unwrap());
        let path =
            Path::new("/proc").join(holder.id().to_string()).join("root").join(mount_point.strip_prefix("/").unwrap());
        let mut disk = SmallDisk { holder, commands, answers, mount_point, path, _dir: dir };
        disk.tell(&format!("mount -t tmpfs -o size={size},mode=700 tmpfs {}", disk.mount_point.display()))?;
        Ok(disk)
    }

    /// Has a command run beside the disk; silence is success.
    fn tell(&mut self, command: &str) -> Result<(), String> {
        let mut answer = String::new();
        let told = writeln!(self.commands, "{command}").and_then(|()| self.answers.read_line(&mut answer));
        match told {
            Ok(0) | Err(_) => {
                let mut why = String::new();
                let mut stderr = self.holder.stderr.take().unwrap();
                std::io::Read::read_to_string(&mut stderr, &mut why).unwrap();
                Err(why.trim().to_owned())
            }
            Ok(_) if answer.trim().is_empty() => Ok(()),
            Ok(_) => Err(answer.trim().to_owned()),
        }
    }

    /// The disk's root folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Mounts it anew, `ro` or `rw`.
    pub(crate) fn remount(&mut self, how: &str) {
        // `bind`: the mount alone, without the file system's options, which name users that its namespace may not know.
        self.tell(&format!("mount -o remount,bind,{how} {}", self.mount_point.display())).unwrap();
    }

    /// Fills it until only so many bytes are free.
    pub(crate) fn fill(&self, leave: u64) {
        let mut ballast = File::options().create(true).append(true).open(self.path.join("ballast")).unwrap();
        while self.free() > leave {
            let piece = usize::try_from((self.free() - leave).min(1 << 16)).unwrap();
            if ballast.write_all(&vec![0; piece]).is_err() {
                break;
            }
        }
    }

    /// Takes away what [`fill`](Self::fill) put there.
    pub(crate) fn empty(&self) {
        fs::remove_file(self.path.join("ballast")).unwrap();
    }

    fn free(&self) -> u64 {
        let stat = statvfs(&self.path).unwrap();
        stat.blocks_available() * stat.fragment_size()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(self.holder.kill());
        drop(self.holder.wait());
    }
}

/// Faults that a program meets while its file of them has a line; see `broken_disk.c`.
pub(crate) struct Faults {
    control: PathBuf,
}

impl Faults {
    /// For programs that [`Faults::attach`] is called with; the folder is the test's.
    pub(crate) fn new(dir: &Path) -> Faults {
        Faults { control: dir.join("disk-fault") }
    }

    pub(crate) fn attach(&self, command: &mut Command) {
        command.env("LD_PRELOAD", library()).env("DISK_FAULT", &self.control);
    }

    /// `once`, `all` or `slow`; `sync` or `write`; part of a path; an errno or milliseconds.
    pub(crate) fn set(&self, fault: &str) {
        // In one step: the file is read at any time.
        let new = self.control.with_extension("new");
        fs::write(&new, fault).unwrap();
        fs::rename(&new, &self.control).unwrap();
    }

    pub(crate) fn clear(&self) {
        fs::remove_file(&self.control).unwrap();
    }

    /// Whether a fault that comes once has come.
    pub(crate) fn came(&self) -> bool {
        !self.control.exists()
    }
}

/// The library, compiled at its first use.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/end_to_end/broken_disk.c");
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("faults-{}.so", std::process::id()));
        let mut compile = Command::new("cc");
        let output = compile.args(["-shared", "-fPIC", "-O1", "-Wall", "-o"]).arg(&library).arg(source).output();
        let output = output.expect("cc, a C compiler, which builds the library of disk faults");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        library
    })
}
