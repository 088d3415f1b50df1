//! Tests of what the S3 destination makes of answers that a healthy store does not give, against a server that answers from a script.

use std::time::Duration;

use reassemble_formats::layout::hex;

use super::s3_tests::{Reply, coded, config, large, object, put_scripted, scripted, store};
use super::*;
use crate::error::FaultKind;

fn exists() -> Reply {
    Reply::Answer(412, "", coded("PreconditionFailed"))
}

fn names(requests: &[String]) -> Vec<&str> {
    requests.iter().map(|request| request.split(' ').next().unwrap()).collect()
}

#[tokio::test]
async fn an_object_without_our_metadata_is_read_and_compared() {
    let head = Reply::Answer(200, "", "content");
    let (outcome, requests) = put_scripted(vec![exists(), head.clone(), Reply::Answer(200, "", "content")]).await;
    assert_eq!(outcome.unwrap(), PutOutcome::AlreadyStored);
    assert_eq!(names(&requests), ["PUT", "HEAD", "GET"]);
    let (outcome, _) = put_scripted(vec![exists(), head, Reply::Answer(200, "", "CONTENT")]).await;
    let error = outcome.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    assert_eq!(error.kind(), FaultKind::Object);
}

#[tokio::test]
async fn an_object_that_cannot_be_looked_at_is_taken_by_its_key_only_where_reading_is_denied() {
    let forbidden = Reply::Answer(403, "", "");
    let (outcome, _) =
        put_scripted(vec![exists(), forbidden.clone(), Reply::Answer(403, "", coded("ExpiredToken"))]).await;
    assert_eq!(outcome.unwrap_err().kind(), FaultKind::Credentials);
    let (outcome, _) = put_scripted(vec![exists(), forbidden, Reply::Answer(403, "", coded("AccessDenied"))]).await;
    assert_eq!(outcome.unwrap(), PutOutcome::AlreadyStored);
}

#[tokio::test]
async fn a_412_with_nothing_there_is_put_without_a_condition() {
    let replies = vec![exists(), Reply::Answer(404, "", ""), Reply::Answer(200, "", "")];
    let (outcome, requests) = put_scripted(replies).await;
    assert_eq!(outcome.unwrap(), PutOutcome::Stored);
    assert_eq!(names(&requests), ["PUT", "HEAD", "PUT"]);
    assert!(!requests[2].to_lowercase().contains("if-none-match"));
}

#[tokio::test]
async fn conditions_are_refused_in_several_ways() {
    let worded = "<Error><Code>InvalidArgument</Code><Message>If-None-Match is not supported here</Message></Error>";
    for refusal in [Reply::Answer(501, "", ""), Reply::Answer(400, "", worded)] {
        let replies = vec![refusal, Reply::Answer(404, "", ""), Reply::Answer(200, "", "")];
        let (outcome, requests) = put_scripted(replies).await;
        assert_eq!(outcome.unwrap(), PutOutcome::Stored);
        assert_eq!(names(&requests), ["PUT", "HEAD", "PUT"]);
    }
}

#[tokio::test]
async fn redirects_name_the_region_from_wherever_the_store_tells_it() {
    let region = "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>";
    let endpoint =
        "<Error><Code>PermanentRedirect</Code><Endpoint>bucket.s3.eu-west-1.amazonaws.com</Endpoint></Error>";
    for (status, body) in [(400, region), (301, endpoint), (307, endpoint)] {
        let (outcome, _) = put_scripted(vec![Reply::Answer(status, "", body)]).await;
        let error = outcome.unwrap_err();
        assert!(matches!(error, StoreError::WrongRegion { .. }), "{error}");
        assert!(error.to_string().contains("eu-west-1"), "{error}");
    }
}

#[tokio::test]
async fn requests_are_signed_with_the_stores_time_where_the_clocks_differ() {
    let skewed = Reply::Answer(403, "date: Thu, 01 Jan 2032 10:00:00 GMT\r\n", coded("RequestTimeTooSkewed"));
    let (outcome, requests) = put_scripted(vec![skewed, Reply::Answer(200, "", "")]).await;
    assert_eq!(outcome.unwrap(), PutOutcome::Stored);
    assert!(requests[1].contains("x-amz-date: 20320101T10"), "{}", requests[1]);
}

const CREATED: Reply =
    Reply::Answer(200, "", "<InitiateMultipartUploadResult><UploadId>up-1</UploadId></InitiateMultipartUploadResult>");
const NOTHING: Reply = Reply::Answer(404, "", "");

