//! An HTTP server that answers each call as a test's closure says. It serves one request a connection, and remembers what was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// One call.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) operation: String,
    pub(crate) authorization: String,
    pub(crate) body: Value,
}

impl Asked {
    pub(crate) fn group(&self) -> &str {
        self.body["logGroupName"].as_str().unwrap_or_default()
    }

    pub(crate) fn token(&self) -> Option<&str> {
        self.body["nextToken"].as_str()
    }
}

/// What is answered.
pub(crate) enum Reply {
    /// This status and body.
    Status(u16, String),
    /// The connection ends in the middle of the body.
    Cut,
}

/// A page of those events (id, time) that were asked for, with messages made of their ids.
pub(crate) fn events(asked: &Asked, events: &[(&str, i64)], token: Option<&str>) -> Reply {
    let (start, end) = (asked.body["startTime"].as_i64().unwrap(), asked.body["endTime"].as_i64());
    let events: Vec<Value> = events
        .iter()
        .filter(|(_, time)| *time >= start && end.is_none_or(|end| *time <= end))
        .map(|(id, time)| {
            json!({"eventId": id, "timestamp": time, "ingestionTime": time, "logStreamName": "s", "message": format!("m{id}")})
        })
        .collect();
    Reply::Status(200, json!({"events": events, "nextToken": token, "searchedLogStreams": []}).to_string())
}

/// A page of names.
pub(crate) fn groups(names: &[&str], token: Option<&str>) -> Reply {
    let groups: Vec<Value> = names.iter().map(|name| json!({"logGroupName": name})).collect();
    Reply::Status(200, json!({"logGroups": groups, "nextToken": token}).to_string())
}

/// An error as the service's protocol has it.
pub(crate) fn error(kind: &str) -> Reply {
    Reply::Status(400, json!({"__type": kind, "message": "as scripted"}).to_string())
}

pub(crate) struct Server {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Answers the call, of which this is the number, as `script` says.
    pub(crate) fn start(script: impl Fn(&Asked, usize) -> Reply + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let remembered = asked.clone();
        std::thread::spawn(move || {
            // A client that goes away in the middle is no fault of the server's.
            for stream in listener.incoming().flatten() {
                serve(stream, &script, &remembered);
            }
        });
        Server { url, asked }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(stream: TcpStream, script: &impl Fn(&Asked, usize) -> Reply, remembered: &Mutex<Vec<Asked>>) {
    let mut reader = BufReader::new(stream);
    let mut asked = Asked { operation: String::new(), authorization: String::new(), body: Value::Null };
    let mut length = 0;
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
        if let Some((name, value)) = line.trim_end().split_once(": ") {
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap(),
                "x-amz-target" => asked.operation = value.trim_start_matches("Logs_20140328.").to_owned(),
                "authorization" => asked.authorization = value.to_owned(),
                _ => {}
            }
        }
        line.clear();
    }
    let mut body = vec![0; length];
    if reader.read_exact(&mut body).is_err() {
        return;
    }
    asked.body = serde_json::from_slice(&body).unwrap_or_default();
    let number = {
        let mut all = remembered.lock().unwrap();
        all.push(asked.clone());
        all.len() - 1
    };
    let (status, body, length) = match script(&asked, number) {
        Reply::Status(status, body) => (status, body.clone(), body.len()),
        Reply::Cut => (200, r#"{"events":[{"eventId":"#.to_owned(), 1000),
    };
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    let mut stream = reader.into_inner();
    drop(stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())));
}
