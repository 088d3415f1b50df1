//! A real S3 server over HTTP or HTTPS, with authentication, that keeps its objects as files.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use crate::tls;

/// Serves the buckets that are folders of this one, until connections cannot be accepted any more. It knows the access keys `key` and `renewed`,
/// whose secrets are `secret` and `renewed-secret`.
///
/// # Errors
/// Why they cannot be.
pub async fn serve(listener: TcpListener, buckets: &Path, tls: Option<TlsAcceptor>) -> io::Result<()> {
    let files = FileSystem::new(buckets).map_err(|error| io::Error::other(format!("{error:?}")))?;
    let mut service = S3ServiceBuilder::new(files);
    let mut users = SimpleAuth::from_single("key", "secret");
    users.register("renewed".into(), "renewed-secret".into());
    service.set_auth(users);
    let service = service.build();
    loop {
        let (socket, _) = listener.accept().await?;
        let (service, tls) = (service.clone(), tls.clone());
        // A client that goes away breaks its connection; that is its end, and no failure of the server.
        tokio::spawn(async move {
            let http = Builder::new(TokioExecutor::new());
            match tls {
                None => drop(http.serve_connection(TokioIo::new(socket), service).await),
                Some(tls) => {
                    let Ok(socket) = tls.accept(socket).await else { return };
                    drop(http.serve_connection(TokioIo::new(socket), service).await);
                }
            }
        });
    }
}

/// The server, with the bucket `bucket`, for as long as this lives.
#[derive(Debug)]
pub struct S3 {
    dir: TempDir,
    address: SocketAddr,
    scheme: &'static str,
    _runtime: Runtime,
}

impl S3 {
    /// Over HTTP.
    pub fn start() -> S3 {
        Self::start_as("http", None)
    }

    /// Over HTTPS alone, with the certificate of [`tls`].
    pub fn start_with_tls() -> S3 {
        Self::start_as("https", Some(tls::acceptor()))
    }

    fn start_as(scheme: &'static str, tls: Option<TlsAcceptor>) -> S3 {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("bucket")).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let buckets = dir.path().to_owned();
        runtime.spawn(async move { serve(listener, &buckets, tls).await.unwrap() });
        S3 { dir, address, scheme, _runtime: runtime }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its endpoint.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Points a `reassemble` command at this server.
    pub fn configure(&self, command: &mut Command, secret: &str) {
        command
            .args(["--s3-endpoint", &self.url(), "--s3-path-style", "--s3-region", "us-east-1"])
            .env("AWS_ACCESS_KEY_ID", "key")
            .env("AWS_SECRET_ACCESS_KEY", secret);
    }

    /// The folder in which each bucket is one.
    pub fn buckets(&self) -> &Path {
        self.dir.path()
    }

    /// The folder in which a key of the bucket is a path.
    pub fn bucket(&self) -> PathBuf {
        self.dir.path().join("bucket")
    }
}
