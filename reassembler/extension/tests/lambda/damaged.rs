//! What cannot be read, and what is lost before it comes: all of it answered, told and counted, and what is beside it kept.

use serde_json::json;

use crate::scene::Scene;

#[test]
fn what_lambda_dropped_is_counted_as_lost() {
    let mut scene = Scene::start();
    let lines = scene.captures.lines(2);
    let id = scene.invoke();
    let dropped =
        json!({"reason": "Consumer seems to have fallen behind", "droppedRecords": 123, "droppedBytes": 12_345});
    let mut elements = scene.platform.printed(&lines);
    elements.push(scene.platform.element("platform.logsDropped", &dropped));
    elements.push(scene.platform.runtime_done(&id));
    scene.platform.push(&elements);
    scene.platform.idle();
    scene.extension.says("Lambda dropped output of the function");
    scene.shut_down("spindown");
    let words = scene.extension.words();
    assert!(words.contains("dropped_by_lambda_records=123 dropped_by_lambda_bytes=12345"), "{words}");
    scene.assert_stored();
}

#[test]
fn what_cannot_be_read_is_answered_and_counted() {
    let mut scene = Scene::start();
    let id = scene.invoke();
    let lines = scene.captures.lines(4);
    let good = scene.platform.printed(&lines);
    let half = good.len() / 2;
    for body in ["", "[]", "null", "{\"time\":\"t\"}", "not json"] {
        assert_eq!(scene.platform.post(body), 200);
    }
    assert_eq!(scene.platform.post(b"\xff\xfe\x00[".as_slice()), 200);
    let mixed = format!(
        "[{},nonsense,{},{{\"time\":\"t\",\"type\":\"platform.runtimeDone\",\"record\":{{}}}}]",
        good[..half].join(","),
        good[half..].join(",")
    );
    assert_eq!(scene.platform.post(mixed), 200);
    // Longer than any POST may be: what fits is read.
    let line = scene.captures.lines(1);
    let front = scene.platform.printed(&line).join(",");
    let endless = format!("[{front},{}]", scene.platform.element("function", &"x".repeat(3 << 20).into()));
    assert_eq!(scene.platform.post(endless), 200);
    scene.platform.push(&[scene.platform.runtime_done(&id)]);
    scene.platform.idle();
    scene.shut_down("spindown");
    let words = scene.extension.words();
    for problem in ["not_telemetry=4", "bad_record=", "bad_platform_record=1", "too_long=1"] {
        assert!(words.contains(problem), "{problem}: {words}");
    }
    scene.assert_stored();
}

#[test]
fn a_sender_that_vanishes_costs_nothing() {
    use std::io::Write as _;
    let mut scene = Scene::start();
    let lines = scene.captures.lines(3);
    let body = format!("[{}]", scene.platform.printed(&lines).join(","));
    let address = scene.platform.destination().replace("http://", "").replace('/', "");
    for length in [0, 10, body.len() / 2, body.len() - 1] {
        let mut socket = std::net::TcpStream::connect(&address).unwrap();
        write!(socket, "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{}", u64::MAX, &body[..0]).unwrap();
        socket.write_all(&body.as_bytes()[..body.floor_char_boundary(length)]).unwrap();
    }
    scene.invocation(&lines);
    scene.finish();
}
