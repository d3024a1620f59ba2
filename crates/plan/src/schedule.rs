//! When scheduled actions are due: calendar arithmetic in UTC, and nothing else.
//!
//! An action is over once it was done at or after the time it is due: whatever comes next has a later time. So an action
//! is never due twice for one time, and one that was missed, however often, is due once and then again in the future.

use holm_model::Timestamp;
use holm_model::schedule::{Due, Repeat, RepeatEnd, ScheduledAction};
use holm_model::vms::Vm;
use std::collections::BTreeSet;

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;
/// Milliseconds of an hour.
const HOUR: i64 = 3_600_000;

/// When the VM first ran, as far as its history goes: what actions relative to its start count from.
#[must_use]
pub fn started(vm: &Vm) -> Option<Timestamp> {
    vm.history.iter().filter_map(|stay| stay.running_from).min()
}

/// When the action is to be done next, which may be in the past; `None` when it never is again, or not before the VM has
/// run.
#[must_use]
pub fn next_due(action: &ScheduledAction, vm_started: Option<Timestamp>) -> Option<Timestamp> {
    let at = match action.due {
        Due::At(at) => at,
        // The times of its repetitions are moments, so once it was done there is nothing relative left to do.
        Due::AfterStart(_) if action.done.is_some() => return None,
        Due::AfterStart(seconds) => Timestamp(vm_started?.0.saturating_add(seconds.saturating_mul(1000))),
    };
    if action.done.is_some_and(|done| done >= at) {
        return None;
    }
    match (&action.repeat, action.end) {
        (Repeat::Never, _) => Some(at),
        (_, RepeatEnd::Times(0)) => None,
        (_, RepeatEnd::At(end)) if at > end => None,
        _ => Some(at),
    }
}

/// Notes that the action, due at `due`, was done or tried now, and when it is due next, which is after `now`.
pub fn after_run(action: &mut ScheduledAction, due: Timestamp, now: Timestamp) {
    // A clock that was set back must not make it due once more.
    action.done = Some(now.max(due));
    if action.repeat == Repeat::Never {
        return;
    }
    if let RepeatEnd::Times(left) = &mut action.end {
        *left = left.saturating_sub(1);
    }
    let next = repetition(&action.repeat, due, now.max(due)).filter(|next| match action.end {
        RepeatEnd::Never => true,
        RepeatEnd::Times(left) => left > 0,
        RepeatEnd::At(end) => *next <= end,
    });
    // Without a next time, the last one stays, at which it was done: it is over.
    action.due = Due::At(next.unwrap_or(due));
}

/// An action as somebody changed it: `changed` in the place of `kept`. With another time it is as good as new; with the
/// same time it goes on, also where its repetition was over and is not any more.
#[must_use]
pub fn revised(kept: &ScheduledAction, changed: ScheduledAction, now: Timestamp) -> ScheduledAction {
    if changed.due != kept.due {
        return ScheduledAction { id: kept.id, done: None, message: String::new(), ..changed };
    }
    let mut revised = ScheduledAction { id: kept.id, done: kept.done, message: kept.message.clone(), ..changed };
    let differs = revised.repeat != kept.repeat || revised.end != kept.end;
    if let Due::At(at) = revised.due
        && differs
        && revised.done.is_some_and(|done| done >= at)
    {
        revised.due = Due::At(repetition(&revised.repeat, at, now.max(at)).unwrap_or(at));
    }
    revised
}

/// The first moment after `after` at which an action that was due at `at` is due again.
#[must_use]
pub fn repetition(repeat: &Repeat, at: Timestamp, after: Timestamp) -> Option<Timestamp> {
    let time_of_day = at.0.rem_euclid(DAY);
    let moment = |day: i64| Some(Timestamp(day.checked_mul(DAY)?.checked_add(time_of_day)?));
    let today = after.0.div_euclid(DAY);
    let mut days: Box<dyn Iterator<Item = i64> + '_> = match repeat {
        Repeat::Never => return None,
        Repeat::Hourly(0) => return None,
        Repeat::Hourly(hours) => {
            let period = i64::from(*hours).checked_mul(HOUR)?;
            let past = after.0.checked_sub(at.0)?.div_euclid(period).checked_add(1)?.max(1);
            return Some(Timestamp(at.0.checked_add(past.checked_mul(period)?)?));
        }
        // 1970 began on a Thursday.
        Repeat::Weekly(days) => {
            Box::new((today..=today + 7).filter(|day| days.contains(&small((*day + 4).rem_euclid(7)))))
        }
        Repeat::Monthly(days) => {
            let (year, month) = month_of(today);
            // The longest gap is that of a 31st: from one month to the one after next.
            Box::new((0..4).flat_map(move |ahead| {
                let month = month + ahead;
                let (year, month) = (year + month / 12, month % 12);
                let first = first_of(year, month);
                before(days, length_of(year, month)).map(move |day| first + day - 1).collect::<Vec<_>>()
            }))
        }
        Repeat::Yearly(days) => {
            let year = year_of(today);
            // The longest gap is that of a leap year's last day around a century that has none: eight years.
            Box::new((year..=year + 9).flat_map(move |year| {
                let (first, next) = (new_year(year), new_year(year + 1));
                before(days, next - first - 1).map(move |day| first + day).collect::<Vec<_>>()
            }))
        }
    };
    days.find_map(|day| moment(day).filter(|moment| *moment > after))
}

/// The days up to `last`, which are in order.
fn before(days: &BTreeSet<u16>, last: i64) -> impl Iterator<Item = i64> + '_ {
    days.iter().map(|day| i64::from(*day)).take_while(move |day| *day <= last)
}

fn small(number: i64) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

fn is_leap(year: i64) -> bool {
    year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0)
}

/// The day a year begins with, in days since 1970.
fn new_year(year: i64) -> i64 {
    let past = year - 1;
    // 477 leap days came before 1970.
    (year - 1970) * 365 + past.div_euclid(4) - past.div_euclid(100) + past.div_euclid(400) - 477
}

/// The year a day is in.
fn year_of(day: i64) -> i64 {
    // 400 years have 146,097 days; the quotient is wrong by one at most.
    let mut year = 1970 + (day * 400).div_euclid(146_097);
    while new_year(year) > day {
        year -= 1;
    }
    while new_year(year + 1) <= day {
        year += 1;
    }
    year
}

/// The year a day is in, and the month, from 0.
fn month_of(day: i64) -> (i64, i64) {
    let year = year_of(day);
    let month = (1..12).find(|month| first_of(year, *month) > day).unwrap_or(12) - 1;
    (year, month)
}

/// How many days a month, from 0, has.
fn length_of(year: i64, month: i64) -> i64 {
    match month {
        1 => 28 + i64::from(is_leap(year)),
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

/// The day a month, from 0, begins with, in days since 1970.
fn first_of(year: i64, month: i64) -> i64 {
    (0..month).fold(new_year(year), |day, month| day + length_of(year, month))
}

#[cfg(test)]
mod tests;
