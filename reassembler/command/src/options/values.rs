//! The kinds of value that the command's options take beside those that it shares with other programs.

use std::str::FromStr;

use reassemble_pipeline::config;
use reassemble_settings::words::Level;
use reassemble_settings::{BadValue, bad};

/// An address to listen on, `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListenAddr(pub(crate) String);

impl FromStr for ListenAddr {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let teach = "write HOST:PORT, such as 127.0.0.1:9464, or 0.0.0.0:9464 to be reached from other machines";
        match text.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(ListenAddr(text.to_owned())),
            _ => bad(teach),
        }
    }
}

/// What the program logs: a level, or a filter by module such as `info,reassemble_store=debug`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogLevel(pub(crate) String);

impl FromStr for LogLevel {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let plain_word = !text.contains(['=', ',']);
        if (plain_word && text.parse::<Level>().is_err())
            || text.parse::<tracing_subscriber::filter::Targets>().is_err()
        {
            return bad("write error, warn, info, debug or off, or a filter such as info,reassemble_store=debug");
        }
        Ok(LogLevel(text.to_owned()))
    }
}

/// The `--envelope` option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Envelope {
    /// Recognise it from each input's own lines
    Auto,
    /// Lines as the app printed them
    Plain,
    /// Docker's json-file driver
    Docker,
    /// Containerd's and CRI-O's files under /var/log/pods
    Cri,
    /// A JSON logger's records, the line in a field or nested
    Json,
}

impl From<Envelope> for config::Envelope {
    fn from(envelope: Envelope) -> Self {
        match envelope {
            Envelope::Auto => config::Envelope::Auto,
            Envelope::Plain => config::Envelope::Plain,
            Envelope::Docker => config::Envelope::Docker,
            Envelope::Cri => config::Envelope::Cri,
            Envelope::Json => config::Envelope::Json,
        }
    }
}

/// The `--summary` option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum SummaryFormat {
    /// A table for people, on standard error
    Text,
    /// One JSON object on standard output (on standard error where standard output is the app's)
    Json,
    /// Nothing
    None,
}

/// The `--log-format` option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// A line for people
    Plain,
    /// One JSON object a line
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_addresses_have_a_host_and_a_port() {
        for text in ["127.0.0.1:9464", "[::1]:0", "localhost:80"] {
            assert!(text.parse::<ListenAddr>().is_ok(), "{text}");
        }
        for text in ["9464", ":9464", "localhost", "localhost:http", "localhost:70000"] {
            assert!(text.parse::<ListenAddr>().is_err(), "{text}");
        }
    }

    #[test]
    fn levels_are_words_or_filters() {
        assert!("info,reassemble_store=debug".parse::<LogLevel>().is_ok());
        assert!("infoo".parse::<LogLevel>().is_err());
    }
}
