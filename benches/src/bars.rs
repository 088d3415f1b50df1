//! Bars: figures that are held against a limit, as rows of one table and of the results page.
//!
//! A bar is judged by its ratio where it has a yardstick, else by its figure, always by the medians as measured and never by what is
//! printed of them. A row without a limit is shown and not judged.

use std::fmt;

use crate::table::{layout, median};

/// What several runs gave of one quantity.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// The median.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
    /// As printed behind the number; empty where it has none.
    pub unit: &'static str,
}

impl Figure {
    /// The median of several runs, and how far they lie apart.
    pub fn of(runs: impl IntoIterator<Item = f64>, unit: &'static str) -> Figure {
        let runs: Vec<f64> = runs.into_iter().collect();
        let min = runs.iter().copied().fold(f64::INFINITY, f64::min);
        let max = runs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if runs.is_empty() { Figure::one(f64::NAN, unit) } else { Figure { median: median(runs), min, max, unit } }
    }

    /// A quantity that was looked at once.
    pub fn one(value: f64, unit: &'static str) -> Figure {
        Figure { median: value, min: value, max: value, unit }
    }
}

impl fmt::Display for Figure {
    /// `2.41 s`, and `2.41 s (2.39–2.60)` where runs differ.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", with_unit(self.median, self.unit))?;
        let (min, max) = (number(self.min), number(self.max));
        if min == max { Ok(()) } else { write!(f, " ({min}–{max})") }
    }
}

/// What a bar allows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// The figure or ratio is this or less.
    AtMost(f64),
    /// The figure or ratio is this or more.
    AtLeast(f64),
}

impl Limit {
    /// Whether a value keeps to it. What could not be measured (not a number) does not.
    pub fn allows(self, value: f64) -> bool {
        match self {
            Limit::AtMost(most) => value <= most,
            Limit::AtLeast(least) => value >= least,
        }
    }
}

/// One row: a figure, what it stands beside, and its limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// The number of the bar that it belongs to.
    pub number: u32,
    /// What was measured.
    pub what: String,
    /// What it came to.
    pub figure: Figure,
    /// What the same came to of the yardstick; the ratio is the figure's median by this one's.
    pub yardstick: Option<Figure>,
    /// What it may come to, or its ratio where there is a yardstick; only shown if not set.
    pub limit: Option<Limit>,
}

impl Bar {
    /// A row that is only shown.
    pub fn new(number: u32, what: impl Into<String>, figure: Figure) -> Bar {
        Bar { number, what: what.into(), figure, yardstick: None, limit: None }
    }

    /// The same beside a yardstick's figure: from now on its ratio counts.
    #[must_use]
    pub fn beside(self, yardstick: Figure) -> Bar {
        Bar { yardstick: Some(yardstick), ..self }
    }

    /// The same with a limit.
    #[must_use]
    pub fn within(self, limit: Limit) -> Bar {
        Bar { limit: Some(limit), ..self }
    }

    /// The figure by the yardstick's.
    pub fn ratio(&self) -> Option<f64> {
        self.yardstick.as_ref().map(|yardstick| self.figure.median / yardstick.median)
    }

    /// Whether it is met; `None` where it has no limit.
    pub fn is_met(&self) -> Option<bool> {
        self.limit.map(|limit| limit.allows(self.ratio().unwrap_or(self.figure.median)))
    }

    fn cells(&self) -> [String; HEADER.len()] {
        let unit = if self.yardstick.is_some() { "" } else { self.figure.unit };
        [
            self.number.to_string(),
            self.what.clone(),
            self.figure.to_string(),
            self.yardstick.as_ref().map_or_else(String::new, Figure::to_string),
            self.ratio().map_or_else(String::new, |ratio| format!("{ratio:.3}")),
            match self.limit {
                None => String::new(),
                Some(Limit::AtMost(most)) => format!("at most {}", with_unit(most, unit)),
                Some(Limit::AtLeast(least)) => format!("at least {}", with_unit(least, unit)),
            },
            match self.is_met() {
                None => "shown",
                Some(true) => "met",
                Some(false) => "NOT MET",
            }
            .to_owned(),
        ]
    }
}

const HEADER: [&str; 7] = ["bar", "what", "figure", "yardstick", "ratio", "limit", "verdict"];

/// How many bars have a limit, and how many of these are met: `11 of 12 met`.
pub fn tally(bars: &[Bar]) -> String {
    let verdicts: Vec<bool> = bars.iter().filter_map(Bar::is_met).collect();
    format!("{} of {} met", verdicts.iter().filter(|met| **met).count(), verdicts.len())
}

/// Whether every bar that has a limit is met.
pub fn all_met(bars: &[Bar]) -> bool {
    bars.iter().all(|bar| bar.is_met() != Some(false))
}

