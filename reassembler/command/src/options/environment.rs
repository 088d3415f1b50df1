//! The layer of environment variables: `REASSEMBLE_` and the flag's name in capitals.
//!
//! An empty variable counts as unset. A repeatable setting takes several values separated by commas (commas within a glob's braces
//! do not separate). An unknown `REASSEMBLE_…` variable is warned of and not refused: environments are shared, and Kubernetes
//! puts variables there that bear a Service's name.

use std::ffi::OsString;

use super::layers::{Kind, Layer, Origin, Raw, VARIABLE_PREFIX, known, variable};
use super::nearest::nearest;

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
        let Some(name) = name.to_str().filter(|name| name.starts_with(VARIABLE_PREFIX)) else { continue };
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
        } else if !is_service_variable(name, &value.to_string_lossy()) {
            let key = name[VARIABLE_PREFIX.len()..].to_ascii_lowercase().replace('_', "-");
            let hint = nearest(&key, known.iter().map(|setting| setting.key.as_str()).chain(["config"]));
            let hint = hint.map(|hint| format!("; did you mean {}?", variable(hint))).unwrap_or_default();
            environment
                .warnings
                .push(format!("environment variable {} is no setting of this program{hint}", name.escape_debug()));
        }
    }
    environment
}

/// Splits at commas outside braces. A value that is not UTF-8 is taken whole.
fn split_list(value: &OsString) -> Vec<OsString> {
    let Some(text) = value.to_str() else { return vec![value.clone()] };
    let mut depth = 0usize;
    let parts = text.split(|c| {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    });
    parts.map(str::trim).filter(|part| !part.is_empty()).map(OsString::from).collect()
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

    #[test]
    fn variables_of_kubernetes_are_silent() {
        let silent = environment(&[
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
        ]);
        assert_eq!(silent.warnings, Vec::<String>::new());
    }
}