/// Puts twelve megabytes in two parts.
async fn put_large(replies: Vec<Reply>) -> (Result<PutOutcome, StoreError>, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let object = object(dir.path().join("a"), &large());
    let (address, requests) = scripted(replies).await;
    let config = S3Config { multipart_bytes: 1 << 20, ..config(address) };
    let outcome = store(config, "secret").put(&object).await;
    let requests = requests.lock().unwrap().clone();
    (outcome, requests)
}

fn part() -> Reply {
    Reply::Answer(200, "etag: \"x\"\r\n", "")
}

#[tokio::test]
async fn a_completion_that_answers_200_with_an_error_is_no_success() {
    let failed = Reply::Answer(200, "", coded("InternalError"));
    let (outcome, requests) = put_large(vec![NOTHING, CREATED, part(), part(), failed]).await;
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), FaultKind::Transient, "{error}");
    assert!(requests.last().unwrap().starts_with("DELETE"), "{requests:?}");
}

#[tokio::test]
async fn a_completion_whose_reply_was_lost_is_found_without_sending_the_parts_again() {
    let dir = tempfile::tempdir().unwrap();
    let sum = hex(&object(dir.path().join("a"), &large()).hash);
    let length = large().len();
    let there = Box::leak(format!("x-amz-meta-blake3: {sum}\r\nx-pad: {}\r\n", length).into_boxed_str());
    // A HEAD's length is that of the body it does not send.
    let body = Box::leak(" ".repeat(length).into_boxed_str());
    let (outcome, requests) = put_large(vec![Reply::Answer(200, there, body)]).await;
    assert_eq!(outcome.unwrap(), PutOutcome::AlreadyStored);
    assert!(!names(&requests).contains(&"PUT"), "{requests:?}");
}

#[tokio::test]
async fn parts_that_an_earlier_run_left_under_the_key_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let key = format!("pre/fix/{}", object(dir.path().join("a"), &large()).key);
    let listed = format!(
        "<ListMultipartUploadsResult><Upload><Key>{key}</Key><UploadId>old</UploadId></Upload>\
         <Upload><Key>{key}.other</Key><UploadId>of-another</UploadId></Upload></ListMultipartUploadsResult>"
    );
    let listed = Reply::Answer(200, "", Box::leak(listed.into_boxed_str()));
    let completed = Reply::Answer(200, "", "<CompleteMultipartUploadResult/>");
    let replies = vec![NOTHING, CREATED, part(), part(), completed, listed, Reply::Answer(204, "", "")];
    let (outcome, requests) = put_large(replies).await;
    assert_eq!(outcome.unwrap(), PutOutcome::Stored);
    assert_eq!(names(&requests), ["HEAD", "POST", "PUT", "PUT", "POST", "GET", "DELETE"]);
    assert!(requests.last().unwrap().contains("uploadId=old"), "{requests:?}");
}

#[tokio::test]
async fn a_body_that_nobody_takes_ends_as_a_time_out() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // Accepts, and reads nothing: what the sockets hold is sent, the rest stands.
    let held = tokio::spawn(async move {
        let mut sockets = Vec::new();
        while let Ok((socket, _)) = listener.accept().await {
            sockets.push(socket);
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let object = object(dir.path().join("a"), &large());
    let config = S3Config { attempt_timeout: Duration::from_millis(300), multipart_bytes: 1 << 30, ..config(address) };
    let put = store(config, "secret");
    let error = tokio::time::timeout(Duration::from_secs(60), put.put(&object)).await.unwrap().unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error}");
    held.abort();
}

#[tokio::test]
async fn a_store_may_say_when_it_wants_to_be_asked_again() {
    for (header, seconds) in [("retry-after: 7\r\n", 7), ("retry-after: 86400\r\n", 300)] {
        let (outcome, _) = put_scripted(vec![Reply::Answer(503, header, coded("SlowDown"))]).await;
        assert_eq!(outcome.unwrap_err().retry_after(), Some(Duration::from_secs(seconds)));
    }
}

#[tokio::test]
async fn an_object_is_deleted_and_one_that_is_gone_is_as_good() {
    for status in [204, 404] {
        let (address, requests) = scripted(vec![Reply::Answer(status, "", "")]).await;
        let destination = Destination::S3(store(config(address), "secret"));
        destination.delete("retention=7d/service=a/date=2026-01-01/hour=00/x.ndjson").await.unwrap();
        assert_eq!(names(&requests.lock().unwrap()), ["DELETE"]);
    }
    let (address, _requests) = scripted(vec![Reply::Answer(403, "", coded("AccessDenied"))]).await;
    let error = Destination::S3(store(config(address), "secret")).delete("x.ndjson").await.unwrap_err();
    assert!(error.to_string().contains("s3:DeleteObject"), "{error}");
}
