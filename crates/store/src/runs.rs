//! Sets of numbers that mostly lie side by side, kept as runs, so that the next number that is not in a set is found
//! at once however many are.

use imbl::OrdMap;
use std::fmt::Debug;

/// Numbers by key. Runs of one key neither overlap nor touch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Runs<K: Ord + Clone> {
    /// First to last number of each run.
    runs: OrdMap<(K, u128), u128>,
}

impl<K: Ord + Clone> Default for Runs<K> {
    fn default() -> Self {
        Self { runs: OrdMap::new() }
    }
}

impl<K: Ord + Copy + Debug> Runs<K> {
    /// The run that holds the number.
    fn around(&self, key: K, number: u128) -> Option<(u128, u128)> {
        let ((found, first), last) = self.runs.range((key, 0)..=(key, number)).next_back()?;
        (*found == key && *last >= number).then_some((*first, *last))
    }

    /// Puts a number in; content when it is there.
    pub(crate) fn insert(&mut self, key: K, number: u128) {
        if self.around(key, number).is_some() {
            return;
        }
        let below = number.checked_sub(1).and_then(|n| self.around(key, n));
        let above = number.checked_add(1).and_then(|n| self.around(key, n));
        if let Some((first, _)) = above {
            self.runs.remove(&(key, first));
        }
        let first = below.map_or(number, |(first, _)| first);
        let last = above.map_or(number, |(_, last)| last);
        self.runs.insert((key, first), last);
    }

    /// Takes a number out; content when it is not there.
    pub(crate) fn remove(&mut self, key: K, number: u128) {
        let Some((first, last)) = self.around(key, number) else { return };
        self.runs.remove(&(key, first));
        if first < number {
            self.runs.insert((key, first), number - 1);
        }
        if number < last {
            self.runs.insert((key, number + 1), last);
        }
    }

    /// The first number from `from` on that is not in; `None` when all are.
    pub(crate) fn next_out(&self, key: K, from: u128) -> Option<u128> {
        match self.around(key, from) {
            Some((_, last)) => last.checked_add(1),
            None => Some(from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn runs_say_what_a_set_says(steps in proptest::collection::vec((any::<bool>(), 0_u8..3, 0_u128..40), 1..300)) {
            let mut runs = Runs::<u8>::default();
            let mut set = BTreeSet::new();
            for (put, key, number) in steps {
                // Some numbers at the very end of what there is.
                let number = if number > 35 { u128::MAX - (number - 36) } else { number };
                if put {
                    runs.insert(key, number);
                    set.insert((key, number));
                } else {
                    runs.remove(key, number);
                    set.remove(&(key, number));
                }
                for from in (0..40).chain(u128::MAX - 4..=u128::MAX) {
                    let mut slow = Some(from);
                    while let Some(n) = slow.filter(|n| set.contains(&(key, *n))) {
                        slow = n.checked_add(1);
                    }
                    prop_assert_eq!(runs.next_out(key, from), slow);
                }
            }
            // As few runs as can be.
            let starts = set.iter().filter(|(key, n)| n.checked_sub(1).is_none_or(|n| !set.contains(&(*key, n)))).count();
            prop_assert_eq!(runs.runs.len(), starts);
        }
    }
}
