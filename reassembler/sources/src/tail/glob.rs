//! One part of a path as a pattern: `*`, `?`, `[…]`, `{…,…}`, and `\` before what shall stand for itself.
//!
//! A pattern is a small automaton whose states are all followed at once, so that a name costs at most its length times the pattern's,
//! whatever either holds. `*` and `?` match a leading dot too. What of a name is not UTF-8 counts as a character a byte, which only `*`, `?`
//! and `[!…]` match.

use std::ffi::OsStr;
use std::ops::RangeInclusive;
use std::os::unix::ffi::OsStrExt as _;

/// A character, or a byte that is part of none, above all of those.
type Unit = u32;

const BYTES_FROM: Unit = char::MAX as Unit + 1;

/// A pattern for names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Glob {
    states: Vec<State>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    One(Unit),
    Any,
    AnyNumber,
    Class {
        ranges: Vec<RangeInclusive<Unit>>,
        negated: bool,
    },
    /// Goes on at each of these without taking anything.
    Fork(Vec<usize>),
}

/// Braces that are still open.
struct Group {
    fork: usize,
    /// The ends of the alternatives so far, to be led behind the group.
    ends: Vec<usize>,
}

impl Glob {
    /// Reads a pattern. The error says in words what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let mut states = Vec::new();
        let mut groups: Vec<Group> = Vec::new();
        let mut rest = text.chars();
        while let Some(char) = rest.next() {
            match (char, groups.last_mut()) {
                ('*', _) => states.push(State::AnyNumber),
                ('?', _) => states.push(State::Any),
                ('[', _) => states.push(class(&mut rest)?),
                ('\\', _) => states.push(State::One(rest.next().ok_or("nothing follows its last `\\`")?.into())),
                ('{', _) => {
                    groups.push(Group { fork: states.len(), ends: Vec::new() });
                    states.push(State::Fork(vec![states.len() + 1]));
                }
                (',', Some(group)) => {
                    group.ends.push(states.len());
                    states.push(State::Fork(Vec::new()));
                    let next = states.len();
                    if let Some(State::Fork(starts)) = states.get_mut(group.fork) {
                        starts.push(next);
                    }
                }
                ('}', _) => {
                    let group = groups.pop().ok_or("a `}` stands without its `{`")?;
                    let behind = states.len();
                    for end in group.ends {
                        states[end] = State::Fork(vec![behind]);
                    }
                }
                (char, _) => states.push(State::One(char.into())),
            }
        }
        if groups.is_empty() { Ok(Self { states }) } else { Err("a `{` stands without its `}`") }
    }

    /// Whether a name is one of the pattern's.
    pub(super) fn matches(&self, name: &OsStr) -> bool {
        let mut now = vec![false; self.states.len() + 1];
        now[0] = true;
        self.spread(&mut now);
        for chunk in name.as_bytes().utf8_chunks() {
            let chars = chunk.valid().chars().map(Unit::from);
            for unit in chars.chain(chunk.invalid().iter().map(|byte| BYTES_FROM + Unit::from(*byte))) {
                now = self.step(&now, unit);
            }
        }
        now[self.states.len()]
    }

    /// The states after one more character.
    fn step(&self, now: &[bool], unit: Unit) -> Vec<bool> {
        let mut next = vec![false; now.len()];
        for (at, state) in self.states.iter().enumerate().filter(|(at, _)| now[*at]) {
            match state {
                State::One(one) => next[at + 1] |= *one == unit,
                State::Any => next[at + 1] = true,
                State::AnyNumber => next[at] = true,
                State::Class { ranges, negated } => {
                    next[at + 1] |= ranges.iter().any(|range| range.contains(&unit)) != *negated;
                }
                State::Fork(_) => {}
            }
        }
        self.spread(&mut next);
        next
    }

    /// Adds the states that are reached from these without a character. They all lie behind, so going through once is enough.
    fn spread(&self, states: &mut [bool]) {
        for (at, state) in self.states.iter().enumerate() {
            match state {
                State::AnyNumber if states[at] => states[at + 1] = true,
                State::Fork(to) if states[at] => to.iter().for_each(|to| states[*to] = true),
                _ => {}
            }
        }
    }
}

