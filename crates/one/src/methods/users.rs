//! `one.user.*`, `one.userpool.info`, `one.userquota.*`, `one.group.*`, `one.grouppool.info`, `one.groupquota.*`

use super::methods;
use crate::codes::{ACTION, Failure};
use crate::pools::{self, Part, Whose};
use crate::quota_template;
use crate::render::users as render;
use crate::request::{Request, Update};
use crate::xml::Xml;
use crate::xmlrpc::Answer;
use holm_desk::{AccountDraft, GroupDraft, LoginTokenDraft, Secret};
use holm_model::users::{Group, Proof, User};
use holm_model::zones::{OWN_ZONE, Zone};
use holm_model::{Attributes, GroupId, ObjectKind, UserId};
use std::time::Duration;

/// The group of the administrators.
const ADMINISTRATORS: GroupId = GroupId(0);
/// The group of everybody else.
const USERS: GroupId = GroupId(1);

methods! {
    change "one.user.addgroup" => add_group,
    change "one.user.allocate" => allocate,
    change "one.user.chauth" => change_driver,
    change "one.user.chgrp" => change_group,
    change "one.user.delete" => delete,
    change "one.user.delgroup" => remove_group,
    change "one.user.enable" => enable,
    read "one.user.info" => info,
    change "one.user.login" => login,
    change "one.user.passwd" => password,
    change "one.user.quota" => quota,
    change "one.user.update" => update,
    read "one.userpool.info" => pool_info,
    read "one.userquota.info" => default_info,
    change "one.userquota.update" => default_update,
    change "one.group.addadmin" => add_admin,
    change "one.group.allocate" => group_allocate,
    change "one.group.deladmin" => remove_admin,
    change "one.group.delete" => group_delete,
    read "one.group.info" => group_info,
    change "one.group.quota" => group_quota,
    change "one.group.update" => group_update,
    change "one.group.vlan" => group_vlan,
    read "one.grouppool.info" => group_pool_info,
    read "one.groupquota.info" => group_default_info,
    change "one.groupquota.update" => group_default_update,
}

fn of_user<R>(request: &Request<'_>, id: u32, outcome: Result<R, holm_desk::Error>) -> Result<Answer, Failure> {
    match outcome {
        Ok(_) => Ok(id.into()),
        Err(error) => Err(request.failed(&error, ObjectKind::User, id)),
    }
}

fn of_group<R>(request: &Request<'_>, id: u32, outcome: Result<R, holm_desk::Error>) -> Result<Answer, Failure> {
    match outcome {
        Ok(_) => Ok(id.into()),
        Err(error) => Err(request.failed(&error, ObjectKind::Group, id)),
    }
}

/// What proves who a user is, from the driver's name.
fn proof(word: &str) -> Result<Proof, Failure> {
    render::proof(word).ok_or_else(|| {
        Failure::parameter(format!(
            "There is no authentication driver {word:?}: use core, ssh, public or server_cipher."
        ))
    })
}

/// `(name, password, driver, groups)`
async fn allocate(request: &Request<'_>) -> Result<Answer, Failure> {
    let (name, password) = (request.text(1)?.to_owned(), Secret(request.text(2)?.to_owned()));
    let proof = proof(request.text_or(3, "")?)?;
    let mut groups = Vec::new();
    for id in request.params.ints_or_empty(4)? {
        let id = u32::try_from(id).map_err(|_| Failure::missing(ObjectKind::Group, id.into()))?;
        groups.push(GroupId(id));
    }
    if groups.is_empty() && request.caller.primary_group() == ADMINISTRATORS {
        // A new user is no administrator unless that is asked for.
        groups.push(USERS);
    }
    let draft = AccountDraft { name, proof, secret: password, groups };
    match request.desk().account_create(&request.caller, &request.intent, draft).await {
        Ok(row) => Ok(row.value.id.0.into()),
        Err(error) => Err(request.not_made(&error, ObjectKind::User)),
    }
}

/// `(id)`: what belongs to the user stays, as clients expect; it goes to whoever deletes them.
async fn delete(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::User)?;
    let heir = Some(request.caller.user_id());
    of_user(request, id, request.desk().user_delete(&request.caller, &request.intent, UserId(id), heir).await)
}

/// `(id, enable)`
async fn enable(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::User)?;
    let enable = request.flag(2)?;
    let desk = request.desk();
    of_user(request, id, desk.user_enable(&request.caller, &request.intent, &id.to_string(), enable).await)
}

/// `(id, password)`
async fn password(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::User)?;
    let secret = Secret(request.text(2)?.to_owned());
    let desk = request.desk();
    of_user(request, id, desk.secret_set(&request.caller, &request.intent, UserId(id), None, Some(secret)).await)
}

