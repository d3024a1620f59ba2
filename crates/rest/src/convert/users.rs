//! Users and groups.

use super::{attributes, word};
use crate::problem::{Answer, Refusal};
use holm_desk::{Caller, Row, Secret, UserChange, View};
use holm_model::users::{ADMIN_GROUP, ADMIN_USER, Group, Proof, User};
use holm_wire::v1;

/// The first word for a proof is the one it is shown by.
const PROOFS: &[(&str, Proof)] = &[
    ("password", Proof::Password),
    ("ssh", Proof::PublicKey),
    ("public", Proof::Public),
    ("service", Proof::Service),
    ("core", Proof::Password),
    ("server_cipher", Proof::Service),
];

/// What proves who a user is, and the secret for it, from what was given.
///
/// # Errors
/// When the word is unknown or the secret is of another kind.
pub fn proof(
    field: &str,
    method: &str,
    password: Option<String>,
    public_key: Option<String>,
) -> Answer<(Proof, Option<Secret>)> {
    let proof = word(field, method, PROOFS)?;
    let (secret, other, surplus) = match proof {
        Proof::PublicKey => (public_key, password, "password"),
        _ => (password, public_key, "public_key"),
    };
    if other.is_some() || (proof == Proof::Public && secret.is_some()) {
        let surplus = if other.is_some() { surplus } else { "password" };
        return Err(Refusal::invalid(surplus, format!("{surplus}: with {field} {method} there is none"))
            .hint("Give a password with password and service, a public key with ssh, nothing with public."));
    }
    Ok((proof, secret.map(Secret)))
}

fn proof_word(proof: Proof) -> String {
    PROOFS.iter().find(|(_, known)| *known == proof).map_or("", |(word, _)| word).to_owned()
}

/// A user, without secrets.
#[must_use]
pub fn user(row: &Row<User>, view: &View, caller: &Caller) -> v1::User {
    let user = &row.value;
    let admin_of = view.each::<Group>(caller).filter(|group| group.value.admins.contains(&user.id));
    v1::User {
        id: user.id.0,
        name: user.name.to_string(),
        state: if user.enabled { "enabled" } else { "disabled" }.into(),
        auth: proof_word(user.proof),
        second_factor: !user.second_factor.0.is_empty(),
        groups: user.groups.iter().map(|group| group.0).collect(),
        admin_of: admin_of.map(|group| group.value.id.0).collect(),
        admin: user.id == ADMIN_USER || user.groups.contains(&ADMIN_GROUP),
        // A public key is no secret; what other kinds of proof keep in its place is.
        public_key: (user.proof == Proof::PublicKey && !user.service_key.0.is_empty())
            .then(|| user.service_key.0.clone()),
        created_at: user.created_at.to_string(),
        revision: row.revision,
        attributes: attributes::to_json(&user.attributes),
    }
}

/// A change of a user.
///
/// # Errors
/// When an attribute cannot be one.
pub fn change(change: v1::UserChange) -> Answer<UserChange> {
    let v1::UserChange { enabled, primary_group, attributes } = change;
    Ok(UserChange { enabled, primary_group, attributes: attributes::changes(attributes)? })
}

/// A group and those of its members that the caller sees.
#[must_use]
pub fn group(row: &Row<Group>, view: &View, caller: &Caller) -> v1::Group {
    let group = &row.value;
    let users = view.each::<User>(caller).filter(|user| user.value.groups.contains(&group.id));
    v1::Group {
        id: group.id.0,
        name: group.name.to_string(),
        users: users.map(|user| user.value.id.0).collect(),
        admins: group.admins.iter().map(|user| user.0).collect(),
        created_at: group.created_at.to_string(),
        revision: row.revision,
        attributes: attributes::to_json(&group.attributes),
    }
}
