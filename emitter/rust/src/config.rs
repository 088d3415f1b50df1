//! How an emitter is set up: by calls, by the environment, or both.

use std::{
    fmt,
    fs::File,
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use reassemble_formats::{
    redact::Redactor,
    sign::{SecretError, SigningKey},
    write::LineLimit,
};
use thiserror::Error;

use crate::{
    emitter::{Emitter, Settings, draw_instance},
    environment,
    filter::Filter,
    limiter::Limiter,
    sink::Sink,
};

/// Bodies are captured up to 1 MiB: up to there the reader stores them inside their exchange, and few API bodies are larger.
const DEFAULT_BODY_LIMIT: u64 = 1 << 20;
/// The queue holds up to 32 MiB: a second of what a busy service says, at the speed of a slow output.
const DEFAULT_QUEUE_LIMIT: usize = 32 << 20;
/// Bodies of JSON and forms are looked through for secrets up to 64 KiB: what is looked through is held.
const DEFAULT_REDACT_BUFFER: usize = 64 << 10;
/// Counters are told at most so often.
const META_EVERY: Duration = Duration::from_secs(60);

/// Why an emitter can't be built.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The output can't be opened.
    #[error("capture output {output} can't be opened")]
    Output {
        /// Where lines were to go.
        output: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// An environment variable's value is none that it can have.
    #[error("{name}={value:?} is not {expected}")]
    Environment {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it can be.
        expected: &'static str,
    },
    /// The line limit is out of bounds.
    #[error(transparent)]
    LineLimit(#[from] reassemble_formats::write::WriteError),
    /// The sample rate is no share.
    #[error("sample rate {rate} is not within 0 to 1")]
    SampleRate {
        /// The rate as given.
        rate: f64,
    },
    /// The rate limit is none.
    #[error("rate limit {rate} is not a number of captures a second above 0")]
    RateLimit {
        /// The limit as given.
        rate: f64,
    },
    /// What is named as the secret that lines are signed with is none. The secret is not told.
    #[error("{from} holds no secret to sign with")]
    SigningKey {
        /// The variable, or the file's path.
        from: String,
        /// What is wrong with it.
        #[source]
        source: SecretError,
    },
    /// The file of the secret can't be read.
    #[error("the secret to sign with can't be read from {path}")]
    SigningKeyFile {
        /// The file's path.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The secret is set twice.
    #[error("{0} and {1} are both set; set one of them")]
    TwoSigningKeys(&'static str, &'static str),
    /// The system has no randomness to give.
    #[error("the system's random source gives nothing")]
    Random,
    /// The writer's thread can't be started.
    #[error("the writer's thread can't be started")]
    Thread {
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Where lines go.
#[non_exhaustive]
pub enum Output {
    /// Nowhere: nothing is captured, and no thread runs.
    Off,
    /// Standard output, on a descriptor of the emitter's own: no lock or buffer of Rust's is shared.
    Stdout,
    /// Standard error, likewise.
    Stderr,
    /// A file, appended to; created with mode 0600. [`Emitter::reopen`] follows a rotation.
    Path(PathBuf),
    /// An open file, pipe or socket: `File::from(owned_fd)`.
    File(File),
    /// Anything else that takes bytes; it gets each line in one call.
    Writer(Box<dyn Write + Send>),
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Output::Off => f.write_str("Off"),
            Output::Stdout => f.write_str("Stdout"),
            Output::Stderr => f.write_str("Stderr"),
            Output::Path(path) => f.debug_tuple("Path").field(path).finish(),
            Output::File(file) => f.debug_tuple("File").field(file).finish(),
            Output::Writer(_) => f.write_str("Writer"),
        }
    }
}

/// What a capture is sampled by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SampleBy {
    /// The trace's id, where there is one: all services decide alike, so that a trace is captured as a whole or not at all.
    #[default]
    Trace,
    /// The capture's id: for the edge, where clients choose their traceparent and could thereby choose what is captured.
    Id,
}

/// What becomes of captures that go wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Errors {
    /// They are taken as any other.
    #[default]
    Sampled,
    /// They are captured though sampling or the rate limit leaves them out: each request is held, with up to 64 KiB of its body, until its response's status is
    /// known, and captured where that is 500 or higher, or no response comes.
    Always,
}

/// Sets an [`Emitter`] up. Later calls win over earlier ones; lists grow.
#[derive(Debug)]
pub struct Builder {
    service: Option<String>,
    output: Output,
    line_limit: usize,
    body_limit: u64,
    queue_limit: usize,
    rate: f64,
    sample_by: SampleBy,
    rate_limit: Option<f64>,
    errors: Errors,
    methods: Filter,
    paths: Filter,
    body_types: Filter,
    redactor: Redactor,
    redact_buffer: Option<usize>,
    meta_every: Duration,
    signing: Option<SigningKey>,
}

impl Builder {
    pub(crate) fn new() -> Builder {
        Builder {
            service: None,
            output: Output::Stdout,
            line_limit: LineLimit::DEFAULT.bytes(),
            body_limit: DEFAULT_BODY_LIMIT,
            queue_limit: DEFAULT_QUEUE_LIMIT,
            rate: 1.0,
            sample_by: SampleBy::Trace,
            rate_limit: None,
            errors: Errors::Sampled,
            methods: Filter::default(),
            paths: Filter::default(),
            body_types: Filter::default(),
            redactor: Redactor::default(),
            redact_buffer: Some(DEFAULT_REDACT_BUFFER),
            meta_every: META_EVERY,
            signing: None,
        }
    }

    /// The service's name; without it the program's.
    #[must_use]
    pub fn service(mut self, name: impl Into<String>) -> Builder {
        self.service = Some(name.into());
        self
    }

    /// Where lines go; standard output unless set.
    #[must_use]
    pub fn output(mut self, output: Output) -> Builder {
        self.output = output;
        self
    }

    /// The longest line in bytes, 512 to 262,144; 4,096 unless set, up to which a write to a pipe is one piece.
    #[must_use]
    pub fn line_limit(mut self, bytes: usize) -> Builder {
        self.line_limit = bytes;
        self
    }

    /// How many bytes of each body are captured; 1 MiB unless set. What is longer is marked as truncated, with its full length.
    #[must_use]
    pub fn body_limit(mut self, bytes: u64) -> Builder {
        self.body_limit = bytes;
        self
    }

    /// How many bytes may wait to be written; 32 MiB unless set. Beyond, captures are dropped and counted.
    #[must_use]
    pub fn queue_limit(mut self, bytes: usize) -> Builder {
        self.queue_limit = bytes;
        self
    }

    /// The share of captures that are taken, 0 to 1; all unless set.
    #[must_use]
    pub fn sample_rate(mut self, rate: f64) -> Builder {
        self.rate = rate;
        self
    }

    /// What captures are sampled by; the trace unless set.
    #[must_use]
    pub fn sample_by(mut self, key: SampleBy) -> Builder {
        self.sample_by = key;
        self
    }

    /// How many captures a second each endpoint may have, above 0; no limit unless set. An endpoint is a method and a path, whose segments with digits are not told
    /// apart; one that was quiet may have a second's captures at once.
    #[must_use]
    pub fn rate_limit(mut self, per_second: f64) -> Builder {
        self.rate_limit = Some(per_second);
        self
    }

    /// What becomes of captures that go wrong; taken as any other unless set.
    #[must_use]
    pub fn errors(mut self, errors: Errors) -> Builder {
        self.errors = errors;
        self
    }

    /// Captures this HTTP method; others, unless added too, are not captured.
    #[must_use]
    pub fn only_method(mut self, method: &str) -> Builder {
        self.methods.only(method);
        self
    }

    /// Does not capture this HTTP method.
    #[must_use]
    pub fn skip_method(mut self, method: &str) -> Builder {
        self.methods.skip(method);
        self
    }

    /// Captures this HTTP path, or with a `*` at its end all that begin so; others, unless added too, are not captured.
    #[must_use]
    pub fn only_path(mut self, pattern: &str) -> Builder {
        self.paths.only(pattern);
        self
    }

    /// Does not capture this HTTP path, or with a `*` at its end any that begins so: `/health`, `/assets/*`.
    #[must_use]
    pub fn skip_path(mut self, pattern: &str) -> Builder {
        self.paths.skip(pattern);
        self
    }

    /// Captures bodies of this content type, or with a `*` at its end of all that begin so; of others, unless added too, only heads.
    #[must_use]
    pub fn only_body_type(mut self, pattern: &str) -> Builder {
        self.body_types.only(pattern);
        self
    }

    /// Captures no bodies of this content type, or with a `*` at its end of any that begins so: `video/*`.
    #[must_use]
    pub fn skip_body_type(mut self, pattern: &str) -> Builder {
        self.body_types.skip(pattern);
        self
    }

    /// Changes what is redacted: `.redact(|redactor| redactor.header("x-pin").keep_name("author"))`.
    #[must_use]
    pub fn redact(mut self, change: impl FnOnce(Redactor) -> Redactor) -> Builder {
        self.redactor = change(self.redactor);
        self
    }

    /// How many bytes of a body of JSON or of a form are held to be looked through for names of secrets; 64 KiB unless set. A longer body is left out, and says so. `None`:
    /// bodies are captured as they are.
    #[must_use]
    pub fn redact_buffer(mut self, bytes: Option<usize>) -> Builder {
        self.redact_buffer = bytes;
        self
    }

    /// How often counters are told at most, while there is something to tell; a minute unless set.
    #[must_use]
    pub fn meta_every(mut self, time: Duration) -> Builder {
        self.meta_every = time;
        self
    }

    /// Signs every line with this key; unsigned unless set. A reader that has the same secret in its key file then takes no others.
    ///
    /// ```
    /// # fn build(secret: &str) -> Result<(), Box<dyn std::error::Error>> {
    /// use reassemble_emitter::{Emitter, SigningKey};
    ///
    /// let emitter = Emitter::builder().signing_key(SigningKey::new(secret)?).build()?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn signing_key(mut self, key: SigningKey) -> Builder {
        self.signing = Some(key);
        self
    }

    /// Takes what the environment sets: see the table in the crate's README.
    ///
    /// # Errors
    /// [`BuildError::Environment`] where a variable's value is none that it can have, and the errors about signing keys.
    pub fn env(self) -> Result<Builder, BuildError> {
        environment::apply(self, |name| std::env::var(name).ok())
    }

    /// Has bodies looked through again after [`redact_buffer`](Self::redact_buffer)`(None)`.
    pub(crate) fn redact_bodies(mut self) -> Builder {
        self.redact_buffer.get_or_insert(DEFAULT_REDACT_BUFFER);
        self
    }

    pub(crate) fn has_service(&self) -> bool {
        self.service.is_some()
    }

    /// Opens the output and starts the writer's thread.
    ///
    /// # Errors
    /// [`BuildError`] where a limit or rate is out of bounds, the output can't be opened, or no thread can be started.
    pub fn build(self) -> Result<Emitter, BuildError> {
        let line_limit = LineLimit::new(self.line_limit)?;
        if !(0.0..=1.0).contains(&self.rate) {
            return Err(BuildError::SampleRate { rate: self.rate });
        }
        if let Some(rate) = self.rate_limit.filter(|rate| !(*rate > 0.0 && rate.is_finite())) {
            return Err(BuildError::RateLimit { rate });
        }
        let name = format!("{:?}", self.output);
        let opened = match self.output {
            Output::Off => return Ok(Emitter::disabled()),
            Output::Stdout => own(io::stdout()),
            Output::Stderr => own(io::stderr()),
            Output::Path(path) => Sink::path(path),
            Output::File(file) => Ok(Sink::file(file)),
            Output::Writer(writer) => Ok(Sink::writer(writer)),
        };
        let sink = opened.map_err(|source| BuildError::Output { output: name, source })?;
        let settings = Settings {
            service: self.service.unwrap_or_else(environment::program_name),
            host: environment::host_name(),
            inst: draw_instance().ok_or(BuildError::Random)?,
            line_limit,
            body_limit: self.body_limit,
            rate: self.rate,
            sample_by: self.sample_by,
            limiter: self.rate_limit.map(Limiter::new),
            errors: self.errors,
            methods: self.methods,
            paths: self.paths,
            body_types: self.body_types,
            redactor: self.redactor,
            redact_buffer: self.redact_buffer,
            meta_every: self.meta_every,
            signing: self.signing,
        };
        Emitter::start(settings, self.queue_limit, sink)
    }
}

