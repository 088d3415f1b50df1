//! The real function between a Runtime API and a real S3 server that keeps its objects as files.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use flate2::read::MultiGzDecoder;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::runtime_api::{Outcome, RuntimeApi};

/// An S3 server with a bucket.
struct S3 {
    dir: TempDir,
    address: SocketAddr,
    _runtime: Runtime,
}

impl S3 {
    fn start() -> S3 {
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
                let service = service.clone();
                tokio::spawn(async move {
                    drop(Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service).await);
                });
            }
        });
        S3 { dir, address, _runtime: runtime }
    }
}

/// The function, its triggers and its destination.
pub(crate) struct Rig {
    api: RuntimeApi,
    s3: S3,
    temporary: TempDir,
    function: Child,
}

impl Rig {
    /// With variables beside those that it needs.
    pub(crate) fn start(variables: &[(&str, &str)]) -> Rig {
        Rig::start_with_secret("secret", variables)
    }

    /// Likewise, with a secret that is perhaps not S3's.
    pub(crate) fn start_with_secret(secret: &str, variables: &[(&str, &str)]) -> Rig {
        let (api, s3, temporary) = (RuntimeApi::start(), S3::start(), tempfile::tempdir().unwrap());
        // What an invocation left that was killed.
        fs::create_dir_all(temporary.path().join("reassemble-forwarder/left")).unwrap();
        let credentials = temporary.path().join("credentials");
        let function = command()
            .env_remove("AWS_ACCESS_KEY_ID")
            .env_remove("AWS_SECRET_ACCESS_KEY")
            .env("AWS_SHARED_CREDENTIALS_FILE", &credentials)
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_LAMBDA_RUNTIME_API", api.address.to_string())
            .env("TMPDIR", temporary.path())
            .env("REASSEMBLE_S3_ENDPOINT", format!("http://{}", s3.address))
            .env("REASSEMBLE_TO", "s3://bucket/captures")
            .env("REASSEMBLE_NO_DECODE", "true")
            .env("REASSEMBLE_LOG_LEVEL", "off")
            .envs(variables.iter().copied())
            .spawn()
            .unwrap();
        let rig = Rig { api, s3, temporary, function };
        rig.set_secret(secret);
        rig
    }

    /// What the function signs with from its next invocation on.
    pub(crate) fn set_secret(&self, secret: &str) {
        let text = format!("[default]\naws_access_key_id = key\naws_secret_access_key = {secret}\n");
        fs::write(self.temporary.path().join("credentials"), text).unwrap();
    }

    /// Invokes the function; what it kept meanwhile is gone.
    pub(crate) fn invoke(&self, event: &str) -> Outcome {
        let outcome = self.api.invoke(event);
        let folder = self.temporary.path().join("reassemble-forwarder");
        assert_eq!(fs::read_dir(folder).map_or(0, Iterator::count), 0, "state is left");
        outcome
    }

    /// Every object by its key.
    pub(crate) fn objects(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let root = self.s3.dir.path().join("bucket");
        let mut found = BTreeMap::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if !path.file_name().unwrap().to_string_lossy().starts_with('.') {
                    found.insert(path.strip_prefix(&root).unwrap().to_owned(), fs::read(&path).unwrap());
                }
            }
        }
        found
    }

    /// Everything that is stored, by id.
    pub(crate) fn stored(&self) -> BTreeMap<String, Vec<Value>> {
        let mut found: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for (key, bytes) in self.objects() {
            if !key.to_string_lossy().ends_with(".ndjson.gz") {
                continue;
            }
            let mut text = String::new();
            MultiGzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
            for line in text.lines() {
                let exchange: Value = serde_json::from_str(line).unwrap();
                found.entry(exchange["id"].as_str().unwrap().to_owned()).or_default().push(exchange);
            }
        }
        found
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        drop(self.function.kill());
        drop(self.function.wait());
    }
}

/// The function, with what Lambda sets.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reassemble-forwarder"));
    command
        .env_clear()
        .env("AWS_LAMBDA_FUNCTION_NAME", "forwarder")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "key")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("REASSEMBLE_S3_PATH_STYLE", "true")
        .stdin(Stdio::null());
    command
}

/// A sample event.
pub(crate) fn sample(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/logs/cloudwatch").join(name);
    fs::read_to_string(path).unwrap()
}
