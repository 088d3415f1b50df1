//! From typed settings to the validated [`Config`] of a run: what settings mean together.
//!
//! A setting that makes no sense beside others is refused where it stands on the command line of this run, and ignored where it
//! comes from the environment or a file, which serve several commands.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use reassemble_pipeline::config::{
    CloudWatchConfig, Config, DestinationConfig, InputConfig, ObjectsConfig, ProcessConfig, Retention, S3Options,
    SigningConfig, StoreConfig,
};
use reassemble_settings::key_file::KeyFile;
use reassemble_settings::ranges;
use reassemble_settings::values::{Bucket, Destination};
use reassemble_settings::words::Checksums;

use super::layers::Resolved;
use crate::failure::Failure;

/// Shortest `--max-line`: what an emitter writes unless told otherwise must fit.
const LEAST_MAX_LINE_BYTES: u64 = 4_096;
/// Longest `--max-line`: a line is held in memory.
const MOST_MAX_LINE_BYTES: u64 = 1 << 30;

/// What is read, beside settings.
#[derive(Debug)]
pub(crate) enum Inputs<'a> {
    /// These files (`-` is standard input), what `--follow` names, or standard input.
    Files {
        /// Files to read to their end.
        files: &'a [PathBuf],
        /// Whether a person sits at standard input.
        stdin_is_terminal: bool,
    },
    /// A command's output.
    Command,
}

/// Whether standard input is a terminal, for [`Inputs`].
pub(crate) fn stdin_is_terminal() -> bool {
    std::io::stdin().is_terminal()
}

/// Validates settings.
///
/// # Errors
/// Settings that contradict each other or lie out of range, a key file that is none, and a run without input.
pub(crate) fn config(resolved: &Resolved, inputs: &Inputs<'_>) -> Result<Config, Failure> {
    let settings = &resolved.settings;
    let input = input(resolved, inputs)?;
    let to = if input.objects.is_empty() { destination(resolved)? } else { place(resolved) };
    Ok(Config {
        input,
        timeout: settings.lines.timeout.0,
        signing: signing(resolved)?,
        process: process(resolved)?,
        store: store(resolved, to)?,
    })
}

/// What happens to exchanges by the settings.
///
/// # Errors
/// What is to be redacted where nothing is.
pub(crate) fn process(resolved: &Resolved) -> Result<ProcessConfig, Failure> {
    let content = &resolved.settings.content;
    if content.no_redact {
        for key in ["redact-header", "redact-query"] {
            if resolved.is_flag(key) {
                return usage(format!("--{key} and {} contradict each other", resolved.name_of("no-redact")));
            }
        }
    }
    Ok(ProcessConfig {
        redact: !content.no_redact,
        redact_headers: content.redact_header.iter().map(|name| name.0.clone()).collect(),
        redact_query: content.redact_query.iter().map(|name| name.0.clone()).collect(),
        decode: !content.no_decode,
        decode_incomplete: true,
        decode_limit_bytes: content.decode_limit.0,
    })
}

fn usage<T>(text: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Usage(text.into()))
}

