//! Which methods and paths are captured, and of which content types bodies are.

/// A text with an optional `*` at its end, which stands for anything.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    text: Box<str>,
    open: bool,
}

impl Pattern {
    fn new(pattern: &str) -> Pattern {
        match pattern.strip_suffix('*') {
            Some(text) => Pattern { text: text.into(), open: true },
            None => Pattern { text: pattern.into(), open: false },
        }
    }
}

#[cfg(any(feature = "_http", test))]
impl Pattern {
    fn matches(&self, text: &str) -> bool {
        if self.open { text.starts_with(&*self.text) } else { text == &*self.text }
    }

    fn matches_ignoring_case(&self, text: &str) -> bool {
        let len = if self.open { self.text.len() } else { text.len().max(self.text.len()) };
        text.get(..len).is_some_and(|start| start.eq_ignore_ascii_case(&self.text))
    }
}

/// What is let in and what is kept out: let in where `only` is empty or lists it, and `skip` does not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    only: Vec<Pattern>,
    skip: Vec<Pattern>,
}

impl Filter {
    pub(crate) fn only(&mut self, pattern: &str) {
        self.only.push(Pattern::new(pattern));
    }

    pub(crate) fn skip(&mut self, pattern: &str) {
        self.skip.push(Pattern::new(pattern));
    }
}

#[cfg(any(feature = "_http", test))]
impl Filter {
    /// Whether all is let in.
    pub(crate) fn is_open(&self) -> bool {
        self.only.is_empty() && self.skip.is_empty()
    }

    /// Whether a path is let in.
    pub(crate) fn lets_path(&self, path: &str) -> bool {
        self.lets(|pattern| pattern.matches(path))
    }

    /// Whether a method is let in.
    pub(crate) fn lets_method(&self, method: &str) -> bool {
        self.lets(|pattern| pattern.matches_ignoring_case(method))
    }

    /// Whether a content type is, its parameters left aside. A body without one counts as of the empty type.
    pub(crate) fn lets_content_type(&self, value: &str) -> bool {
        let essence = value.split(';').next().unwrap_or_default().trim();
        self.lets(|pattern| pattern.matches_ignoring_case(essence))
    }

    fn lets(&self, matches: impl Fn(&Pattern) -> bool) -> bool {
        (self.only.is_empty() || self.only.iter().any(&matches)) && !self.skip.iter().any(&matches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipping_wins_over_letting_in() {
        let mut paths = Filter::default();
        assert!(paths.lets_path("/any"));
        paths.only("/api/*");
        paths.skip("/api/health");
        let let_in = ["/api/orders", "/api/health", "/api/healthy", "/", "/API/x"].map(|path| paths.lets_path(path));
        assert_eq!(let_in, [true, false, true, false, false]);
    }

    #[test]
    fn methods_are_compared_without_case() {
        let mut methods = Filter::default();
        methods.skip("options");
        assert_eq!(["OPTIONS", "Options", "GET"].map(|method| methods.lets_method(method)), [false, false, true]);
    }

    #[test]
    fn content_types_are_compared_without_case_and_parameters() {
        let mut types = Filter::default();
        types.only("application/json");
        types.only("Text/*");
        let let_in = ["application/JSON; charset=utf-8", "text/html", "image/png", "application/jsonx", "", "té"]
            .map(|value| types.lets_content_type(value));
        assert_eq!(let_in, [true, true, false, false, false, false]);
    }
}
