//! Units: CPU shares and sizes, and how people write them.

use crate::Invalid;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A share of physical CPU in hundredths of a core: 150 is one core and a half.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CpuShare(pub u32);

impl CpuShare {
    /// The share of `cores` whole cores.
    #[must_use]
    pub const fn cores(cores: u32) -> Self {
        Self(cores.saturating_mul(100))
    }

    /// Reads a decimal number of cores such as `0.5` or `2`.
    ///
    /// # Errors
    /// When the text is no decimal number between 0.01 and 10,000 with at most two digits after the point.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let refuse = || {
            Invalid::new(
                "cpu",
                text,
                "is not a number of cores between 0.01 and 10000",
                "Write a number of cores such as 0.5 or 2.",
            )
        };
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |s: &str| s.chars().all(|c| c.is_ascii_digit());
        if whole.len() + fraction.len() == 0
            || !digits(whole)
            || !digits(fraction)
            || fraction.len() > 2
            || whole.len() > 5
        {
            return Err(refuse());
        }
        let whole: u32 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| refuse())? };
        let hundredths: u32 =
            if fraction.is_empty() { 0 } else { format!("{fraction:0<2}").parse().map_err(|_| refuse())? };
        let share = whole * 100 + hundredths;
        if share == 0 || share > 1_000_000 {
            return Err(refuse());
        }
        Ok(Self(share))
    }
}

impl fmt::Display for CpuShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 100, self.0 % 100) {
            (whole, 0) => write!(f, "{whole}"),
            (whole, part) if part % 10 == 0 => write!(f, "{whole}.{}", part / 10),
            (whole, part) => write!(f, "{whole}.{part:02}"),
        }
    }
}

/// Reads a size as people write it and gives whole MiB, rounded up. A bare number is MiB; `K`, `M`, `G`, `T` (with or
/// without `iB`, either case) are powers of 1024; `B` is bytes.
///
/// # Errors
/// When the text is no size, is zero or exceeds 1 EiB.
pub fn parse_mib(field: &str, text: &str) -> Result<u64, Invalid> {
    let refuse = |wrong: &str| Invalid::new(field, text, wrong, "Write a size such as 512M, 20G or 1T.");
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let scale: f64 = match unit.trim().to_ascii_lowercase().as_str() {
        "b" => 1.0 / (1024.0 * 1024.0),
        "k" | "kib" | "kb" => 1.0 / 1024.0,
        "" | "m" | "mib" | "mb" => 1.0,
        "g" | "gib" | "gb" => 1024.0,
        "t" | "tib" | "tb" => 1024.0 * 1024.0,
        _ => return Err(refuse("has no known unit")),
    };
    let number: f64 = number.parse().map_err(|_| refuse("is not a size"))?;
    let mib = (number * scale).ceil();
    if !(1.0..=1_099_511_627_776.0).contains(&mib) {
        return Err(refuse("is not between 1 MiB and 1 EiB"));
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to lie in 1..=2^40 just above")]
    Ok(mib as u64)
}

/// A size in MiB for people: `512 MiB`, `20 GiB`.
#[must_use]
pub fn show_mib(mib: u64) -> String {
    if mib >= 1024 && mib.is_multiple_of(1024) { format!("{} GiB", mib / 1024) } else { format!("{mib} MiB") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_shares_round_trip() {
        for (text, share) in [("1", 100), ("0.5", 50), ("0.05", 5), ("2.25", 225), (".1", 10)] {
            assert_eq!(CpuShare::parse(text).expect(text).0, share);
        }
        assert_eq!(CpuShare(5).to_string(), "0.05");
        assert_eq!(CpuShare(250).to_string(), "2.5");
        for text in ["", ".", "0", "-1", "1.234", "1e3", "nan", "99999999999"] {
            assert!(CpuShare::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_read_as_people_write_them() {
        for (text, mib) in [("512", 512), ("512M", 512), ("1.5G", 1536), ("2GiB", 2048), ("1T", 1 << 20), ("1B", 1)] {
            assert_eq!(parse_mib("memory", text).expect(text), mib);
        }
        for text in ["", "0", "-5", "12Q", "1e99", "..", "G"] {
            assert!(parse_mib("memory", text).is_err(), "{text}");
        }
    }
}
