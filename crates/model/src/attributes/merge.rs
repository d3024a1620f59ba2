//! Updating attributes in append mode.

use super::{AttributeValue, Attributes};
use std::collections::HashSet;

/// Merges `new` into `old`: attributes of `old` with a name that `new` has are erased, then all of `new` are added. An
/// empty vector only erases. Values are replaced whole; members of vectors are not merged.
///
/// Replace mode needs no function: the new attributes are the result.
pub fn merge(old: &mut Attributes, new: Attributes) {
    let names: HashSet<&str> = new.0.iter().map(|(name, _)| name.as_str()).collect();
    old.0.retain(|(name, _)| !names.contains(name.as_str()));
    old.reserve(new.0.len());
    old.0.extend(
        new.0.into_iter().filter(|(_, value)| !matches!(value, AttributeValue::Vector(pairs) if pairs.is_empty())),
    );
}
