//! What VMs have used, and what it costs.
//!
//! A stay of a VM on a host has one size from its beginning to its end; the ones that ended are in the store's cold
//! table, those that go on are in the VMs' rows. Costs are exact to the second: CPU and memory are paid for while the
//! guest runs, disks as long as the stay lasts. A month is one of the calendar, in UTC; prices are by the hour, and a
//! month of 30 days has 720 of them.

use crate::{Caller, Desk, Error, ErrorKind, View};
use holm_model::permissions::Access;
use holm_model::vms::{EndedVm, Vm};
use holm_model::{GroupId, Timestamp, UserId, VmId};
use holm_store::{Row, State, StayRecord};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most stays one question may look at.
const MOST: usize = 200_000;

/// Whose VMs are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// All that the caller may see.
    All,
    /// Those of one user.
    User(UserId),
    /// Those of one group.
    Group(GroupId),
    /// Those of the caller and of the caller's groups.
    Own,
    /// One VM.
    Vm(VmId),
}

/// What one VM costs in one month.
#[derive(Clone, Debug, PartialEq)]
pub struct MonthCost {
    /// The VM.
    pub vm: VmId,
    /// Its name.
    pub name: String,
    /// Whose it was.
    pub owner: UserId,
    /// The group it was of.
    pub group: GroupId,
    /// The year.
    pub year: i64,
    /// The month, from 1.
    pub month: u8,
    /// How long it was on hosts, hours.
    pub hours: f64,
    /// How long it ran, hours.
    pub running_hours: f64,
    /// What its CPU cost.
    pub cpu: f64,
    /// What its memory cost.
    pub memory: f64,
    /// What its disks cost.
    pub disk: f64,
}

impl MonthCost {
    /// All of it together.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.cpu + self.memory + self.disk
    }
}

/// The year and month (from 1) a moment is in.
fn month_of(at: Timestamp) -> (i64, u8) {
    // Civil date from days since 1970, in years that begin in March, so that leap days come last.
    let shifted = at.0.div_euclid(86_400_000) + 719_468;
    let in_era = shifted.rem_euclid(146_097);
    let year_of_era = (in_era - in_era / 1460 + in_era / 36_524 - in_era / 146_096) / 365;
    let from_march = in_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * from_march + 2) / 153;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + shifted.div_euclid(146_097) * 400 + i64::from(month <= 2);
    (year, u8::try_from(month).unwrap_or(1))
}

/// The first moment of a month.
#[must_use]
pub fn month_begins(year: i64, month: u8) -> Timestamp {
    let month = i64::from(month.clamp(1, 12));
    let year = year.clamp(1, 9999) - i64::from(month <= 2);
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * from_march + 2) / 5;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Timestamp((year.div_euclid(400) * 146_097 + day_of_era - 719_468) * 86_400_000)
}

fn next_month((year, month): (i64, u8)) -> (i64, u8) {
    if month == 12 { (year + 1, 1) } else { (year, month + 1) }
}

/// The part of a span that lies within another, milliseconds.
fn overlap((a, b): (Timestamp, Timestamp), (from, to): (Timestamp, Timestamp)) -> i64 {
    b.0.min(to.0).saturating_sub(a.0.max(from.0)).max(0)
}

/// A count of small numbers as a floating point one.
#[allow(clippy::cast_precision_loss, reason = "sizes and times are far below 2^52")]
fn float(number: u64) -> f64 {
    number as f64
}

fn hours(ms: i64) -> f64 {
    float(u64::try_from(ms).unwrap_or(0)) / 3_600_000.0
}

/// Whether the caller may see what this VM used. What is left of a VM decides as the VM itself would; of one that is
/// forgotten, its owner and administrators may.
fn may_see(state: &State, caller: &Caller, record: &StayRecord) -> bool {
    use crate::Seen;
    if let Some(row) = state.get::<Vm>(record.vm) {
        return row.value.allows(caller, Access::Use);
    }
    match state.get::<EndedVm>(record.vm) {
        Some(row) => row.value.allows(caller, Access::Use),
        None => caller.is_admin() || record.owner == caller.user_id(),
    }
}

