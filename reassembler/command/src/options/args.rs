//! The command line: what it looks like, and what a run of it asks for.
//!
//! Settings come from [`settings`](super::settings) and reach the program as a raw [`Layer`]; what is declared here belongs to one
//! run alone (files, a command, `--check`) and is typed at once.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgMatches, Args, Command, FromArgMatches, ValueEnum};

use super::layers::{Layer, Origin, Raw};
use super::merge::{self, MergeArgs};
use super::settings::{
    ContentArgs, DestinationArgs, InputArgs, LineArgs, LogArgs, ReportArgs, RetentionArgs, StorageArgs,
};
use super::verify::{self, VerifyArgs};
use crate::failure::Failure;

/// What the command line asks for.
#[derive(Debug)]
pub(crate) struct Invocation {
    /// The work.
    pub(crate) work: Work,
    /// Settings that stand on the command line.
    pub(crate) flags: Layer,
    /// Options about configuration itself.
    pub(crate) config: ConfigArgs,
    /// Whether to check and do nothing else.
    pub(crate) only_check: bool,
}

/// The work of a run.
#[derive(Debug)]
pub(crate) enum Work {
    /// Read inputs; these files are read to their end.
    Read(Vec<PathBuf>),
    /// Run a command and read what it prints.
    Exec(Vec<OsString>),
    /// Show or apply lifecycle rules.
    Lifecycle(LifecycleArgs),
    /// Hold logs and a destination against each other.
    Verify(VerifyArgs),
    /// Join pieces of exchanges in a destination.
    Merge(MergeArgs),
    /// Print a completion script.
    Completions(clap_complete::Shell),
}

/// Options about configuration itself.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Configuration")]
pub(crate) struct ConfigArgs {
    /// TOML file with settings, keys named as the flags [default: /etc/reassemble.toml where it exists]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Print the settings in force, with the place where each was set, as a file for --config
    #[arg(long, hide_short_help = true)]
    pub(crate) print_config: bool,
}

#[derive(Args)]
#[command(next_help_heading = "Configuration")]
struct CheckArgs {
    /// Say whether configuration, inputs and destination are good, and do nothing else
    #[arg(long)]
    check: bool,
}

#[derive(Args)]
struct FileArgs {
    /// Log files to read to their end, also .gz and .zst, or objects, s3://bucket/prefix; `-` is standard input
    ///
    /// What CloudWatch Logs hands to a subscription is read too, as it lies in Firehose's objects. Of s3://bucket/prefix all objects
    /// below it are read, save stored exchanges, or the one of that key; --s3-… apply to it. Reading a file again stores nothing twice.
    /// Without FILE, --follow and --cloudwatch, standard input is read. A file named like a command is written with its directory: ./exec.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

#[derive(Args)]
struct CommandArgs {
    /// The command and its arguments, behind `--`
    #[arg(value_name = "CMD", last = true, required = true)]
    command: Vec<OsString>,
}

/// Options of `lifecycle`.
#[derive(Clone, Debug, Args)]
pub(crate) struct LifecycleArgs {
    /// Merge the rules into the bucket's own; no other rule is touched
    #[arg(long)]
    pub(crate) apply: bool,

    /// What is printed
    #[arg(long, value_name = "FORMAT", default_value = "json", conflicts_with = "apply")]
    pub(crate) format: LifecycleFormat,
}

/// How `lifecycle` prints the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LifecycleFormat {
    /// The document of S3's PutBucketLifecycleConfiguration, as `aws s3api` takes it
    Json,
    /// A resource for Terraform and OpenTofu
    Terraform,
}

#[derive(Args)]
struct CompletionArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: clap_complete::Shell,
}

const EXAMPLES: &str = "\
Examples:
  reassemble app.log                               rebuild a log's exchanges into ./captures
  my-app | reassemble --passthrough                the same while the app runs, its own lines go on
  reassemble s3://logs/firehose/2026/ --to s3://bucket/captures
                                                   logs that lie in a bucket
  reassemble --follow '/var/log/app/*.log' --to s3://bucket/captures
                                                   as a daemon, over rotation and restarts
  reassemble --cloudwatch '/aws/lambda/*' --to s3://bucket/captures
                                                   the same over log groups of CloudWatch Logs
  reassemble exec --to s3://bucket/captures -- node server.js
                                                   in a container without a sidecar
  reassemble --check --follow app.log --to s3://bucket/captures
                                                   is everything good, before it runs";