/// `(id, driver, password)`: an empty password keeps the old one.
async fn change_driver(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::User)?;
    let proof = proof(request.text(2)?)?;
    let secret = Some(request.text_or(3, "")?).filter(|text| !text.is_empty()).map(|text| Secret(text.to_owned()));
    let desk = request.desk();
    of_user(request, id, desk.secret_set(&request.caller, &request.intent, UserId(id), Some(proof), secret).await)
}

macro_rules! membership {
    ($($name:ident => $verb:ident;)*) => {
        $(
            /// `(id, group)`
            async fn $name(request: &Request<'_>) -> Result<Answer, Failure> {
                let id = request.id(1, ObjectKind::User)?;
                let group = request.id(2, ObjectKind::Group)?;
                let desk = request.desk();
                match desk.$verb(&request.caller, &request.intent, UserId(id), GroupId(group)).await {
                    Ok(_) => Ok(id.into()),
                    Err(error) if error.field.as_deref() == Some("group") => {
                        Err(request.failed(&holm_desk::Error { field: None, ..error }, ObjectKind::Group, group))
                    }
                    Err(error) => Err(request.failed(&error, ObjectKind::User, id)),
                }
            }
        )*
    };
}

membership! {
    add_group => user_add_group;
    change_group => user_primary_group;
    remove_group => user_remove_group;
}

/// `(name, token, seconds, group)`: seconds 0 takes tokens back, -1 lets one work for ever; an empty token is made.
async fn login(request: &Request<'_>) -> Result<Answer, Failure> {
    let name = request.text(1)?;
    let token = Some(request.text_or(2, "")?).filter(|text| !text.is_empty()).map(|text| Secret(text.to_owned()));
    let seconds = request.int_or(3, 36_000)?;
    let group = request.id_or_none(4, ObjectKind::Group)?.map(GroupId);
    let view = request.view();
    let row = view.get::<User>(&request.caller, name).map_err(|e| {
        Failure::of(&holm_desk::Error { field: Some("name".into()), ..e }, ObjectKind::User, -1, request.user())
    })?;
    let user = row.value.id;
    let (desk, caller, intent) = (request.desk(), &request.caller, &request.intent);
    if seconds == 0 {
        return match desk.login_token_reset(caller, intent, user, token).await {
            // Clients print what they get; there is no token any more.
            Ok(()) => Ok(Answer::Text(" ".into())),
            Err(error) => Err(request.failed(&error, ObjectKind::User, user.0)),
        };
    }
    let lifetime = match seconds {
        -1 => None,
        seconds => Some(Duration::from_secs(u64::try_from(seconds).map_err(|_| {
            Failure::parameter(format!(
                "A token cannot work for {seconds} seconds: use -1 for ever, 0 to take it back."
            ))
        })?)),
    };
    match desk.login_token_create(caller, intent, LoginTokenDraft { user, text: token, lifetime, group }).await {
        Ok(token) => Ok(Answer::Text(token.0)),
        Err(error) => Err(request.failed(&error, ObjectKind::User, user.0)),
    }
}

/// `(id, template, type)`
async fn update(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::User)?;
    let (given, how) = (request.template(2)?, Update::of(request, 3)?);
    let change = move |attributes: &mut Attributes| {
        how.apply(attributes, given);
        Ok(())
    };
    let desk = request.desk();
    of_user(request, id, desk.user_attributes_change(&request.caller, &request.intent, UserId(id), change).await)
}

/// `(id, quota template)`: limits that are not named stay.
async fn quota(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::User)?;
    let given = request.template(2)?;
    let row = request
        .view()
        .get_id::<User>(&request.caller, UserId(id))
        .map_err(|e| request.failed(&e, ObjectKind::User, id))?;
    let mut quotas = row.value.quotas.clone();
    quota_template::apply(&mut quotas, &given)?;
    let desk = request.desk();
    of_user(request, id, desk.user_quotas_set(&request.caller, &request.intent, UserId(id), quotas).await)
}

/// `(id)`: -1 is the caller.
fn info(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = match request.int(1)? {
        -1 => request.user(),
        _ => request.id(1, ObjectKind::User)?,
    };
    let view = request.view();
    let row = view.get_id::<User>(&request.caller, UserId(id)).map_err(|e| request.failed(&e, ObjectKind::User, id))?;
    let theirs = request.caller.is_admin() || id == request.user();
    let tokens = if theirs { request.desk().login_tokens(UserId(id)) } else { Vec::new() };
    Ok(Answer::Text(render::user(&row, &view, &tokens)))
}

fn pool_info(request: &Request<'_>) -> Result<Answer, Failure> {
    let view = request.view();
    let rows = pools::rows::<User>(request, &view, Whose::All, Part::All, |_| true);
    Ok(Answer::Text(render::users(&rows, &view)))
}

fn show_defaults(request: &Request<'_>, of_groups: bool) -> Answer {
    let mut xml = Xml::new();
    render::default_quotas(&mut xml, &request.view(), of_groups);
    Answer::Text(xml.into_string())
}

