//! From patterns to files: a walk over the directories that patterns name.
//!
//! A pattern is a path whose parts may hold `*`, `?`, `[…]` and `{…}`; a part `**` stands for any number of directories. A path that
//! exists as it is written is never taken for a pattern. Symbolic links to files are followed, those to directories too, except
//! beneath `**`, where they could form a circle.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::glob::Glob;
use super::identity::Stat;
use crate::SourceError;
use crate::error::shown;

/// How deep `**` descends.
const MAX_DEPTH: usize = 64;

/// As many links as Linux follows.
const MAX_LINKS: usize = 40;

/// One pattern of the user, taken apart.
#[derive(Debug)]
pub(super) struct Pattern {
    root: PathBuf,
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Name(OsString),
    Glob(Glob),
    AnyDirectories,
}

/// A file that a pattern matches.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) real: PathBuf,
    pub(super) stat: Stat,
}

/// What a walk found.
#[derive(Debug, Default)]
pub(super) struct Walk {
    pub(super) files: Vec<Found>,
    /// The real directories in which a change could bring, move or remove a file.
    pub(super) dirs: BTreeSet<PathBuf>,
    /// What could not be looked at, with the reason.
    pub(super) problems: Vec<(PathBuf, String)>,
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, SourceError> {
        let invalid = |why: String| SourceError::Pattern { pattern: text.to_owned(), why };
        if text.is_empty() {
            return Err(invalid("it is empty".to_owned()));
        }
        let path = std::path::absolute(text).map_err(|error| invalid(error.to_string()))?;
        let literal = fs::symlink_metadata(&path).is_ok();
        let mut parts = Vec::new();
        for component in path.components() {
            let Component::Normal(name) = component else {
                if component == Component::ParentDir {
                    parts.push(Part::Name("..".into()));
                }
                continue;
            };
            parts.push(match name.to_str() {
                Some(glob) if !literal && glob.contains(['*', '?', '[', '{', '}']) => {
                    Part::parse(glob).map_err(invalid)?
                }
                _ => Part::Name(name.to_owned()),
            });
        }
        if matches!(parts.last(), Some(Part::AnyDirectories)) {
            parts.push(Part::parse("*").map_err(invalid)?);
        }
        Ok(Self { root: PathBuf::from("/"), parts })
    }
}

impl Part {
    fn parse(glob: &str) -> Result<Part, String> {
        if glob == "**" {
            return Ok(Part::AnyDirectories);
        }
        if glob.matches('{').count() != glob.matches('}').count() {
            return Err("alternatives in braces must not span a `/`, and every brace needs its pair".to_owned());
        }
        Ok(Part::Glob(Glob::parse(glob)?))
    }
}

impl Walk {
    /// Looks for the files of every pattern.
    pub(super) fn of(patterns: &[Pattern]) -> Self {
        let mut walk = Walk::default();
        for pattern in patterns {
            walk.expand(pattern.root.clone(), &pattern.parts, 0);
        }
        walk
    }

    fn expand(&mut self, mut dir: PathBuf, mut parts: &[Part], depth: usize) {
        while let [Part::Name(name), rest @ ..] = parts {
            let path = dir.join(name);
            if rest.is_empty() {
                self.watch(&dir);
                self.take(path, None, true);
                return;
            }
            dir = path;
            parts = rest;
        }
        let Some(real_dir) = self.watch(&dir) else { return };
        let [part, rest @ ..] = parts else { return };
        if let Part::AnyDirectories = part {
            self.expand(dir.clone(), rest, depth);
            if depth == MAX_DEPTH {
                return;
            }
        }
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) => return self.problem(&dir, &error),
        };
        for entry in entries.flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            match part {
                Part::AnyDirectories if kind.is_dir() => self.expand(entry.path(), parts, depth + 1),
                Part::Glob(glob) if glob.matches(&entry.file_name()) => {
                    if !rest.is_empty() {
                        if kind.is_dir() || (kind.is_symlink() && entry.path().is_dir()) {
                            self.expand(entry.path(), rest, depth);
                        }
                    } else if kind.is_file() {
                        self.take(entry.path(), Some(real_dir.join(entry.file_name())), false);
                    } else if kind.is_symlink() {
                        self.take(entry.path(), None, false);
                    }
                }
                _ => {}
            }
        }
    }

    /// Notes a directory to be watched, or the nearest one above it that exists. Its real path, where it exists itself.
    fn watch(&mut self, dir: &Path) -> Option<PathBuf> {
        for (level, dir) in dir.ancestors().enumerate() {
            if let Ok(real) = fs::canonicalize(dir)
                && real.is_dir()
            {
                self.dirs.insert(real.clone());
                return (level == 0).then_some(real);
            }
        }
        None
    }

    /// Notes a file, and, where its real path is not known, the directories of every symbolic link on the way to it.
    fn take(&mut self, path: PathBuf, real: Option<PathBuf>, named: bool) {
        if real.is_none() {
            self.watch_links(&path);
        }
        let meta = match fs::metadata(&path) {
            Ok(meta) => meta,
            Err(error) => return self.problem(&path, &error),
        };
        if !meta.is_file() {
            if named {
                let shown = shown(&path);
                let why = match meta.is_dir() {
                    true => format!("{shown} is a directory; name a file, or a pattern such as {shown}/*.log"),
                    false => format!("{shown} is not a regular file and cannot be followed"),
                };
                self.problems.push((path, why));
            }
            return;
        }
        match real.map_or_else(|| fs::canonicalize(&path), Ok) {
            Ok(real) => self.files.push(Found { path, real, stat: Stat::from(&meta) }),
            Err(error) => self.problem(&path, &error),
        }
    }

    fn watch_links(&mut self, path: &Path) {
        let mut path = path.to_path_buf();
        for _ in 0..MAX_LINKS {
            let Ok(target) = fs::read_link(&path) else { return };
            let dir = path.parent().unwrap_or(Path::new("/"));
            path = dir.join(target);
            if let Some(dir) = path.parent() {
                let dir = dir.to_path_buf();
                self.watch(&dir);
            }
        }
    }

    /// What does not exist is no problem: it may come.
    fn problem(&mut self, path: &Path, error: &io::Error) {
        if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
            self.problems.push((path.to_path_buf(), format!("cannot look at {}: {error}", shown(path))));
        }
    }
}

