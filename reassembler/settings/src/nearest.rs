//! "Did you mean": the known name nearest to a mistyped one.

/// How alike two names must be (Jaro-Winkler, 0 to 1) for one to be suggested; below it a suggestion is noise.
const ALIKE: f64 = 0.8;

/// The name in `known` nearest to `name`, where one is near enough.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn finds_typos_and_nothing_else() {
        let known = ["batch-bytes", "batch-age", "to", "timeout", "retention", "retention-errors"];
        assert_eq!(nearest("batch-byte", known), Some("batch-bytes"));
        assert_eq!(nearest("batch_age", known), Some("batch-age"));
        assert_eq!(nearest("retension", known), Some("retention"));
        assert_eq!(nearest("colour", known), None);
    }
}
