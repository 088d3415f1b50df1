//! How it is set up, and what it does where it cannot work: the function runs on.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reassemble_testkit::lambda::platform::{Options, Platform};
use reassemble_testkit::s3::S3;
use reassemble_testkit::{stored, tls};
use serde_json::json;

use crate::scene::{Scene, binary, patient};

/// Starts it where it must fail; gives what it told Lambda, and what it said.
fn refused(configure: impl FnOnce(&mut Command)) -> (Vec<(String, serde_json::Value)>, String) {
    let (platform, dir) = (Platform::start(Options::default()), tempfile::tempdir().unwrap());
    let mut extension = platform.start_extension(binary(), dir.path(), configure);
    assert_eq!(extension.ended().code(), Some(1));
    (platform.errors(), extension.words())
}

#[test]
fn a_bad_configuration_is_told_to_lambda() {
    let (errors, said) = refused(|_| ());
    let sentence = "REASSEMBLE_TO is not set: captures go to s3://bucket/prefix";
    let told = json!({"errorMessage": sentence, "errorType": "Extension.Configuration", "stackTrace": []});
    assert_eq!(errors, [("/2020-01-01/extension/init/error".to_owned(), told)]);
    assert!(said.contains(sentence), "{said}");
    let (errors, _) = refused(|command| {
        command.env("REASSEMBLE_TO", "s3://bucket").env("REASSEMBLE_FLUSH", "never");
    });
    let sentence =
        "invalid value 'never' for REASSEMBLE_FLUSH: write end, periodic:SECONDS (such as periodic:60) or shutdown";
    assert_eq!(errors[0].1["errorMessage"], sentence);
}

#[test]
fn outside_lambda_it_says_what_it_is() {
    let output = Command::new(binary()).env_clear().output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("AWS_LAMBDA_RUNTIME_API"));
}

#[test]
fn where_storing_cannot_work_the_function_runs_on() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("state"), "a file").unwrap();
    let mut scene = Scene::start_with(Options::default(), |command| {
        command.env("REASSEMBLE_STATE", dir.path().join("state"));
    });
    let lines = scene.captures.lines(3);
    scene.extension.says("captures are not stored, the function runs without");
    scene.invocation(&lines);
    scene.invocation(&["more".to_owned()]);
    scene.shut_down("spindown");
    let words = scene.extension.words();
    assert!(words.contains(&format!("records_unstored={}", lines.len())), "{words}");
    assert_eq!(words.matches("captures are not stored").count(), 1, "{words}");
    assert!(scene.stored().is_empty() && scene.platform.errors().is_empty());
}

/// With SnapStart the variables hold no keys, but an endpoint that gives them.
#[test]
fn credentials_of_the_containers_endpoint_are_used() {
    let endpoint = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1/credentials", endpoint.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    std::thread::spawn({
        let asked = asked.clone();
        move || {
            for connection in endpoint.incoming() {
                let mut connection = connection.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    connection.read_exact(&mut byte).unwrap();
                    head.push(byte[0]);
                }
                asked.lock().unwrap().push(String::from_utf8(head).unwrap().to_ascii_lowercase());
                let keys = r#"{"AccessKeyId":"key","SecretAccessKey":"secret","Token":"t","Expiration":"2999-01-01T00:00:00Z"}"#;
                let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json";
                write!(connection, "{head}\r\ncontent-length: {}\r\n\r\n{keys}", keys.len()).unwrap();
            }
        }
    });
    let mut scene = Scene::start_with(Options::default(), |command| {
        patient(command);
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
        command
            .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)
            .env("AWS_CONTAINER_AUTHORIZATION_TOKEN", "of the sandbox");
    });
    let lines = scene.captures.lines(3);
    scene.invocation(&lines);
    scene.finish();
    let asked = asked.lock().unwrap();
    assert!(!asked.is_empty(), "nobody asked for credentials");
    assert!(asked.iter().all(|head| head.contains("authorization: of the sandbox\r\n")), "{asked:?}");
}

#[test]
fn without_a_telemetry_api_the_function_runs_on() {
    let mut scene = Scene::start_with(Options { has_no_telemetry: true, ..Options::default() }, |_| ());
    for number in 0..3 {
        scene.platform.idle();
        scene.platform.invoke(&format!("r{number}"), Duration::from_secs(20));
    }
    scene.platform.idle();
    scene.extension.says("nothing is captured, the function runs without");
    scene.shut_down("spindown");
}

#[test]
fn a_flush_is_when_the_policy_says() {
    let mut scene = Scene::start_with(Options::default(), |command| {
        command.env("REASSEMBLE_FLUSH", "shutdown");
    });
    let lines = scene.captures.lines(5);
    let id = scene.invoke();
    scene.platform.push(&scene.platform.printed(&lines));
    // It asks for the next event although this one has not ended.
    scene.platform.idle();
    scene.platform.push(&[scene.platform.runtime_done(&id)]);
    assert!(scene.stored().is_empty());
    scene.finish();

    let mut scene = Scene::start_with(Options::default(), |command| {
        patient(command);
        command.env("REASSEMBLE_FLUSH", "periodic:2");
    });
    let lines = scene.captures.lines(5);
    scene.invocation(&lines);
    std::thread::sleep(Duration::from_millis(2_100));
    let lines = scene.captures.lines(5);
    scene.invocation(&lines);
    scene.assert_stored();
    scene.finish();
}

#[test]
fn a_setting_that_is_none_is_told() {
    let mut scene = Scene::start_with(Options::default(), |command| {
        command.env("REASSEMBLE_FLUSHES", "end");
    });
    scene.extension.says("environment variable REASSEMBLE_FLUSHES is no setting of this extension");
    scene.finish();
}

#[test]
fn certificates_are_judged_by_what_is_brought_along_or_named() {
    let s3 = S3::start_with_tls();
    let (url, stored) = (s3.url(), || stored::exchanges(&s3.bucket()));
    let mut scene = Scene::start_with(Options::default(), |command| {
        command.env("REASSEMBLE_S3_ENDPOINT", &url);
    });
    let lines = scene.captures.lines(1);
    scene.invocation(&lines);
    scene.extension.says("certificate");
    assert!(stored().is_empty());

    let mut scene = Scene::start_with(Options::default(), |command| {
        patient(command);
        command.env("REASSEMBLE_S3_ENDPOINT", &url).env("SSL_CERT_FILE", tls::authority());
    });
    let lines = scene.captures.lines(1);
    scene.invocation(&lines);
    assert_eq!(stored().len(), 1, "{}", scene.extension.words());
}
