//! What must not be stored: headers, query parameters and userinfo that hold secrets.
//!
//! Emitters redact at the source and the reader does it again with the same lists, for emitters that did not. What is secret becomes
//! [`REDACTED`], fixed and without its length; names stay, and every other byte stays as it was.

use std::borrow::Cow;

use memchr::memchr;
use percent_encoding::percent_decode;

mod bodies;

pub use self::bodies::BodyKind;

/// What stands in a secret's place.
pub const REDACTED: &str = "[redacted]";

/// Headers whose values are secrets, whatever their case.
pub const DEFAULT_HEADERS: &[&str] = &[
    "authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
    "x-api-key",
    "x-auth-token",
    "x-csrftoken",
    "x-xsrf-token",
    "x-amz-security-token",
];

/// Names of secrets in query strings, forms and JSON, whatever their case. `*` at an end stands for any characters.
pub const DEFAULT_NAMES: &[&str] =
    &["password", "passwd", "pwd", "secret", "*key", "*token*", "*session*", "*credit*", "*card*", "*auth*"];

/// Names of secrets in query strings alone: what signed URLs carry.
pub const DEFAULT_QUERY: &[&str] = &[
    "AWSAccessKeyId",
    "Signature",
    "sig",
    "X-Goog-Signature",
    "X-Amz-Signature",
    "X-Amz-Credential",
    "X-Amz-Security-Token",
];

/// Knows what is secret. Starts with the default lists; headers and names can be added and exempted.
#[derive(Clone, Debug)]
pub struct Redactor {
    headers: Vec<String>,
    names: Vec<Pattern>,
    query: Vec<Pattern>,
    kept: Vec<Pattern>,
}

impl Default for Redactor {
    fn default() -> Self {
        Redactor {
            headers: DEFAULT_HEADERS.iter().map(|name| (*name).to_owned()).collect(),
            names: DEFAULT_NAMES.iter().map(|name| Pattern::new(name)).collect(),
            query: DEFAULT_QUERY.iter().map(|name| Pattern::new(name)).collect(),
            kept: Vec::new(),
        }
    }
}

impl Redactor {
    /// Redacts nothing but userinfo until something is added.
    pub fn empty() -> Redactor {
        Redactor { headers: Vec::new(), names: Vec::new(), query: Vec::new(), kept: Vec::new() }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str) -> Redactor {
        self.headers.push(name.to_ascii_lowercase());
        self
    }

    /// Takes a header from the list.
    #[must_use]
    pub fn keep_header(mut self, name: &str) -> Redactor {
        self.headers.retain(|listed| !listed.eq_ignore_ascii_case(name));
        self
    }

    /// Adds a name in query strings, forms and JSON; `*` at an end stands for any characters.
    #[must_use]
    pub fn name(mut self, pattern: &str) -> Redactor {
        self.names.push(Pattern::new(pattern));
        self
    }

    /// Exempts a name, or all names of a pattern, even where another pattern lists it: `keep_name("author")`.
    #[must_use]
    pub fn keep_name(mut self, pattern: &str) -> Redactor {
        self.kept.push(Pattern::new(pattern));
        self
    }

    /// Whether a header's value is a secret.
    pub fn is_secret_header(&self, name: &str) -> bool {
        self.headers.iter().any(|listed| listed.eq_ignore_ascii_case(name))
    }

    /// Whether what stands under `name` in a form or in JSON is a secret.
    pub fn is_secret_name(&self, name: &str) -> bool {
        self.is_secret(name.as_bytes(), &self.names)
    }

    /// Whether a query parameter's value is a secret. `name` may be percent-encoded, as it stands in the URL.
    pub fn is_secret_parameter(&self, name: &str) -> bool {
        let plain = decoded(name);
        let plain = plain.trim().as_bytes();
        self.is_secret(plain, &self.names) || self.is_secret(plain, &self.query)
    }

    /// Whether a form's field is. `name` may be percent-encoded, as it stands in the body.
    fn is_secret_field(&self, name: &str) -> bool {
        self.is_secret_name(decoded(name).trim())
    }

