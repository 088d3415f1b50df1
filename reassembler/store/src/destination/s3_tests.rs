//! Tests of the S3 destination over real HTTP: against s3s-fs with authentication, and against a server that answers from a script.

use std::collections::VecDeque;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Mutex;

use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use reassemble_testkit::s3;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::checksum::{ContentHash, checksum};
use crate::error::FaultKind;
use crate::object::ObjectKind;

pub(super) struct Server {
    dir: TempDir,
    pub(super) address: SocketAddr,
}

impl Server {
    /// An S3 server with the bucket `captures`, user `key` and password `secret`.
    pub(super) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("s3/captures")).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let buckets = dir.path().join("s3");
        tokio::spawn(async move { s3::serve(listener, &buckets, None).await.unwrap() });
        Self { dir, address }
    }

    pub(super) fn store(&self) -> S3Store {
        store(config(self.address), "secret")
    }

    pub(super) fn object(&self, name: &str, content: &[u8]) -> SealedObject {
        object(self.dir.path().join(name), content)
    }

    fn stored(&self, object: &SealedObject) -> Vec<u8> {
        fs::read(self.dir.path().join("s3/captures/pre/fix").join(&object.key)).unwrap()
    }
}

pub(super) fn config(address: SocketAddr) -> S3Config {
    S3Config { endpoint: Some(format!("http://{address}")), path_style: true, ..S3Config::new("captures", "/pre/fix/") }
}

pub(super) fn store(config: S3Config, secret: &str) -> S3Store {
    let credentials = SharedCredentialsProvider::new(Credentials::new("key", secret, None, None, "test"));
    let sdk = aws_config::SdkConfig::builder()
        .behavior_version(aws_config::BehaviorVersion::latest())
        .region(aws_config::Region::new("us-east-1"))
        .credentials_provider(credentials)
        .build();
    S3Store::from_sdk(config, &sdk)
}

pub(super) fn object(path: PathBuf, content: &[u8]) -> SealedObject {
    fs::write(&path, content).unwrap();
    let sum = checksum(&path, ContentHash::of(ObjectKind::Batch)).unwrap();
    SealedObject {
        object_no: 1,
        kind: ObjectKind::Batch,
        key: format!("retention=30d/service=a%2Fb/date=2026-11-22/hour=05/{}.ndjson.gz", sum.crc32),
        path,
        bytes: sum.bytes,
        lines: 3,
        hash: sum.hash,
        crc32: sum.crc32,
        written: None,
    }
}

pub(super) fn large() -> Vec<u8> {
    (0..3_000_000u32).flat_map(u32::to_le_bytes).collect()
}

#[tokio::test]
async fn an_object_is_stored_once() {
    let server = Server::start().await;
    let (store, object) = (server.store(), server.object("a", b"content"));
    assert_eq!(store.put(&object).await.unwrap(), PutOutcome::Stored);
    assert_eq!(server.stored(&object), b"content");
    assert_eq!(store.put(&object).await.unwrap(), PutOutcome::AlreadyStored);
    assert_eq!(store.describe(), "s3://captures/pre/fix");
}

#[tokio::test]
async fn a_store_without_conditions_is_looked_at_first() {
    let server = Server::start().await;
    let config = S3Config { conditional: false, checksums_when_required: true, ..config(server.address) };
    let (store, object) = (store(config, "secret"), server.object("a", b"content"));
    assert_eq!(store.put(&object).await.unwrap(), PutOutcome::Stored);
    assert_eq!(store.put(&object).await.unwrap(), PutOutcome::AlreadyStored);
    assert_eq!(server.stored(&object), b"content");
}

#[tokio::test]
async fn other_bytes_under_the_key_are_a_conflict_and_stay() {
    let server = Server::start().await;
    let store = server.store();
    let object = server.object("a", b"content");
    store.put(&object).await.unwrap();
    let other = SealedObject { key: object.key.clone(), ..server.object("b", b"CONTENT") };
    let error = store.put(&other).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    assert_eq!(server.stored(&object), b"content");
}

#[tokio::test]
async fn a_large_object_goes_in_parts() {
    let server = Server::start().await;
    let content = large();
    let config = S3Config { multipart_bytes: 1 << 20, part_bytes: 0, ..config(server.address) };
    let (store, object) = (store(config, "secret"), server.object("a", &content));
    assert_eq!(store.put(&object).await.unwrap(), PutOutcome::Stored);
    assert!(server.stored(&object) == content);
    assert_eq!(store.put(&object).await.unwrap(), PutOutcome::AlreadyStored);
}

#[tokio::test]
async fn a_damaged_spool_file_is_not_sent() {
    let server = Server::start().await;
    let (store, object) = (server.store(), server.object("a", b"content"));
    fs::write(&object.path, b"c0ntent").unwrap();
    assert!(matches!(store.put(&object).await, Err(StoreError::Damaged(file)) if file.lines == 3));
}

