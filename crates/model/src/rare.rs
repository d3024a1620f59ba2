//! Values that are mostly what they are by default.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::ops::{Deref, DerefMut};

/// What can be rare: its default, once for the whole process.
pub trait Usual: Default + PartialEq + 'static {
    /// The default.
    fn usual() -> &'static Self;
}

/// A value that takes no room as long as it is the default. It is written down as the value itself.
#[derive(Clone, Debug)]
pub struct Rare<T>(Option<Box<T>>);

impl<T> Default for Rare<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Usual> From<T> for Rare<T> {
    fn from(value: T) -> Self {
        Self((value != *T::usual()).then(|| Box::new(value)))
    }
}

impl<T: Usual> Deref for Rare<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_deref().unwrap_or_else(|| T::usual())
    }
}

impl<T: Usual> DerefMut for Rare<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }
}

impl<T: Usual> PartialEq for Rare<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Usual + Eq> Eq for Rare<T> {}

impl<T: Usual + Serialize> Serialize for Rare<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        T::serialize(self, serializer)
    }
}

impl<'de, T: Usual + Deserialize<'de>> Deserialize<'de> for Rare<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Usual for u32 {
        fn usual() -> &'static Self {
            &0
        }
    }

    #[test]
    fn it_is_the_value_and_takes_room_only_when_it_is_another_one() {
        let mut rare = Rare::from(0_u32);
        assert_eq!((rare.0.is_none(), *rare), (true, 0));
        *rare = 0;
        assert_eq!(rare, Rare::default(), "what was touched and is the default still is");
        *rare += 7;
        assert_ne!(rare, Rare::default());
        let text = serde_json::to_string(&rare).expect("json");
        assert_eq!(text, "7");
        assert_eq!(serde_json::from_str::<Rare<u32>>(&text).expect("reads"), rare);
        assert!(serde_json::from_str::<Rare<u32>>("0").expect("reads").0.is_none());
    }
}