/// A regular file in a directory, of whatever name.
#[derive(Clone, Debug)]
pub(super) struct Sibling {
    pub(super) path: PathBuf,
    pub(super) stat: Stat,
}

/// The regular files of a directory whose names are wanted; none where it cannot be read.
pub(super) fn siblings(dir: &Path, mut wanted: impl FnMut(&OsStr) -> bool) -> Vec<Sibling> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| wanted(&entry.file_name()))
        .filter_map(|entry| {
            let stat = Stat::from(&entry.metadata().ok()?);
            stat.regular.then(|| Sibling { path: entry.path(), stat })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(patterns: &[String]) -> Vec<PathBuf> {
        let patterns: Vec<Pattern> = patterns.iter().map(|pattern| Pattern::parse(pattern).unwrap()).collect();
        let mut paths: Vec<PathBuf> = Walk::of(&patterns).files.into_iter().map(|file| file.path).collect();
        paths.sort();
        paths
    }

    #[test]
    fn patterns_find_what_they_say() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("a/b/c")).unwrap();
        for name in ["x.log", "x.txt", "a/y.log", "a/b/c/z.log", "[odd].log"] {
            fs::write(root.join(name), "").unwrap();
        }
        std::os::unix::fs::symlink(&root, root.join("a/b/circle")).unwrap();
        let at = |text: &str| format!("{}/{text}", root.display());
        let paths = |names: &[&str]| names.iter().map(|name| root.join(name)).collect::<Vec<_>>();
        assert_eq!(found(&[at("*.log")]), paths(&["[odd].log", "x.log"]));
        assert_eq!(found(&[at("[odd].log")]), paths(&["[odd].log"]));
        assert_eq!(found(&[at("**/*.log")]), paths(&["[odd].log", "a/b/c/z.log", "a/y.log", "x.log"]));
        assert_eq!(found(&[at("a/**")]), paths(&["a/b/c/z.log", "a/y.log"]));
        assert_eq!(found(&[at("a/*/c/z.log")]), paths(&["a/b/c/z.log"]));
        assert_eq!(found(&[at("x.{log,txt}")]), paths(&["x.log", "x.txt"]));
        assert_eq!(found(&[at("none/*.log"), at("x.txt/y")]), Vec::<PathBuf>::new());
    }

    #[test]
    fn what_is_missing_is_watched_for_from_the_nearest_directory_that_exists() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let pattern = Pattern::parse(&format!("{}/not/yet/*.log", root.display())).unwrap();
        let walk = Walk::of(&[pattern]);
        assert_eq!(walk.dirs.into_iter().collect::<Vec<_>>(), [root]);
        assert!(walk.problems.is_empty());
    }

    #[test]
    fn a_pattern_that_cannot_be_one_is_an_error() {
        assert!(matches!(Pattern::parse(""), Err(SourceError::Pattern { .. })));
        assert!(matches!(Pattern::parse("/a/[b"), Err(SourceError::Pattern { .. })));
        assert!(matches!(Pattern::parse("/a/{b,c/d}"), Err(SourceError::Pattern { .. })));
    }

    #[test]
    fn a_directory_that_was_named_is_a_problem_and_one_that_a_glob_matches_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().display();
        let named = Walk::of(&[Pattern::parse(&path.to_string()).unwrap()]);
        assert!(named.problems[0].1.contains("is a directory"));
        fs::create_dir(dir.path().join("sub.log")).unwrap();
        assert!(Walk::of(&[Pattern::parse(&format!("{path}/*.log")).unwrap()]).problems.is_empty());
    }
}
