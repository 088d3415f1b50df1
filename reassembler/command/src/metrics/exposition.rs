//! Metrics in Prometheus' text format 0.0.4.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use reassemble_pipeline::run::Status;

use super::defs::{METRICS, Samples};
use crate::report::printable::printable;

/// The media type of the text.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Longest reason that is shown as a label.
const MOST_REASON_BYTES: usize = 48;
/// Most reasons a metric: the vocabulary is fixed and shorter, so this only bounds what a mistake could cost.
const MOST_REASONS: usize = 64;

/// All metrics of a status.
pub(crate) fn render(status: &Status) -> String {
    let mut text = String::with_capacity(8 * 1024);
    for metric in METRICS {
        let name = metric.name;
        // Writing to a String does not fail.
        let unit = if metric.unit.is_empty() { "1 or 0" } else { metric.unit };
        writeln!(text, "# HELP {name} {} [{unit}, {}].", metric.help, metric.stability.word()).ok();
        writeln!(text, "# TYPE {name} {}", metric.kind.word()).ok();
        match metric.samples {
            Samples::One(value) => writeln!(text, "{name} {}", value(status)).ok(),
            Samples::Flag(value) => writeln!(text, "{name} {}", u8::from(value(status))).ok(),
            Samples::Version => writeln!(text, "{name}{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION")).ok(),
            Samples::ByReason(counts) => {
                for (reason, count) in by_reason(counts(status)) {
                    writeln!(text, "{name}{{reason=\"{reason}\"}} {count}").ok();
                }
                None
            }
            Samples::ByInput(outcomes) => {
                for (input, records) in &status.total.inputs {
                    let input = label_value(input);
                    for outcome in outcomes(records) {
                        let (end, records) = (outcome.name, outcome.records);
                        let reason = outcome.reason.map(|reason| format!(",reason=\"{}\"", label_value(reason)));
                        let reason = reason.unwrap_or_default();
                        writeln!(text, "{name}{{input=\"{input}\",outcome=\"{end}\"{reason}}} {records}").ok();
                    }
                }
                None
            }
        };
    }
    text
}

/// A text as a label's value: printable, and with the escapes of the format.
fn label_value(text: &str) -> String {
    printable(text).replace('\\', r"\\").replace('"', "\\\"")
}

/// Counts by reasons that are words; what is none (and so might be captured content) is counted as `other`.
fn by_reason(counts: &BTreeMap<String, u64>) -> BTreeMap<&str, u64> {
    let is_word = |reason: &str| {
        !reason.is_empty()
            && reason.len() <= MOST_REASON_BYTES
            && reason.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'))
    };
    let mut shown: BTreeMap<&str, u64> = BTreeMap::new();
    for (reason, count) in counts {
        let reason = if is_word(reason) && shown.len() < MOST_REASONS { reason.as_str() } else { "other" };
        *shown.entry(reason).or_default() += count;
    }
    shown
}

#[cfg(test)]
mod tests {
    use reassemble_pipeline::ledger::Records;

    use super::*;

    /// A strict reader of the format: samples by name and labels, or what is wrong.
    fn parse(text: &str) -> Result<BTreeMap<String, f64>, String> {
        let (mut samples, mut types) = (BTreeMap::new(), BTreeMap::new());
        let mut family = String::new();
        if !text.ends_with('\n') {
            return Err("the last line has no end".into());
        }
        for line in text.lines() {
            let wrong = |what: &str| format!("{what}: {line}");
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').ok_or_else(|| wrong("no help"))?;
                if help.is_empty() || types.contains_key(name) {
                    return Err(wrong("help is empty, or late"));
                }
                family = name.to_owned();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').ok_or_else(|| wrong("no type"))?;
                if name != family
                    || !["counter", "gauge"].contains(&kind)
                    || types.insert(name.to_owned(), kind).is_some()
                {
                    return Err(wrong("type"));
                }
            } else {
                let (series, value) = line.rsplit_once(' ').ok_or_else(|| wrong("no value"))?;
                let (name, labels) =
                    series.split_once('{').map_or((series, None), |(name, labels)| (name, Some(labels)));
                if name != family || !types.contains_key(name) {
                    return Err(wrong("a sample outside its family"));
                }
                if let Some(labels) = labels {
                    let pair = labels.strip_suffix('}').ok_or_else(|| wrong("open labels"))?;
                    for pair in pair.split("\",") {
                        let (label, value) = pair.split_once("=\"").ok_or_else(|| wrong("label"))?;
                        let value = value.strip_suffix('"').unwrap_or(value).replace(r"\\", "").replace(r#"\""#, "");
                        if !label.bytes().all(|b| b.is_ascii_lowercase()) || value.contains(['"', '\\', '\n']) {
                            return Err(wrong("label"));
                        }
                    }
                    if !pair.ends_with('"') {
                        return Err(wrong("label's quote"));
                    }
                }
                let value: f64 = value.parse().map_err(|_| wrong("value"))?;
                if samples.insert(series.to_owned(), value).is_some() {
                    return Err(wrong("twice"));
                }
            }
        }
        Ok(samples)
    }

