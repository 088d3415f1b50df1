//! One precedence: flags over environment over file over defaults.
//!
//! A layer holds raw values, as text, with their origin. Layers are laid over each other setting by setting (a repeatable setting of
//! a higher layer replaces the lower one's list, it does not add to it), and what is on top is parsed by the parser that reads
//! flags. So a setting means the same wherever it is written, and an error names the place where it was.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, CommandFactory as _, Parser as _};
use reassemble_settings::variables::variable;
use reassemble_settings::words::Switch;

use super::settings::Settings;
use crate::failure::Failure;

/// How a setting may be written in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `true` or `false`.
    Switch,
    /// Text, and a number too where `number`; `true` where it may stand without a value.
    Value {
        /// Whether a bare number is meant.
        number: bool,
        /// Whether it may stand without a value.
        optional: bool,
    },
    /// Any number of texts.
    List,
}

/// A setting as the layers know it.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// The flag's name without dashes, which is the key in a file.
    pub(crate) key: String,
    /// How it may be written.
    pub(crate) kind: Kind,
    /// Its default, as text.
    default: Option<String>,
    /// The parser's id for it.
    id: String,
}

/// All settings, in the order in which they are declared.
pub(crate) fn known() -> Vec<Known> {
    Settings::command()
        .get_arguments()
        .filter_map(|arg| {
            let value_name = arg.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str());
            let optional = arg.get_num_args().is_some_and(|range| range.min_values() == 0);
            let kind = match arg.get_action() {
                ArgAction::Append => Kind::List,
                _ if value_name == "BOOL" => Kind::Switch,
                _ => Kind::Value { number: matches!(value_name, "SIZE" | "LEVEL"), optional },
            };
            let default = arg.get_default_values().first().map(|value| value.to_string_lossy().into_owned());
            Some(Known { key: arg.get_long()?.to_owned(), kind, default, id: arg.get_id().to_string() })
        })
        .collect()
}

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// On the command line.
    Flag,
    /// In the environment.
    Variable,
    /// In a configuration file.
    File {
        /// Its path.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
}

impl Origin {
    /// How a setting from here is called in a sentence.
    pub(crate) fn name_of(&self, key: &str) -> String {
        match self {
            Origin::Flag => format!("--{key}"),
            Origin::Variable => variable(key),
            Origin::File { path, line } => format!("'{key}' in {}, line {line}", path.display()),
        }
    }
}

/// Values as they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Raw {
    /// One value, or several where the setting is repeatable.
    pub(crate) values: Vec<OsString>,
    /// Where they were written.
    pub(crate) origin: Origin,
}

impl Raw {
    fn arguments(&self, key: &str) -> impl Iterator<Item = OsString> {
        self.values.iter().map(move |value| {
            let mut argument = OsString::from(format!("--{key}="));
            argument.push(value);
            argument
        })
    }
}

/// Settings from one place, or from several laid over each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layer(BTreeMap<String, Raw>);

impl Layer {
    /// The settings that stand on the command line.
    pub(crate) fn from_flags(matches: &ArgMatches) -> Self {
        let given = known().into_iter().filter_map(|setting| {
            // A subcommand that does not take the setting does not know its id.
            let raw = matches.try_get_raw(&setting.id).ok().flatten()?;
            if matches.value_source(&setting.id) != Some(ValueSource::CommandLine) {
                return None;
            }
            Some((setting.key, Raw { values: raw.map(OsString::from).collect(), origin: Origin::Flag }))
        });
        Layer(given.collect())
    }

    /// Adds a setting. What was there is replaced.
    pub(crate) fn set(&mut self, key: &str, raw: Raw) {
        self.0.insert(key.to_owned(), raw);
    }

    /// Lays this layer over a lower one.
    pub(crate) fn or(mut self, lower: Layer) -> Layer {
        for (key, raw) in lower.0 {
            self.0.entry(key).or_insert(raw);
        }
        self
    }

