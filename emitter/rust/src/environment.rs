//! What the environment sets, and what it tells of the process. The README's table is this module's contract.

use std::{
    fs::File,
    io::{self, Read},
    path::PathBuf,
};

use reassemble_formats::sign::{MAX_SECRET_BYTES, SigningKey};

use crate::config::{BuildError, Builder, Errors, Output, SampleBy};

/// The variable that holds the secret to sign with, and the one that names a file of it.
const SECRET: &str = "CAPTURE_SIGNING_KEY";
const SECRET_FILE: &str = "CAPTURE_SIGNING_KEY_FILE";

/// Applies each variable that is set and not empty.
pub(crate) fn apply(builder: Builder, get: impl Fn(&str) -> Option<String>) -> Result<Builder, BuildError> {
    let get = |name: &str| get(name).filter(|value| !value.is_empty());
    let mut b = builder;
    if let Some(name) = get("CAPTURE_SERVICE") {
        b = b.service(name);
    } else if let Some(name) = get("OTEL_SERVICE_NAME").filter(|_| !b.has_service()) {
        b = b.service(name);
    }
    if let Some(value) = get("CAPTURE_OUTPUT") {
        b = b.output(match value.as_str() {
            "off" => Output::Off,
            "stdout" => Output::Stdout,
            "stderr" => Output::Stderr,
            path => Output::Path(match path.strip_prefix("fd:") {
                Some(number) => descriptor(number, path)?,
                None => path.into(),
            }),
        });
    }
    if let Some(value) = get("CAPTURE_LINE_LIMIT") {
        b = b.line_limit(usize::try_from(bytes("CAPTURE_LINE_LIMIT", value)?).unwrap_or(usize::MAX));
    }
    if let Some(value) = get("CAPTURE_BODY_LIMIT") {
        b = b.body_limit(bytes("CAPTURE_BODY_LIMIT", value)?);
    }
    if let Some(value) = get("CAPTURE_QUEUE_LIMIT") {
        b = b.queue_limit(usize::try_from(bytes("CAPTURE_QUEUE_LIMIT", value)?).unwrap_or(usize::MAX));
    }
    if let Some(value) = get("CAPTURE_SAMPLE_RATE") {
        let rate = value.parse::<f64>().ok().filter(|rate| (0.0..=1.0).contains(rate));
        b = b.sample_rate(rate.ok_or(refused("CAPTURE_SAMPLE_RATE", value, "a share within 0 to 1"))?);
    }
    if let Some(value) = get("CAPTURE_SAMPLE_BY") {
        b = b.sample_by(match value.as_str() {
            "trace" => SampleBy::Trace,
            "id" => SampleBy::Id,
            _ => return Err(refused("CAPTURE_SAMPLE_BY", value, "`trace` or `id`")),
        });
    }
    if let Some(value) = get("CAPTURE_RATE_LIMIT") {
        let limit = value.parse::<f64>().ok().filter(|limit| *limit > 0.0 && limit.is_finite());
        b = b.rate_limit(limit.ok_or(refused("CAPTURE_RATE_LIMIT", value, "a number of captures a second above 0"))?);
    }
    if let Some(value) = get("CAPTURE_ERRORS") {
        b = b.errors(match value.as_str() {
            "sampled" => Errors::Sampled,
            "always" => Errors::Always,
            _ => return Err(refused("CAPTURE_ERRORS", value, "`sampled` or `always`")),
        });
    }
    if let Some(value) = get("CAPTURE_REDACT_BUFFER") {
        b = b.redact_buffer(Some(usize::try_from(bytes("CAPTURE_REDACT_BUFFER", value)?).unwrap_or(usize::MAX)));
    }
    if let Some(value) = get("CAPTURE_REDACT_BODIES") {
        b = match value.as_str() {
            "on" => b.redact_bodies(),
            "off" => b.redact_buffer(None),
            _ => return Err(refused("CAPTURE_REDACT_BODIES", value, "`on` or `off`")),
        };
    }
    b = match (get(SECRET), get(SECRET_FILE)) {
        (Some(_), Some(_)) => return Err(BuildError::TwoSigningKeys(SECRET, SECRET_FILE)),
        (Some(secret), None) => b.signing_key(signing_key(SECRET, &secret)?),
        (None, Some(path)) => {
            let secret =
                read_secret(&path).map_err(|source| BuildError::SigningKeyFile { path: path.clone(), source })?;
            b.signing_key(signing_key(&path, &secret)?)
        }
        (None, None) => b,
    };
    type Add = fn(Builder, &str) -> Builder;
    let lists: [(&str, Add); 10] = [
        ("CAPTURE_ONLY_METHODS", |b, item| b.only_method(item)),
        ("CAPTURE_SKIP_METHODS", |b, item| b.skip_method(item)),
        ("CAPTURE_ONLY_PATHS", |b, item| b.only_path(item)),
        ("CAPTURE_SKIP_PATHS", |b, item| b.skip_path(item)),
        ("CAPTURE_ONLY_BODY_TYPES", |b, item| b.only_body_type(item)),
        ("CAPTURE_SKIP_BODY_TYPES", |b, item| b.skip_body_type(item)),
        ("CAPTURE_REDACT_HEADERS", |b, item| b.redact(|redactor| redactor.header(item))),
        ("CAPTURE_KEEP_HEADERS", |b, item| b.redact(|redactor| redactor.keep_header(item))),
        ("CAPTURE_REDACT_NAMES", |b, item| b.redact(|redactor| redactor.name(item))),
        ("CAPTURE_KEEP_NAMES", |b, item| b.redact(|redactor| redactor.keep_name(item))),
    ];
    for (name, add) in lists {
        for item in get(name).unwrap_or_default().split(',').map(str::trim).filter(|item| !item.is_empty()) {
            b = add(b, item);
        }
    }
    Ok(b)
}