/// A descriptor of the emitter's own for a standard stream.
#[cfg(unix)]
fn own(stream: impl std::os::fd::AsFd) -> io::Result<Sink> {
    Ok(Sink::file(File::from(stream.as_fd().try_clone_to_owned()?)))
}

#[cfg(not(unix))]
fn own(stream: impl Write + Send + 'static) -> io::Result<Sink> {
    Ok(Sink::writer(Box::new(stream)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_bounds_are_refused() {
        let built = |builder: Builder| builder.output(Output::Writer(Box::new(io::sink()))).build();
        assert!(built(Emitter::builder()).is_ok());
        assert!(matches!(built(Emitter::builder().line_limit(511)), Err(BuildError::LineLimit(_))));
        assert!(matches!(built(Emitter::builder().sample_rate(1.5)), Err(BuildError::SampleRate { .. })));
        assert!(matches!(built(Emitter::builder().sample_rate(f64::NAN)), Err(BuildError::SampleRate { .. })));
        assert!(matches!(built(Emitter::builder().rate_limit(0.0)), Err(BuildError::RateLimit { .. })));
        assert!(matches!(built(Emitter::builder().rate_limit(f64::INFINITY)), Err(BuildError::RateLimit { .. })));
        let fault = Emitter::builder().output(Output::Path("/no/such/folder/x".into())).build().unwrap_err();
        assert_eq!(fault.to_string(), "capture output Path(\"/no/such/folder/x\") can't be opened");
    }
}