    /// Parses every value by itself, so that a wrong one is told with its place even where a higher layer stands over it.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        for (key, raw) in &self.0 {
            if let Err(error) = Settings::try_parse_from(raw.arguments(key)) {
                let name = raw.origin.name_of(key);
                let value = raw.values.iter().map(|value| value.to_string_lossy()).collect::<Vec<_>>().join(", ");
                return Err(Failure::Usage(format!("invalid value '{value}' for {name}: {}", reason(&error))));
            }
        }
        Ok(())
    }

    /// Parses what is on top, with defaults for what is not set.
    pub(crate) fn resolve(self) -> Result<Resolved, Failure> {
        self.check()?;
        let arguments = self.0.iter().flat_map(|(key, raw)| raw.arguments(key));
        let settings = Settings::try_parse_from(arguments).map_err(|error| Failure::Usage(reason(&error)))?;
        Ok(Resolved { settings, layer: self })
    }
}

/// Why the parser refuses, without its frame of usage lines.
fn reason(error: &clap::Error) -> String {
    if let Some(source) = error.source() {
        return source.to_string();
    }
    if let Some(ContextValue::Strings(valid)) = error.get(ContextKind::ValidValue) {
        return format!("write one of {}", valid.join(", "));
    }
    error.kind().to_string()
}

/// Settings with the places where they were written.
#[derive(Debug)]
pub(crate) struct Resolved {
    /// The typed settings.
    pub(crate) settings: Settings,
    layer: Layer,
}

impl Resolved {
    /// Where a setting was written; `None`: nowhere, its default holds.
    pub(crate) fn origin(&self, key: &str) -> Option<&Origin> {
        self.layer.0.get(key).map(|raw| &raw.origin)
    }

    /// Whether a setting stands on the command line of this very run.
    pub(crate) fn is_flag(&self, key: &str) -> bool {
        self.origin(key) == Some(&Origin::Flag)
    }

    /// Refuses settings that mean nothing to what is done, where they stand on the command line of this very run.
    ///
    /// # Errors
    /// The first of them.
    pub(crate) fn refuse(&self, meaningless: &[&str], to_whom: &str) -> Result<(), Failure> {
        match meaningless.iter().find(|key| self.is_flag(key)) {
            Some(key) => Err(Failure::Usage(format!("--{key} means nothing {to_whom}"))),
            None => Ok(()),
        }
    }

    /// What a setting is called where it was written.
    pub(crate) fn name_of(&self, key: &str) -> String {
        self.origin(key).unwrap_or(&Origin::Flag).name_of(key)
    }

    /// All settings as a configuration file that would mean the same, with their origins as comments.
    pub(crate) fn to_toml(&self) -> String {
        let mut text = String::new();
        for setting in known() {
            let key = &setting.key;
            let written = self.layer.0.get(key);
            let line = match (written, &setting.default) {
                (Some(raw), _) => format!("{key} = {}", toml_value(setting.kind, &raw.values)),
                (None, Some(default)) => format!("# {key} = {}", toml_value(setting.kind, &[default.into()])),
                (None, None) => format!("# {key} is not set"),
            };
            let comment = match written.map(|raw| &raw.origin) {
                Some(Origin::Flag) => format!("  # --{key}"),
                Some(Origin::Variable) => format!("  # {}", variable(key)),
                Some(Origin::File { path, line }) => format!("  # {}, line {line}", path.display()),
                None => String::new(),
            };
            // Writing to a String does not fail.
            writeln!(text, "{line}{comment}").ok();
        }
        text
    }
}