    fn is_secret(&self, name: &[u8], listed: &[Pattern]) -> bool {
        let letters = Letters::of(name);
        let fits = |pattern: &Pattern| letters.hold(pattern.letters) && pattern.matches(name);
        listed.iter().any(fits) && !self.kept.iter().any(fits)
    }

    /// A header's value as it may be stored.
    pub fn header_value<'a>(&self, name: &str, value: Cow<'a, str>) -> Cow<'a, str> {
        if self.is_secret_header(name) { Cow::Borrowed(REDACTED) } else { value }
    }

    /// A URL as it may be stored: without userinfo, and listed query parameters without their values.
    ///
    /// A parameter ends at `&`. A listed name behind a `;`, which some servers take for a separator too, counts, and its value goes on to the
    /// next `&`.
    pub fn url<'a>(&self, url: &'a str) -> Cow<'a, str> {
        let mut kept: Vec<&str> = Vec::new();
        let rest = match userinfo(url) {
            Some((start, end)) => {
                kept.push(&url[..start]);
                &url[end..]
            }
            None => url,
        };
        let (query, fragment) = match memchr(b'#', rest.as_bytes()) {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (path, parameters) = match memchr(b'?', query.as_bytes()) {
            Some(start) => query.split_at(start + 1),
            None => (query, ""),
        };
        let parameters = match self.parameters(parameters, |name| self.is_secret_parameter(name)) {
            Cow::Borrowed(_) if kept.is_empty() => return Cow::Borrowed(url),
            parameters => parameters,
        };
        kept.extend([path, &parameters, fragment]);
        Cow::Owned(kept.concat())
    }

    /// Parameters with `&` between them, those without their values whose name `is_secret`.
    fn parameters<'a>(&self, parameters: &'a str, is_secret: impl Fn(&str) -> bool) -> Cow<'a, str> {
        if !parameters.split('&').any(|parameter| secret_at(parameter, &is_secret).is_some()) {
            return Cow::Borrowed(parameters);
        }
        let mut kept = String::with_capacity(parameters.len());
        for (at, parameter) in parameters.split('&').enumerate() {
            if at > 0 {
                kept.push('&');
            }
            match secret_at(parameter, &is_secret) {
                Some(value) => kept.extend([&parameter[..value], REDACTED]),
                None => kept.push_str(parameter),
            }
        }
        Cow::Owned(kept)
    }
}

/// A parameter's name as its percent-encoding says it.
fn decoded(name: &str) -> Cow<'_, str> {
    if name.contains(['%', '+']) {
        percent_decode(name.replace('+', " ").as_bytes()).decode_utf8_lossy().into_owned().into()
    } else {
        Cow::Borrowed(name)
    }
}

/// Where the secret value starts in what stands between two `&`.
fn secret_at(parameter: &str, is_secret: impl Fn(&str) -> bool) -> Option<usize> {
    let mut at = 0;
    for field in parameter.split(';') {
        if let Some((name, _)) = field.split_once('=')
            && is_secret(name)
        {
            return Some(at + name.len() + 1);
        }
        at += field.len() + 1;
    }
    None
}

/// Where the userinfo with its `@` stands in a URL that has an authority.
fn userinfo(url: &str) -> Option<(usize, usize)> {
    let start = match url.find("//") {
        Some(0) => 2,
        Some(at) if url.as_bytes()[at - 1] == b':' && !url[..at].contains(['/', '?', '#']) => at + 2,
        _ => return None,
    };
    let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |at| start + at);
    url[start..end].rfind('@').map(|at| (start, start + at + 1))
}

/// A name with an optional `*` at each end.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    shape: Shape,
    /// In lowercase, without the `*`.
    text: String,
    letters: Letters,
}

/// Where the text stands in a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Is,
    Starts,
    Ends,
    Holds,
}

/// Which letters a text has, whatever their case: most names lack one of a pattern's, and need not be compared with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Letters(u32);

impl Letters {
    fn of(text: &[u8]) -> Letters {
        // Of every byte its last five bits: letters of both cases have the same, and what else does makes a comparison in vain.
        Letters(text.iter().fold(0, |letters, byte| letters | 1 << (byte & 31)))
    }

