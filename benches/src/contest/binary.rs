//! The size of the binary, and whether it is stripped: one that is not says nothing of bar 9.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// A program's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binary {
    /// Its length in bytes.
    pub bytes: u64,
    /// Whether it carries no table of symbols; true too where it is no 64-bit ELF file.
    pub is_stripped: bool,
}

impl Binary {
    /// That of this path.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn of(path: &Path) -> Result<Binary> {
        let file =
            fs::read(path).with_context(|| format!("failed to read {}: cargo build --release", path.display()))?;
        Ok(Binary { bytes: file.len() as u64, is_stripped: !has_symbols(&file).unwrap_or(false) })
    }
}

/// Looks for a section of the type SHT_SYMTAB in a little-endian 64-bit ELF file; `None` where it is none, or cut.
fn has_symbols(file: &[u8]) -> Option<bool> {
    const SHT_SYMTAB: u32 = 2;
    if file.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let at = usize::try_from(u64::from_le_bytes(file.get(0x28..0x30)?.try_into().ok()?)).ok()?;
    let size = usize::from(u16::from_le_bytes(file.get(0x3a..0x3c)?.try_into().ok()?));
    let count = u16::from_le_bytes(file.get(0x3c..0x3e)?.try_into().ok()?);
    for header in file.get(at..)?.chunks_exact(size.max(8)).take(count.into()) {
        if u32::from_le_bytes(header.get(4..8)?.try_into().ok()?) == SHT_SYMTAB {
            return Some(true);
        }
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header with section headers of these types right behind it.
    fn elf(types: &[u32]) -> Vec<u8> {
        let mut file = vec![0; 0x40];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        file[0x28] = 0x40;
        file[0x3a] = 0x40;
        file[0x3c] = types.len() as u8;
        for section in types {
            let mut header = [0; 0x40];
            header[4..8].copy_from_slice(&section.to_le_bytes());
            file.extend(header);
        }
        file
    }

    #[test]
    fn a_table_of_symbols_is_seen_and_nothing_else_is_taken_for_one() {
        assert_eq!(has_symbols(&elf(&[0, 1, 3, 2])), Some(true));
        assert_eq!(has_symbols(&elf(&[0, 1, 3, 11])), Some(false));
        assert_eq!(has_symbols(b"#!/bin/sh\n"), None);
        assert_eq!(has_symbols(&elf(&[2])[..0x30]), None);
        let mut far = elf(&[2]);
        far[0x28..0x30].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(has_symbols(&far), None);
    }

    #[test]
    fn a_test_is_not_stripped() {
        assert!(!Binary::of(&std::env::current_exe().unwrap()).unwrap().is_stripped);
    }
}
