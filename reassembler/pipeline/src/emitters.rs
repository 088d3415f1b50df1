//! What was lost before a log was written, as emitters' own counts tell it: each process numbers its captures (`n` in a request's head) and
//! sometimes prints a `meta` record with what it began, finished, dropped and left out by sampling.
//!
//! All of it is claims by whoever wrote to the log, so it is bounded and shown, and decides nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How many processes are told apart. Of more, those that were quiet longest are summed up.
const MAX_PROCESSES: usize = 1_000;
/// Longest name of a service, host or process that is kept, in characters.
const MAX_NAME: usize = 64;

/// What one process counted, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Process {
    /// Its service.
    pub service: String,
    /// Its host.
    pub host: String,
    /// Captures of it that were stored, those that bear a number.
    pub captures: u64,
    /// Its highest number.
    pub highest: u64,
    /// Captures that it began, by its latest `meta`.
    pub begun: u64,
    /// Captures that it dropped because its queue was full.
    pub dropped: u64,
    /// Requests that it left out by sampling.
    pub sampled_out: u64,
    /// The order of its last record among all.
    pub order: u64,
}

impl Process {
    /// Captures that it began and of which no request was stored yet: lost on the way to the reader, open, or from before the log.
    pub fn missing(&self) -> u64 {
        self.highest.max(self.begun).saturating_sub(self.captures)
    }
}

/// Sums over processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sums {
    /// Captures stored that bear a number.
    pub captures: u64,
    /// Captures begun and not stored: [`Process::missing`].
    pub missing: u64,
    /// Captures dropped.
    pub dropped: u64,
    /// Requests left out by sampling.
    pub sampled_out: u64,
}

impl Sums {
    fn add(&mut self, process: &Process) {
        self.captures += process.captures;
        self.missing += process.missing();
        self.dropped += process.dropped;
        self.sampled_out += process.sampled_out;
    }
}

/// The processes whose records were read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Emitters {
    /// By `inst`.
    pub processes: BTreeMap<String, Process>,
    /// Those that are no longer told apart.
    pub others: Sums,
    /// How many records were taken note of.
    pub order: u64,
}

impl Emitters {
    /// A request was stored, with what its head says of its process.
    pub(crate) fn stored(&mut self, inst: &str, service: Option<&str>, host: Option<&str>, n: u64) {
        self.note(inst, service, host, |process| {
            process.captures += 1;
            process.highest = process.highest.max(n);
        });
    }

    /// A `meta` record came: the text of its head.
    pub(crate) fn meta(&mut self, head: &str) {
        let Ok(head) = serde_json::from_str::<Map<String, Value>>(head) else { return };
        let text = |key: &str| head.get(key).and_then(Value::as_str);
        let count = |key: &str| head.get(key).and_then(Value::as_u64).unwrap_or(0);
        let Some(inst) = text("inst") else { return };
        self.note(inst, text("service"), text("host"), |process| {
            // Counted since the process began: records may come late or again, and only more is news.
            process.begun = process.begun.max(count("begun"));
            process.dropped = process.dropped.max(count("dropped"));
            process.sampled_out = process.sampled_out.max(count("sampled_out"));
        });
    }

    /// Takes note of a process. Its name is copied only where it is new.
    fn note(&mut self, inst: &str, service: Option<&str>, host: Option<&str>, change: impl FnOnce(&mut Process)) {
        let inst = name(inst);
        self.order += 1;
        let order = self.order;
        if !self.processes.contains_key(inst) {
            self.make_room();
            self.processes.insert(inst.to_owned(), Process::default());
        }
        if let Some(process) = self.processes.get_mut(inst) {
            process.order = order;
            for (kept, said) in [(&mut process.service, service), (&mut process.host, host)] {
                if kept.is_empty() {
                    name(said.unwrap_or_default()).clone_into(kept);
                }
            }
            change(process);
        }
    }

    /// Sums the quieter half up where there are as many as are told apart.
    fn make_room(&mut self) {
        if self.processes.len() < MAX_PROCESSES {
            return;
        }
        let mut orders: Vec<u64> = self.processes.values().map(|process| process.order).collect();
        orders.sort_unstable();
        let middle = orders[orders.len() / 2];
        let others = &mut self.others;
        self.processes.retain(|_, process| {
            let stays = process.order >= middle;
            if !stays {
                others.add(process);
            }
            stays
        });
    }

    /// Sums over all processes.
    pub fn sums(&self) -> Sums {
        let mut sums = self.others;
        self.processes.values().for_each(|process| sums.add(process));
        sums
    }

    /// Adds what a later run took note of.
    pub(crate) fn add(&mut self, later: &Emitters) {
        let before = self.order;
        for (inst, process) in &later.processes {
            if !self.processes.contains_key(inst) {
                self.make_room();
            }
            let sum = self.processes.entry(inst.clone()).or_default();
            sum.captures += process.captures;
            sum.highest = sum.highest.max(process.highest);
            sum.begun = sum.begun.max(process.begun);
            sum.dropped = sum.dropped.max(process.dropped);
            sum.sampled_out = sum.sampled_out.max(process.sampled_out);
            sum.order = before + process.order;
            sum.service.clone_from(&process.service);
            sum.host.clone_from(&process.host);
        }
        self.order = before + later.order;
        let others = &mut self.others;
        others.captures += later.others.captures;
        others.missing += later.others.missing;
        others.dropped += later.others.dropped;
        others.sampled_out += later.others.sampled_out;
    }
}

/// As much of a name as is kept.
fn name(text: &str) -> &str {
    text.char_indices().nth(MAX_NAME).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_began_and_nobody_stored_is_missing() {
        let mut emitters = Emitters::default();
        for n in [1, 2, 5] {
            emitters.stored("a", Some("shop"), Some("h"), n);
        }
        assert_eq!(emitters.processes["a"].missing(), 2);
        emitters.meta(r#"{"service":"shop","inst":"a","begun":7,"finished":6,"dropped":3,"sampled_out":9}"#);
        // An older one that comes late says nothing new.
        emitters.meta(r#"{"inst":"a","begun":1,"dropped":1}"#);
        for no_meta in ["{", "[]", r#"{"begun":99}"#, r#"{"inst":1}"#] {
            emitters.meta(no_meta);
        }
        let a = &emitters.processes["a"];
        assert_eq!((a.missing(), a.dropped, a.sampled_out, &*a.service), (4, 3, 9, "shop"));
        let mut later = Emitters::default();
        later.stored("a", Some("shop"), Some("h"), 6);
        emitters.add(&later);
        assert_eq!((emitters.processes["a"].missing(), emitters.sums().captures), (3, 4));
    }

    #[test]
    fn processes_are_bounded_and_their_sums_stay() {
        let mut emitters = Emitters::default();
        for process in 0..10_000 {
            emitters.stored(&format!("{process}{}", "x".repeat(1_000)), None, None, 3);
        }
        assert!(emitters.processes.len() <= MAX_PROCESSES);
        assert!(emitters.processes.keys().all(|inst| inst.len() == MAX_NAME));
        assert_eq!(emitters.sums(), Sums { captures: 10_000, missing: 20_000, ..Sums::default() });
    }
}
