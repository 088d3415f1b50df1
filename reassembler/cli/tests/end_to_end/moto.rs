//! moto's server: an S3 that keeps lifecycle rules and knows which buckets exist.

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

    /// Runs a script with `s3`, a client of this server.
    pub(crate) fn python(&self, script: &str) -> String {
        let client = format!(
            "import boto3, json\ns3 = boto3.client('s3', endpoint_url='{}', region_name='us-east-1', aws_access_key_id='k', aws_secret_access_key='s')\n",
            self.url
        );
        let output = Command::new(&self.python).args(["-c", &(client + script)]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
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
