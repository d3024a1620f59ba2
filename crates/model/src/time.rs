//! Points in time as data. Nothing here reads a clock.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Milliseconds since 1970-01-01 00:00 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The moment `after` this one; saturates at the end of time.
    #[must_use]
    pub fn plus(self, after: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(after.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How much time lies between `earlier` and this moment; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Reads a day (`2026-11-22`) or a moment (`2026-11-22T08:47:05Z`, with or without a fraction), in UTC; `None` when
    /// it is neither.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let number = |text: &str, digits: usize| -> Option<i64> {
            (text.len() == digits && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
        };
        let (date, time) = text.split_once('T').unwrap_or((text, "00:00:00Z"));
        let mut date = date.split('-');
        let (year, month, day) = (number(date.next()?, 4)?, number(date.next()?, 2)?, number(date.next()?, 2)?);
        let time = time.strip_suffix('Z')?;
        let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
        let mut clock = clock.split(':');
        let (h, m, s) = (number(clock.next()?, 2)?, number(clock.next()?, 2)?, number(clock.next()?, 2)?);
        let ms = number(format!("{fraction:0<3}").get(..3)?, 3)?;
        if date.next().is_some() || clock.next().is_some() || fraction.is_empty() || h > 23 || m > 59 || s > 59 {
            return None;
        }
        // The same calendar as in `Display`, the other way.
        let y = year - i64::from(month <= 2);
        let doy = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
        let yoe = y.rem_euclid(400);
        let days = y.div_euclid(400) * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468;
        let at = Self(((days * 24 + h) * 60 + m) * 60_000 + s * 1000 + ms);
        // A day that its month does not have would be one of the next.
        at.to_string().starts_with(&format!("{year:04}-{month:02}-{day:02}T")).then_some(at)
    }

    /// Whole seconds since 1970.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }
}

/// Tells the time. Only the interface is here: the rooms that need the time are given one, so that a simulation can
/// give them its own.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Civil date from days, after Howard Hinnant's public-domain description of the proleptic Gregorian calendar.
        let (days, ms) = (self.0.div_euclid(86_400_000), self.0.rem_euclid(86_400_000));
        let z = days + 719_468;
        let era = z.div_euclid(146_097);
        let doe = z.rem_euclid(146_097);
        let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let day = doy - (153 * mp + 2) / 5 + 1;
        let month = if mp < 10 { mp + 3 } else { mp - 9 };
        let year = yoe + era * 400 + i64::from(month <= 2);
        let s = ms / 1000;
        write!(f, "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z", s / 3600, s / 60 % 60, s % 60, ms % 1000)
    }
}

/// A text is no moment in RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no time such as 2026-12-01T03:00:00Z")]
pub struct NoTime;

impl FromStr for Timestamp {
    type Err = NoTime;

    /// Reads a moment as RFC 3339 writes it, of the years 0 to 9999; a space may stand for the `T`. What is finer than a
    /// millisecond is cut off.
    fn from_str(text: &str) -> Result<Self, NoTime> {
        let (date, rest) = text.split_at_checked(10).ok_or(NoTime)?;
        let rest = rest.strip_prefix(['T', 't', ' ']).ok_or(NoTime)?;
        let at = rest.find(['Z', 'z', '+', '-']).ok_or(NoTime)?;
        let (time, zone) = rest.split_at(at);
        let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
        let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
        let [hours, minutes, seconds] = numbers(clock, ':', [2, 2, 2])?;
        if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return Err(NoTime);
        }
        let thousandths = fraction.chars().chain("00".chars()).take(3).collect::<String>();
        let ms: i64 = thousandths.parse().map_err(|_| NoTime)?;
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days_of = |month| match month {
            2 => 28 + i64::from(leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let fits = (1..=12).contains(&month) && (1..=days_of(month)).contains(&day);
        if !fits || hours > 23 || minutes > 59 || seconds > 59 {
            return Err(NoTime);
        }
        let east = match zone.split_at(1) {
            ("Z" | "z", "") => 0,
            (sign, ahead) => {
                let [hours, minutes] = numbers(ahead, ':', [2, 2])?;
                if hours > 23 || minutes > 59 {
                    return Err(NoTime);
                }
                (hours * 60 + minutes) * if sign == "-" { -1 } else { 1 }
            }
        };
        // Days from the civil date: the inverse of what is written above, from the same description.
        let (y, mp) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let (era, doy) = (y.div_euclid(400), (153 * mp + 2) / 5 + day - 1);
        let yoe = y.rem_euclid(400);
        let days = era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468;
        Ok(Self((((days * 24 + hours) * 60 + minutes - east) * 60 + seconds) * 1000 + ms))
    }
}

/// Numbers of so many digits each, with a mark between them.
fn numbers<const N: usize>(text: &str, mark: char, digits: [usize; N]) -> Result<[i64; N], NoTime> {
    let mut parts = text.split(mark);
    let mut found = [0; N];
    for (number, digits) in found.iter_mut().zip(digits) {
        let part = parts.next().filter(|part| part.len() == digits && part.bytes().all(|b| b.is_ascii_digit()));
        *number = part.and_then(|part| part.parse().ok()).ok_or(NoTime)?;
    }
    if parts.next().is_some() { Err(NoTime) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_they_are_written() {
        for ms in [0, 951_782_400_000, 1_795_337_225_123, -1, -62_135_596_800_000, 253_402_300_799_999] {
            let text = Timestamp(ms).to_string();
            assert_eq!(text.parse(), Ok(Timestamp(ms)), "{text}");
        }
        for (text, ms) in [
            ("2026-11-22 08:47:05Z", 1_795_337_225_000),
            ("2026-11-22t10:17:05.1239+01:30", 1_795_337_225_123),
            ("2026-11-21T23:47:05.1-09:00", 1_795_337_225_100),
        ] {
            assert_eq!(text.parse(), Ok(Timestamp(ms)), "{text}");
        }
        for text in [
            "",
            "2026-11-22",
            "2026-11-22T08:47:05",
            "2026-02-29T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00Zx",
            "2026-01-01T00:00:00+1:00",
            "+026-01-01T00:00:00Z",
            "2026-01-01T00:00:\u{660}0Z",
            "\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}T00:00:00Z",
        ] {
            assert_eq!(text.parse::<Timestamp>(), Err(NoTime), "{text}");
        }
    }

    #[test]
    fn dates_are_written_as_rfc_3339() {
        assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp(951_782_400_000).to_string(), "2000-02-29T00:00:00.000Z");
        assert_eq!(Timestamp(1_795_337_225_123).to_string(), "2026-11-22T08:47:05.123Z");
        assert_eq!(Timestamp(-1).to_string(), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn what_is_written_is_read_and_days_that_are_none_are_not() {
        for at in [0, 951_782_400_000, 1_795_337_225_123, -1, 253_402_300_799_999] {
            assert_eq!(Timestamp::parse(&Timestamp(at).to_string()), Some(Timestamp(at)));
        }
        assert_eq!(Timestamp::parse("2000-02-29"), Some(Timestamp(951_782_400_000)));
        assert_eq!(Timestamp::parse("2000-02-29T00:00:01.5Z"), Some(Timestamp(951_782_401_500)));
        for text in [
            "",
            "2026",
            "2026-11",
            "2026-02-29",
            "2026-13-01",
            "2026-00-01",
            "2026-01-00",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00.Z",
            "+026-01-01",
            "2026-01-01-01",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }
}
