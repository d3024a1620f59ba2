//! Between the model's nouns and the shapes of the interface. Nothing is decided here: words become enums and enums
//! become words.

pub mod accounting;
pub mod acls;
pub mod attributes;
pub mod datastores;
pub mod hosts;
pub mod images;
pub mod network_templates;
pub mod networks;
pub mod operations;
pub mod quotas;
pub mod security_groups;
pub mod sessions;
pub mod templates;
pub mod users;
pub mod vdcs;
pub mod vm_devices;
pub mod vm_groups;
pub mod vm_schedule;
pub mod vms;

use crate::problem::{Answer, Refusal};
use holm_desk::{Caller, Error, MetaChange, Row, Seen, View};
use holm_model::{LockLevel, Meta, Permissions, Trouble, TroubleClass};
use holm_wire::v1;

/// Name, ownership, permissions and attributes of a row.
#[must_use]
pub fn meta<T>(row: &Row<T>, meta: &Meta) -> v1::Meta {
    v1::Meta {
        name: meta.name.as_str().to_owned(),
        owner: meta.owner.0,
        group: meta.group.0,
        permissions: meta.permissions.to_string(),
        created_at: meta.created_at.to_string(),
        revision: row.revision,
        lock: meta.lock.map(|lock| v1::Lock {
            level: vms::word_of(lock.level, LOCK_LEVELS),
            user: lock.owner.0,
            since: lock.at.to_string(),
        }),
        attributes: attributes::to_json(&meta.attributes),
    }
}

/// The first word for a level is the one it is shown by.
const LOCK_LEVELS: &[(&str, LockLevel)] =
    &[("use", LockLevel::Use), ("manage", LockLevel::Manage), ("admin", LockLevel::Admin), ("all", LockLevel::Use)];

/// The level of a lock.
///
/// # Errors
/// When the word is unknown.
pub fn lock_level(change: &v1::LockChange) -> Answer<LockLevel> {
    word("level", &change.level, LOCK_LEVELS)
}

/// A change of name, ownership, permissions and attributes.
///
/// # Errors
/// When the permissions are no three octal digits, or an attribute cannot be one.
pub fn meta_change(change: v1::MetaChange) -> Answer<MetaChange> {
    let v1::MetaChange { name, owner, group, permissions, attributes } = change;
    let permissions = permissions.as_deref().map(octal).transpose()?;
    Ok(MetaChange { name, owner, group, permissions, attributes: attributes::changes(attributes)? })
}

fn octal(text: &str) -> Answer<Permissions> {
    let bits = Some(text).filter(|text| text.len() == 3).and_then(|text| u16::from_str_radix(text, 8).ok());
    bits.and_then(|bits| Permissions::from_octal(bits).ok()).ok_or_else(|| {
        let shown: String = text.chars().take(64).collect();
        Refusal::invalid("permissions", format!("permissions: {shown:?} are not three octal digits"))
            .hint("Write owner, group and other, each the sum of use 4, manage 2 and admin 1: 640.")
    })
}

/// What is wrong with an object.
#[must_use]
pub fn trouble(trouble: &Trouble) -> v1::Trouble {
    let class = match trouble.class {
        TroubleClass::Transient => "transient",
        TroubleClass::Permanent => "permanent",
        TroubleClass::Unknown => "unknown",
    };
    v1::Trouble {
        class: class.into(),
        since: trouble.since.to_string(),
        attempts: trouble.attempts,
        why: trouble.why.clone(),
    }
}

/// A number of cores from hundredths of a core.
#[must_use]
pub fn cores(share: holm_model::CpuShare) -> f64 {
    f64::from(share.0) / 100.0
}

/// Hundredths of a core from a number of cores as JSON has it.
///
/// # Errors
/// When it is not between 0.01 and 10,000 or finer than a hundredth.
pub fn share(field: &str, cores: f64) -> Answer<holm_model::CpuShare> {
    let hundredths = (cores * 100.0).round();
    let near = (cores * 100.0 - hundredths).abs() < 1e-6;
    if !near || !(1.0..=1_000_000.0).contains(&hundredths) {
        return Err(Refusal::invalid(field, format!("{field}: {cores} is not a number of cores from 0.01 to 10000"))
            .hint("Write a number of cores such as 0.5 or 2, in steps of a hundredth."));
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to lie in 1..=1e6 just above")]
    Ok(holm_model::CpuShare(hundredths as u32))
}

/// The id of an object that a field names by id or name.
///
/// # Errors
/// When there is none that the caller may see, or several.
pub fn id_of<T: Seen>(field: &str, key: &str, view: &View, caller: &Caller) -> Answer<T::Id> {
    let row = view.get::<T>(caller, key).map_err(|error: Error| error.field(field))?;
    Ok(row.value.id())
}

/// Finds a word among those a field knows.
///
/// # Errors
/// When it is none of them; the error lists them.
pub fn word<T: Copy>(field: &str, given: &str, known: &[(&str, T)]) -> Answer<T> {
    known.iter().find(|(word, _)| *word == given).map(|(_, value)| *value).ok_or_else(|| {
        let shown: String = given.chars().take(64).collect();
        let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
        Refusal::invalid(field, format!("{field}: {shown:?} is not known here"))
            .hint(format!("Use one of {}.", words.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_hundredths_and_nothing_finer() {
        for (given, hundredths) in [(0.01, 1), (0.1, 10), (0.29, 29), (1.5, 150), (10_000.0, 1_000_000)] {
            assert_eq!(share("cpu", given).expect("is fine").0, hundredths);
            assert!((cores(holm_model::CpuShare(hundredths)) - given).abs() < 1e-9);
        }
        for given in [0.0, -1.0, 0.001, 1.234, f64::NAN, f64::INFINITY, 10_001.0] {
            assert!(share("cpu", given).is_err(), "{given}");
        }
    }
}