    fn hold(self, others: Letters) -> bool {
        self.0 & others.0 == others.0
    }
}

impl Pattern {
    fn new(pattern: &str) -> Pattern {
        let pattern = pattern.to_ascii_lowercase();
        let (shape, text) = match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
            (Some(rest), Some(_)) => (Shape::Holds, rest.trim_end_matches('*')),
            (Some(rest), None) => (Shape::Ends, rest),
            (None, Some(rest)) => (Shape::Starts, rest),
            (None, None) => (Shape::Is, &*pattern),
        };
        Pattern { shape, text: text.to_owned(), letters: Letters::of(text.as_bytes()) }
    }

    fn matches(&self, name: &[u8]) -> bool {
        let text = self.text.as_bytes();
        match self.shape {
            Shape::Is => name.eq_ignore_ascii_case(text),
            Shape::Starts => name.get(..text.len()).is_some_and(|start| start.eq_ignore_ascii_case(text)),
            Shape::Ends => name.len().checked_sub(text.len()).is_some_and(|at| name[at..].eq_ignore_ascii_case(text)),
            Shape::Holds => text.is_empty() || name.windows(text.len()).any(|part| part.eq_ignore_ascii_case(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn listed_headers_lose_their_value_whatever_their_case() {
        let redactor = Redactor::default().header("X-Pin").keep_header("Cookie");
        for name in ["Authorization", "SET-COOKIE", "x-api-key", "x-pin"] {
            assert_eq!(redactor.header_value(name, "s3cret".into()), REDACTED, "{name}");
        }
        for name in ["cookie", "accept", "authorization2"] {
            assert_eq!(redactor.header_value(name, "plain".into()), "plain", "{name}");
        }
    }

    #[test]
    fn urls_lose_userinfo_and_listed_values_and_nothing_else() {
        let redactor = Redactor::default();
        for (url, kept) in [
            ("/a?password=x&b=%20c&=&b", "/a?password=[redacted]&b=%20c&=&b"),
            ("http://u:p@h:80/@me?q=a@b#t?token=1", "http://h:80/@me?q=a@b#t?token=1"),
            ("postgres://u:p%40@db/shop", "postgres://db/shop"),
            ("http://a@b@h", "http://h"),
            ("//u@h/x", "//h/x"),
            (
                "https://h/p?X-Amz-Signature=ab&x-amz-date=1&SIG=",
                "https://h/p?X-Amz-Signature=[redacted]&x-amz-date=1&SIG=[redacted]",
            ),
            ("/?pass%77ord=x&api_key=1;2&author=me", "/?pass%77ord=[redacted]&api_key=[redacted]&author=[redacted]"),
            ("/?a=1;access_token=x;y&b=2#f&token=z", "/?a=1;access_token=[redacted]&b=2#f&token=z"),
            ("/x?next=http://u:p@h/", "/x?next=http://u:p@h/"),
            ("", ""),
            ("?", "?"),
            ("/é?sig=é&ü=1", "/é?sig=[redacted]&ü=1"),
        ] {
            assert_eq!(redactor.url(url), kept, "{url}");
        }
    }

    #[test]
    fn names_can_be_added_and_exempted() {
        let redactor = Redactor::default().name("iban*").keep_name("author");
        assert_eq!(redactor.url("/?IBAN_x=1&author=me&authz=2"), "/?IBAN_x=[redacted]&author=me&authz=[redacted]");
        assert!(redactor.is_secret_name("creditNumber") && !redactor.is_secret_name("sig"));
        assert_eq!(Redactor::empty().url("http://u@h/?password=1"), "http://h/?password=1");
    }

    proptest! {
        #[test]
        fn redacting_again_changes_nothing(url in "[a-z:/?&;=@#%4é]{0,40}(token=)?[a-z&;=@/é]{0,10}") {
            let redactor = Redactor::default();
            let once = redactor.url(&url).into_owned();
            prop_assert_eq!(redactor.url(&once).into_owned(), once);
        }
    }
}
