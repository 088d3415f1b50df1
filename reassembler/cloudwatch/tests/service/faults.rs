//! What only a scripted service shows: throttles, broken answers, expired tokens and credentials, denials.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use reassemble_cloudwatch::{Ended, Fault, LogsError, PollerConfig};

use crate::rig::{Delivered, bounded, client, client_with, config, now_ms, run};
use crate::server::{Reply, Server, error, events};

fn failed(ended: Ended) -> Vec<(String, LogsError)> {
    match ended {
        Ended::Done { failed } => failed,
        Ended::Stopped => panic!("stopped"),
    }
}

#[test]
fn throttles_outages_and_foreign_answers_are_outlived() {
    let time = now_ms() - 3_000_000;
    let server = Server::start(move |asked, number| match number {
        0 => error("ThrottlingException"),
        1 => Reply::Status(503, "<html>busy</html>".to_owned()),
        2 => Reply::Status(200, "<html>log in here</html>".to_owned()),
        3 => Reply::Cut,
        4 => error("LimitExceededException"),
        _ if asked.token().is_none() => events(asked, &[("1", time)], Some("t")),
        _ => events(asked, &[("2", time)], None),
    });
    let (delivered, ended) = run(&client(&server.url), bounded(&["shop"]), &[], |_| false);
    assert_eq!(delivered.sorted(), ["m1", "m2"]);
    assert!(failed(ended).is_empty());
}

#[test]
fn a_fault_of_one_group_delays_no_other() {
    let (time, polls) = (now_ms(), AtomicUsize::new(0));
    let server = Server::start(move |asked, _| match asked.group() {
        "broken" => Reply::Status(500, String::new()),
        _ if polls.fetch_add(1, Ordering::Relaxed) < 20 => events(asked, &[("1", time)], None),
        _ => events(asked, &[("1", time), ("2", time)], None),
    });
    let (delivered, _) =
        run(&client(&server.url), config(&["broken", "whole"]), &[], |delivered| delivered.lines().len() >= 2);
    assert_eq!(delivered.sorted(), ["m1", "m2"]);
    let broken = server.asked().iter().filter(|asked| asked.group() == "broken").count();
    assert!(broken < 10, "asked {broken} times");
}

/// Less than any outage of these tests lasts.
const PATIENCE: Duration = Duration::from_millis(600);

#[test]
fn a_back_fill_whose_service_cannot_be_reached_ends_and_names_what_it_did_not_read() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = PollerConfig { patience: PATIENCE, ..bounded(&["shop", "till", "/app/*"]) };
    let (delivered, ended) = run(&client(&format!("http://{nobody}")), config, &[], |_| false);
    assert!(delivered.pages.is_empty());
    let mut failed = failed(ended);
    failed.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(failed.iter().map(|(group, _)| group.as_str()).collect::<Vec<_>>(), ["/app/*", "shop", "till"]);
    assert!(failed.iter().all(|(_, error)| matches!(error, LogsError::Unreachable { .. })), "{failed:?}");
}

#[test]
fn a_back_fill_that_was_given_up_goes_on_where_it_was() {
    let (time, is_out) = (now_ms() - 3_000_000, Arc::new(AtomicBool::new(false)));
    let switch = is_out.clone();
    let server = Server::start(move |asked, _| match (asked.group(), asked.token()) {
        _ if switch.load(Ordering::Relaxed) => Reply::Status(503, String::new()),
        ("read", _) => events(asked, &[("1", time)], None),
        (_, None) => events(asked, &[("2", time)], Some("t")),
        (_, Some(_)) => events(asked, &[("3", time)], None),
    });
    let (client, config) = (client(&server.url), || PollerConfig { patience: PATIENCE, ..bounded(&["read", "half"]) });
    let (before, ended) = run(&client, config(), &[], |delivered| {
        is_out.store(delivered.lines().len() >= 2, Ordering::Relaxed);
        false
    });
    assert_eq!(before.sorted(), ["m1", "m2"]);
    let failed_at_first = failed(ended);
    let is_half =
        |(group, error): &(String, LogsError)| group == "half" && matches!(error, LogsError::Unavailable { .. });
    assert!(failed_at_first.iter().any(is_half), "{failed_at_first:?}");
    is_out.store(false, Ordering::Relaxed);
    let (after, ended) = run(&client, config(), &Delivered::positions(&before.pages), |_| false);
    assert!(failed(ended).is_empty());
    assert!(after.sorted().contains(&"m3".to_owned()), "{:?}", after.sorted());
}

#[test]
fn a_group_that_stays_broken_is_given_up_alone_by_a_back_fill_and_never_by_a_follower() {
    let (time, faults) = (now_ms() - 3_000_000, AtomicUsize::new(0));
    let server = Server::start(move |asked, _| match asked.group() {
        "broken" if faults.fetch_add(1, Ordering::Relaxed) < 4 => Reply::Status(500, String::new()),
        _ => events(asked, &[("1", time)], None),
    });
    let client = client(&server.url);
    let patient = PollerConfig { patience: PATIENCE, ..bounded(&["broken", "whole"]) };
    let (delivered, ended) = run(&client, patient, &[], |_| false);
    assert_eq!(delivered.sorted(), ["m1"]);
    assert!(matches!(&failed(ended)[..], [(group, LogsError::Unavailable { .. })] if group == "broken"));
    let follower = PollerConfig { patience: Duration::ZERO, ..config(&["broken"]) };
    let (delivered, _) = run(&client, follower, &[], |delivered| !delivered.lines().is_empty());
    assert_eq!(delivered.sorted(), ["m1"]);
}

