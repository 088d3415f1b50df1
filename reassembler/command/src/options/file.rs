//! The layer of the configuration file: TOML whose keys are the flags' names.
//!
//! The file is the one that `--config` names, else the one that `REASSEMBLE_CONFIG` names, else `/etc/reassemble.toml` where it
//! exists. Every key must be known and of the right type; errors name file, line and the nearest key.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use reassemble_settings::nearest;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::layers::{Kind, Layer, Origin, Raw, known};
use crate::failure::Failure;

/// The file that is read where none is named.
pub(crate) const DEFAULT_PATH: &str = "/etc/reassemble.toml";

/// Settings that belong to one run and not to a file, with the reason that is shown.
const NOT_IN_FILES: [(&str, &str); 3] = [
    ("config", "a file cannot name another file"),
    ("check", "it is a flag: reassemble --check"),
    ("print-config", "it is a flag: reassemble --print-config"),
];

/// Loads the layer of the configuration file, if there is one.
///
/// # Errors
/// A file that is named and cannot be read, or that is wrong.
pub(crate) fn load(named: Option<PathBuf>) -> Result<Layer, Failure> {
    let is_named = named.is_some();
    let path = named.unwrap_or_else(|| PathBuf::from(DEFAULT_PATH));
    let shown = path.display();
    match std::fs::read(&path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => layer(&path, &text),
            Err(_) => Err(Failure::Usage(format!("{shown} is no TOML file: it is not UTF-8"))),
        },
        Err(error) if error.kind() == ErrorKind::NotFound && !is_named => Ok(Layer::default()),
        Err(error) => {
            let hint = if is_named { "" } else { "; --config /dev/null runs without it" };
            Err(Failure::Usage(format!("cannot read the configuration file {shown}: {error}{hint}")))
        }
    }
}

/// Reads a file's text.
///
/// # Errors
/// What is no TOML, an unknown key, a value of the wrong type or out of range.
pub(crate) fn layer(path: &Path, text: &str) -> Result<Layer, Failure> {
    let line_at = |offset: usize| 1 + text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count();
    let place = |offset: usize| format!("{}, line {}", path.display(), line_at(offset));
    let table = DeTable::parse(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        // The parser's text may quote the line; its first line says what is wrong.
        let what = error.message().lines().next().unwrap_or("it is no TOML").to_owned();
        Failure::Usage(format!("{}: {what}", place(offset)))
    })?;
    let known = known();
    let mut layer = Layer::default();
    for (key, value) in table.get_ref() {
        let (name, offset) = (key.get_ref().as_ref(), key.span().start);
        let Some(setting) = known.iter().find(|setting| setting.key == name) else {
            return Err(Failure::Usage(format!(
                "{}: {}",
                place(offset),
                unknown_key(name, known.iter().map(|s| s.key.as_str()))
            )));
        };
        match values(setting.kind, value) {
            Ok(None) => {}
            Ok(Some(values)) => {
                let origin = Origin::File { path: path.to_owned(), line: line_at(offset) };
                layer.set(name, Raw { values, origin });
            }
            Err(wanted) => {
                let got = value.get_ref().type_str();
                return Err(Failure::Usage(format!("{}: '{name}' wants {wanted}, and {got} is there", place(offset))));
            }
        }
    }
    layer.check()?;
    Ok(layer)
}

fn unknown_key<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let shown = name.escape_debug();
    if let Some((_, why)) = NOT_IN_FILES.iter().find(|(key, _)| *key == name) {
        return format!("'{shown}' does not belong in a file: {why}");
    }
    match nearest(&name.replace('_', "-"), known) {
        Some(hint) => format!("unknown key '{shown}'; did you mean '{hint}'?"),
        None => format!("unknown key '{shown}'; keys are the flags' names, see reassemble --help"),
    }
}