    #[test]
    fn an_empty_status_is_valid_and_names_every_metric_without_labels() {
        let samples = parse(&render(&Status::default())).expect("valid");
        for metric in METRICS {
            let labelled = matches!(metric.samples, Samples::ByReason(_) | Samples::ByInput(_) | Samples::Version);
            assert_eq!(samples.contains_key(metric.name), !labelled, "{}", metric.name);
        }
        assert_eq!(samples[&format!("reassemble_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"))], 1.0);
    }

    #[test]
    fn values_come_from_the_ledger_that_is_kept() {
        let mut status = Status { spool_full: true, ..Status::default() };
        status.total.bytes_read = 7;
        status.run.bytes_read = 3;
        status.total.records.bad = [("torn".to_owned(), 2)].into();
        status.destination_failing = Some("403".to_owned());
        let samples = parse(&render(&status)).expect("valid");
        assert_eq!(samples["reassemble_read_bytes_total"], 7.0);
        assert_eq!(samples["reassemble_run_read_bytes"], 3.0);
        assert_eq!(samples["reassemble_bad_records_total{reason=\"torn\"}"], 2.0);
        assert_eq!((samples["reassemble_spool_full"], samples["reassemble_destination_failing"]), (1.0, 1.0));
    }

    #[test]
    fn captured_content_never_becomes_a_label() {
        let mut status = Status::default();
        status.total.records.bad =
            [("a\"} 1\nx{y=\"".to_owned(), 2), ("Bearer abc".to_owned(), 3), ("z".repeat(49), 4), (String::new(), 5)]
                .into();
        let samples = parse(&render(&status)).expect("valid");
        let bad: Vec<_> = samples.iter().filter(|(name, _)| name.starts_with("reassemble_bad_records_total")).collect();
        assert_eq!(bad, [(&"reassemble_bad_records_total{reason=\"other\"}".to_owned(), &14.0)]);
    }

    #[test]
    fn inputs_are_told_apart_and_their_names_are_escaped() {
        let mut status = Status::default();
        let records = Records { read: 3, meta: 1, bad: [("torn".to_owned(), 2)].into(), ..Records::default() };
        status.total.inputs = [("file:/a\"b\n\\c".to_owned(), records)].into();
        let samples = parse(&render(&status)).expect("valid");
        let of = |labels: &str| {
            let name = r#"reassemble_input_records_total{input="file:/a\"b\\u{a}\\c","#;
            samples[&format!("{name}{labels}}}")]
        };
        assert_eq!((of(r#"outcome="read""#), of(r#"outcome="meta""#)), (3.0, 1.0));
        assert_eq!(of(r#"outcome="bad",reason="torn""#), 2.0);
    }

    #[test]
    fn the_number_of_series_is_bounded() {
        let mut status = Status::default();
        status.total.records.bad = (0..1000).map(|n| (format!("reason_{n}"), 1)).collect();
        let samples = parse(&render(&status)).expect("valid");
        let bad: Vec<f64> =
            samples.iter().filter(|(name, _)| name.contains("bad_records")).map(|(_, value)| *value).collect();
        assert!(bad.len() <= MOST_REASONS + 1);
        assert_eq!(bad.iter().sum::<f64>(), 1000.0);
    }

    #[test]
    fn the_strict_reader_refuses_what_is_wrong() {
        for text in [
            "a 1\n",
            "# HELP a x\n# TYPE a gauge\na 1",
            "# HELP a x\n# TYPE a gauge\na{b=\"c} 1\n",
            "# HELP a x\n# TYPE a gauge\na 1\na 1\n",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
