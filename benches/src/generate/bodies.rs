//! Bodies: JSON of words and numbers, other text, random bytes.

use super::random::Random;

/// Median of a body's size, in bytes.
const MEDIAN_BYTES: f64 = 1500.0;
/// Sigma of the sizes' logarithm.
const SIGMA: f64 = 1.3;
/// Longest body in bytes: about 4.6 sigma above the median, so that one draw in a million does not make a log by itself.
const MAX_BYTES: f64 = 600_000.0;
/// Words in the vocabulary.
const WORDS: usize = 3000;

/// A body with its content type.
pub(super) struct Body {
    pub(super) content_type: &'static str,
    pub(super) bytes: Vec<u8>,
}

/// Makes bodies from a vocabulary of its own.
pub(super) struct Bodies {
    words: Vec<String>,
}

impl Bodies {
    pub(super) fn new(random: &mut Random) -> Bodies {
        const ONSETS: [&str; 16] = ["b", "br", "c", "d", "f", "g", "gr", "h", "l", "m", "n", "p", "r", "s", "st", "t"];
        const RIMES: [&str; 12] = ["a", "e", "i", "o", "u", "an", "el", "er", "in", "on", "or", "ut"];
        let word = |random: &mut Random| {
            let syllables = 1 + random.index(4);
            (0..syllables)
                .map(|_| [ONSETS[random.index(ONSETS.len())], RIMES[random.index(RIMES.len())]].concat())
                .collect()
        };
        Bodies { words: (0..WORDS).map(|_| word(random)).collect() }
    }

    /// A word; common ones come often, as in any language.
    pub(super) fn word(&self, random: &mut Random) -> &str {
        let skewed = random.fraction() * random.fraction();
        &self.words[(skewed * self.words.len() as f64) as usize]
    }

    /// A body of the mix.
    pub(super) fn body(&self, random: &mut Random) -> Body {
        let size = random.log_normal(MEDIAN_BYTES, SIGMA).clamp(2.0, MAX_BYTES) as usize;
        match random.below(100) {
            0..80 => Body { content_type: "application/json", bytes: self.json(random, size) },
            80..85 => Body { content_type: "text/plain; charset=utf-8", bytes: self.text(random, size) },
            _ => {
                let mut bytes = vec![0; size];
                random.fill(&mut bytes);
                Body { content_type: "application/octet-stream", bytes }
            }
        }
    }

    /// An array of flat objects, at least `size` bytes long and little more.
    fn json(&self, random: &mut Random, size: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(size + 256);
        out.extend_from_slice(b"{\"items\":[");
        while out.len() + 2 < size {
            if out.last() == Some(&b'}') {
                out.push(b',');
            }
            let (id, cents, stock) = (random.below(1_000_000), random.below(100_000), random.below(500));
            let item = format!(
                r#"{{"id":{id},"name":"{} {}","price":{}.{:02},"stock":{stock},"tags":["{}","{}"],"note":""#,
                self.word(random),
                self.word(random),
                cents / 100,
                cents % 100,
                self.word(random),
                self.word(random),
            );
            out.extend_from_slice(item.as_bytes());
            for _ in 0..random.below(12) {
                out.extend_from_slice(self.word(random).as_bytes());
                out.push(b' ');
            }
            out.extend_from_slice(b"\"}");
        }
        out.extend_from_slice(b"]}");
        out
    }

    /// Lines of words, exactly `size` bytes.
    fn text(&self, random: &mut Random, size: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(size + 16);
        while out.len() < size {
            out.extend_from_slice(self.word(random).as_bytes());
            out.push(if random.percent(8) { b'\n' } else { b' ' });
        }
        out.truncate(size);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mix_is_as_told_and_json_is_json() {
        let mut random = Random::new(1);
        let bodies = Bodies::new(&mut random);
        let mut kinds = std::collections::BTreeMap::<_, usize>::new();
        for _ in 0..2000 {
            let body = bodies.body(&mut random);
            *kinds.entry(body.content_type).or_default() += 1;
            if body.content_type == "application/json" {
                serde_json::from_slice::<serde_json::Value>(&body.bytes).unwrap();
            }
        }
        assert!((1520..1680).contains(&kinds["application/json"]), "{kinds:?}");
        assert!((60..140).contains(&kinds["text/plain; charset=utf-8"]), "{kinds:?}");
    }
}