/// The values as flags would have them; `None` where the value means "not set".
fn values(kind: Kind, value: &Spanned<DeValue<'_>>) -> Result<Option<Vec<OsString>>, &'static str> {
    match (kind, value.get_ref()) {
        (Kind::Switch, DeValue::Boolean(on)) => Ok(Some(vec![on.to_string().into()])),
        (Kind::Switch, _) => Err("true or false, without quotes"),
        (Kind::List, DeValue::Array(items)) => {
            let text = |item: &Spanned<DeValue<'_>>| match item.get_ref() {
                DeValue::String(text) => Ok(OsString::from(text.as_ref())),
                _ => Err("texts in its list"),
            };
            let items = items.iter().map(text).collect::<Result<Vec<_>, _>>()?;
            Ok(if items.is_empty() { None } else { Some(items) })
        }
        (Kind::List, DeValue::String(text)) => Ok(Some(vec![text.as_ref().into()])),
        (Kind::List, _) => Err("a list, such as [\"a\", \"b\"]"),
        (Kind::Value { .. }, DeValue::String(text)) => Ok(Some(vec![text.as_ref().into()])),
        (Kind::Value { number: true, .. }, DeValue::Integer(number)) if number.radix() == 10 => {
            Ok(Some(vec![number.as_str().into()]))
        }
        (Kind::Value { optional: true, .. }, DeValue::Boolean(on)) => Ok(on.then(|| vec![OsString::new()])),
        (Kind::Value { number: true, .. }, _) => Err("a number, or a text in quotes"),
        (Kind::Value { .. }, _) => Err("a text in quotes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Layer, String> {
        layer("/etc/reassemble.toml".as_ref(), text).map_err(|error| error.to_string())
    }

    #[test]
    fn keys_are_the_flags_names() {
        let layer = read(
            "to = \"s3://logs/x\"\nfollow = [\"/a\", \"/b\"]\nredact-header = \"x-a\"\nbatch-bytes = 65536\n\
             max-line = \"2MiB\"\nno-redact = true\ns3-sse-kms = true\n# a comment\n",
        );
        let settings = layer.expect("good").resolve().expect("good").settings;
        assert_eq!(settings.input.follow, ["/a", "/b"]);
        assert_eq!(settings.storage.batch_bytes.0, 65_536);
        assert_eq!(settings.lines.max_line.0, 2 << 20);
        assert!(settings.content.no_redact);
        assert_eq!(settings.destination.s3_sse_kms.as_deref(), Some(""));
    }

    #[test]
    fn unknown_keys_name_the_nearest_known_one() {
        let unknown = |text| read(text).expect_err("unknown");
        assert_eq!(
            unknown("\nbatch-byte = 1"),
            "/etc/reassemble.toml, line 2: unknown key 'batch-byte'; did you mean 'batch-bytes'?"
        );
        assert_eq!(
            unknown("batch_bytes = 1"),
            "/etc/reassemble.toml, line 1: unknown key 'batch_bytes'; did you mean 'batch-bytes'?"
        );
        assert_eq!(
            unknown("[colour]\nx = 1"),
            "/etc/reassemble.toml, line 1: unknown key 'colour'; keys are the flags' names, see reassemble --help"
        );
        assert!(unknown("config = \"x\"").ends_with("a file cannot name another file"));
    }

    #[test]
    fn wrong_types_say_what_is_wanted() {
        let wrong = |text| read(text).expect_err("wrong type");
        assert_eq!(
            wrong("timeout = \"5s\"\nno-redact = \"yes\""),
            "/etc/reassemble.toml, line 2: 'no-redact' wants true or false, without quotes, and string is there"
        );
        assert_eq!(wrong("to = 5"), "/etc/reassemble.toml, line 1: 'to' wants a text in quotes, and integer is there");
        assert_eq!(
            wrong("batch-bytes = true"),
            "/etc/reassemble.toml, line 1: 'batch-bytes' wants a number, or a text in quotes, and boolean is there"
        );
        assert_eq!(
            wrong("follow = [1]"),
            "/etc/reassemble.toml, line 1: 'follow' wants texts in its list, and array is there"
        );
        assert!(wrong("batch-age = \"60\"").contains("'batch-age' in /etc/reassemble.toml, line 1: 60 of what?"));
    }

    #[test]
    fn what_is_no_toml_names_its_line() {
        let error = read("to = \"x\"\n\nfollow = [\n").expect_err("no TOML");
        assert!(error.starts_with("/etc/reassemble.toml, line "), "{error}");
        let error = read("to = \"a\"\nto = \"b\"\n").expect_err("twice");
        assert!(error.starts_with("/etc/reassemble.toml, line 2: duplicate key"), "{error}");
    }
}
