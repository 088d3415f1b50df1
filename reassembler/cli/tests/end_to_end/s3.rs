//! A real S3 server over HTTP or HTTPS, with authentication, that keeps its objects as files.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
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

use crate::fault_server::FaultServer;
use crate::tls;

/// The server, with the bucket `bucket`, for as long as this lives.
pub(crate) struct S3 {
    dir: TempDir,
    address: SocketAddr,
    scheme: &'static str,
    _runtime: Runtime,
}

impl S3 {
    pub(crate) fn start() -> S3 {
        Self::serve(None)
    }

    /// Over HTTPS alone.
    pub(crate) fn start_with_tls() -> S3 {
        Self::serve(Some(tls::acceptor()))
    }

    fn serve(tls: Option<TlsAcceptor>) -> S3 {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("bucket")).unwrap();
        let mut service = S3ServiceBuilder::new(FileSystem::new(dir.path()).unwrap());
        let mut users = SimpleAuth::from_single("key", "secret");
        users.register("renewed".into(), "renewed-secret".into());
        service.set_auth(users);
        let service = service.build();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (service, tls) = (service.clone(), tls.clone());
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
        });
        S3 { dir, address, scheme, _runtime: runtime }
    }

    /// A proxy in front of it that misbehaves as it is told.
    pub(crate) fn behind_faults(&self) -> FaultServer {
        FaultServer::start(self.address, self.dir.path().to_owned())
    }

    /// Points a command at this server.
    pub(crate) fn configure(&self, command: &mut Command, secret: &str) {
        let url = format!("{}://{}", self.scheme, self.address);
        command
            .args(["--s3-endpoint", &url, "--s3-path-style", "--s3-region", "us-east-1"])
            .env("AWS_ACCESS_KEY_ID", "key")
            .env("AWS_SECRET_ACCESS_KEY", secret);
    }

    /// The folder in which a key of the bucket is a path.
    pub(crate) fn bucket(&self) -> PathBuf {
        self.dir.path().join("bucket")
    }
}