/// Where an open descriptor is found again, to be opened for the emitter alone.
fn descriptor(number: &str, value: &str) -> Result<PathBuf, BuildError> {
    let known = number.parse::<u32>().ok().map(|number| PathBuf::from(format!("/dev/fd/{number}")));
    known.ok_or_else(|| refused("CAPTURE_OUTPUT", value.to_owned(), "`stdout`, `stderr`, `off`, `fd:N` or a path"))
}

/// The key of a secret; white space around it, such as a file's last newline, is not part of it.
fn signing_key(from: &str, secret: &str) -> Result<SigningKey, BuildError> {
    SigningKey::new(secret.trim()).map_err(|source| BuildError::SigningKey { from: from.to_owned(), source })
}

/// A file's text, as far as a secret may reach and a little more: whatever file is named, it costs no memory.
fn read_secret(path: &str) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(2 * MAX_SECRET_BYTES as u64).read_to_string(&mut text)?;
    Ok(text)
}

/// A number of bytes, plain or in `KiB`, `MiB` or `GiB`.
fn bytes(name: &'static str, value: String) -> Result<u64, BuildError> {
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30)];
    let (number, shift) = units
        .iter()
        .find_map(|(unit, shift)| Some((value.strip_suffix(unit)?.trim_end(), *shift)))
        .unwrap_or((value.as_str(), 0));
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift))
        .ok_or_else(|| refused(name, value, "a number of bytes (4096, 64KiB, 8MiB, 1GiB)"))
}

fn refused(name: &'static str, value: String, expected: &'static str) -> BuildError {
    BuildError::Environment { name, value, expected }
}

/// The program's file name.
pub(crate) fn program_name() -> String {
    std::env::current_exe()
        .ok()
        .and_then(|path| Some(path.file_stem()?.to_string_lossy().into_owned()))
        .unwrap_or_default()
}

