use super::*;
use proptest::prelude::*;

/// A calendar that knows nothing but how days follow each other.
#[derive(Clone, Copy, Debug)]
struct Date {
    year: i64,
    month: u16,
    of_month: u16,
    of_year: u16,
    of_week: u16,
}

/// The days from 1970-01-01 on, counted one by one.
fn calendar() -> impl Iterator<Item = Date> {
    let first = Date { year: 1970, month: 1, of_month: 1, of_year: 0, of_week: 4 };
    std::iter::successors(Some(first), |day| {
        let february = if day.year % 400 == 0 || day.year % 4 == 0 && day.year % 100 != 0 { 29 } else { 28 };
        let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let mut next = Date { of_month: day.of_month + 1, of_year: day.of_year + 1, ..*day };
        next.of_week = if day.of_week == 6 { 0 } else { day.of_week + 1 };
        if next.of_month > lengths[usize::from(day.month) - 1] {
            (next.of_month, next.month) = (1, day.month + 1);
        }
        if next.month > 12 {
            (next.month, next.year, next.of_year) = (1, day.year + 1, 0);
        }
        Some(next)
    })
}

/// The slow reference: looks at one day after the other, or one repetition after the other.
fn reference(repeat: &Repeat, at: i64, after: i64) -> Option<i64> {
    if let Repeat::Hourly(hours) = repeat {
        let step = i64::from(*hours) * 3_600_000;
        return std::iter::successors(Some(at + step), |moment| Some(moment + step)).find(|moment| *moment > after);
    }
    let fits = |date: &Date| match repeat {
        Repeat::Weekly(days) => days.contains(&date.of_week),
        Repeat::Monthly(days) => days.contains(&date.of_month),
        Repeat::Yearly(days) => days.contains(&date.of_year),
        Repeat::Never | Repeat::Hourly(_) => false,
    };
    let days = (0_i64..).zip(calendar()).take_while(|(number, _)| *number < 60_000);
    days.filter(|(_, date)| fits(date))
        .map(|(number, _)| number * 86_400_000 + at % 86_400_000)
        .find(|moment| *moment > after)
}

fn stamp(text: &str) -> Timestamp {
    let number: Vec<i64> = text.split(['-', ' ', ':']).map(|part| part.parse().expect("a number")).collect();
    let wanted =
        |date: &Date| (date.year, i64::from(date.month), i64::from(date.of_month)) == (number[0], number[1], number[2]);
    let day = calendar().position(|date| wanted(&date)).expect("is a date");
    Timestamp(i64::try_from(day).expect("fits") * 86_400_000 + number[3] * 3_600_000 + number[4] * 60_000)
}

fn action(due: &str, repeat: Repeat, end: RepeatEnd) -> ScheduledAction {
    ScheduledAction {
        id: 0,
        action: "poweroff".into(),
        arguments: String::new(),
        due: Due::At(stamp(due)),
        repeat,
        end,
        done: None,
        message: String::new(),
        warning: None,
    }
}

fn days<const N: usize>(days: [u16; N]) -> BTreeSet<u16> {
    days.into()
}

#[test]
fn repetitions_are_on_the_days_and_at_the_time_of_day() {
    let cases = [
        // 2026-11-22 is a Sunday.
        (Repeat::Weekly(days([1, 5])), "2026-11-22 10:30", "2026-11-22 10:30", "2026-11-23 10:30"),
        (Repeat::Weekly(days([0])), "2026-11-22 10:30", "2026-11-22 10:30", "2026-11-29 10:30"),
        (Repeat::Weekly(days([0])), "2026-11-15 10:30", "2026-11-22 10:29", "2026-11-22 10:30"),
        // Months that have no such day are left out.
        (Repeat::Monthly(days([31])), "2026-01-31 23:59", "2026-01-31 23:59", "2026-03-31 23:59"),
        (Repeat::Monthly(days([31])), "2026-07-31 00:00", "2026-07-31 00:00", "2026-08-31 00:00"),
        (Repeat::Monthly(days([30])), "2027-01-30 00:00", "2027-01-30 00:00", "2027-03-30 00:00"),
        (Repeat::Monthly(days([29])), "2027-01-29 00:00", "2027-01-29 00:00", "2027-03-29 00:00"),
        (Repeat::Monthly(days([29])), "2028-01-29 00:00", "2028-01-29 00:00", "2028-02-29 00:00"),
        (Repeat::Monthly(days([1, 15])), "2026-12-15 06:00", "2026-12-20 00:00", "2027-01-01 06:00"),
        // The 60th day is the 29th of February or the 1st of March; the 366th is in leap years only.
        (Repeat::Yearly(days([59])), "2027-03-01 12:00", "2027-03-01 12:00", "2028-02-29 12:00"),
        (Repeat::Yearly(days([0])), "2026-01-01 12:00", "2026-11-22 00:00", "2027-01-01 12:00"),
        (Repeat::Yearly(days([365])), "2028-12-31 12:00", "2028-12-31 12:00", "2032-12-31 12:00"),
        (Repeat::Yearly(days([365])), "2096-12-31 12:00", "2096-12-31 12:00", "2104-12-31 12:00"),
        (Repeat::Hourly(5), "2026-11-22 10:30", "2026-11-22 10:30", "2026-11-22 15:30"),
        (Repeat::Hourly(5), "2026-11-22 10:30", "2026-11-23 11:30", "2026-11-23 16:30"),
        (Repeat::Hourly(1), "2026-11-22 10:30", "2027-11-22 10:29", "2027-11-22 10:30"),
    ];
    for (repeat, at, after, next) in cases {
        let found = repetition(&repeat, stamp(at), stamp(after));
        assert_eq!(found, Some(stamp(next)), "{repeat:?} from {at} after {after}");
    }
}

