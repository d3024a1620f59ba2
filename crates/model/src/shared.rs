//! Values that many objects have in common, such as what VMs of one template are told. They are kept once.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

/// What can be kept once for many.
pub trait Common: Clone + Eq + Hash + Send + Sync + Sized + 'static {
    /// Where all of them are known.
    fn pool() -> &'static Pool<Self>;
}

/// All values of one kind that somebody has, by their hash.
pub struct Pool<T>(LazyLock<(RandomState, Mutex<Known<T>>)>);

struct Known<T> {
    values: HashMap<u64, Weak<T>>,
    /// So many are looked through for those that nobody has any more.
    sweep_at: usize,
}

/// Fewer are not looked through.
const FEW: usize = 1024;

impl<T: Common> Pool<T> {
    /// A pool, for a `static`.
    #[must_use]
    pub const fn new() -> Self {
        Self(LazyLock::new(|| (RandomState::new(), Mutex::new(Known { values: HashMap::new(), sweep_at: FEW }))))
    }

    /// The one like this that somebody has, or this one.
    fn share(&self, value: T) -> Arc<T> {
        let (hasher, known) = &*self.0;
        let hash = hasher.hash_one(&value);
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        match known.values.get(&hash).and_then(Weak::upgrade) {
            Some(same) if *same == value => return same,
            // Two values of one hash: the second is its owner's alone.
            Some(_) => return Arc::new(value),
            None => {}
        }
        if known.values.len() >= known.sweep_at {
            known.values.retain(|_, value| value.strong_count() > 0);
            known.values.shrink_to(FEW);
            known.sweep_at = FEW.max(known.values.len() * 2);
        }
        let value = Arc::new(value);
        known.values.insert(hash, Arc::downgrade(&value));
        value
    }
}

impl<T: Common> Default for Pool<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// A value that is kept once for all who have the same. It is written down as the value itself. Whoever changes it gets
/// their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared<T>(Arc<T>);

impl<T: Default + PartialEq> Shared<T> {
    /// Whether nobody has said anything about it.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        **self == T::default()
    }
}

impl<T: Common> From<T> for Shared<T> {
    fn from(value: T) -> Self {
        Self(T::pool().share(value))
    }
}

impl<T: Common + Default> Default for Shared<T> {
    fn default() -> Self {
        T::default().into()
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        Arc::make_mut(&mut self.0)
    }
}

impl<T: Serialize> Serialize for Shared<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        T::serialize(self, serializer)
    }
}

impl<'de, T: Common + Deserialize<'de>> Deserialize<'de> for Shared<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
    struct Text {
        words: String,
    }

    impl Common for Text {
        fn pool() -> &'static Pool<Self> {
            static POOL: Pool<Text> = Pool::new();
            &POOL
        }
    }

    fn text(text: impl ToString) -> Shared<Text> {
        Text { words: text.to_string() }.into()
    }

    fn known() -> usize {
        Text::pool().0.1.lock().expect("whole").values.len()
    }

    #[test]
    fn the_same_is_kept_once_and_what_changes_is_ones_own() {
        let (one, two) = (text("a"), text("a"));
        assert!(Arc::ptr_eq(&one.0, &two.0));
        let mut three = two.clone();
        three.words.push('b');
        assert_eq!((one.words.as_str(), three.words.as_str()), ("a", "ab"));
        // The last to have it changes it in place, and nobody is given it as what it was.
        drop((one, two));
        let mut last = text("only");
        last.words.push('!');
        assert_eq!((text("only").words.as_str(), last.words.as_str()), ("only", "only!"));

        let written = serde_json::to_string(&three).expect("json");
        assert_eq!(written, r#"{"words":"ab"}"#);
        let read: Shared<Text> = serde_json::from_str(&written).expect("reads");
        assert_eq!(read, three);

        // What nobody has any more is forgotten.
        for number in 0..10 * FEW {
            drop(text(number));
        }
        assert!(known() <= FEW + 1, "{}", known());
        let kept: Vec<Shared<Text>> = (0..3 * FEW).map(text).collect();
        assert!(kept.iter().enumerate().all(|(number, kept)| kept.words == number.to_string()));
        assert!(Arc::ptr_eq(&kept[7].0, &text(7).0));
    }
}