fn asked_for(whose: &Whose, caller: &Caller, record: &StayRecord) -> bool {
    match whose {
        Whose::All => true,
        Whose::User(user) => record.owner == *user,
        Whose::Group(group) => record.group == *group,
        Whose::Own => record.owner == caller.user_id() || caller.groups().contains(&record.group),
        Whose::Vm(vm) => record.vm == *vm,
    }
}

impl View {
    /// What is left of the VMs that are over, of those the caller may see, by id.
    pub fn ended<'a>(&'a self, caller: &'a Caller) -> impl DoubleEndedIterator<Item = &'a Arc<Row<EndedVm>>> + 'a {
        self.each::<EndedVm>(caller)
    }
}

impl Desk {
    /// The stays of VMs on hosts that lie, at least in part, within a span, by VM and then in order. A stay that goes on
    /// has no end.
    ///
    /// # Errors
    /// `TooLarge` when there are too many for one answer; `Unavailable` when they cannot be read.
    pub async fn accounting(
        &self,
        caller: &Caller,
        whose: Whose,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<StayRecord>, Error> {
        let view = self.view();
        let caller = caller.at(&view.0).into_owned();
        let store = self.0.store.clone();
        let ended = tokio::task::spawn_blocking(move || store.ended_stays(from, to, MOST + 1))
            .await
            .map_err(|e| Error::internal("reading what VMs have used did not finish").caused_by(e))?
            .map_err(Error::from)?;
        let open = view.0.list::<Vm>().flat_map(|row| {
            let stays = row.value.history.iter().filter(|stay| stay.until.is_none() && stay.from < to);
            stays.map(|stay| StayRecord::of(&row.value, stay)).collect::<Vec<_>>()
        });
        let mut all: Vec<StayRecord> = ended
            .into_iter()
            .chain(open)
            .filter(|record| asked_for(&whose, &caller, record) && may_see(&view.0, &caller, record))
            .collect();
        if all.len() > MOST {
            return Err(Error::new(ErrorKind::TooLarge, format!("more than {MOST} stays of VMs are in that span"))
                .hint("Ask for a shorter span, or for one user."));
        }
        all.sort_by_key(|record| (record.vm, record.stay.seq));
        // A stay that ended between the two looks is in both: the row's word is the older one.
        all.dedup_by(|later, earlier| {
            let same = later.vm == earlier.vm && later.stay.seq == earlier.stay.seq;
            if same && earlier.stay.until.is_none() {
                std::mem::swap(later, earlier);
            }
            same
        });
        Ok(all)
    }

    /// What VMs cost by month, from the first month to the last one, both included; `None` for either: as far as there
    /// is anything. What goes on is counted until now.
    ///
    /// # Errors
    /// As [`Desk::accounting`].
    pub async fn showback(
        &self,
        caller: &Caller,
        whose: Whose,
        first: Option<(i64, u8)>,
        last: Option<(i64, u8)>,
    ) -> Result<Vec<MonthCost>, Error> {
        let now = self.now();
        let from = first.map_or(Timestamp(0), |(year, month)| month_begins(year, month));
        let end = last.map_or(now, |last| {
            let (year, month) = next_month(last);
            month_begins(year, month).min(now)
        });
        let records = self.accounting(caller, whose, from, end).await?;
        Ok(costs(&records, from, end))
    }
}

/// What the stays cost by VM and month, within a span.
fn costs(records: &[StayRecord], from: Timestamp, end: Timestamp) -> Vec<MonthCost> {
    let mut months: BTreeMap<(VmId, i64, u8), MonthCost> = BTreeMap::new();
    for record in records {
        let stay = &record.stay;
        let span = (stay.from.max(from), record.until().min(end));
        if span.0 >= span.1 {
            continue;
        }
        let ran = stay.running_from.map(|began| (began, stay.running_until.or(stay.until).unwrap_or(end)));
        let mut month = month_of(span.0);
        loop {
            let (year, number) = month;
            let next = next_month(month);
            let bounds = (month_begins(year, number), month_begins(next.0, next.1));
            if bounds.0 >= span.1 {
                break;
            }
            let within = (span.0.max(bounds.0), span.1.min(bounds.1));
            let there = hours(overlap(span, within));
            let running = ran.map_or(0.0, |ran| hours(overlap(ran, within)));
            let cost = months.entry((record.vm, year, number)).or_insert_with(|| MonthCost {
                vm: record.vm,
                name: record.name.clone(),
                owner: record.owner,
                group: record.group,
                year,
                month: number,
                hours: 0.0,
                running_hours: 0.0,
                cpu: 0.0,
                memory: 0.0,
                disk: 0.0,
            });
            let price = |millionths: u64| float(millionths) / 1e6;
            cost.hours += there;
            cost.running_hours += running;
            cost.cpu += running * price(record.prices.cpu) * f64::from(record.cpu.0) / 100.0;
            cost.memory += running * price(record.prices.memory_mib) * float(record.memory_mib);
            cost.disk += there * price(record.prices.disk_mib) * float(record.disk_mib);
            // Who it belonged to last is who pays.
            cost.owner = record.owner;
            cost.group = record.group;
            cost.name.clone_from(&record.name);
            month = next;
        }
    }
    months.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_model::vms::PlacementRecord;
    use holm_model::{CpuShare, HostId};
    use holm_store::Prices;

    const HOUR: i64 = 3_600_000;

    fn record(from: Timestamp, until: Option<Timestamp>, ran: Option<(Timestamp, Option<Timestamp>)>) -> StayRecord {
        StayRecord {
            vm: VmId(7),
            name: "web".into(),
            owner: UserId(2),
            group: GroupId(1),
            stay: PlacementRecord {
                until,
                running_from: ran.map(|(from, _)| from),
                running_until: ran.and_then(|(_, until)| until),
                ..PlacementRecord::begin(HostId(0), from)
            },
            cpu: CpuShare(200),
            memory_mib: 1000,
            disk_mib: 4000,
            prices: Prices { cpu: 1_000_000, memory_mib: 1000, disk_mib: 10 },
        }
    }

    #[test]
    fn months_begin_where_the_calendar_says() {
        for (year, month, days) in
            [(1970, 1, 0), (1970, 2, 31), (1972, 3, 790), (2000, 3, 11_017), (2026, 11, 20_758), (2100, 3, 47_541)]
        {
            let begins = month_begins(year, month);
            assert_eq!(begins, Timestamp(days * 86_400_000), "{year}-{month}");
            assert_eq!(month_of(begins), (year, month));
            assert_ne!(month_of(Timestamp(begins.0 - 1)), (year, month));
        }
    }

    #[test]
    fn a_month_of_thirty_days_costs_720_hours_and_nothing_is_lost_at_its_ends() {
        let (begin, end) = (month_begins(2026, 11), month_begins(2026, 12));
        let all = [record(Timestamp(begin.0 - 10 * HOUR), None, Some((Timestamp(begin.0 - 5 * HOUR), None)))];
        let costs = costs(&all, Timestamp(0), Timestamp(end.0 + HOUR));
        assert_eq!(costs.iter().map(|c| (c.year, c.month)).collect::<Vec<_>>(), [(2026, 10), (2026, 11), (2026, 12)]);
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "{a} is not {b}");
        close(costs[0].hours, 10.0);
        close(costs[0].running_hours, 5.0);
        close(costs[1].hours, 720.0);
        close(costs[1].cpu, 720.0 * 2.0);
        close(costs[1].memory, 720.0 * 0.001 * 1000.0);
        close(costs[1].disk, 720.0 * 0.00001 * 4000.0);
        close(costs[1].total(), 1440.0 + 720.0 + 28.8);
        close(costs[2].hours, 1.0);
    }

    #[test]
    fn what_does_not_run_costs_its_disks_alone_to_the_second() {
        let begin = month_begins(2024, 2);
        let second = |s: i64| Timestamp(begin.0 + s * 1000);
        let all = [
            record(second(0), Some(second(100)), None),
            record(second(100), Some(second(4000)), Some((second(200), Some(second(3800))))),
        ];
        let costs = costs(&all, Timestamp(0), second(100_000));
        assert_eq!(costs.len(), 1);
        assert!((costs[0].hours - 4000.0 / 3600.0).abs() < 1e-9);
        assert!((costs[0].running_hours - 1.0).abs() < 1e-9);
        assert!((costs[0].cpu - 2.0).abs() < 1e-9);
    }
}
