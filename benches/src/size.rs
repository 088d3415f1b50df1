//! Sizes as people write them: `500MB`, `64MiB`, `4096`.

use anyhow::{Context, Result, bail};

/// Bytes of a size: a whole number and, optionally, one of kB, KB, MB, GB (powers of 1,000) or KiB, MiB, GiB (of 1,024).
///
/// # Errors
/// Where it is none of these, or larger than 2⁶⁴-1 bytes.
pub fn parse_bytes(text: &str) -> Result<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => bail!("`{text}` is no size: write 500MB, 64MiB or 4096"),
    };
    let number: u64 = number.parse().with_context(|| format!("`{text}` is no size: write 500MB, 64MiB or 4096"))?;
    number.checked_mul(factor).with_context(|| format!("`{text}` is too large"))
}

#[cfg(test)]
mod tests {
    use super::parse_bytes;

    #[test]
    fn sizes_are_read_and_others_refused() {
        assert_eq!(parse_bytes("500MB").unwrap(), 500_000_000);
        assert_eq!(parse_bytes("64MiB").unwrap(), 64 << 20);
        assert_eq!(parse_bytes("4096").unwrap(), 4096);
        for wrong in ["", "MB", "1.5GB", "-1", "5 MB", "5mb", "99999999999GB"] {
            assert!(parse_bytes(wrong).is_err(), "{wrong}");
        }
    }
}