fn default_info(request: &Request<'_>) -> Result<Answer, Failure> {
    Ok(show_defaults(request, false))
}

fn group_default_info(request: &Request<'_>) -> Result<Answer, Failure> {
    Ok(show_defaults(request, true))
}

async fn set_defaults(request: &Request<'_>, of_groups: bool) -> Result<Answer, Failure> {
    let given = request.template(1)?;
    let Some(zone) = request.view().row::<Zone>(OWN_ZONE) else {
        return Err(Failure::missing(ObjectKind::Zone, OWN_ZONE.0.into()));
    };
    let zone = &zone.value;
    let mut quotas = if of_groups { zone.default_group_quotas.clone() } else { zone.default_user_quotas.clone() };
    quota_template::apply(&mut quotas, &given)?;
    match request.desk().default_quotas_set(&request.caller, &request.intent, of_groups, quotas).await {
        Ok(_) => Ok(show_defaults(request, of_groups)),
        Err(error) => Err(request.failed(&error, ObjectKind::Zone, OWN_ZONE.0)),
    }
}

/// `(quota template)`
async fn default_update(request: &Request<'_>) -> Result<Answer, Failure> {
    set_defaults(request, false).await
}

/// `(quota template)`
async fn group_default_update(request: &Request<'_>) -> Result<Answer, Failure> {
    set_defaults(request, true).await
}

/// `(name)`
async fn group_allocate(request: &Request<'_>) -> Result<Answer, Failure> {
    let draft = GroupDraft { name: request.text(1)?.to_owned() };
    match request.desk().group_create(&request.caller, &request.intent, draft).await {
        Ok(row) => Ok(row.value.id.0.into()),
        Err(error) => Err(request.not_made(&error, ObjectKind::Group)),
    }
}

/// `(id)`
async fn group_delete(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Group)?;
    of_group(request, id, request.desk().group_delete(&request.caller, &request.intent, GroupId(id)).await)
}

async fn admin(request: &Request<'_>, add: bool) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Group)?;
    let user = request.id(2, ObjectKind::User)?;
    match request.desk().group_admin(&request.caller, &request.intent, GroupId(id), UserId(user), add).await {
        Ok(_) => Ok(id.into()),
        Err(error) if error.field.as_deref() == Some("user") => {
            Err(request.failed(&holm_desk::Error { field: None, ..error }, ObjectKind::User, user))
        }
        Err(error) => Err(request.failed(&error, ObjectKind::Group, id)),
    }
}

/// `(id, user)`
async fn add_admin(request: &Request<'_>) -> Result<Answer, Failure> {
    admin(request, true).await
}

/// `(id, user)`
async fn remove_admin(request: &Request<'_>) -> Result<Answer, Failure> {
    admin(request, false).await
}

/// `(id, template, type)`
async fn group_update(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Group)?;
    let (given, how) = (request.template(2)?, Update::of(request, 3)?);
    let change = move |attributes: &mut Attributes| {
        how.apply(attributes, given);
        Ok(())
    };
    let desk = request.desk();
    of_group(request, id, desk.group_attributes_change(&request.caller, &request.intent, GroupId(id), change).await)
}

/// `(id, quota template)`
async fn group_quota(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Group)?;
    let given = request.template(2)?;
    let row = request
        .view()
        .get_id::<Group>(&request.caller, GroupId(id))
        .map_err(|e| request.failed(&e, ObjectKind::Group, id))?;
    let mut quotas = row.value.quotas.clone();
    quota_template::apply(&mut quotas, &given)?;
    let desk = request.desk();
    of_group(request, id, desk.group_quotas_set(&request.caller, &request.intent, GroupId(id), quotas).await)
}

/// `(id, rules template)`
async fn group_vlan(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Group)?;
    let rules = request.template(2)?;
    if rules.0.iter().any(|(name, _)| name != "RULE") {
        return Err(Failure::new(ACTION, "VLAN rules are RULE=[ID=..., SCOPE=..., VNTEMPLATE=...] and nothing else."));
    }
    let desk = request.desk();
    of_group(request, id, desk.group_vlan_rules_set(&request.caller, &request.intent, GroupId(id), rules).await)
}

/// `(id)`: -1 is the caller's primary group.
fn group_info(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = match request.int(1)? {
        -1 => request.caller.primary_group().0,
        _ => request.id(1, ObjectKind::Group)?,
    };
    let view = request.view();
    let row =
        view.get_id::<Group>(&request.caller, GroupId(id)).map_err(|e| request.failed(&e, ObjectKind::Group, id))?;
    Ok(Answer::Text(render::group(&row, &view)))
}

fn group_pool_info(request: &Request<'_>) -> Result<Answer, Failure> {
    let view = request.view();
    let rows = pools::rows::<Group>(request, &view, Whose::All, Part::All, |_| true);
    Ok(Answer::Text(render::groups(&rows, &view)))
}