/// The rows as a table for a terminal; number and words share the first column, which stands to the left.
pub fn table(bars: &[Bar]) -> String {
    let one_column = |[number, what, rest @ ..]: [String; HEADER.len()]| {
        std::iter::once(format!("{number}  {what}")).chain(rest).collect::<Vec<_>>()
    };
    let mut rows = vec![one_column(HEADER.map(str::to_owned))];
    rows.extend(bars.iter().map(|bar| one_column(bar.cells())));
    layout(&rows)
}

/// The rows as a table in Markdown.
pub fn markdown(bars: &[Bar]) -> String {
    let row = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut out = row(&HEADER.map(str::to_owned)) + "|--:|---|--:|--:|--:|--:|---|\n";
    for bar in bars {
        out += &row(&bar.cells().map(|cell| cell.replace('|', "\\|")));
    }
    out
}

/// Three digits that mean something, and all of them before the point.
fn number(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        0.1.. => format!("{value:.2}"),
        _ if value == 0.0 => "0".to_owned(),
        _ => format!("{value:.4}"),
    }
}

fn with_unit(value: f64, unit: &str) -> String {
    let number = number(value);
    if unit.is_empty() { number } else { format!("{number} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(ours: f64, theirs: f64, limit: Limit) -> Bar {
        Bar::new(1, "CPU", Figure::one(ours, "s")).beside(Figure::one(theirs, "s")).within(limit)
    }

    #[test]
    fn a_bar_with_a_yardstick_is_judged_by_its_ratio() {
        assert_eq!(ratio(2.8, 2.0, Limit::AtMost(1.4)).is_met(), Some(true));
        assert_eq!(ratio(2.81, 2.0, Limit::AtMost(1.4)).is_met(), Some(false));
        assert_eq!(ratio(0.6, 1.0, Limit::AtLeast(0.6)).is_met(), Some(true));
        assert_eq!(ratio(0.59, 1.0, Limit::AtLeast(0.6)).is_met(), Some(false));
    }

    #[test]
    fn a_bar_without_one_is_judged_by_its_figure_unrounded() {
        let peak = |mib: f64| Bar::new(5, "peak", Figure::one(mib, "MiB")).within(Limit::AtMost(32.0));
        assert_eq!((peak(32.0).is_met(), peak(32.001).is_met()), (Some(true), Some(false)));
        assert_eq!(Bar::new(5, "peak", Figure::one(99.0, "MiB")).is_met(), None);
    }

    #[test]
    fn what_was_not_measured_is_not_met() {
        let never = Figure::of([], "s");
        assert_eq!(Bar::new(7, "p99", never.clone()).within(Limit::AtMost(50.0)).is_met(), Some(false));
        assert_eq!(Bar::new(7, "p99", never).within(Limit::AtLeast(50.0)).is_met(), Some(false));
        assert_eq!(ratio(0.0, 0.0, Limit::AtMost(1.0)).is_met(), Some(false));
    }

    #[test]
    fn the_spread_is_shown_where_runs_differ() {
        assert_eq!(Figure::of([2.0, 1.0, 4.5], "s").to_string(), "2.00 s (1.00–4.50)");
        assert_eq!(Figure::of([2.0, 2.0], "s").to_string(), "2.00 s");
        assert_eq!(Figure::one(712.4, "MB/CPU s").to_string(), "712 MB/CPU s");
        assert_eq!(Figure::one(0.012, "%").to_string(), "0.0120 %");
    }

    #[test]
    fn tables_say_all_of_a_row() {
        let bars = [
            ratio(3.0, 2.0, Limit::AtMost(1.4)),
            Bar::new(9, "size a|b", Figure::one(11.5, "MB")).within(Limit::AtMost(12.0)),
            Bar::new(2, "wall", Figure::one(1.0, "s")),
        ];
        assert_eq!(
            table(&bars),
            "bar  what     figure  yardstick  ratio            limit  verdict\n\
             1  CPU        3.00 s     2.00 s  1.500     at most 1.40  NOT MET\n\
             9  size a|b  11.5 MB                    at most 12.0 MB      met\n\
             2  wall       1.00 s                                       shown\n"
        );
        assert!(markdown(&bars).contains("| 1 | CPU | 3.00 s | 2.00 s | 1.500 | at most 1.40 | NOT MET |\n"));
        assert!(markdown(&bars).contains("| 9 | size a\\|b | 11.5 MB |  |  | at most 12.0 MB | met |\n"));
        assert_eq!((tally(&bars), all_met(&bars), all_met(&bars[1..])), ("1 of 2 met".to_owned(), false, true));
    }
}
