//! What VMs cost: hours on hosts, month by month, times the prices that are written in the VMs.
//!
//! Time is counted in seconds of UTC; a month of 30 days has 720 hours. A VM is charged for the time it had a place on a
//! host, running or not, as the interface's clients are used to.

use crate::template::Reading as _;
use holm_model::Timestamp;
use holm_model::vms::Vm;

const HOUR: f64 = 3600.0;

/// A stretch of time, seconds since 1970; the end is not part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Period {
    /// First second.
    pub(crate) from: i64,
    /// First second after it.
    pub(crate) until: i64,
}

impl Period {
    /// Whether something that began and ended then (or still goes on) was under way at any time of the period.
    pub(crate) fn meets(&self, from: Timestamp, until: Option<Timestamp>) -> bool {
        from.seconds() <= self.until && until.is_none_or(|until| until.seconds() >= self.from)
    }

    /// Seconds of the period between two moments.
    fn seconds(&self, from: i64, until: i64) -> i64 {
        (until.min(self.until) - from.max(self.from)).max(0)
    }
}

/// A month of a year, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Month(i32);

impl Month {
    /// Month 1 to 12 of a year from 1970 on.
    pub(crate) fn new(year: i32, month: i32) -> Option<Self> {
        ((1970..=9999).contains(&year) && (1..=12).contains(&month)).then(|| Self((year - 1970) * 12 + month - 1))
    }

    /// The month of a moment.
    pub(crate) fn at(seconds: i64) -> Self {
        // Years and months are found by trying: the first guess is at most one month off.
        let guess = i32::try_from(seconds / 2_629_746).unwrap_or(0).clamp(0, 96_359);
        let mut month = Self(guess);
        while month.0 > 0 && month.period().from > seconds {
            month.0 -= 1;
        }
        while month.0 < 96_359 && month.period().until <= seconds {
            month.0 += 1;
        }
        month
    }

    pub(crate) fn year(self) -> i32 {
        1970 + self.0 / 12
    }

    pub(crate) fn month(self) -> i32 {
        self.0 % 12 + 1
    }

    /// From its first second to the next month's.
    pub(crate) fn period(self) -> Period {
        Period { from: first_day(self.0) * 86_400, until: first_day(self.0 + 1) * 86_400 }
    }
}

/// Days from 1970-01-01 to the first day of a month, counted from January 1970.
fn first_day(month: i32) -> i64 {
    let (year, month) = (i64::from(1970 + month / 12), i64::from(month % 12));
    let leaps = |year: i64| year / 4 - year / 100 + year / 400;
    const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let within = BEFORE.get(usize::try_from(month).unwrap_or(0)).copied().unwrap_or(0);
    let leap_day = i64::from(is_leap && month > 1);
    (year - 1970) * 365 + leaps(year - 1) - leaps(1969) + within + leap_day
}

/// What a VM costs in one month.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bill {
    pub(crate) month: Month,
    pub(crate) cpu: f64,
    pub(crate) memory: f64,
    pub(crate) disk: f64,
    seconds: i64,
    running: i64,
}

impl Bill {
    pub(crate) fn total(&self) -> f64 {
        self.cpu + self.memory + self.disk
    }

    #[allow(clippy::cast_precision_loss, reason = "a month has far fewer seconds than a double counts exactly")]
    pub(crate) fn hours(&self) -> f64 {
        self.seconds as f64 / HOUR
    }

    #[allow(clippy::cast_precision_loss, reason = "as above")]
    pub(crate) fn running_hours(&self) -> f64 {
        self.running as f64 / HOUR
    }
}