fn input(resolved: &Resolved, inputs: &Inputs<'_>) -> Result<InputConfig, Failure> {
    let settings = &resolved.settings;
    let mut input = InputConfig {
        envelope: settings.lines.envelope.into(),
        max_line_bytes: max_line_bytes(resolved)?,
        poll_interval: settings.input.poll_interval.0,
        ..InputConfig::default()
    };
    let Inputs::Files { files, stdin_is_terminal } = inputs else { return Ok(input) };
    // What the command line names replaces what other places follow.
    let is_named = !files.is_empty() || resolved.is_flag("follow") || resolved.is_flag("cloudwatch");
    if !is_named || resolved.is_flag("follow") {
        input.follow.clone_from(&settings.input.follow);
    }
    if !is_named || resolved.is_flag("cloudwatch") {
        input.cloudwatch = cloudwatch(resolved)?;
    }
    let options = ["cloudwatch-streams", "cloudwatch-interval", "cloudwatch-overlap", "since", "until"];
    if let Some(flag) = options.into_iter().find(|flag| input.cloudwatch.is_none() && resolved.is_flag(flag)) {
        return usage(format!("--{flag} belongs to --cloudwatch LOG-GROUP"));
    }
    for file in *files {
        match file.to_str().filter(|name| name.starts_with("s3://")) {
            Some(name) => input.objects.push(objects(resolved, name)?),
            None => input.files.push(file.clone()),
        }
    }
    let named = files.iter().filter(|file| file.as_path() == Path::new("-")).count();
    if named > 1 {
        return usage("standard input (-) is named twice");
    }
    input.stdin = named == 1 || (files.is_empty() && input.follow.is_empty() && input.cloudwatch.is_none());
    if input.stdin && *stdin_is_terminal {
        return usage(
            "nothing to read: name a log (reassemble app.log), follow one (reassemble --follow app.log), \
             or pipe an app's output (my-app | reassemble)",
        );
    }
    input.from_end = settings.input.from_end && !input.follow.is_empty();
    if settings.input.from_end && input.follow.is_empty() && resolved.is_flag("from-end") {
        return usage("--from-end belongs to --follow; files that are named are read from their start");
    }
    input.passthrough = settings.input.passthrough && input.stdin;
    if settings.input.passthrough && !input.stdin && resolved.is_flag("passthrough") {
        return usage("--passthrough belongs to standard input: my-app | reassemble --passthrough");
    }
    Ok(input)
}

/// The log groups that are read, where any are named.
fn cloudwatch(resolved: &Resolved) -> Result<Option<CloudWatchConfig>, Failure> {
    let settings = &resolved.settings.input;
    if settings.cloudwatch.is_empty() {
        return Ok(None);
    }
    if settings.since.zip(settings.until).is_some_and(|(since, until)| since > until) {
        return usage(format!("{} must not be later than {}", resolved.name_of("since"), resolved.name_of("until")));
    }
    Ok(Some(CloudWatchConfig {
        groups: settings.cloudwatch.clone(),
        stream_prefix: settings.cloudwatch_streams.clone().unwrap_or_default(),
        since_ms: settings.since.map(|since| since.0),
        until_ms: settings.until.map(|until| until.0),
        interval: settings.cloudwatch_interval.0,
        overlap: settings.cloudwatch_overlap.0,
    }))
}

/// The keys whose signatures are taken, where any are set.
///
/// # Errors
/// A key file that is none.
pub(crate) fn signing(resolved: &Resolved) -> Result<Option<SigningConfig>, Failure> {
    let lines = &resolved.settings.lines;
    let Some(path) = &lines.key_file else {
        if resolved.is_flag("sig-max-age") {
            return usage("--sig-max-age belongs to --key-file: without keys no line's age can be trusted");
        }
        return Ok(None);
    };
    let file = KeyFile::read(path).map_err(|why| {
        Failure::Usage(format!("invalid value '{}' for {}: {why}", path.display(), resolved.name_of("key-file")))
    })?;
    if file.is_everyones {
        tracing::warn!(
            "everyone on this machine may read or change the keys in {path}: chmod 600 {path}",
            path = path.display()
        );
    }
    Ok(Some(SigningConfig { keys: file.keys, max_age: lines.sig_max_age.map(|age| age.0) }))
}

/// The longest line of the settings, in bytes.
///
/// # Errors
/// One out of its range.
pub(crate) fn max_line_bytes(resolved: &Resolved) -> Result<usize, Failure> {
    let max_line = resolved.settings.lines.max_line.0;
    if !(LEAST_MAX_LINE_BYTES..=MOST_MAX_LINE_BYTES).contains(&max_line) {
        return usage(format!("{} must lie between 4KiB and 1GiB", resolved.name_of("max-line")));
    }
    Ok(usize::try_from(max_line).unwrap_or(usize::MAX))
}