#[test]
fn a_single_action_is_done_once_also_when_it_was_missed() {
    let mut once = action("2026-11-22 10:30", Repeat::Never, RepeatEnd::Never);
    let (due, later) = (stamp("2026-11-22 10:30"), stamp("2026-12-24 18:00"));
    assert_eq!(next_due(&once, None), Some(due));
    after_run(&mut once, due, later);
    assert_eq!((once.done, once.due, next_due(&once, None)), (Some(later), Due::At(due), None));
}

#[test]
fn a_repeating_action_that_was_missed_is_done_once_and_then_in_the_future() {
    let mut daily = action("2026-11-02 10:30", Repeat::Weekly(days([0, 1, 2, 3, 4, 5, 6])), RepeatEnd::Never);
    assert_eq!(next_due(&daily, None), Some(stamp("2026-11-02 10:30")));
    after_run(&mut daily, stamp("2026-11-02 10:30"), stamp("2026-11-22 11:00"));
    assert_eq!(next_due(&daily, None), Some(stamp("2026-11-23 10:30")));
    assert_eq!(daily.done, Some(stamp("2026-11-22 11:00")));
}

#[test]
fn repetition_ends_after_its_number_or_at_its_moment() {
    let every_day = || Repeat::Hourly(24);
    let run_to_the_end = |mut action: ScheduledAction| {
        let mut runs = Vec::new();
        while let Some(due) = next_due(&action, None) {
            runs.push(due);
            after_run(&mut action, due, due);
            assert!(runs.len() < 100, "it never ends");
        }
        runs.len()
    };
    assert_eq!(run_to_the_end(action("2026-11-01 10:30", every_day(), RepeatEnd::Times(3))), 3);
    let last = |text| RepeatEnd::At(stamp(text));
    assert_eq!(run_to_the_end(action("2026-11-01 10:30", every_day(), last("2026-11-05 10:30"))), 5);
    assert_eq!(run_to_the_end(action("2026-11-01 10:30", every_day(), last("2026-11-05 10:29"))), 4);
    assert_eq!(run_to_the_end(action("2026-11-01 10:30", every_day(), last("2026-10-05 10:29"))), 0);
    assert_eq!(run_to_the_end(action("2026-11-01 10:30", Repeat::Weekly(days([])), RepeatEnd::Never)), 1);
    assert_eq!(run_to_the_end(action("2026-11-01 10:30", Repeat::Hourly(0), RepeatEnd::Never)), 1);
    // Without repetition, the end means nothing.
    assert_eq!(run_to_the_end(action("2026-11-01 10:30", Repeat::Never, last("2026-10-05 10:29"))), 1);
}

#[test]
fn what_is_relative_counts_from_the_first_start_and_repeats_at_moments() {
    let mut relative = action("2026-11-01 10:30", Repeat::Hourly(2), RepeatEnd::Never);
    relative.due = Due::AfterStart(3600);
    assert_eq!(next_due(&relative, None), None, "it has not run yet");
    let started = Some(stamp("2026-11-22 08:00"));
    assert_eq!(next_due(&relative, started), Some(stamp("2026-11-22 09:00")));
    after_run(&mut relative, stamp("2026-11-22 09:00"), stamp("2026-11-22 09:01"));
    assert_eq!(next_due(&relative, Some(stamp("2026-11-23 00:00"))), Some(stamp("2026-11-22 11:00")));

    let mut once = action("2026-11-01 10:30", Repeat::Never, RepeatEnd::Never);
    once.due = Due::AfterStart(60);
    after_run(&mut once, stamp("2026-11-22 08:01"), stamp("2026-11-22 08:01"));
    assert_eq!(next_due(&once, Some(stamp("2026-11-23 00:00"))), None, "a later start does not make it due again");
}

