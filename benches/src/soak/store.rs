//! The destination, with a switch: a directory that gives way to a file, or an S3 server whose process is ended for a while.

use std::ffi::OsString;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use reassemble_testkit::s3;

/// The hidden command under which the program must call [`serve_s3`].
pub const SERVER_COMMAND: &str = "serve-s3";
/// The bucket. Short, and used without a prefix: of an upload in parts the server makes a file's name of bucket and key, twice as long as they are, and
/// names end at 255 bytes.
const BUCKET: &str = "cap";
/// How long a server may take to listen.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where exchanges go.
#[derive(Debug)]
pub enum Store {
    /// A directory.
    Dir {
        /// Its path.
        root: PathBuf,
    },
    /// A bucket.
    S3 {
        /// The folder with the server's buckets.
        root: PathBuf,
        /// The server's port.
        port: u16,
        /// Its process.
        server: Option<Child>,
    },
}

impl Store {
    /// Makes one below a folder.
    ///
    /// # Errors
    /// Where the folder cannot be written, or the server does not start.
    pub fn open(dir: &Path, s3: bool) -> Result<Store> {
        if !s3 {
            return Ok(Store::Dir { root: dir.join("captures") });
        }
        let root = dir.join("s3");
        fs::create_dir_all(root.join(BUCKET)).context("failed to make the bucket")?;
        let port = free_port()?;
        let mut store = Store::S3 { root, port, server: None };
        store.serve()?;
        Ok(store)
    }

    /// What the daemon is told of it.
    pub fn arguments(&self) -> Vec<OsString> {
        match self {
            Store::Dir { root } => vec!["--to".into(), root.into()],
            Store::S3 { port, .. } => {
                let endpoint = format!("http://127.0.0.1:{port}");
                [
                    "--to",
                    &format!("s3://{BUCKET}"),
                    "--s3-region",
                    "us-east-1",
                    "--s3-path-style",
                    "--s3-endpoint",
                    &endpoint,
                ]
                .map(Into::into)
                .into()
            }
        }
    }

    /// What the Lambda extension is told of it, in environment variables: of a directory nothing, for it stores in buckets alone.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let Store::S3 { port, .. } = self else { return Vec::new() };
        vec![
            ("REASSEMBLE_TO", format!("s3://{BUCKET}")),
            ("REASSEMBLE_S3_ENDPOINT", format!("http://127.0.0.1:{port}")),
            ("REASSEMBLE_S3_PATH_STYLE", "true".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "key".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
        ]
    }

    /// Where an object's key is a path.
    pub fn root(&self) -> PathBuf {
        match self {
            Store::Dir { root } => root.clone(),
            Store::S3 { root, .. } => root.join(BUCKET),
        }
    }

    /// Takes nothing any more: connections are refused, or the folder is a file.
    ///
    /// # Errors
    /// Where that cannot be done.
    pub fn refuse(&mut self) -> Result<()> {
        match self {
            Store::Dir { root } => {
                if root.exists() {
                    fs::rename(&*root, root.with_extension("away")).context("failed to take the destination away")?;
                }
                File::create(&*root).context("failed to put a file in the destination's place")?;
            }
            Store::S3 { server, .. } => end(server)?,
        }
        Ok(())
    }

    /// Takes objects (again).
    ///
    /// # Errors
    /// Where that cannot be done.
    pub fn serve(&mut self) -> Result<()> {
        match self {
            Store::Dir { root } => {
                fs::remove_file(&*root).context("failed to take the file away")?;
                let away = root.with_extension("away");
                if away.exists() {
                    fs::rename(away, &*root).context("failed to put the destination back")?;
                }
            }
            Store::S3 { root, port, server } => {
                let this = std::env::current_exe().context("failed to find this program")?;
                let child = Command::new(this)
                    .arg(SERVER_COMMAND)
                    .arg(&*root)
                    .arg(port.to_string())
                    .stdin(Stdio::null())
                    .spawn();
                *server = Some(child.context("failed to start the S3 server")?);
                let began = Instant::now();
                while std::net::TcpStream::connect(("127.0.0.1", *port)).is_err() {
                    ensure!(began.elapsed() < PATIENCE, "the S3 server does not listen");
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
        }
        Ok(())
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Store::S3 { server, .. } = self {
            end(server).ok();
        }
    }
}

fn end(server: &mut Option<Child>) -> Result<()> {
    if let Some(mut child) = server.take() {
        child.kill().context("failed to end the S3 server")?;
        child.wait().context("failed to wait for the S3 server")?;
    }
    Ok(())
}

/// A port that nobody listens at.
pub(super) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("failed to find a free port")?;
    Ok(listener.local_addr().context("failed to find a free port")?.port())
}

/// The other half: an S3 server over files, for good. `args` are the folder with its buckets, and the port.
///
/// # Errors
/// Where it cannot listen.
pub fn serve_s3(mut args: impl Iterator<Item = OsString>) -> Result<()> {
    let root = args.next().context("which folder?")?;
    let port: u16 = args.next().and_then(|port| port.to_str()?.parse().ok()).context("which port?")?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("failed to start a runtime")?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.context("failed to listen")?;
        s3::serve(listener, Path::new(&root), None).await.context("failed to serve")
    })
}