/// How exchanges are stored at a destination, by the settings.
///
/// # Errors
/// Settings out of range.
pub(crate) fn store(resolved: &Resolved, to: DestinationConfig) -> Result<StoreConfig, Failure> {
    let storage = &resolved.settings.storage;
    let config = StoreConfig {
        to,
        state: storage.state.clone(),
        batch_bytes: storage.batch_bytes.0,
        batch_age: storage.batch_age.0,
        compression: storage.compression.into(),
        compression_level: storage.compression_level,
        spool_limit_bytes: storage.spool_limit.0,
        memory_bytes: usize::try_from(storage.memory.0).unwrap_or(usize::MAX),
        inline_body_bytes: resolved.settings.content.inline_body.0,
        retention: retention(resolved),
        commit_interval: storage.commit_interval.0,
        retry_max_delay: storage.retry_max_delay.0,
        file_mode: storage.file_mode.0,
        folder_mode: storage.folder_mode.0,
        accept_damage: storage.accept_damage,
    };
    match ranges::check(&config) {
        Ok(()) => Ok(config),
        Err(misfit) => usage(format!("{} {misfit}", resolved.name_of(misfit.key))),
    }
}

/// The retention classes of the settings.
pub(crate) fn retention(resolved: &Resolved) -> Retention {
    let retention = &resolved.settings.retention;
    Retention {
        normal_days: retention.retention.0,
        errors_days: retention.retention_errors.0,
        incomplete_days: retention.retention_incomplete.0,
    }
}

/// The destination of the settings.
///
/// # Errors
/// An `--s3-…` flag beside a directory.
pub(crate) fn destination(resolved: &Resolved) -> Result<DestinationConfig, Failure> {
    let place = place(resolved);
    if let DestinationConfig::Dir(path) = &place {
        let flags = ["s3-endpoint", "s3-region", "s3-path-style", "s3-storage-class", "s3-sse-kms", "s3-checksums"];
        if let Some(flag) = flags.into_iter().find(|flag| resolved.is_flag(flag)) {
            return usage(format!(
                "--{flag} belongs to --to s3://bucket/prefix, and {} is a directory",
                path.display()
            ));
        }
    }
    Ok(place)
}

/// The destination, whatever flags stand beside it.
fn place(resolved: &Resolved) -> DestinationConfig {
    match &resolved.settings.destination.to {
        Destination::Dir(path) => DestinationConfig::Dir(path.clone()),
        Destination::S3(Bucket { name, prefix }) => {
            DestinationConfig::S3 { bucket: name.clone(), prefix: prefix.clone(), options: s3_options(resolved) }
        }
    }
}

/// Objects that are named as a file.
fn objects(resolved: &Resolved, name: &str) -> Result<ObjectsConfig, Failure> {
    match name.parse() {
        Ok(Destination::S3(Bucket { name: bucket, prefix: key })) => {
            Ok(ObjectsConfig { bucket, key, options: s3_options(resolved) })
        }
        Ok(Destination::Dir(_)) => usage(format!("cannot read '{name}': write s3://bucket/prefix")),
        Err(why) => usage(format!("cannot read '{name}': {why}")),
    }
}