#[test]
fn a_changed_action_is_done_again_only_at_another_time() {
    let (due, now) = (stamp("2026-11-22 10:30"), stamp("2026-11-22 11:00"));
    let mut kept = action("2026-11-22 10:30", Repeat::Never, RepeatEnd::Never);
    (kept.id, kept.message) = (4, "left".into());
    after_run(&mut kept, due, now);
    let word = revised(&kept, ScheduledAction { id: 9, action: "stop".into(), done: None, ..kept.clone() }, now);
    assert_eq!((word.id, word.action.as_str(), word.done, next_due(&word, None)), (4, "stop", Some(now), None));
    let later = revised(&kept, ScheduledAction { due: Due::At(stamp("2026-11-23 10:30")), ..kept.clone() }, now);
    assert_eq!((later.message.as_str(), next_due(&later, None)), ("", Some(stamp("2026-11-23 10:30"))));
    let daily = revised(&kept, ScheduledAction { repeat: Repeat::Hourly(24), ..kept.clone() }, now);
    assert_eq!(next_due(&daily, None), Some(stamp("2026-11-23 10:30")));

    // Three times were over; two more begin in the future.
    let mut thrice = action("2026-11-22 10:30", Repeat::Hourly(1), RepeatEnd::Times(1));
    after_run(&mut thrice, due, now);
    assert_eq!(next_due(&thrice, None), None);
    let more = revised(&thrice, ScheduledAction { end: RepeatEnd::Times(2), ..thrice.clone() }, now);
    assert_eq!(next_due(&more, None), Some(stamp("2026-11-22 11:30")));
    // What is yet to come stays when it comes.
    let coming = action("2026-11-30 10:30", Repeat::Hourly(1), RepeatEnd::Never);
    let sooner = revised(&coming, ScheduledAction { repeat: Repeat::Hourly(2), ..coming.clone() }, now);
    assert_eq!(next_due(&sooner, None), Some(stamp("2026-11-30 10:30")));
}

#[test]
fn a_clock_that_was_set_back_makes_nothing_due_twice() {
    let due = stamp("2026-11-22 10:30");
    for repeat in [Repeat::Never, Repeat::Hourly(1)] {
        let mut action = action("2026-11-22 10:30", repeat, RepeatEnd::Never);
        after_run(&mut action, due, stamp("2026-11-22 09:00"));
        assert!(next_due(&action, None).is_none_or(|next| next > due), "{action:?}");
    }
}

#[test]
fn times_at_the_ends_of_time_are_borne() {
    let everything: [Repeat; 4] = [
        Repeat::Weekly((0..7).collect()),
        Repeat::Monthly((1..32).collect()),
        Repeat::Yearly((0..366).collect()),
        Repeat::Hourly(u32::MAX),
    ];
    for repeat in everything {
        for at in [i64::MIN, -1, 0, i64::MAX] {
            for after in [i64::MIN, -1, 0, i64::MAX] {
                let next = repetition(&repeat, Timestamp(at), Timestamp(after));
                assert!(next.is_none_or(|next| next > Timestamp(after)), "{repeat:?} {at} {after}");
            }
        }
    }
}

fn any_repeat() -> impl Strategy<Value = Repeat> {
    let set = |range: std::ops::RangeInclusive<u16>| prop::collection::btree_set(range, 1..4);
    prop_oneof![
        set(0..=6).prop_map(Repeat::Weekly),
        set(1..=31).prop_map(Repeat::Monthly),
        set(28..=31).prop_map(Repeat::Monthly),
        set(0..=365).prop_map(Repeat::Yearly),
        set(364..=365).prop_map(Repeat::Yearly),
        (1..2000_u32).prop_map(Repeat::Hourly),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// 1970 to 2107, so that the year 2100, which is no leap year, is in it.
    #[test]
    fn it_says_what_counting_days_says(repeat in any_repeat(), at in 0..4_320_000_000_000_i64, missed in 0..40_000_000_000_i64) {
        let after = at + missed;
        let found = repetition(&repeat, Timestamp(at), Timestamp(after)).map(|moment| moment.0);
        prop_assert_eq!(found, reference(&repeat, at, after));
    }

    #[test]
    fn however_late_it_is_done_the_next_time_is_in_the_future(
        repeat in any_repeat(), at in 0..4_000_000_000_000_i64, late in 0..100_000_000_000_i64,
    ) {
        let mut action = action("2026-11-22 10:30", repeat, RepeatEnd::Never);
        action.due = Due::At(Timestamp(at));
        let now = Timestamp(at + late);
        after_run(&mut action, Timestamp(at), now);
        prop_assert!(next_due(&action, None).is_some_and(|next| next > now));
    }
}