/// A number with at most six digits after the point and none that say nothing.
pub(crate) fn money(value: f64) -> String {
    let text = format!("{value:.6}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text.is_empty() || text == "-0" { "0".into() } else { text.into() }
}

/// A price, per hour and unit.
fn price(vm: &Vm, name: &str) -> f64 {
    vm.meta.attributes.decimal(name).ok().flatten().filter(|price| *price >= 0.0).unwrap_or(0.0)
}

/// What a VM costs in each month from the first to the last, as far as it had a place on a host then.
#[allow(clippy::cast_precision_loss, reason = "sizes and hours are far below what a double counts exactly")]
pub(crate) fn bills(vm: &Vm, first: Option<Month>, last: Option<Month>, now: Timestamp) -> Vec<Bill> {
    let Some(begin) = vm.history.first().map(|record| record.from.seconds().max(0)) else { return Vec::new() };
    let now = now.seconds();
    let end = vm.history.iter().map(|record| record.until.map_or(now, Timestamp::seconds)).max().unwrap_or(now);
    let first = first.unwrap_or(Month(0)).max(Month::at(begin));
    let last = last.unwrap_or(Month::at(now)).min(Month::at(end));
    let cores = f64::from(vm.spec.cpu.0) / 100.0;
    let prices = (price(vm, "CPU_COST"), price(vm, "MEMORY_COST"), price(vm, "DISK_COST"));
    (first.0..=last.0)
        .map(|month| {
            let month = Month(month);
            let period = month.period();
            let (mut seconds, mut running) = (0, 0);
            for record in &vm.history {
                let until = record.until.map_or(now, Timestamp::seconds);
                seconds += period.seconds(record.from.seconds(), until);
                if let Some(from) = record.running_from {
                    let until = record.running_until.or(record.until).map_or(now, Timestamp::seconds);
                    running += period.seconds(from.seconds(), until);
                }
            }
            let hours = seconds as f64 / HOUR;
            Bill {
                month,
                cpu: prices.0 * cores * hours,
                memory: prices.1 * vm.spec.memory_mib as f64 * hours,
                disk: prices.2 * vm.spec.disk_mib() as f64 * hours,
                seconds,
                running,
            }
        })
        .filter(|bill| bill.seconds > 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_model::vms::{PlacementRecord, VmSpec};
    use holm_model::{AttributeValue, Attributes, CpuShare, GroupId, HostId, Meta, Name, Permissions, UserId, VmId};

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1000)
    }

    #[test]
    fn months_are_those_of_the_calendar() {
        for (year, month, from, days) in [
            (1970, 1, 0, 31),
            (1972, 2, 65_750_400, 29),
            (2000, 2, 949_363_200, 29),
            (2023, 2, 1_675_209_600, 28),
            (2100, 2, 4_105_123_200, 28),
            (2024, 12, 1_733_011_200, 31),
        ] {
            let month = Month::new(year, month).expect("is a month");
            assert_eq!(month.period(), Period { from, until: from + days * 86_400 }, "{month:?}");
            assert_eq!((Month::at(from), Month::at(from + days * 86_400 - 1)), (month, month));
        }
        assert_eq!(Month::new(2024, 13), None);
        for seconds in (0..4_000_000_000).step_by(1_234_567) {
            let period = Month::at(seconds).period();
            assert!(period.from <= seconds && seconds < period.until, "{seconds}");
        }
    }

    #[test]
    fn a_month_of_thirty_days_is_720_hours() {
        let text = |value: &str| AttributeValue::Text(value.into());
        let attributes = Attributes(vec![("CPU_COST".into(), text("2")), ("MEMORY_COST".into(), text("0.5"))]);
        let meta = Meta::new(
            Name::new("vm").expect("is a name"),
            (UserId(0), GroupId(0)),
            Permissions::default(),
            attributes,
            at(0),
        );
        let mut vm = Vm::new(VmId(1), meta, VmSpec::new(CpuShare(150), 1, 100), at(0));
        let april = Month::new(2025, 4).expect("is a month").period();
        vm.history.push(PlacementRecord {
            until: Some(at(april.until + 3600)),
            running_from: Some(at(april.until - 7200)),
            ..PlacementRecord::begin(HostId(1), at(april.from - 86_400))
        });
        let bills = bills(&vm, None, None, at(april.until + 1_000_000));
        assert_eq!(
            bills.iter().map(|bill| (bill.month.month(), bill.hours())).collect::<Vec<_>>(),
            [(3, 24.0), (4, 720.0), (5, 1.0)]
        );
        assert!((bills[1].running_hours() - 2.0).abs() < 1e-9);
        assert_eq!(money(bills[1].cpu), "2160");
        assert_eq!(money(bills[1].memory), "36000");
        assert_eq!(money(bills[1].total()), "38160");
    }

    #[test]
    fn numbers_have_no_empty_digits() {
        assert_eq!([0.0, 1.0, 0.5, 1.0 / 3.0, 1e-9].map(money), ["0", "1", "0.5", "0.333333", "0"]);
    }
}