fn s3_options(resolved: &Resolved) -> S3Options {
    let settings = &resolved.settings.destination;
    S3Options {
        endpoint: settings.s3_endpoint.as_ref().map(|endpoint| endpoint.0.clone()),
        region: settings.s3_region.clone(),
        path_style: settings.s3_path_style,
        storage_class: settings.s3_storage_class.as_ref().map(|class| class.0.clone()),
        sse_kms_key: settings.s3_sse_kms.clone(),
        checksums_when_required: settings.s3_checksums == Checksums::Required,
        timeout: Some(resolved.settings.storage.upload_timeout.0),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use reassemble_pipeline::config::{Compression, Envelope};

    use super::super::args::{Work, parse};
    use super::super::file;
    use super::*;

    /// The config of a command line over a file's text.
    fn made(line: &str, toml: &str, stdin_is_terminal: bool) -> Result<Config, String> {
        let words = std::iter::once("reassemble").chain(line.split_whitespace());
        let invocation = parse(words.map(Into::into)).map_err(|error| error.to_string())?;
        let file = file::layer("x.toml".as_ref(), toml).map_err(|error| error.to_string())?;
        let resolved = invocation.flags.or(file).resolve().map_err(|error| error.to_string())?;
        let inputs = match &invocation.work {
            Work::Read(files) => Inputs::Files { files, stdin_is_terminal },
            _ => Inputs::Command,
        };
        config(&resolved, &inputs).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_are_those_of_the_documentation() {
        let config = made("a.log", "", true).expect("good");
        assert_eq!(config.timeout, Duration::from_secs(60));
        assert_eq!(config.input.envelope, Envelope::Auto);
        assert_eq!(config.input.max_line_bytes, 1 << 20);
        assert!(!config.input.stdin && !config.input.passthrough && !config.input.from_end);
        assert!(config.signing.is_none());
        assert!(config.process.redact && config.process.decode);
        assert_eq!(config.process.decode_limit_bytes, 8 << 20);
        assert!(matches!(&config.store.to, DestinationConfig::Dir(dir) if dir == Path::new("./captures")));
        assert_eq!(config.store.state, None);
        assert_eq!((config.store.batch_bytes, config.store.batch_age), (64 << 20, Duration::from_secs(60)));
        assert_eq!((config.store.compression, config.store.compression_level), (Compression::Gzip, None));
        assert_eq!((config.store.spool_limit_bytes, config.store.inline_body_bytes), (1 << 30, 1 << 20));
        assert_eq!(config.store.commit_interval, Duration::from_secs(1));
        assert_eq!(config.store.retry_max_delay, Duration::from_secs(15));
        assert_eq!((config.store.file_mode, config.store.folder_mode), (0o600, 0o700));
        let retention = config.store.retention;
        assert_eq!((retention.normal_days, retention.errors_days, retention.incomplete_days), (30, 90, 7));
    }

    #[test]
    fn standard_input_is_read_where_nothing_else_is_named() {
        assert!(made("", "", false).expect("piped").input.stdin);
        assert!(made("- a.log", "", false).expect("named").input.stdin);
        assert!(!made("--follow x", "", false).expect("followed").input.stdin);
        assert!(made("", "", true).expect_err("a terminal").starts_with("nothing to read: name a log"));
        assert!(made("- -", "", false).expect_err("twice").contains("twice"));
    }

    #[test]
    fn files_replace_what_the_file_follows() {
        let toml = "follow = [\"/var/log/app.log\"]";
        assert_eq!(made("", toml, true).expect("follows").input.follow, ["/var/log/app.log"]);
        assert_eq!(made("a.log", toml, true).expect("reads").input.follow, Vec::<String>::new());
        assert_eq!(made("a.log --follow b", toml, true).expect("both").input.follow, ["b"]);
        assert_eq!(made("exec -- true", toml, true).expect("exec").input.follow, Vec::<String>::new());
    }

    #[test]
    fn log_groups_are_read_instead_of_standard_input_and_between_two_times() {
        let config = made("--cloudwatch /app/* --cloudwatch b --until 2026-11-22T05:00:00Z", "", true).expect("good");
        let groups = config.input.cloudwatch.clone().expect("groups");
        assert_eq!((&groups.groups[..], groups.since_ms), (&["/app/*".to_owned(), "b".to_owned()][..], None));
        assert_eq!((groups.until_ms, groups.overlap), (Some(1_795_323_600_000), Duration::from_secs(300)));
        assert!(!config.input.stdin && !config.input.is_endless());
        assert!(made("--cloudwatch a", "", true).expect("good").input.is_endless());

        let toml = "cloudwatch = [\"a\"]\nsince = \"24h\"";
        assert!(made("", toml, true).expect("from the file").input.cloudwatch.is_some());
        assert!(made("a.log", toml, true).expect("replaced").input.cloudwatch.is_none());
        assert!(made("--follow x", toml, true).expect("replaced").input.cloudwatch.is_none());
        assert!(made("a.log --since 1h", "", true).expect_err("alone").contains("belongs to --cloudwatch"));
        assert!(made("--cloudwatch a --since 1h --until 2h", "", true).expect_err("order").contains("later than"));
    }

    #[test]
    fn what_makes_no_sense_is_refused_as_a_flag_and_ignored_elsewhere() {
        for (flags, toml) in [
            ("a.log --passthrough", "passthrough = true"),
            ("a.log --from-end", "from-end = true"),
            ("a.log --s3-region eu-west-1", "s3-region = \"eu-west-1\""),
        ] {
            assert!(made(flags, "", true).is_err(), "{flags}");
            let config = made("a.log", toml, true).expect(toml);
            assert!(!config.input.passthrough && !config.input.from_end);
        }
        assert!(made("--no-redact --redact-header x-a a.log", "", true).expect_err("both").contains("contradict"));
    }

    #[test]
    fn ranges_name_the_place_of_the_setting() {
        assert_eq!(
            made("a.log", "max-line = 10", true).expect_err("short"),
            "'max-line' in x.toml, line 1 must lie between 4KiB and 1GiB"
        );
        assert_eq!(
            made("a.log --compression-level 10", "", true).expect_err("level"),
            "--compression-level must lie between 1 and 9 for gzip"
        );
        assert!(made("a.log --compression zstd --compression-level 19", "", true).is_ok());
        assert!(made("a.log --compression none --compression-level 1", "", true).is_err());
        assert!(made("a.log --spool-limit 1KiB", "", true).is_err());
        assert!(made("a.log --batch-bytes 0", "", true).is_err());
        assert!(made("a.log --folder-mode 0600", "", true).is_err());
    }

    #[test]
    fn keys_come_from_their_file_and_an_age_belongs_to_them() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "2026-11 8d0f3c2e9a7b465180d2b6f4c1e3a597 checkout\n").expect("written");
        let flag = format!("a.log --key-file {}", file.path().display());
        let signing = made(&flag, "sig-max-age = \"1h\"", true).expect("good").signing.expect("keys");
        assert!(signing.keys.find("2026-11").is_some());
        assert_eq!(signing.max_age, Some(Duration::from_secs(3600)));
        assert_eq!(made(&flag, "", true).expect("good").signing.and_then(|signing| signing.max_age), None);

        assert!(made("a.log", "sig-max-age = \"1h\"", true).expect("ignored").signing.is_none());
        assert!(made("a.log --sig-max-age 1h", "", true).expect_err("alone").contains("belongs to --key-file"));
        let said = made("a.log", "key-file = \"/no/such\"", true).expect_err("missing");
        assert!(said.starts_with("invalid value '/no/such' for 'key-file' in x.toml, line 1: No such file"), "{said}");
    }

    #[test]
    fn objects_are_named_as_files_are() {
        let config =
            made("a.log s3://logs/x/y/ s3://other --s3-region eu-west-1 --to captures", "", true).expect("good");
        let named: Vec<_> = config.input.objects.iter().map(ToString::to_string).collect();
        assert_eq!(named, ["s3://logs/x/y", "s3://other/"]);
        assert_eq!(config.input.files, [Path::new("a.log")]);
        assert!(!config.input.stdin);
        assert_eq!(config.input.objects[0].options.region.as_deref(), Some("eu-west-1"));
        let said = made("s3:///x", "", true).expect_err("no bucket");
        assert_eq!(said, "cannot read 's3:///x': the bucket is missing: write s3://bucket/prefix");
    }

    #[test]
    fn buckets_take_the_options_of_s3() {
        let line = "a.log --to s3://logs/a/ --s3-endpoint http://127.0.0.1:9000/ --s3-path-style --s3-sse-kms --s3-checksums required";
        let DestinationConfig::S3 { bucket, prefix, options } = made(line, "", true).expect("good").store.to else {
            panic!("S3")
        };
        assert_eq!((bucket.as_str(), prefix.as_str()), ("logs", "a"));
        assert_eq!(options.endpoint.as_deref(), Some("http://127.0.0.1:9000"));
        assert_eq!(options.sse_kms_key.as_deref(), Some(""));
        assert!(options.path_style && options.checksums_when_required);
    }
}
