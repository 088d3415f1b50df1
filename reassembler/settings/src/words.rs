//! Settings that take one of a few words.

use std::str::FromStr;

use reassemble_pipeline::config::Compression;
use tracing::level_filters::LevelFilter;

use crate::{BadValue, bad};

/// The value of the word that `text` is.
fn one_of<T: Copy>(words: &[(&str, T)], text: &str) -> Result<T, BadValue> {
    match words.iter().find(|(word, _)| *word == text) {
        Some((_, value)) => Ok(*value),
        None => bad(format!("write one of {}", words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", "))),
    }
}

/// The `compression` setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum CompressionName {
    /// .ndjson.gz, levels 1 to 9
    Gzip,
    /// .ndjson.zst, levels 1 to 22
    Zstd,
    /// .ndjson
    None,
}

impl FromStr for CompressionName {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        one_of(
            &[("gzip", CompressionName::Gzip), ("zstd", CompressionName::Zstd), ("none", CompressionName::None)],
            text,
        )
    }
}

impl From<CompressionName> for Compression {
    fn from(name: CompressionName) -> Self {
        match name {
            CompressionName::Gzip => Compression::Gzip,
            CompressionName::Zstd => Compression::Zstd,
            CompressionName::None => Compression::None,
        }
    }
}

/// The `s3-checksums` setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Checksums {
    /// With every upload, as AWS recommends
    Always,
    /// Only where S3 demands one, for stores that reject them
    Required,
}

impl FromStr for Checksums {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        one_of(&[("always", Checksums::Always), ("required", Checksums::Required)], text)
    }
}

/// A switch: `true` or `false`, or a word that goes for one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch(pub bool);

impl FromStr for Switch {
    type Err = BadValue;

    // The words are those that clap's BoolishValueParser takes.
    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "on" | "1" => Ok(Switch(true)),
            "false" | "f" | "no" | "n" | "off" | "0" => Ok(Switch(false)),
            _ => bad("write true or false"),
        }
    }
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level(pub LevelFilter);

impl FromStr for Level {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text.to_ascii_lowercase().as_str() {
            "off" => Ok(Level(LevelFilter::OFF)),
            "error" => Ok(Level(LevelFilter::ERROR)),
            "warn" => Ok(Level(LevelFilter::WARN)),
            "info" => Ok(Level(LevelFilter::INFO)),
            "debug" => Ok(Level(LevelFilter::DEBUG)),
            "trace" => Ok(Level(LevelFilter::TRACE)),
            _ => bad("write error, warn, info, debug or off"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_taken_as_they_are_written() {
        assert_eq!("zstd".parse(), Ok(CompressionName::Zstd));
        assert_eq!("required".parse(), Ok(Checksums::Required));
        let why = "brotli".parse::<CompressionName>().unwrap_err();
        assert_eq!(why.to_string(), "write one of gzip, zstd, none");
        assert!("".parse::<Checksums>().is_err() && "Gzip".parse::<CompressionName>().is_err());
    }

    #[test]
    fn switches_and_levels_take_any_case() {
        assert_eq!(
            ("Yes".parse(), "OFF".parse(), "0".parse()),
            (Ok(Switch(true)), Ok(Switch(false)), Ok(Switch(false)))
        );
        assert!("".parse::<Switch>().is_err() && "maybe".parse::<Switch>().is_err());
        assert_eq!(("Debug".parse(), "off".parse()), (Ok(Level(LevelFilter::DEBUG)), Ok(Level(LevelFilter::OFF))));
        // Numbers are levels to tracing, and mean nothing to people.
        assert!("".parse::<Level>().is_err() && "3".parse::<Level>().is_err());
    }

    #[cfg(feature = "clap")]
    #[test]
    fn flags_take_the_same_words() {
        use clap::ValueEnum;
        use clap::builder::{BoolishValueParser, TypedValueParser as _};

        fn same<T: ValueEnum + FromStr<Err = BadValue> + PartialEq + std::fmt::Debug>() {
            for value in T::value_variants() {
                let word = value.to_possible_value().unwrap();
                assert_eq!(&word.get_name().parse::<T>().unwrap(), value);
            }
        }
        same::<CompressionName>();
        same::<Checksums>();
        let command = clap::Command::new("x");
        for word in ["true", "T", "yes", "y", "On", "1", "false", "f", "NO", "n", "off", "0", "maybe", "2", "disabled"]
        {
            let flag = BoolishValueParser::new().parse_ref(&command, None, word.as_ref()).ok();
            assert_eq!(word.parse().ok().map(|Switch(on)| on), flag, "{word}");
        }
    }
}