#[tokio::test]
async fn a_check_tells_what_a_put_would_meet_and_leaves_nothing() {
    let server = Server::start().await;
    assert_eq!(server.store().check().await.unwrap(), CheckReport::default());
    assert!(!server.dir.path().join("s3/captures/pre").exists());

    let wrong = store(config(server.address), "wrong").check().await.unwrap_err();
    assert!(matches!(wrong, StoreError::WrongCredentials { .. }), "{wrong}");
    let none = S3Config { bucket: "no-such-bucket".into(), ..config(server.address) };
    let none = store(none, "secret").check().await.unwrap_err();
    assert!(matches!(none, StoreError::NoSuchBucket { .. }), "{none}");
    assert!(none.to_string().contains("no-such-bucket"), "{none}");
}

#[tokio::test]
async fn puts_say_what_is_wrong() {
    let server = Server::start().await;
    let object = server.object("a", b"content");
    let wrong = store(config(server.address), "wrong").put(&object).await.unwrap_err();
    assert!(matches!(wrong, StoreError::WrongCredentials { .. }), "{wrong}");
    assert_eq!(wrong.kind(), FaultKind::Credentials);
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let refused = store(config(nobody), "secret").put(&object).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unreachable { .. }), "{refused}");
    assert!(refused.to_string().contains("refused"), "{refused}");
    assert_eq!(refused.kind(), FaultKind::Transient);
}

/// One answer of the scripted server.
#[derive(Clone)]
pub(super) enum Reply {
    /// Status, further header lines, body.
    Answer(u16, &'static str, &'static str),
    /// The same, but of so many bytes only the body is sent before the connection closes.
    Cut(u16, &'static str, &'static str, usize),
    /// Reads the request and closes the connection.
    Close,
    /// Reads the request and is silent.
    Hang,
}

/// Answers requests in turn; keeps each one's first line and headers. The last answer is repeated.
pub(super) async fn scripted(replies: Vec<Reply>) -> (SocketAddr, std::sync::Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let requests = std::sync::Arc::new(Mutex::new(Vec::new()));
    let (seen, script) = (requests.clone(), std::sync::Arc::new(Mutex::new(VecDeque::from(replies))));
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let (seen, script) = (seen.clone(), script.clone());
            tokio::spawn(async move {
                let head = read_request(&mut socket).await;
                seen.lock().unwrap().push(head.clone());
                let reply = {
                    let mut script = script.lock().unwrap();
                    if script.len() > 1 { script.pop_front() } else { script.front().cloned() }
                };
                match reply {
                    Some(Reply::Answer(status, headers, body)) => {
                        let length = body.len();
                        let body = if head.starts_with("HEAD") { "" } else { body };
                        let text = format!(
                            "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
                        );
                        drop(socket.write_all(text.as_bytes()).await);
                    }
                    Some(Reply::Cut(status, headers, body, length)) => {
                        let text = format!(
                            "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
                        );
                        drop(socket.write_all(text.as_bytes()).await);
                    }
                    Some(Reply::Hang) => tokio::time::sleep(std::time::Duration::from_secs(60)).await,
                    Some(Reply::Close) | None => {}
                }
            });
        }
    });
    (address, requests)
}

async fn read_request(socket: &mut tokio::net::TcpStream) -> String {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if socket.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            break bytes.len();
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    if text.contains("expect: 100-continue") {
        drop(socket.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await);
    }
    while bytes.len() < head + length {
        if socket.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            break;
        }
    }
    String::from_utf8_lossy(&bytes[..head]).into_owned()
}

pub(super) fn coded(code: &'static str) -> &'static str {
    Box::leak(format!("<Error><Code>{code}</Code><Message>the \u{85}[31mmessage</Message></Error>").into_boxed_str())
}

pub(super) async fn put_scripted(replies: Vec<Reply>) -> (Result<PutOutcome, StoreError>, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let object = object(dir.path().join("a"), b"content");
    let (address, requests) = scripted(replies).await;
    let config = S3Config { attempt_timeout: std::time::Duration::from_millis(300), ..config(address) };
    let outcome = store(config, "secret").put(&object).await;
    let requests = requests.lock().unwrap().clone();
    (outcome, requests)
}

#[tokio::test]
async fn a_busy_store_is_asked_again() {
    let busy = Reply::Answer(503, "", coded("SlowDown"));
    let (outcome, requests) = put_scripted(vec![busy.clone(), Reply::Answer(200, "", "")]).await;
    assert_eq!(outcome.unwrap(), PutOutcome::Stored);
    assert_eq!(requests.len(), 2);
    assert!(requests[0].to_lowercase().contains("if-none-match: *"), "{}", requests[0]);
    assert!(requests[0].starts_with("PUT /captures/pre/fix/retention%3D30d/service%3Da%252Fb/"), "{}", requests[0]);
    let (outcome, _) = put_scripted(vec![busy]).await;
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), FaultKind::Transient);
    assert!(error.to_string().contains("[31mmessage") && !error.to_string().contains('\u{85}'), "{error:?}");
}