/// The rest of a `[…]`. A `]` at its start, and a `-` at its start or end, stand for themselves.
fn class(rest: &mut std::str::Chars<'_>) -> Result<State, &'static str> {
    const OPEN: &str = "a `[` stands without its `]`";
    let negated = rest.as_str().starts_with(['!', '^']);
    if negated {
        rest.next();
    }
    let mut ranges = Vec::new();
    loop {
        let from = rest.next().ok_or(OPEN)?;
        if from == ']' && !ranges.is_empty() {
            return Ok(State::Class { ranges, negated });
        }
        let mut to = from;
        let mut ahead = rest.clone();
        if ahead.next() == Some('-') && !ahead.as_str().starts_with(']') {
            to = ahead.next().ok_or(OPEN)?;
            *rest = ahead;
        }
        if to < from {
            return Err("a range in its `[…]` goes backwards");
        }
        ranges.push(from.into()..=to.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matching<'n>(pattern: &str, names: &[&'n str]) -> Vec<&'n str> {
        let glob = Glob::parse(pattern).unwrap();
        names.iter().copied().filter(|name| glob.matches(OsStr::new(name))).collect()
    }

    #[test]
    fn stars_and_question_marks() {
        let names = ["", "a", "ab", "abc", "é", ".a"];
        assert_eq!(matching("*", &names), names);
        assert_eq!(matching("?", &names), ["a", "é"]);
        assert_eq!(matching("a*", &names), ["a", "ab", "abc"]);
        assert_eq!(matching("*b*", &names), ["ab", "abc"]);
        assert_eq!(matching("a?*c", &names), ["abc"]);
        assert_eq!(matching("**a", &names), ["a", ".a"]);
        assert_eq!(matching("ab", &names), ["ab"]);
    }

    #[test]
    fn classes() {
        let names = ["a", "b", "c", "-", "]", "!", "ä", "ab"];
        assert_eq!(matching("[ab]", &names), ["a", "b"]);
        assert_eq!(matching("[b-z]", &names), ["b", "c"]);
        assert_eq!(matching("[!a-c]", &names), ["-", "]", "!", "ä"]);
        assert_eq!(matching("[^a-c]", &names), ["-", "]", "!", "ä"]);
        assert_eq!(matching("[]a]", &names), ["a", "]"]);
        assert_eq!(matching("[!]a]", &names), ["b", "c", "-", "!", "ä"]);
        assert_eq!(matching("[a-]", &names), ["a", "-"]);
        assert_eq!(matching("[-a]", &names), ["a", "-"]);
        assert_eq!(matching("[a!]", &names), ["a", "!"]);
        assert_eq!(matching("[ß-ü]", &names), ["ä"]);
        assert_eq!(matching("[a][b]", &names), ["ab"]);
    }

    #[test]
    fn alternatives() {
        let names = ["x", "x.log", "x.log.1", "x.txt", "y.log", "x.l,g"];
        assert_eq!(matching("x.{log,txt}", &names), ["x.log", "x.txt"]);
        assert_eq!(matching("x.log{,.[0-9]}", &names), ["x.log", "x.log.1"]);
        assert_eq!(matching("{x.{log{,.*},txt},y*}", &names), ["x.log", "x.log.1", "x.txt", "y.log"]);
        assert_eq!(matching("x{}", &names), ["x"]);
        assert_eq!(matching("x.l,*", &names), ["x.l,g"]);
    }

    #[test]
    fn what_is_escaped_stands_for_itself() {
        let names = ["a*", "ab", "a{", "a\\", "a,b", "a"];
        assert_eq!(matching("a\\*", &names), ["a*"]);
        assert_eq!(matching("a\\{", &names), ["a{"]);
        assert_eq!(matching("a\\\\", &names), ["a\\"]);
        assert_eq!(matching("{a\\,b}", &names), ["a,b"]);
    }

    #[test]
    fn names_that_are_not_text() {
        let name = OsStr::from_bytes(b"a\xff\xfe.log");
        for (pattern, is) in
            [("a??.log", true), ("*.log", true), ("a[!x]?.*", true), ("a?.log", false), ("a[ÿ]?.log", false)]
        {
            assert_eq!(Glob::parse(pattern).unwrap().matches(name), is, "{pattern}");
        }
    }

    #[test]
    fn what_is_no_pattern() {
        for (pattern, why) in [
            ("[a", "a `[` stands without its `]`"),
            ("[]", "a `[` stands without its `]`"),
            ("[a-", "a `[` stands without its `]`"),
            ("[z-a]", "a range in its `[…]` goes backwards"),
            ("{a,b", "a `{` stands without its `}`"),
            ("a}{", "a `}` stands without its `{`"),
            ("*\\", "nothing follows its last `\\`"),
        ] {
            assert_eq!(Glob::parse(pattern), Err(why), "{pattern}");
        }
    }

    #[test]
    fn a_pattern_that_could_match_in_many_ways_costs_no_more() {
        let pattern = "*a".repeat(50) + "b";
        assert!(!Glob::parse(&pattern).unwrap().matches(OsStr::new(&"a".repeat(200))));
    }
}
