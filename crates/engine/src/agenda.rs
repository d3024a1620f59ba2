//! What is to be looked at, and when. Lost without harm: it is made anew from the store at every start.

use crate::settings::Settings;
use holm_model::{ObjectKind, ObjectRef, Timestamp};
use std::collections::{BTreeSet, HashMap};

/// Times at which objects are to be looked at, one for each: what is due costs a look at the first, however many wait.
#[derive(Debug, Default)]
struct Timers {
    by_time: BTreeSet<(Timestamp, ObjectRef)>,
    of: HashMap<ObjectRef, Timestamp>,
}

impl Timers {
    /// Instead of any time set before.
    fn set(&mut self, object: ObjectRef, time: Option<Timestamp>) {
        if let Some(old) = self.of.remove(&object) {
            self.by_time.remove(&(old, object));
        }
        if let Some(time) = time {
            self.by_time.insert((time, object));
            self.of.insert(object, time);
        }
    }

    fn take_due(&mut self, now: Timestamp) -> Option<ObjectRef> {
        let (time, object) = *self.by_time.first().filter(|(time, _)| *time <= now)?;
        self.by_time.remove(&(time, object));
        self.of.remove(&object);
        Some(object)
    }

    fn next(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(time, _)| *time)
    }
}

/// Objects to look at now, later, and not before some time.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    dirty: BTreeSet<ObjectRef>,
    /// When what is waited for is over.
    timers: Timers,
    /// When something of an object's schedule is due.
    alarms: Timers,
    pauses: HashMap<ObjectRef, Pause>,
    looks: HashMap<ObjectRef, u32>,
}

#[derive(Clone, Copy, Debug)]
struct Pause {
    failures: u32,
    until: Timestamp,
}

impl Agenda {
    /// How many objects are to be looked at now, paused ones included.
    pub(crate) fn len(&self) -> usize {
        self.dirty.len()
    }

    /// Looks at the object as soon as it is not paused.
    pub(crate) fn add(&mut self, object: ObjectRef) {
        self.dirty.insert(object);
    }

    /// Looks at the object at a time, instead of any time set before.
    pub(crate) fn at(&mut self, object: ObjectRef, time: Option<Timestamp>) {
        self.timers.set(object, time);
    }

    /// Looks at the object when something of its schedule is due, instead of any such time set before.
    pub(crate) fn alarm(&mut self, object: ObjectRef, time: Option<Timestamp>) {
        self.alarms.set(object, time);
    }

    /// Whether the object waits for a time, its schedule aside.
    pub(crate) fn has_timer(&self, object: ObjectRef) -> bool {
        self.timers.of.contains_key(&object)
    }

    /// The object is gone.
    pub(crate) fn forget(&mut self, object: ObjectRef) {
        self.dirty.remove(&object);
        self.at(object, None);
        self.alarm(object, None);
        self.pauses.remove(&object);
        self.looks.remove(&object);
    }

    /// Moves what is due to the objects to look at now.
    pub(crate) fn wake(&mut self, now: Timestamp) {
        for timers in [&mut self.timers, &mut self.alarms] {
            while let Some(object) = timers.take_due(now) {
                self.dirty.insert(object);
            }
        }
    }

    /// Takes up to `most` objects of a kind that are to be looked at and not paused, by id. Starts a new count of
    /// looks for each when `settle` begins, see [`Self::begin`]; one that is looked at too often is paused instead.
    pub(crate) fn take(
        &mut self,
        kind: ObjectKind,
        most: usize,
        now: Timestamp,
        settings: &Settings,
    ) -> Vec<ObjectRef> {
        let range = ObjectRef { kind, id: 0 }..=ObjectRef { kind, id: u32::MAX };
        let pauses = &self.pauses;
        let ready = |object: &ObjectRef| pauses.get(object).is_none_or(|pause| pause.until <= now);
        let mut taken: Vec<ObjectRef> =
            self.dirty.range(range).filter(|object| ready(object)).take(most).copied().collect();
        for object in &taken {
            self.dirty.remove(object);
        }
        taken.retain(|object| {
            let looks = self.looks.entry(*object).or_insert(0);
            *looks += 1;
            let fine = *looks <= settings.looks_per_settle;
            if !fine {
                tracing::error!(%object, looks, "looked at too often without an end; it is set aside for a while");
                Self::pause(&mut self.pauses, *object, now, settings);
                self.dirty.insert(*object);
            }
            fine
        });
        taken
    }

    /// A new call of settle: looks are counted from nothing.
    pub(crate) fn begin(&mut self) {
        self.looks.clear();
    }

    /// Something about the object failed: it is looked at again after a pause that doubles with every failure.
    pub(crate) fn failed(&mut self, object: ObjectRef, now: Timestamp, settings: &Settings) {
        Self::pause(&mut self.pauses, object, now, settings);
        self.dirty.insert(object);
    }

