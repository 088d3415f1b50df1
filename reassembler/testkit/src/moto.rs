//! moto's server: an S3 that keeps lifecycle rules and knows which buckets exist, and a CloudWatch Logs.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

/// Where its log groups are; its buckets are where S3 has them that is told no region.
pub const LOGS_REGION: &str = "eu-west-1";

/// The server, for as long as this lives.
#[derive(Debug)]
pub struct Moto {
    child: Child,
    url: String,
    python: String,
}

impl Moto {
    /// Starts it with the python that `REASSEMBLE_TEST_PYTHON` names.
    pub fn start() -> Moto {
        let python =
            std::env::var("REASSEMBLE_TEST_PYTHON").expect("REASSEMBLE_TEST_PYTHON: a python with moto; run .ci/test");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut child = Command::new(&python)
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        while !said.next().expect("moto does not start").unwrap().contains("Running on") {}
        // Its log goes on; nobody else reads it.
        std::thread::spawn(move || said.count());
        Moto { child, url: format!("http://127.0.0.1:{port}"), python }
    }

    /// Its endpoint.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Runs a script with `s3` and `logs`, clients of this server, `now` in milliseconds, and `put`, which gives a log stream its events, each a
    /// time and a message. What it prints.
    pub fn python(&self, script: &str) -> String {
        let output = self.script(script).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// The same, to be run beside others.
    pub fn script(&self, script: &str) -> Command {
        let prelude = format!(
            "import boto3, json, time
now = int(time.time() * 1000)
s3, logs = (boto3.client(name, endpoint_url='{}', region_name=region, aws_access_key_id='k', aws_secret_access_key='s')
            for name, region in (('s3', 'us-east-1'), ('logs', '{LOGS_REGION}')))
def put(group, stream, events):
    logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=[{{'timestamp': t, 'message': m}} for t, m in events])
",
            self.url
        );
        let mut command = Command::new(&self.python);
        command.args(["-c", &(prelude + script)]);
        command
    }

    /// Points a command that reads log groups at this server.
    pub fn configure_logs(&self, command: &mut Command) {
        command.env("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", &self.url).env("AWS_REGION", LOGS_REGION);
        command.env("AWS_ACCESS_KEY_ID", "k").env("AWS_SECRET_ACCESS_KEY", "s");
    }

    /// Points a command that stores in its buckets at this server.
    pub fn configure(&self, command: &mut Command) {
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
