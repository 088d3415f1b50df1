//! Environment variables: their names, lists in them, and what is said of one that is no setting.
//!
//! A variable is the flag's name in capitals behind `REASSEMBLE_`. An unknown one is warned of and not refused: environments are shared, and
//! Kubernetes puts variables there that bear a Service's name.

use crate::nearest;

/// Before the name of every environment variable of ours.
pub const PREFIX: &str = "REASSEMBLE_";

/// The environment variable of a setting, which is named as its flag.
pub fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_ascii_uppercase().replace('-', "_"))
}

/// The values of a list, separated by commas. Commas within a glob's braces do not separate.
pub fn list(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0usize;
    let parts = text.split(move |c| {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    });
    parts.map(str::trim).filter(|part| !part.is_empty())
}

/// What to warn of where a variable begins like ours and is no setting of this `program` (of this "program", "extension"), which has the
/// settings `known`. `None`: somebody else made it, for a purpose of theirs.
pub fn unknown<'a>(name: &str, value: &str, program: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let key = name.strip_prefix(PREFIX)?.to_ascii_lowercase().replace('_', "-");
    if is_service_variable(name, value) {
        return None;
    }
    let hint = nearest(&key, known).map(|hint| format!("; did you mean {}?", variable(hint))).unwrap_or_default();
    Some(format!("environment variable {} is no setting of this {program}{hint}", name.escape_debug()))
}

/// Whether Kubernetes (or Docker's links) made this variable for a Service whose name begins like ours: `…_SERVICE_HOST`,
/// `…_SERVICE_PORT`, `…_SERVICE_PORT_HTTP`, `…_PORT=tcp://…`, `…_PORT_9464_TCP`, `…_PORT_9464_TCP_ADDR`.
fn is_service_variable(name: &str, value: &str) -> bool {
    if name.ends_with("_SERVICE_HOST") || name.ends_with("_SERVICE_PORT") || name.contains("_SERVICE_PORT_") {
        return true;
    }
    let Some((_, rest)) = name.split_once("_PORT_") else {
        return name.ends_with("_PORT")
            && ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    };
    let mut parts = rest.split('_');
    let number = parts.next().is_some_and(|part| part.parse::<u16>().is_ok());
    let protocol = parts.next().is_some_and(|part| ["TCP", "UDP", "SCTP"].contains(&part));
    let field = parts.next().is_none_or(|part| ["PROTO", "PORT", "ADDR"].contains(&part));
    number && protocol && field && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(name: &str, value: &str) -> Option<String> {
        unknown(name, value, "program", ["batch-bytes", "to"])
    }

    #[test]
    fn commas_separate_outside_braces() {
        assert_eq!(list("/a/{b,c}.log, /d , ,").collect::<Vec<_>>(), ["/a/{b,c}.log", "/d"]);
        assert_eq!(list("}a,b").collect::<Vec<_>>(), ["}a", "b"]);
        assert_eq!(list("").count(), 0);
    }

    #[test]
    fn what_is_no_setting_is_told_with_the_nearest_that_is_one() {
        assert_eq!(
            said("REASSEMBLE_BATCH_BYTE", "1").unwrap(),
            "environment variable REASSEMBLE_BATCH_BYTE is no setting of this program; did you mean REASSEMBLE_BATCH_BYTES?"
        );
        assert_eq!(
            said("REASSEMBLE_XYZZY\u{1b}[2J", "1").unwrap(),
            "environment variable REASSEMBLE_XYZZY\\u{1b}[2J is no setting of this program"
        );
        assert!(said("REASSEMBLE_PORT", "9464").is_some());
    }

    #[test]
    fn variables_of_kubernetes_are_not() {
        for (name, value) in [
            ("REASSEMBLE_SERVICE_HOST", "10.0.0.1"),
            ("REASSEMBLE_SERVICE_PORT", "9464"),
            ("REASSEMBLE_SERVICE_PORT_METRICS", "9464"),
            ("REASSEMBLE_PORT", "tcp://10.0.0.1:9464"),
            ("REASSEMBLE_PORT_9464_TCP", "tcp://10.0.0.1:9464"),
            ("REASSEMBLE_PORT_9464_TCP_PROTO", "tcp"),
            ("REASSEMBLE_PORT_9464_TCP_PORT", "9464"),
            ("REASSEMBLE_PORT_9464_TCP_ADDR", "10.0.0.1"),
            ("REASSEMBLE_METRICS_SERVICE_HOST", "10.0.0.1"),
            ("REASSEMBLE_METRICS_PORT_9464_UDP_ADDR", "10.0.0.1"),
        ] {
            assert_eq!(said(name, value), None, "{name}");
        }
    }
}
