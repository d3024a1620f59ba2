//! What VMs have used, and what it costs.

use super::cores;
use crate::problem::{Answer, Refusal};
use holm_desk::{MonthCost, StayRecord};
use holm_model::Timestamp;
use holm_wire::v1;

#[allow(clippy::cast_precision_loss, reason = "spans of time are far below 2^52 ms")]
fn hours((from, to): (Timestamp, Timestamp)) -> f64 {
    to.0.saturating_sub(from.0).max(0) as f64 / 3_600_000.0
}

/// A stay, its hours counted within a span that ends now or before.
#[must_use]
pub fn stay(record: &StayRecord, from: Timestamp, to: Timestamp) -> v1::Stay {
    let stay = &record.stay;
    let within = |a: Timestamp, b: Timestamp| hours((a.max(from), b.min(to)));
    let ran = stay.running_from.map_or(0.0, |began| within(began, stay.running_until.or(stay.until).unwrap_or(to)));
    v1::Stay {
        vm: record.vm.0,
        name: record.name.clone(),
        owner: record.owner.0,
        group: record.group.0,
        seq: stay.seq,
        host: stay.host.0,
        from: stay.from.to_string(),
        until: stay.until.map(|until| until.to_string()),
        hours: within(stay.from, stay.until.unwrap_or(to)),
        running_hours: ran,
        cpu: cores(record.cpu),
        memory_mib: record.memory_mib,
        disk_mib: record.disk_mib,
    }
}

/// What a VM costs in a month.
#[must_use]
pub fn cost(cost: &MonthCost) -> v1::MonthCost {
    v1::MonthCost {
        month: format!("{:04}-{:02}", cost.year, cost.month),
        vm: cost.vm.0,
        name: cost.name.clone(),
        owner: cost.owner.0,
        group: cost.group.0,
        hours: cost.hours,
        running_hours: cost.running_hours,
        cpu: cost.cpu,
        memory: cost.memory,
        disk: cost.disk,
        total: cost.total(),
    }
}

/// A month such as `2026-11`.
///
/// # Errors
/// When it is none.
pub fn month(field: &str, text: &str) -> Answer<(i64, u8)> {
    let parsed = || {
        let (year, month) = text.split_once('-')?;
        let digits = |s: &str, count: usize| s.len() == count && s.bytes().all(|b| b.is_ascii_digit());
        if !digits(year, 4) || !digits(month, 2) {
            return None;
        }
        let (year, month) = (year.parse().ok()?, month.parse().ok()?);
        ((1970..=9999).contains(&year) && (1..=12).contains(&month)).then_some((year, month))
    };
    parsed().ok_or_else(|| {
        let shown: String = text.chars().take(64).collect();
        Refusal::invalid(field, format!("{field}: {shown:?} is no month")).hint("Write a year and a month: 2026-11.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_model::vms::PlacementRecord;
    use holm_model::{CpuShare, GroupId, HostId, UserId, VmId};

    #[test]
    fn only_hours_within_the_span_count() {
        let hour = |n: i64| Timestamp(n * 3_600_000);
        let record = StayRecord {
            vm: VmId(7),
            name: "web".into(),
            owner: UserId(2),
            group: GroupId(1),
            stay: PlacementRecord { running_from: Some(hour(4)), ..PlacementRecord::begin(HostId(0), hour(2)) },
            cpu: CpuShare(150),
            memory_mib: 512,
            disk_mib: 0,
            prices: holm_desk::Prices::default(),
        };
        let shown = stay(&record, hour(3), hour(10));
        assert!((shown.hours - 7.0).abs() < 1e-9 && (shown.running_hours - 6.0).abs() < 1e-9, "{shown:?}");
        assert_eq!(shown.until, None);
    }

    #[test]
    fn months_are_a_year_and_a_month() {
        assert_eq!(month("from", "2026-11").expect("is one"), (2026, 11));
        for text in ["", "2026", "2026-13", "2026-00", "26-01", "2026-1", "+026-01", "1969-12"] {
            assert!(month("from", text).is_err(), "{text}");
        }
    }
}