const RUN_NOTES: &str = "\
Settings:
  The same setting may stand in four places; the first that has it counts:
    1. a flag        --batch-age 30s              (switches: --quiet, and --quiet=false)
    2. a variable    REASSEMBLE_BATCH_AGE=30s     (lists: separated by commas)
    3. the file      batch-age = \"30s\"            (TOML; lists: [\"a\", \"b\"])
    4. its default
  The file is that of --config, else of REASSEMBLE_CONFIG, else /etc/reassemble.toml if it exists.
  A repeatable setting replaces the list of the places below it. FILEs, --follow and --cloudwatch on
  the command line replace what the other places follow. --print-config shows what is in force, and why.

Values:
  SIZE      64MiB, 64MB, 65536         DURATION  500ms, 60s, 5m, 1h30m
  DAYS      30d, 4w, 1y                BOOL      true or false; none means true

Signals:
  SIGTERM and SIGINT end the run: what was accepted is durable within two seconds, and the next
  run goes on from there. A second one ends it at once; what was committed is kept.

Exit codes:
  0   done, or stopped by a signal while following
  1   a failure while running: an input that could not be read, objects that could not be stored
  64  wrong usage or configuration
  exec: the command's own code; 128 and the signal's number where a signal ended it";

const EXEC_NOTES: &str = "\
Examples:
  reassemble exec -- node server.js
  reassemble exec --to s3://bucket/captures --state /var/lib/reassemble -- java -jar app.jar

The command's ordinary lines go on to standard output and standard error, at once and unchanged;
its capture lines are taken out. Signals are passed on, and its exit code is returned. No fault of
storing hurts it: where the spool is full, whole new captures are shed and counted. Settings also
come from the environment and the file, see `reassemble --help`.";

const LIFECYCLE_NOTES: &str = "\
Examples:
  reassemble lifecycle --to s3://bucket/captures                       print the rules
  reassemble lifecycle --to s3://bucket/captures --retention 1y --apply
                                                                       merge them into the bucket
  reassemble lifecycle --to s3://bucket/captures --format terraform >> storage.tf

One rule for each retention class expires what is in it, and one ends multipart uploads that were
never completed. `aws s3api put-bucket-lifecycle-configuration` with the printed JSON replaces all
rules of the bucket; --apply changes no rule but these.";

const COMPLETIONS_NOTES: &str = "\
Examples:
  reassemble completions bash > /etc/bash_completion.d/reassemble
  reassemble completions zsh > \"${fpath[1]}/_reassemble\"
  reassemble completions fish > ~/.config/fish/completions/reassemble.fish";

/// Columns of help: the texts here are broken by hand to fit.
const WIDTH: usize = 100;

const RUN_TEMPLATE: &str = "{about-with-newline}\n{usage-heading} {usage}\n\n{before-help}{all-args}{after-help}";

/// The whole command line.
pub(crate) fn command() -> Command {
    // What a group of options says about itself would stand as the command's own text: texts come last.
    common(InputArgs::augment_args(FileArgs::augment_args(Command::new("reassemble"))))
        .version(env!("CARGO_PKG_VERSION"))
        .about("Rebuilds request/response pairs from the capture lines in an app's log, and stores them")
        .before_help(EXAMPLES)
        .after_help("The whole list, with environment and configuration file: reassemble --help")
        .after_long_help(RUN_NOTES)
        .help_template(RUN_TEMPLATE)
        .override_usage("reassemble [OPTIONS] [FILE]...\n       reassemble <COMMAND>")
        .max_term_width(WIDTH)
        .args_conflicts_with_subcommands(true)
        .disable_help_subcommand(true)
        .subcommand(exec())
        .subcommand(lifecycle())
        .subcommand(verify::command().max_term_width(WIDTH))
        .subcommand(merge::command().max_term_width(WIDTH))
        .subcommand(completions())
}

/// Options that reading and `exec` share.
fn common(command: Command) -> Command {
    let command = LineArgs::augment_args(command);
    let command = DestinationArgs::augment_args(command);
    let command = StorageArgs::augment_args(command);
    let command = RetentionArgs::augment_args(command);
    let command = ContentArgs::augment_args(command);
    let command = ReportArgs::augment_args(command);
    let command = LogArgs::augment_args(command);
    CheckArgs::augment_args(ConfigArgs::augment_args(command))
}

fn exec() -> Command {
    common(CommandArgs::augment_args(Command::new("exec")))
        .about("Run a command, take the capture lines out of what it prints, and store their exchanges")
        .long_about(None)
        .override_usage("reassemble exec [OPTIONS] -- <CMD> [ARGS]...")
        .after_help(EXEC_NOTES)
        .max_term_width(WIDTH)
}