/// The host's name as the system has it; empty where it tells none.
pub(crate) fn host_name() -> String {
    #[cfg(unix)]
    if let Ok(name) = nix::unistd::gethostname() {
        return name.to_string_lossy().into_owned();
    }
    std::env::var("COMPUTERNAME").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(variables: &[(&str, &str)]) -> Result<String, String> {
        let get = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name)?;
            Some(found.1.to_owned())
        };
        apply(Builder::new(), get).map(|builder| format!("{builder:?}")).map_err(|fault| fault.to_string())
    }

    #[test]
    fn variables_set_what_they_name() {
        let text = applied(&[
            ("OTEL_SERVICE_NAME", "other"),
            ("CAPTURE_SERVICE", "shop"),
            ("CAPTURE_OUTPUT", "/var/log/x"),
            ("CAPTURE_BODY_LIMIT", "8MiB"),
            ("CAPTURE_QUEUE_LIMIT", "64 KiB"),
            ("CAPTURE_SAMPLE_RATE", "0.25"),
            ("CAPTURE_SAMPLE_BY", "id"),
            ("CAPTURE_SKIP_PATHS", "/health, /assets/*,"),
            ("CAPTURE_REDACT_HEADERS", "x-pin"),
            ("CAPTURE_RATE_LIMIT", "0.5"),
            ("CAPTURE_ERRORS", "always"),
            ("CAPTURE_SKIP_METHODS", "OPTIONS"),
            ("CAPTURE_REDACT_BUFFER", "1MiB"),
        ])
        .unwrap();
        for part in [
            "service: Some(\"shop\")",
            "Path(\"/var/log/x\")",
            "body_limit: 8388608",
            "queue_limit: 65536",
            "rate: 0.25",
            "sample_by: Id",
            "\"/health\"",
            "\"/assets/\", open: true",
            "\"x-pin\"",
            "rate_limit: Some(0.5)",
            "errors: Always",
            "\"OPTIONS\"",
            "redact_buffer: Some(1048576)",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn wrong_values_are_named() {
        assert_eq!(
            applied(&[("CAPTURE_BODY_LIMIT", "8MB")]).unwrap_err(),
            "CAPTURE_BODY_LIMIT=\"8MB\" is not a number of bytes (4096, 64KiB, 8MiB, 1GiB)"
        );
        let output = |value: &str| applied(&[("CAPTURE_OUTPUT", value)]);
        assert!(output("fd:7").unwrap().contains("Path(\"/dev/fd/7\")"));
        assert!(output("fd:x").is_err() && output("./fd:x").is_ok());
        for (name, value) in
            [("CAPTURE_RATE_LIMIT", "0"), ("CAPTURE_ERRORS", "never"), ("CAPTURE_REDACT_BODIES", "yes")]
        {
            assert!(applied(&[(name, value)]).unwrap_err().starts_with(name), "{name}");
        }
        assert!(applied(&[("CAPTURE_REDACT_BODIES", "off")]).unwrap().contains("redact_buffer: None"));
        assert!(applied(&[("CAPTURE_REDACT_BODIES", "on")]).unwrap().contains("redact_buffer: Some(65536)"));
        assert!(applied(&[("CAPTURE_SAMPLE_RATE", "2")]).is_err());
        assert!(applied(&[("CAPTURE_SAMPLE_BY", "path")]).is_err());
        assert!(applied(&[("CAPTURE_SAMPLE_BY", "")]).is_ok());
    }

    #[test]
    fn a_signing_key_comes_from_a_variable_or_a_file_and_is_never_shown() {
        const TEXT: &str = "8d0f3c2e9a7b465180d2b6f4c1e3a597";
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (good, short) = (file("good", format!("{TEXT}\n").as_bytes()), file("short", b"hunter2\n"));
        let (long, binary) = (file("long", &[b'x'; 1 << 20]), file("binary", b"\xff"));
        for variables in [(SECRET, TEXT), (SECRET_FILE, good.as_str())] {
            let shown = applied(&[variables]).unwrap();
            assert!(shown.contains("signing: Some(SigningKey(..))") && !shown.contains(TEXT), "{shown}");
        }
        for (variables, said) in [
            (vec![(SECRET, "hunter2")], "CAPTURE_SIGNING_KEY holds no secret to sign with".to_owned()),
            (vec![(SECRET_FILE, &*short)], format!("{short} holds no secret to sign with")),
            (vec![(SECRET_FILE, &*long)], format!("{long} holds no secret to sign with")),
            (vec![(SECRET_FILE, &*binary)], format!("the secret to sign with can't be read from {binary}")),
            (vec![(SECRET_FILE, "/no/such")], "the secret to sign with can't be read from /no/such".to_owned()),
            (
                vec![(SECRET, TEXT), (SECRET_FILE, &*good)],
                "CAPTURE_SIGNING_KEY and CAPTURE_SIGNING_KEY_FILE are both set; set one of them".to_owned(),
            ),
        ] {
            assert_eq!(applied(&variables).unwrap_err(), said);
        }
    }

    #[test]
    fn a_service_set_by_a_call_gives_way_to_its_own_variable_alone() {
        let get = |name: &str| (name == "OTEL_SERVICE_NAME").then(|| "otel".to_owned());
        let builder = apply(Builder::new().service("call"), get).unwrap();
        assert!(format!("{builder:?}").contains("Some(\"call\")"));
    }
}
