//! Which names a rotated file may bear.

use std::path::Path;

/// What compressing programs append.
const COMPRESSED: [&str; 6] = [".gz", ".zst", ".zstd", ".bz2", ".xz", ".z"];

/// Words that stand for a number or date in some rotations.
const WORDS: [&str; 5] = ["old", "bak", "prev", "rotated", "last"];

/// Whether `name` is one that rotation gives to `base`: `app.log.1`, `app.log-20260131`, `app.log.2026-01-31T10:00:00Z.gz`, `app.log.old`,
/// `app-2026-01-31T10-00-00.000.log`, `app.1.log`. Another log beside it (`app.error.log`, `app.log.txt`) is not.
pub(super) fn is_rotated_name(base: &Path, name: &Path) -> bool {
    let (Some(base), Some(name)) = (file_name(base), file_name(name)) else { return false };
    let name = without_compression(name);
    if base == name {
        // The compressed form of the very name.
        return false;
    }
    if let Some(suffix) = name.strip_prefix(base) {
        return is_mark(suffix);
    }
    let Some((stem, extension)) = base.rsplit_once('.') else { return false };
    name.strip_prefix(stem)
        .and_then(|rest| rest.strip_suffix(extension))
        .and_then(|rest| rest.strip_suffix('.'))
        .is_some_and(is_mark)
}

/// Whether `name` could be a copy of `base`: as above, or with anything behind the name.
pub(super) fn is_copy_name(base: &Path, name: &Path) -> bool {
    let (Some(base_name), Some(copy_name)) = (file_name(base), file_name(name)) else { return false };
    copy_name.starts_with(base_name) || is_rotated_name(base, name)
}

/// Whether `name` is a compressed form of `base` or of one of its rotated names.
pub(super) fn is_archive_name(base: &Path, name: &Path) -> bool {
    let (Some(base_name), Some(full)) = (file_name(base), file_name(name)) else { return false };
    let plain = without_compression(full);
    plain != full && (plain == base_name || is_rotated_name(base, name))
}

fn file_name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

fn without_compression(name: &str) -> &str {
    COMPRESSED.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name)
}

/// `.1`, `-20260131`, `.2026-01-31T10:00:00Z`, `.old`, `.1.old`: separators, digits and few words, with a digit or a word in it.
fn is_mark(text: &str) -> bool {
    if !text.starts_with(['.', '-', '_', '~']) {
        return false;
    }
    let mut meaning = false;
    for part in text.split(['.', '-', '_', '~', ':', 'T', 'Z', '+', '@']) {
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let word = WORDS.iter().any(|word| part.eq_ignore_ascii_case(word));
        if !part.is_empty() && !digits && !word {
            return false;
        }
        meaning |= digits || word;
    }
    meaning
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotated_names_of_the_usual_programs_are_known() {
        let base = Path::new("/var/log/app.log");
        for name in [
            "app.log.1",
            "app.log.10.gz",
            "app.log-20260131",
            "app.log-20260131-1769850000.gz",
            "app.log.2026-01-31T10:00:00Z",
            "app.log.old",
            "app.1.log",
            "app-20260131.log",
            "app-2026-01-31T10-00-00.000.log",
            "app-2026-01-31T10-00-00.000.log.gz",
        ] {
            assert!(is_rotated_name(base, Path::new(name)), "{name}");
        }
        assert!(is_rotated_name(Path::new("0.log"), Path::new("0.log.20260131-101010")));
    }

    #[test]
    fn other_logs_beside_it_are_not_taken_for_it() {
        let base = Path::new("app.log");
        for name in [
            "app.log",
            "app.log.gz",
            "app.error.log",
            "app-worker.log",
            "app.log.txt",
            "app2.log",
            "application.log.1",
            "app.log.",
        ] {
            assert!(!is_rotated_name(base, Path::new(name)), "{name}");
        }
        assert!(is_archive_name(base, Path::new("app.log.gz")));
        assert!(is_copy_name(base, Path::new("app.log.copy")));
        assert!(!is_copy_name(base, Path::new("other.log.1")));
    }
}
