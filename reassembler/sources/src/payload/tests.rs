use super::*;

/// What came out, in order: lines as they are, failures in angle brackets.
fn read(pieces: &[&[u8]]) -> (String, Counts) {
    let mut documents = Documents::default();
    let mut text = Vec::new();
    let mut out = |found: Found<'_>| match found {
        Found::Document { lines, .. } => text.extend_from_slice(lines),
        Found::Text(bytes) => text.extend_from_slice(bytes),
        Found::Failed { at, why } => text.extend_from_slice(format!("<{at}: {why}>\n").as_bytes()),
    };
    pieces.iter().for_each(|piece| documents.push(piece, &mut out));
    documents.finish(&mut out);
    let counts = documents.counts();
    (String::from_utf8_lossy(&text).into_owned(), counts)
}

fn whole(text: &str) -> (String, Counts) {
    read(&[text.as_bytes()])
}

fn document(messages: &[&str]) -> String {
    let events: Vec<_> = messages
        .iter()
        .map(|message| format!(r#"{{"id":"3{:055}","timestamp":1510254469274,"message":{}}}"#, 7, quoted(message)))
        .collect();
    format!(
        r#"{{"messageType":"DATA_MESSAGE","owner":"123456789012","logGroup":"/shop","logStream":"a","subscriptionFilters":["all"],"logEvents":[{}]}}"#,
        events.join(",")
    )
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

const CONTROL: &str = r#"{"messageType":"CONTROL_MESSAGE","owner":"CloudwatchLogs","logGroup":"","logStream":"","subscriptionFilters":[],"logEvents":[{"id":"","timestamp":1510254469274,"message":"CWL CONTROL MESSAGE: Checking health of destination Firehose."}]}"#;

#[test]
fn documents_follow_one_another_with_nothing_white_space_or_newlines_between() {
    let (one, two) = (document(&["a", "b\nc\n"]), document(&["{\"d\"}"]));
    let expected = "a\nb\nc\n{\"d\"}\n";
    for between in ["", "\n", " \r\n\t"] {
        let (text, counts) = whole(&format!("{one}{between}{CONTROL}{between}{two}{between}"));
        assert_eq!(text, expected);
        assert_eq!(counts, Counts { documents: 2, events: 3, control_messages: 1, failures: 0 });
    }
}

#[test]
fn the_order_of_keys_and_white_space_do_not_matter() {
    let owner_first = r#"
        { "owner" : "111111111111", "logGroup": "CloudTrail/logs", "logStream": "s", "subscriptionFilters": ["Destination"],
          "messageType": "DATA_MESSAGE", "logEvents": [ {"message": "one", "timestamp": 1, "id": "3", "extractedFields": {"owner": "x"}} ],
          "policyLevel": "ACCOUNT_LEVEL_POLICY" } "#;
    assert_eq!(whole(owner_first).0, "one\n");
    assert_eq!(is_payload(owner_first.as_bytes(), true), Some(true));
}

#[test]
fn it_does_not_matter_how_the_bytes_come() {
    let damaged = document(&["lost?", "torn"]).replace("torn\"}]}", "torn");
    let payload =
        format!("{}{CONTROL}stray\n{}{damaged}{}", document(&["one"]), document(&["é \u{1f600}"]), document(&["last"]));
    let expected = whole(&payload);
    assert_eq!(expected.1.failures, 1, "{}", expected.0);
    let bytes = payload.as_bytes();
    for size in [1, 2, 7, 100] {
        assert_eq!(read(&bytes.chunks(size).collect::<Vec<_>>()), expected, "pieces of {size}");
    }
}

#[test]
fn what_stands_before_damage_is_read_and_so_is_the_next_document() {
    let good = document(&["next"]);
    let whole_one = document(&["first", "second"]);
    for cut in (1..whole_one.len()).filter(|cut| whole_one.is_char_boundary(*cut)) {
        let (text, counts) = whole(&format!("{}{good}", &whole_one[..cut]));
        assert!(text.ends_with("next\n"), "cut at {cut}: {text}");
        assert_eq!(counts.failures, 1, "cut at {cut}: {text}");
        assert_eq!(text.contains("first\n"), whole_one[..cut].contains("\"first\""), "cut at {cut}: {text}");
        assert_eq!(text.contains("second\n"), whole_one[..cut].contains("\"second\""), "cut at {cut}: {text}");
        // The same at the end of everything.
        let (text, counts) = whole(&format!("{good}{}", &whole_one[..cut]));
        assert!(text.starts_with("next\n"));
        assert!(counts.failures == 1 || text.ends_with(&whole_one[..cut]), "cut at {cut}: {text}");
    }
}

#[test]
fn a_failure_says_where() {
    let good = document(&["one"]);
    let (text, _) = whole(&format!("{good}{}", good.replace("\"message\":", "message:")));
    let damage = good.len() + good.find("\"message\":").unwrap();
    let said = format!("one\n<{}: a document cannot be read to its end: it is no JSON at byte {damage}>\n", good.len());
    assert_eq!(text, said);
    for (from, to) in [
        ("DATA_MESSAGE\",\"owner\":\"123456789012\"", "DATA_MESSAGE\""),
        ("[{", "[3,{"),
        ("\"message\"", "\"text\""),
        ("\"logStream\":\"a\"", "\"logStream\":1"),
    ] {
        let (text, counts) = whole(&format!("{}{good}", good.replace(from, to)));
        assert!(text.contains("another shape") && text.ends_with("one\n"), "{text}");
        assert_eq!(counts.failures, 1, "{text}");
    }
}

#[test]
fn a_log_message_is_no_document() {
    let within = document(&["hidden"]);
    let message = format!("{within}\" {within}\\\" }} {within}");
    let (text, counts) = whole(&document(&[&message]));
    assert_eq!((text, counts.documents, counts.failures), (format!("{message}\n"), 1, 0));
    // Nor where the document around it is torn.
    let torn = document(&["kept", &message, "more"]).replace("more\"}]}", "more\"}");
    let (text, counts) = whole(&format!("{torn}{}", document(&["next"])));
    assert!(text.ends_with(&format!("kept\n{message}\nmore\nnext\n")), "{text}");
    assert_eq!(counts.documents, 2);
}

#[test]
fn other_text_between_documents_stays_lines() {
    let one = document(&["one"]);
    let (text, counts) =
        whole(&format!("{one}\nINFO {{\"a\":1}}\n{{\"owner\":\"bob\"}}\n{one}{{\"other\":2}}{one}tail"));
    let glued = text.find('<').unwrap();
    assert_eq!(&text[..glued], "one\nINFO {\"a\":1}\n{\"owner\":\"bob\"}\none\n{\"other\":2}\n");
    assert!(text.ends_with(">\none\ntail"), "{text}");
    assert_eq!((counts.documents, counts.failures), (3, 1));
}

#[test]
fn a_document_over_the_limit_is_told_and_what_was_held_of_it_is_read() {
    let long = "x".repeat(1 << 20);
    let messages = vec![long.as_str(); 40];
    let payload = format!("{}{}", document(&messages), document(&["next"]));
    let pieces: Vec<_> = payload.as_bytes().chunks(128 << 10).collect();
    let (text, counts) = read(&pieces);
    assert!(text.starts_with("<0: a document cannot be read to its end: it is longer than 32 MiB>\n"));
    assert!(text.ends_with("next\n"));
    assert_eq!((counts.documents, counts.events, counts.failures), (2, 32, 1));
}

#[test]
fn nesting_made_to_be_slow_is_looked_through_a_few_times_only() {
    let nest = r#"{"messageType":"DATA_MESSAGE","x":["#;
    let payload = format!("{}{}!{}", nest.repeat(50), "1,".repeat(100_000), document(&["next"]));
    let (text, counts) = whole(&payload);
    assert!(text.ends_with("next\n"));
    assert!(counts.failures <= u64::from(RESCANS) + 1, "{}", counts.failures);
}

#[test]
fn broken_unicode_in_a_message_is_no_damage() {
    let mut payload = document(&["?"]).into_bytes();
    let at = payload.iter().rposition(|byte| *byte == b'?').unwrap();
    payload.splice(at..=at, *b"\xff\\ud800");
    let mut documents = Documents::default();
    let mut lines = Vec::new();
    documents.push(&payload, &mut |found| match found {
        Found::Document { lines: found, log_group: "/shop", log_stream: "a", first_ms: Some(1_510_254_469_274) } => {
            lines.extend_from_slice(found)
        }
        other => panic!("{other:?}"),
    });
    assert!(lines.starts_with(b"\xff") && lines.ends_with(b"\n"));
}

#[test]
fn an_apps_own_json_is_no_payload() {
    for text in [
        "",
        "{",
        "{}",
        "INFO {",
        r#"{"messageType":"DATA_MESSAGE"}"#,
        r#"{"messageType":"order","owner":"bob","logGroup":"a","logStream":"b","logEvents":[]}"#,
        r#"{"owner":"123456789012","logGroup":"a","message":"no stream"}"#,
        r#"{"level":"info","msg":"{\"messageType\":\"DATA_MESSAGE\"}"}"#,
        r#"{"messageType":"DATA_MESSAGE","owner":1,"logGroup":"g","logStream":"s","logEvents":[]}"#,
    ] {
        assert_eq!(is_payload(text.as_bytes(), true), Some(false), "{text}");
    }
}

#[test]
fn a_payload_is_told_as_soon_as_it_is_certain_and_never_too_early() {
    let payload = document(&["one"]);
    let named = payload.find("\"subscriptionFilters\"").unwrap();
    for end in 0..payload.len() {
        let told = is_payload(&payload.as_bytes()[..end], false);
        assert_eq!(told, (end >= named - 1).then_some(true), "{}", &payload[..end]);
    }
    let marker = r#"{"messageType":"DATA_MESSAGE","owner":""#;
    assert_eq!(is_payload(format!("{marker}{}", "x".repeat(HEAD_BYTES)).as_bytes(), false), Some(false));
}