/// A value in TOML, so that the file reader takes it back.
fn toml_value(kind: Kind, values: &[OsString]) -> String {
    let quoted = |value: &OsString| toml::Value::String(value.to_string_lossy().into_owned()).to_string();
    match (kind, values) {
        (Kind::List, values) => format!("[{}]", values.iter().map(quoted).collect::<Vec<_>>().join(", ")),
        (Kind::Switch, [value]) => value.to_string_lossy().parse().is_ok_and(|Switch(on)| on).to_string(),
        (_, values) => values.first().map(quoted).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(origin: Origin, settings: &[(&str, &[&str])]) -> Layer {
        let mut layer = Layer::default();
        for (key, values) in settings {
            layer.set(key, Raw { values: values.iter().map(OsString::from).collect(), origin: origin.clone() });
        }
        layer
    }

    fn file() -> Origin {
        Origin::File { path: "/etc/reassemble.toml".into(), line: 3 }
    }

    #[test]
    fn higher_layers_stand_over_lower_ones_setting_by_setting() {
        let flags = layer(Origin::Flag, &[("retention", &["1d"])]);
        let variables = layer(Origin::Variable, &[("retention", &["2d"]), ("batch-age", &["2s"])]);
        let file = layer(file(), &[("retention", &["3d"]), ("batch-age", &["3s"]), ("timeout", &["3s"])]);
        let resolved = flags.or(variables).or(file).resolve().expect("good");
        assert_eq!(resolved.settings.retention.retention.0, 1);
        assert_eq!(resolved.settings.storage.batch_age.0.as_secs(), 2);
        assert_eq!(resolved.settings.lines.timeout.0.as_secs(), 3);
        assert_eq!(resolved.settings.retention.retention_errors.0, 90);
        assert_eq!(resolved.name_of("batch-age"), "REASSEMBLE_BATCH_AGE");
        assert_eq!(resolved.origin("retention-errors"), None);
    }

    #[test]
    fn a_list_replaces_the_lower_list() {
        let flags = layer(Origin::Flag, &[("redact-header", &["a", "b"])]);
        let file = layer(file(), &[("redact-header", &["c"])]);
        let resolved = flags.or(file).resolve().expect("good");
        let names: Vec<&str> = resolved.settings.content.redact_header.iter().map(|name| name.0.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn a_flag_can_switch_off_what_a_file_switches_on() {
        let flags = layer(Origin::Flag, &[("no-redact", &["false"])]);
        let file = layer(file(), &[("no-redact", &["true"])]);
        assert!(!flags.or(file.clone()).resolve().expect("good").settings.content.no_redact);
        assert!(file.resolve().expect("good").settings.content.no_redact);
    }

    #[test]
    fn errors_name_the_place() {
        let error = layer(Origin::Variable, &[("batch-bytes", &["64M"])]).check().expect_err("ambiguous");
        assert_eq!(
            error.to_string(),
            "invalid value '64M' for REASSEMBLE_BATCH_BYTES: M could mean two things: write 64MiB (powers of 1024) or 64MB (of 1000)"
        );
        let error = layer(file(), &[("compression", &["brotli"])]).check().expect_err("unknown");
        assert_eq!(
            error.to_string(),
            "invalid value 'brotli' for 'compression' in /etc/reassemble.toml, line 3: write one of gzip, zstd, none"
        );
    }

    #[test]
    fn shown_settings_read_back_as_the_same() {
        let written = layer(
            Origin::Flag,
            &[("to", &["s3://b/p\"q"]), ("follow", &["/a", "/b*"]), ("no-redact", &["yes"]), ("s3-sse-kms", &[""])],
        );
        let shown = written.clone().resolve().expect("good").to_toml();
        let read = super::super::file::layer("x.toml".as_ref(), &shown).expect("valid TOML");
        let values = |layer: &Layer| layer.0.iter().map(|(k, raw)| (k.clone(), raw.values.clone())).collect::<Vec<_>>();
        let mut expected = values(&written);
        expected.iter_mut().filter(|(key, _)| key == "no-redact").for_each(|(_, values)| *values = vec!["true".into()]);
        assert_eq!(values(&read), expected);
    }
}