#[tokio::test]
async fn hangs_and_closed_connections_end_and_are_transient() {
    for reply in [Reply::Hang, Reply::Close] {
        let start = std::time::Instant::now();
        let (outcome, _) = put_scripted(vec![reply.clone()]).await;
        let error = outcome.unwrap_err();
        assert!(matches!(error, StoreError::Unreachable { .. }), "{error}");
        assert!(start.elapsed() < std::time::Duration::from_secs(10));
        let (outcome, _) = put_scripted(vec![reply, Reply::Answer(200, "", "")]).await;
        assert_eq!(outcome.unwrap(), PutOutcome::Stored);
    }
}

#[tokio::test]
async fn a_put_whose_reply_was_lost_is_known_by_its_hash() {
    let dir = tempfile::tempdir().unwrap();
    let sum = reassemble_formats::layout::hex(&object(dir.path().join("a"), b"content").hash);
    let same = Box::leak(format!("x-amz-meta-blake3: {sum}\r\n").into_boxed_str());
    let exists = Reply::Answer(412, "", coded("PreconditionFailed"));
    let (outcome, _) = put_scripted(vec![Reply::Close, exists.clone(), Reply::Answer(200, same, "content")]).await;
    assert_eq!(outcome.unwrap(), PutOutcome::AlreadyStored);
    let (outcome, _) = put_scripted(vec![exists.clone(), Reply::Answer(200, same, "contents")]).await;
    assert!(matches!(outcome, Err(StoreError::Conflict { .. })));
    // A role that may put and not get: the key holds the hash.
    let (outcome, _) = put_scripted(vec![exists, Reply::Answer(403, "", "")]).await;
    assert_eq!(outcome.unwrap(), PutOutcome::AlreadyStored);
}

#[tokio::test]
async fn a_store_that_refuses_conditions_is_used_without() {
    let replies =
        vec![Reply::Answer(501, "", coded("NotImplemented")), Reply::Answer(404, "", ""), Reply::Answer(200, "", "")];
    let (outcome, requests) = put_scripted(replies).await;
    assert_eq!(outcome.unwrap(), PutOutcome::Stored);
    let last = requests.last().unwrap().to_lowercase();
    assert!(last.starts_with("put") && !last.contains("if-none-match"), "{last}");
}

#[tokio::test]
async fn answers_have_names() {
    use FaultKind::{Credentials, Permanent, Transient};
    let cases = [
        // s3s-fs makes a bucket that is put to, so this one is scripted.
        (404, "", "NoSuchBucket", Permanent, "does not exist"),
        (403, "", "AccessDenied", Permanent, "is denied"),
        (403, "", "ExpiredToken", Credentials, "have expired"),
        (400, "", "ExpiredToken", Credentials, "have expired"),
        (403, "", "InvalidAccessKeyId", Credentials, "refuses the credentials"),
        (403, "", "RequestTimeTooSkewed", Transient, "clock is wrong"),
        (301, "x-amz-bucket-region: eu-west-1\r\n", "PermanentRedirect", Permanent, "but in eu-west-1"),
        (307, "", "TemporaryRedirect", Permanent, "region"),
        (409, "", "ConditionalRequestConflict", Transient, "cannot take it now"),
        (500, "", "InternalError", Transient, "cannot take it now"),
        (400, "", "KMS.NotFoundException", Permanent, "encryption key"),
    ];
    for (status, headers, code, kind, words) in cases {
        let (outcome, _) = put_scripted(vec![Reply::Answer(status, headers, coded(code))]).await;
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), kind, "{code}: {error}");
        assert!(error.to_string().contains(words), "{code}: {error}");
    }
}

#[tokio::test]
async fn a_failed_part_aborts_the_upload() {
    let dir = tempfile::tempdir().unwrap();
    let object = object(dir.path().join("a"), &large());
    let created = "<InitiateMultipartUploadResult><UploadId>up-1</UploadId></InitiateMultipartUploadResult>";
    let replies = vec![
        Reply::Answer(404, "", ""),
        Reply::Answer(200, "", created),
        Reply::Answer(403, "", coded("AccessDenied")),
        Reply::Answer(204, "", ""),
    ];
    let (address, requests) = scripted(replies).await;
    let config = S3Config { multipart_bytes: 1 << 20, ..config(address) };
    let error = store(config, "secret").put(&object).await.unwrap_err();
    assert!(matches!(error, StoreError::AccessDenied { .. }), "{error}");
    let requests = requests.lock().unwrap();
    let last = requests.last().unwrap();
    assert!(last.starts_with("DELETE") && last.contains("uploadId=up-1"), "{last}");
}