fn lifecycle() -> Command {
    let command = LifecycleArgs::augment_args(Command::new("lifecycle"));
    let command = DestinationArgs::augment_args(command);
    let command = RetentionArgs::augment_args(command);
    let command = LogArgs::augment_args(command);
    ConfigArgs::augment_args(command)
        .mut_args(|arg| arg.hide_short_help(false))
        .about("Print the bucket's lifecycle rules for the retention classes, or apply them")
        .long_about(None)
        .after_help(LIFECYCLE_NOTES)
        .max_term_width(WIDTH)
}

fn completions() -> Command {
    CompletionArgs::augment_args(Command::new("completions"))
        .about("Print a completion script for a shell")
        .after_help(COMPLETIONS_NOTES)
        .max_term_width(WIDTH)
}

/// Reads a command line, the program's name included.
///
/// # Errors
/// What is no command line of ours, and `--help` and `--version`: the caller prints the error and asks it where to.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation, clap::Error> {
    let matches = command().try_get_matches_from(arguments)?;
    match matches.subcommand() {
        Some(("exec", matches)) => {
            let command = CommandArgs::from_arg_matches(matches)?.command;
            invocation(matches, Work::Exec(command), CheckArgs::from_arg_matches(matches)?.check)
        }
        Some(("lifecycle", matches)) => {
            invocation(matches, Work::Lifecycle(LifecycleArgs::from_arg_matches(matches)?), false)
        }
        Some(("verify", matches)) => invocation(matches, Work::Verify(VerifyArgs::from_arg_matches(matches)?), false),
        Some(("merge", matches)) => {
            let mut options = MergeArgs::from_arg_matches(matches)?;
            let destination = options.destination.take();
            let mut invocation = invocation(matches, Work::Merge(options), false)?;
            if let Some(destination) = destination {
                invocation.flags.set("to", Raw { values: vec![destination], origin: Origin::Flag });
            }
            Ok(invocation)
        }
        Some((_, matches)) => Ok(Invocation {
            work: Work::Completions(CompletionArgs::from_arg_matches(matches)?.shell),
            flags: Layer::default(),
            config: ConfigArgs::default(),
            only_check: false,
        }),
        None => {
            let files = FileArgs::from_arg_matches(&matches)?.files;
            invocation(&matches, Work::Read(files), CheckArgs::from_arg_matches(&matches)?.check)
        }
    }
}

fn invocation(matches: &ArgMatches, work: Work, only_check: bool) -> Result<Invocation, clap::Error> {
    Ok(Invocation {
        work,
        flags: Layer::from_flags(matches),
        config: ConfigArgs::from_arg_matches(matches)?,
        only_check,
    })
}

/// Refuses files whose name is a command's: behind an option, a command would be read as a file.
pub(crate) fn refuse_commands_as_files(files: &[PathBuf]) -> Result<(), Failure> {
    let command = command();
    let named = |file: &PathBuf| {
        file.to_str().and_then(|name| command.find_subcommand(name)).map(|command| command.get_name().to_owned())
    };
    match files.iter().find_map(named) {
        Some(name) => Err(Failure::Usage(format!(
            "a command comes first: reassemble {name} [OPTIONS]…; for a file of that name write ./{name}"
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_words(line: &str) -> Result<Invocation, clap::Error> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn files_are_the_default_work() {
        let Work::Read(files) = parse_words("reassemble --to x a.log - ./exec").expect("good").work else {
            panic!("read")
        };
        assert_eq!(files, [PathBuf::from("a.log"), "-".into(), "./exec".into()]);
        assert!(refuse_commands_as_files(&files).is_ok());
    }

    #[test]
    fn a_command_behind_options_is_refused_with_advice() {
        let Work::Read(files) = parse_words("reassemble --to x exec").expect("read as a file").work else {
            panic!("read")
        };
        let error = refuse_commands_as_files(&files).expect_err("refused").to_string();
        assert!(error.starts_with("a command comes first: reassemble exec"), "{error}");
    }

    #[test]
    fn the_childs_arguments_are_its_own() {
        let invocation = parse_words("reassemble exec --to x -- node --check a.js -- b").expect("good");
        let Work::Exec(command) = invocation.work else { panic!("exec") };
        assert_eq!(command, ["node", "--check", "a.js", "--", "b"]);
        assert!(!invocation.only_check);
        assert!(parse_words("reassemble exec node").is_err());
        assert!(parse_words("reassemble exec --follow x -- node").is_err());
    }
}
