//! Whether somebody may do something, and why: for whoever wonders about rules and permissions.

use crate::acl::require_all;
use crate::view::{find, ruled, ruled_group, ruled_user};
use crate::{Caller, Desk, Error, ErrorKind, Owned, Seen, View};
use holm_model::acl::{Acl, AclKind, Rights};
use holm_model::clusters::Cluster;
use holm_model::datastores::Datastore;
use holm_model::hosts::Host;
use holm_model::images::Image;
use holm_model::networks::Network;
use holm_model::permissions::Access;
use holm_model::security_groups::SecurityGroup;
use holm_model::templates::{Document, NetworkTemplate, Template};
use holm_model::users::{Group, User};
use holm_model::vdcs::Vdc;
use holm_model::vm_groups::VmGroup;
use holm_model::vms::Vm;
use holm_model::zones::Zone;
use holm_model::{AclId, GroupId};
use holm_plan::rights::{Object, Why};
use holm_store::Row;
use std::sync::Arc;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The user, by id or name; `None`: the caller.
    pub user: Option<String>,
    /// One right.
    pub right: Rights,
    /// The kind of object.
    pub kind: AclKind,
    /// The object, by id or name; with the right to create, the group that it would belong to, by default the user's
    /// primary one.
    pub object: Option<String>,
}

/// What decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// The account is disabled.
    Disabled,
    /// The object is locked.
    Locked,
    /// Something allows it.
    Allowed(Why),
    /// Nothing allows it.
    Nothing,
}

/// The answer.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// What decides.
    pub because: Because,
    /// The same as a sentence.
    pub says: String,
    /// The rule that allows it, where one does.
    pub rule: Option<Arc<Row<Acl>>>,
}

impl Verdict {
    /// Whether they may.
    #[must_use]
    pub fn allowed(&self) -> bool {
        matches!(self.because, Because::Allowed(_))
    }
}

/// A noun that rules speak of.
trait Ruled: Seen {
    fn as_ruled(&self) -> Object<'_>;
}

impl<T: Owned> Ruled for T {
    fn as_ruled(&self) -> Object<'_> {
        let meta = self.owned();
        Object {
            kind: T::ACL_KIND,
            id: T::raw(self.id()),
            owner: Some(meta.owner),
            groups: std::slice::from_ref(&meta.group),
            permissions: meta.permissions,
            clusters: Owned::clusters(self),
        }
    }
}

macro_rules! ruled_nouns {
    ($($noun:ident: $object:expr;)*) => {
        $(
            impl Ruled for $noun {
                fn as_ruled(&self) -> Object<'_> {
                    let object: for<'a> fn(&'a Self) -> Object<'a> = $object;
                    object(self)
                }
            }
        )*
    };
}

ruled_nouns! {
    User: ruled_user;
    Group: ruled_group;
    Vdc: |vdc| ruled(AclKind::Vdc, vdc.id.0);
    Acl: |acl| ruled(AclKind::Acl, acl.id.0);
    Zone: |zone| ruled(AclKind::Zone, zone.id.0);
}

impl Desk {
    /// Whether a user may do something with an object that the caller sees, and what decides it. Somebody else's rights
    /// are shown to whoever manages access rules.
    ///
    /// # Errors
    /// When the caller may not ask, the user or object is not there for them, or the question makes no sense.
    pub fn verdict(&self, caller: &Caller, question: &Question) -> Result<Verdict, Error> {
        let view = self.view();
        let caller = &*caller.at(&view.0);
        let user = match &question.user {
            Some(key) => find::<User>(&view.0, caller, key).map_err(|e| e.field("user"))?.clone(),
            None => self.own_account(caller)?,
        };
        if user.value.id != caller.user_id() {
            require_all(caller, AclKind::Acl, Access::Manage, "ask what other users may do")?;
        }
        let asked = self.caller(&view, &user, None, None);
        let (because, what) = if question.right == Rights::CREATE {
            creation(&view, caller, &asked, question)?
        } else {
            one_object(&view, caller, &asked, question)?
        };
        let because = if user.value.enabled { because } else { Because::Disabled };
        let rule = match because {
            Because::Allowed(Why::Rule(id)) => view.row::<Acl>(id),
            _ => None,
        };
        let says = sentence(&view, &user.value, because, &what, rule.as_deref());
        Ok(Verdict { because, says, rule })
    }
}