#[test]
fn a_window_whose_token_has_expired_is_read_anew_and_nothing_comes_twice() {
    let time = now_ms() - 3_000_000;
    let expired = AtomicUsize::new(0);
    let server = Server::start(move |asked, _| match asked.token() {
        None => events(asked, &[("1", time), ("2", time)], Some("a")),
        Some("a") if expired.fetch_add(1, Ordering::Relaxed) < 2 => error("InvalidParameterException"),
        Some("a") => events(asked, &[], Some("b")),
        Some("b") => events(asked, &[("2", time), ("3", time)], None),
        Some(token) => panic!("never gave {token}"),
    });
    let (delivered, ended) = run(&client(&server.url), bounded(&["shop"]), &[], |_| false);
    let lines: Vec<String> = delivered.lines().into_iter().map(|(_, line)| line).collect();
    assert_eq!(lines, ["m1", "m2", "m3"]);
    assert!(failed(ended).is_empty());
}

#[test]
fn a_parameter_that_is_not_taken_is_no_expired_token() {
    let server = Server::start(|_, _| error("InvalidParameterException"));
    let (delivered, ended) = run(&client(&server.url), bounded(&["sh op"]), &[], |_| false);
    assert!(delivered.pages.is_empty());
    let failed = failed(ended);
    assert!(matches!(&failed[..], [(group, LogsError::Parameter { .. })] if group == "sh op"), "{failed:?}");
}

#[test]
fn a_denied_group_is_named_with_what_it_needs_and_others_are_read() {
    let time = now_ms() - 3_000_000;
    let server = Server::start(move |asked, _| match asked.group() {
        "secret" => error("AccessDeniedException"),
        "gone" => error("ResourceNotFoundException"),
        _ => events(asked, &[("1", time)], None),
    });
    let (delivered, ended) = run(&client(&server.url), bounded(&["secret", "gone", "shop"]), &[], |_| false);
    assert_eq!(delivered.sorted(), ["m1"]);
    let failed = failed(ended);
    let said: Vec<String> = failed.iter().map(|(_, error)| error.to_string()).collect();
    assert_eq!(failed.iter().map(|(group, _)| group.as_str()).collect::<Vec<_>>(), ["secret", "gone"]);
    assert!(said[0].contains("logs:FilterLogEvents") && said[0].contains("secret"), "{said:?}");
    assert!(said[1].contains("does not exist"), "{said:?}");
}

#[test]
fn a_followed_group_that_is_not_there_yet_is_asked_for_again() {
    let server = Server::start(|asked, number| match number {
        0 => error("ResourceNotFoundException"),
        _ => events(asked, &[("1", now_ms())], None),
    });
    let (delivered, _) = run(&client(&server.url), config(&["later"]), &[], |delivered| !delivered.lines().is_empty());
    assert_eq!(delivered.sorted(), ["m1"]);
}

/// Gives other credentials each time.
#[derive(Debug)]
struct Renewed(Arc<AtomicUsize>);

impl ProvideCredentials for Renewed {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let key = format!("KEY{}", self.0.fetch_add(1, Ordering::Relaxed));
        future::ProvideCredentials::ready(Ok(Credentials::new(key, "secret", None, None, "test")))
    }
}

#[test]
fn credentials_that_have_expired_are_loaded_again_and_good_ones_are_kept() {
    let time = now_ms() - 3_000_000;
    let server = Server::start(move |asked, _| {
        let scope = "/eu-west-1/logs/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature=";
        assert!(asked.authorization.contains(scope), "{}", asked.authorization);
        match asked.authorization.contains("Credential=KEY0/") {
            true => error("ExpiredTokenException"),
            false if asked.token().is_none() => events(asked, &[("1", time)], Some("t")),
            false => events(asked, &[("2", time)], None),
        }
    });
    let loads = Arc::new(AtomicUsize::new(0));
    let client = client_with(&server.url, SharedCredentialsProvider::new(Renewed(loads.clone())));
    let (delivered, _) = run(&client, bounded(&["shop"]), &[], |_| false);
    assert_eq!(delivered.sorted(), ["m1", "m2"]);
    assert_eq!(loads.load(Ordering::Relaxed), 2);
}

#[test]
fn an_answer_without_end_is_refused_and_a_large_one_is_read() {
    let large = "x".repeat(1 << 20);
    let message = large.clone();
    let server = Server::start(move |asked, _| match asked.group() {
        "endless" => Reply::Status(200, " ".repeat(40 << 20)),
        _ => {
            let event = serde_json::json!({"eventId": "1", "timestamp": 1, "logStreamName": "s", "message": message});
            Reply::Status(200, serde_json::json!({"events": vec![event; 10]}).to_string())
        }
    });
    let client = client(&server.url);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let query =
        |group| reassemble_cloudwatch::EventQuery { group, start_ms: 0, end_ms: None, token: None, stream_prefix: "" };
    let page = runtime.block_on(client.filter_log_events(query("large"))).unwrap();
    assert_eq!((page.events.len(), &page.events[9].message), (10, &large));
    let error = runtime.block_on(client.filter_log_events(query("endless"))).unwrap_err();
    assert_eq!(error.fault(), Fault::Transient, "{error}");
}