    fn pause(pauses: &mut HashMap<ObjectRef, Pause>, object: ObjectRef, now: Timestamp, settings: &Settings) {
        let pause = pauses.entry(object).or_insert(Pause { failures: 0, until: now });
        let doublings = pause.failures.min(20);
        pause.failures = pause.failures.saturating_add(1);
        pause.until = now.plus(settings.first_pause.saturating_mul(1 << doublings).min(settings.longest_pause));
    }

    /// Everything went well with the object.
    pub(crate) fn succeeded(&mut self, object: ObjectRef) {
        self.pauses.remove(&object);
    }

    /// When the next timer or pause ends.
    pub(crate) fn next_wake(&self) -> Option<Timestamp> {
        let paused = self.dirty.iter().filter_map(|object| self.pauses.get(object)).map(|pause| pause.until).min();
        [self.timers.next(), self.alarms.next(), paused].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn vm(id: u32) -> ObjectRef {
        ObjectRef { kind: ObjectKind::Vm, id }
    }

    #[test]
    fn many_changes_of_one_object_are_one_look() {
        let (mut agenda, settings) = (Agenda::default(), Settings::default());
        for _ in 0..5 {
            agenda.add(vm(1));
        }
        agenda.add(ObjectRef { kind: ObjectKind::Host, id: 1 });
        assert_eq!(agenda.take(ObjectKind::Vm, 10, Timestamp(0), &settings), [vm(1)]);
        assert!(agenda.take(ObjectKind::Vm, 10, Timestamp(0), &settings).is_empty());
        assert_eq!(agenda.take(ObjectKind::Host, 10, Timestamp(0), &settings).len(), 1);
    }

    #[test]
    fn a_timer_replaces_the_one_before() {
        let (mut agenda, settings) = (Agenda::default(), Settings::default());
        agenda.at(vm(1), Some(Timestamp(10)));
        agenda.at(vm(1), Some(Timestamp(20)));
        agenda.wake(Timestamp(15));
        assert!(agenda.take(ObjectKind::Vm, 10, Timestamp(15), &settings).is_empty());
        assert_eq!(agenda.next_wake(), Some(Timestamp(20)));
        agenda.wake(Timestamp(20));
        assert_eq!(agenda.take(ObjectKind::Vm, 10, Timestamp(20), &settings), [vm(1)]);
        assert_eq!(agenda.next_wake(), None);
    }

    #[test]
    fn an_alarm_stands_beside_a_timer() {
        let (mut agenda, settings) = (Agenda::default(), Settings::default());
        agenda.alarm(vm(1), Some(Timestamp(20)));
        assert!(!agenda.has_timer(vm(1)), "a schedule is nothing that is waited for");
        agenda.at(vm(1), Some(Timestamp(30)));
        agenda.alarm(vm(1), Some(Timestamp(10)));
        assert_eq!(agenda.next_wake(), Some(Timestamp(10)));
        agenda.wake(Timestamp(10));
        assert_eq!(agenda.take(ObjectKind::Vm, 10, Timestamp(10), &settings), [vm(1)]);
        assert_eq!(agenda.next_wake(), Some(Timestamp(30)));
        agenda.alarm(vm(1), Some(Timestamp(25)));
        agenda.forget(vm(1));
        assert_eq!(agenda.next_wake(), None);
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_end_with_success() {
        let settings = Settings { longest_pause: Duration::from_secs(3), ..Settings::default() };
        let mut agenda = Agenda::default();
        for (failure, wait_ms) in [(1, 1000), (2, 2000), (3, 3000), (4, 3000)] {
            agenda.failed(vm(1), Timestamp(0), &settings);
            assert_eq!(agenda.next_wake(), Some(Timestamp(wait_ms)), "after failure {failure}");
            assert!(agenda.take(ObjectKind::Vm, 10, Timestamp(wait_ms - 1), &settings).is_empty());
        }
        assert_eq!(agenda.take(ObjectKind::Vm, 10, Timestamp(3000), &settings), [vm(1)]);
        agenda.succeeded(vm(1));
        agenda.failed(vm(1), Timestamp(0), &settings);
        assert_eq!(agenda.next_wake(), Some(Timestamp(1000)));
    }

    #[test]
    fn an_object_that_never_comes_to_rest_is_set_aside() {
        let (mut agenda, settings) = (Agenda::default(), Settings { looks_per_settle: 3, ..Settings::default() });
        agenda.begin();
        let mut looks = 0;
        for _ in 0..10 {
            agenda.add(vm(1));
            looks += agenda.take(ObjectKind::Vm, 10, Timestamp(0), &settings).len();
        }
        assert_eq!(looks, 3);
        agenda.begin();
        assert_eq!(agenda.take(ObjectKind::Vm, 10, Timestamp(1000), &settings), [vm(1)]);
    }
}