fn creation(view: &View, caller: &Caller, asked: &Caller, question: &Question) -> Result<(Because, String), Error> {
    let group: GroupId = match &question.object {
        Some(key) => find::<Group>(&view.0, caller, key).map_err(|e| e.field("object"))?.value.id,
        None => asked.primary_group(),
    };
    let rules = view.0.list::<Acl>().map(|row| &row.value);
    let name = view.row::<Group>(group).map_or_else(|| group.to_string(), |row| row.value.name.to_string());
    let what = format!("create objects of kind {} in group {name}", question.kind.noun());
    Ok((asked.why_create(rules, question.kind, group).map_or(Because::Nothing, Because::Allowed), what))
}

fn one_object(view: &View, caller: &Caller, asked: &Caller, question: &Question) -> Result<(Because, String), Error> {
    let (access, verb) = match question.right {
        Rights::USE => (Access::Use, "use"),
        Rights::MANAGE => (Access::Manage, "manage"),
        Rights::ADMIN => (Access::Admin, "administer"),
        _ => return Err(refuse("right", "it is not one of use, manage, admin and create")),
    };
    let Some(key) = &question.object else {
        return Err(refuse("object", "which object is meant is not said"));
    };
    let who = (view, caller, asked, access);
    let (because, called) = match question.kind {
        AclKind::Vm => of::<Vm>(who, key),
        AclKind::Host => of::<Host>(who, key),
        AclKind::Network => of::<Network>(who, key),
        AclKind::Image => of::<Image>(who, key),
        AclKind::User => of::<User>(who, key),
        AclKind::Template => of::<Template>(who, key),
        AclKind::Group => of::<Group>(who, key),
        AclKind::Acl => of::<Acl>(who, key),
        AclKind::Datastore => of::<Datastore>(who, key),
        AclKind::Cluster => of::<Cluster>(who, key),
        AclKind::Document => of::<Document>(who, key),
        AclKind::Zone => of::<Zone>(who, key),
        AclKind::SecurityGroup => of::<SecurityGroup>(who, key),
        AclKind::Vdc => of::<Vdc>(who, key),
        AclKind::VmGroup => of::<VmGroup>(who, key),
        AclKind::NetworkTemplate => of::<NetworkTemplate>(who, key),
        AclKind::VirtualRouter
        | AclKind::Marketplace
        | AclKind::MarketplaceApp
        | AclKind::Hook
        | AclKind::BackupJob => Err(refuse("kind", format!("there are no objects of kind {}", question.kind.noun()))),
    }?;
    Ok((because, format!("{verb} {called}")))
}

fn refuse(field: &str, says: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, format!("{field}: {}", says.into()))
        .hint("Ask for a user, a right, a kind and an object: user=anna, right=use, kind=vm, object=web.")
        .field(field)
}

fn of<T: Ruled>(
    (view, caller, asked, access): (&View, &Caller, &Caller, Access),
    key: &str,
) -> Result<(Because, String), Error> {
    let row = find::<T>(&view.0, caller, key).map_err(|e| e.field("object"))?;
    let value = &row.value;
    let called = match value.name() {
        Some(name) => format!("{} {} ({name})", T::KIND.noun(), T::raw(value.id())),
        None => format!("{} {}", T::KIND.noun(), T::raw(value.id())),
    };
    let rules = view.0.list::<Acl>().map(|row| &row.value);
    // Some nouns are stricter than their rules: nobody manages administrators by a rule.
    let why = asked.why(rules, &value.as_ruled(), access).filter(|_| value.allows(asked, access));
    let locked = value.meta().is_some_and(|meta| meta.locked_against(access)) && !asked.is_admin();
    Ok(match why {
        Some(_) if locked => (Because::Locked, called),
        Some(why) => (Because::Allowed(why), called),
        None => (Because::Nothing, called),
    })
}

fn sentence(view: &View, user: &User, because: Because, what: &str, rule: Option<&Row<Acl>>) -> String {
    let who = format!("user {}", user.name);
    match because {
        Because::Disabled => format!("{who} may not {what}: the account is disabled"),
        Because::Locked => format!("{who} may not {what}: it is locked"),
        Because::Nothing => format!("{who} may not {what}: neither its permissions nor any rule allow it"),
        Because::Allowed(Why::Administrator) => format!("{who} may {what}: administrators may do everything"),
        Because::Allowed(Why::Owner) => format!("{who} may {what}: it is theirs, and its permissions allow it"),
        Because::Allowed(Why::Group) => format!("{who} may {what}: its permissions allow it to members of its group"),
        Because::Allowed(Why::Others) => format!("{who} may {what}: its permissions allow it to everybody"),
        Because::Allowed(Why::Rule(AclId(id))) => {
            let words = rule.map(|rule| view.acl_in_words(&rule.value)).unwrap_or_default();
            format!("{who} may {what}: rule {id} says that {words}")
        }
    }
}
