//! The real function between a Runtime API and a real S3 server that keeps its objects as files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use reassemble_testkit::lambda::runtime_api::{Outcome, RuntimeApi};
use reassemble_testkit::s3::S3;
use reassemble_testkit::stored;
use serde_json::Value;
use tempfile::TempDir;

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
            .env("AWS_LAMBDA_RUNTIME_API", api.address().to_string())
            .env("TMPDIR", temporary.path())
            .env("REASSEMBLE_S3_ENDPOINT", s3.url())
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
        stored::objects(&self.s3.bucket())
    }

    /// Everything that is stored, by id.
    pub(crate) fn stored(&self) -> BTreeMap<String, Vec<Value>> {
        let mut found: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for exchange in stored::exchanges(&self.s3.bucket()) {
            found.entry(exchange["id"].as_str().unwrap().to_owned()).or_default().push(exchange);
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
