//! A real S3 server over HTTP or HTTPS that keeps its objects as files, and what lies in its bucket.

use std::fs::{self, File};
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A file of the test authority's.
pub(crate) fn tls(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/tests/end_to_end/tls").join(name)
}

/// The server, with the bucket `bucket`, for as long as this lives.
pub(crate) struct S3 {
    dir: TempDir,
    pub(crate) address: SocketAddr,
    _runtime: Runtime,
}

impl S3 {
    pub(crate) fn start() -> S3 {
        S3::serve(None)
    }

    /// Over HTTPS alone, with a certificate of an authority that only tests know.
    pub(crate) fn start_with_tls() -> S3 {
        let certificate = CertificateDer::from_pem_file(tls("server.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(tls("server.key")).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        S3::serve(Some(Arc::new(config).into()))
    }

    fn serve(tls: Option<TlsAcceptor>) -> S3 {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("bucket")).unwrap();
        let mut service = S3ServiceBuilder::new(FileSystem::new(dir.path()).unwrap());
        service.set_auth(SimpleAuth::from_single("key", "secret"));
        let service = service.build();
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
        S3 { dir, address, _runtime: runtime }
    }

    /// Every exchange of the bucket, as often as it is there.
    pub(crate) fn exchanges(&self) -> Vec<Value> {
        let mut exchanges = Vec::new();
        let mut folders = vec![self.root()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let (name, mut text) = (path.to_string_lossy().into_owned(), String::new());
                let mut file = File::open(&path).unwrap();
                if name.ends_with(".ndjson.gz") {
                    flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
                } else if name.ends_with(".ndjson") {
                    file.read_to_string(&mut text).unwrap();
                }
                exchanges.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
            }
        }
        exchanges
    }

    /// A stored body's bytes.
    pub(crate) fn body(&self, body: &Value) -> Vec<u8> {
        match (body["text"].as_str(), body["b64"].as_str()) {
            (Some(text), _) => text.as_bytes().to_vec(),
            (_, Some(b64)) => BASE64_STANDARD.decode(b64).unwrap(),
            _ => fs::read(self.root().join(body["ref"].as_str().unwrap())).unwrap(),
        }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("bucket/captures")
    }
}
