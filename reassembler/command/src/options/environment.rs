//! The layer of environment variables: `REASSEMBLE_` and the flag's name in capitals.
//!
//! An empty variable counts as unset. A repeatable setting takes several values, as [`variables::list`] separates them. An unknown
//! `REASSEMBLE_…` variable is warned of and not refused.

use std::ffi::OsString;

use reassemble_settings::variables::{self, variable};

use super::layers::{Kind, Layer, Origin, Raw, known};

/// The variable that names the configuration file; it is no setting.
pub(crate) const CONFIG_VARIABLE: &str = "REASSEMBLE_CONFIG";

/// Settings of the environment.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    /// The settings.
    pub(crate) layer: Layer,
    /// The configuration file that is named.
    pub(crate) config: Option<OsString>,
    /// What should be told once the log is open.
    pub(crate) warnings: Vec<String>,
}

/// Reads the variables that are ours.
pub(crate) fn read(variables: impl Iterator<Item = (OsString, OsString)>) -> Environment {
    let known = known();
    let mut environment = Environment::default();
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with(variables::PREFIX)) else { continue };
        if value.is_empty() {
            continue;
        }
        if name == CONFIG_VARIABLE {
            environment.config = Some(value);
            continue;
        }
        if let Some(setting) = known.iter().find(|setting| variable(&setting.key) == name) {
            let values = match setting.kind {
                Kind::List => split_list(&value),
                Kind::Switch | Kind::Value { .. } => vec![value],
            };
            environment.layer.set(&setting.key, Raw { values, origin: Origin::Variable });
        } else {
            let keys = known.iter().map(|setting| setting.key.as_str()).chain(["config"]);
            environment.warnings.extend(variables::unknown(name, &value.to_string_lossy(), "program", keys));
        }
    }
    environment
}

/// The values of a list. What is not UTF-8 is one value.
fn split_list(value: &OsString) -> Vec<OsString> {
    value.to_str().map_or_else(|| vec![value.clone()], |text| variables::list(text).map(OsString::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        read(variables.iter().map(|(name, value)| (name.into(), value.into())))
    }

    #[test]
    fn variables_are_settings() {
        let environment = environment(&[
            ("REASSEMBLE_TO", "s3://logs/x"),
            ("REASSEMBLE_FOLLOW", "/var/log/{a,b}.log, /srv/*.log"),
            ("REASSEMBLE_QUIET", "1"),
            ("REASSEMBLE_STATE", ""),
            ("REASSEMBLE_CONFIG", "/etc/x.toml"),
            ("PATH", "/bin"),
        ]);
        assert_eq!(environment.warnings, Vec::<String>::new());
        assert_eq!(environment.config, Some("/etc/x.toml".into()));
        let resolved = environment.layer.resolve().expect("good");
        assert_eq!(resolved.settings.input.follow, ["/var/log/{a,b}.log", "/srv/*.log"]);
        assert!(resolved.settings.report.quiet);
        assert_eq!(resolved.origin("state"), None);
    }

    #[test]
    fn unknown_variables_are_warned_of() {
        assert_eq!(
            environment(&[("REASSEMBLE_BATCH_BYTE", "1")]).warnings,
            [
                "environment variable REASSEMBLE_BATCH_BYTE is no setting of this program; did you mean REASSEMBLE_BATCH_BYTES?"
            ]
        );
        assert_eq!(
            environment(&[("REASSEMBLE_XYZZY\u{1b}[2J", "1")]).warnings,
            ["environment variable REASSEMBLE_XYZZY\\u{1b}[2J is no setting of this program"]
        );
        assert_eq!(environment(&[("REASSEMBLE_PORT", "9464")]).warnings.len(), 1);
    }
}
