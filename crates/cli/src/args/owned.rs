//! Arguments of what can be done with everything that has an owner. A noun's commands take them in with
//! `#[command(flatten)] Owned(OwnedCommand)`.

use super::Many;
use clap::{Args, Subcommand, ValueEnum};

/// The word in help texts that stands for the noun whose help it is; see [`super::command`].
pub(super) const PLACEHOLDER: &str = "NOUN";

/// What can be done with everything that has an owner.
#[derive(Debug, Subcommand)]
pub enum OwnedCommand {
    /// Give one another name.
    #[command(after_help = "Examples:\n  holm NOUN rename web www\n  holm NOUN rename 7 www")]
    Rename(Rename),
    /// Set attributes: free texts that are kept with an object.
    #[command(after_help = "Examples:
  holm NOUN set web TEAM=blue STAGE=test
  holm NOUN set web --file attributes.json
  echo '{\"TAG\": [\"a\", \"b\"], \"CONTACT\": {\"NAME\": \"anna\"}, \"OLD\": null}' | holm NOUN set web --file -

In a file an attribute is a text, an object of texts, or an array of these; null takes it away. Attributes that
are not named stay.")]
    Set(SetAttributes),
    /// Take attributes away.
    #[command(after_help = "Examples:\n  holm NOUN unset web STAGE TEAM")]
    Unset(UnsetAttributes),
    /// Give objects to another user, and to another group where one is named.
    #[command(after_help = "Examples:
  holm NOUN chown anna web
  holm NOUN chown anna:staff web db
  holm NOUN chown :staff web")]
    Chown(Chown),
    /// Give objects to another group.
    #[command(after_help = "Examples:\n  holm NOUN chgrp staff web db")]
    Chgrp(Chgrp),
    /// Say who may do what: owner, group and everybody else, each the sum of use 4, manage 2 and admin 1.
    #[command(after_help = "Examples:
  holm NOUN chmod 640 web
  holm NOUN chmod 604 web db

640: the owner uses and manages, the group uses, nobody else sees it.")]
    Chmod(Chmod),
    /// Lock objects, also against their owner; administrators pass.
    #[command(after_help = "Examples:
  holm NOUN lock web
  holm NOUN lock web db --level use")]
    Lock(Lock),
    /// Take the lock off objects.
    #[command(after_help = "Examples:\n  holm NOUN unlock web")]
    Unlock(Many),
}

/// `holm NOUN rename`.
#[derive(Debug, Args)]
pub struct Rename {
    /// Its name or id.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Its new name.
    #[arg(value_name = "NEW")]
    pub new: String,
}

/// `holm NOUN set`.
#[derive(Debug, Args)]
pub struct SetAttributes {
    /// Its name or id.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Attributes with their values.
    #[arg(value_name = "KEY=VALUE", value_parser = crate::fields::pair, required_unless_present = "file")]
    pub attributes: Vec<(String, String)>,
    /// Attributes as a JSON object in this file; `-` is standard input.
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<String>,
}

/// `holm NOUN unset`.
#[derive(Debug, Args)]
pub struct UnsetAttributes {
    /// Its name or id.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The attributes' names.
    #[arg(value_name = "KEY", required = true)]
    pub keys: Vec<String>,
}

/// `holm NOUN chown`.
#[derive(Debug, Args)]
pub struct Chown {
    /// The user, by name or id, and the group after a colon.
    #[arg(value_name = "OWNER[:GROUP]", value_parser = owner)]
    pub owner: Ownership,
    /// Which objects.
    #[command(flatten)]
    pub objects: Many,
}

/// A user, a group or both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ownership {
    /// The user, by name or id.
    pub owner: Option<String>,
    /// The group, by name or id.
    pub group: Option<String>,
}

fn owner(text: &str) -> Result<Ownership, String> {
    let (owner, group) = match text.split_once(':') {
        None => (text, None),
        Some((owner, group)) => (owner, Some(group)),
    };
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    match (given(owner), group.map(given)) {
        (None, None) | (_, Some(None)) => Err("write OWNER, OWNER:GROUP or :GROUP".into()),
        (owner, group) => Ok(Ownership { owner, group: group.flatten() }),
    }
}

/// `holm NOUN chgrp`.
#[derive(Debug, Args)]
pub struct Chgrp {
    /// The group, by name or id.
    #[arg(value_name = "GROUP")]
    pub group: String,
    /// Which objects.
    #[command(flatten)]
    pub objects: Many,
}

/// `holm NOUN chmod`.
#[derive(Debug, Args)]
pub struct Chmod {
    /// Three octal digits.
    #[arg(value_name = "MODE", value_parser = mode)]
    pub mode: String,
    /// Which objects.
    #[command(flatten)]
    pub objects: Many,
}

fn mode(text: &str) -> Result<String, String> {
    if text.len() == 3 && text.bytes().all(|digit| (b'0'..=b'7').contains(&digit)) {
        Ok(text.to_owned())
    } else {
        Err("write three octal digits such as 640: owner, group, other".into())
    }
}

/// `holm NOUN lock`.
#[derive(Debug, Args)]
pub struct Lock {
    /// Which objects.
    #[command(flatten)]
    pub objects: Many,
    /// What they are locked against.
    #[arg(long, value_enum, default_value_t)]
    pub level: LockLevel,
}

/// What an object is locked against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LockLevel {
    /// Against everything but looking.
    #[value(alias = "all")]
    Use,
    /// Against changes and deletion.
    #[default]
    Manage,
    /// Against changing who may do what.
    Admin,
}

impl LockLevel {
    /// The interface's word for it.
    #[must_use]
    pub fn word(self) -> String {
        match self {
            Self::Use => "use".to_owned(),
            Self::Manage => "manage".to_owned(),
            Self::Admin => "admin".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_a_group_or_both() {
        let of = |owner: Option<&str>, group: Option<&str>| {
            Ok(Ownership { owner: owner.map(str::to_owned), group: group.map(str::to_owned) })
        };
        assert_eq!(owner("anna"), of(Some("anna"), None));
        assert_eq!(owner("anna:7"), of(Some("anna"), Some("7")));
        assert_eq!(owner(":staff"), of(None, Some("staff")));
        for wrong in ["", ":", "anna:"] {
            assert!(owner(wrong).is_err(), "{wrong:?}");
        }
        assert!(mode("640").is_ok());
        for wrong in ["64", "0640", "68a", "u+m"] {
            assert!(mode(wrong).is_err(), "{wrong:?}");
        }
    }
}
