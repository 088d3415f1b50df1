//! What values of several settings mean together, and ranges that belong to a setting and not to its kind of value.

use reassemble_pipeline::config::{Compression, StoreConfig};

/// Smallest `spool-limit` in bytes: below it, single compressed blocks would fill the spool.
pub const LEAST_SPOOL_LIMIT_BYTES: u64 = 1 << 20;
/// Least `memory` in bytes: below it every capture would go to disk and come back.
const LEAST_MEMORY_BYTES: usize = 1 << 20;

/// A setting whose value does not fit. What it says reads well after the setting's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Misfit {
    /// The setting, as its flag is called.
    pub key: &'static str,
    why: String,
}

fn misfit(key: &'static str, why: impl Into<String>) -> Result<(), Misfit> {
    Err(Misfit { key, why: why.into() })
}

/// Checks how exchanges are stored.
///
/// # Errors
/// The first setting that does not fit.
pub fn check(config: &StoreConfig) -> Result<(), Misfit> {
    if config.batch_bytes == 0 {
        return misfit("batch-bytes", "must be more than nothing");
    }
    if config.spool_limit_bytes < LEAST_SPOOL_LIMIT_BYTES {
        return misfit("spool-limit", "must be at least 1MiB");
    }
    if config.memory_bytes < LEAST_MEMORY_BYTES {
        return misfit("memory", "must be at least 1MiB");
    }
    if let Some(level) = config.compression_level {
        let (name, most) = match config.compression {
            Compression::Gzip => ("gzip", 9),
            Compression::Zstd => ("zstd", 22),
            Compression::None => return misfit("compression-level", "means nothing without compression"),
        };
        if !(1..=most).contains(&level) {
            return misfit("compression-level", format!("must lie between 1 and {most} for {name}"));
        }
    }
    if config.folder_mode & 0o100 == 0 {
        return misfit("folder-mode", "must let the owner enter (x), such as 0750");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use reassemble_pipeline::config::{DestinationConfig, Retention};

    use super::*;

    /// What is said of a config that is good but for this.
    fn said(change: impl FnOnce(&mut StoreConfig)) -> Result<(), String> {
        let mut config = StoreConfig {
            to: DestinationConfig::Dir("captures".into()),
            state: None,
            batch_bytes: 1,
            batch_age: Duration::ZERO,
            compression: Compression::Gzip,
            compression_level: Some(9),
            spool_limit_bytes: 1 << 20,
            memory_bytes: 1 << 20,
            inline_body_bytes: 0,
            retention: Retention { normal_days: 30, errors_days: 90, incomplete_days: 7 },
            commit_interval: Duration::from_secs(1),
            retry_max_delay: Duration::from_secs(1),
            file_mode: 0o600,
            folder_mode: 0o700,
            accept_damage: false,
        };
        change(&mut config);
        check(&config).map_err(|misfit| format!("{} {misfit}", misfit.key))
    }

    #[test]
    fn each_range_has_its_end() {
        assert_eq!(said(|_| ()), Ok(()));
        assert_eq!(said(|config| config.compression_level = None), Ok(()));
        let wrong = |change: fn(&mut StoreConfig)| said(change).unwrap_err();
        assert_eq!(wrong(|config| config.batch_bytes = 0), "batch-bytes must be more than nothing");
        assert_eq!(wrong(|config| config.spool_limit_bytes -= 1), "spool-limit must be at least 1MiB");
        assert_eq!(wrong(|config| config.memory_bytes -= 1), "memory must be at least 1MiB");
        assert_eq!(
            wrong(|config| config.folder_mode = 0o600),
            "folder-mode must let the owner enter (x), such as 0750"
        );
    }

    #[test]
    fn levels_are_those_of_their_compression() {
        let level = |compression, level| {
            said(|config| (config.compression, config.compression_level) = (compression, Some(level)))
        };
        for (compression, most) in [(Compression::Gzip, 9), (Compression::Zstd, 22)] {
            assert_eq!((level(compression, 1), level(compression, most)), (Ok(()), Ok(())));
            assert!(level(compression, 0).is_err() && level(compression, most + 1).is_err());
        }
        assert_eq!(level(Compression::Zstd, 23).unwrap_err(), "compression-level must lie between 1 and 22 for zstd");
        assert_eq!(level(Compression::None, 1).unwrap_err(), "compression-level means nothing without compression");
    }
}
