//! moto's server: an S3 that keeps lifecycle rules and knows which buckets exist, and a CloudWatch Logs.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use crate::programs::wait_for;

/// The server, for as long as this lives.
pub(crate) struct Moto {
    child: Child,
    url: String,
    python: String,
}

impl Moto {
    pub(crate) fn start() -> Moto {
        let python =
            std::env::var("REASSEMBLE_TEST_PYTHON").expect("REASSEMBLE_TEST_PYTHON: a python with moto; run ./test");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut child = Command::new(&python)
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        wait_for("moto", || said.next().unwrap().unwrap().contains("Running on").then_some(()));
        // Its log goes on; nobody else reads it.
        std::thread::spawn(move || said.count());
        Moto { child, url: format!("http://127.0.0.1:{port}"), python }
    }

    /// Runs a script with `s3` and `logs`, clients of this server.
    pub(crate) fn python(&self, script: &str) -> String {
        let output = self.script(script).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// The same, to be run beside others.
    pub(crate) fn script(&self, script: &str) -> Command {
        let clients = format!(
            "import boto3, json\ns3, logs = (boto3.client(name, endpoint_url='{}', region_name='us-east-1', aws_access_key_id='k', aws_secret_access_key='s') \
             for name in ('s3', 'logs'))\n",
            self.url
        );
        let mut command = Command::new(&self.python);
        command.args(["-c", &(clients + script)]);
        command
    }

    /// Points a command that reads log groups at this server.
    pub(crate) fn configure_logs(&self, command: &mut Command) {
        command.env("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", &self.url).env("AWS_REGION", "us-east-1");
        command.env("AWS_ACCESS_KEY_ID", "k").env("AWS_SECRET_ACCESS_KEY", "s");
    }

    /// Points a command at this server.
    pub(crate) fn configure(&self, command: &mut Command) {
        command.args(["--s3-endpoint", &self.url, "--s3-path-style", "--s3-region", "us-east-1"]);
        command.env("AWS_ACCESS_KEY_ID", "k").env("AWS_SECRET_ACCESS_KEY", "s");
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
