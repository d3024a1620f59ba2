//! `one.vmgroup.*` and `one.vmgrouppool.info`

use super::{methods, owned};
use crate::codes::{Failure, NO_EXISTS};
use crate::pools::{self, Part, Whose};
use crate::render::{lock, ownership, permissions};
use crate::request::{Request, Update};
use crate::template::{Reading as _, Vector, list};
use crate::xml::Xml;
use crate::xmlrpc::{Answer, Piece};
use holm_desk::{MetaChange, RoleDraft, Row, View, VmGroupContent, VmGroupDraft};
use holm_model::vm_groups::{RolePolicy, VmGroup};
use holm_model::{AttributeValue, Attributes, HostId, Invalid, ObjectKind, VmGroupId};
use std::collections::BTreeSet;

methods! {
    change "one.vmgroup.allocate" => allocate,
    change "one.vmgroup.chmod" => owned::chmod::<VmGroup>,
    change "one.vmgroup.chown" => owned::chown::<VmGroup>,
    change "one.vmgroup.delete" => delete,
    read "one.vmgroup.info" => info,
    change "one.vmgroup.lock" => owned::lock::<VmGroup>,
    change "one.vmgroup.rename" => owned::rename::<VmGroup>,
    change "one.vmgroup.roleadd" => role_add,
    change "one.vmgroup.roledelete" => role_delete,
    change "one.vmgroup.roleupdate" => role_update,
    change "one.vmgroup.unlock" => owned::unlock::<VmGroup>,
    change "one.vmgroup.update" => update,
    read "one.vmgrouppool.info" => pool,
}

fn id_of(request: &Request<'_>) -> Result<VmGroupId, Failure> {
    request.id(1, ObjectKind::VmGroup).map(VmGroupId)
}

fn done<R>(request: &Request<'_>, id: VmGroupId, outcome: Result<R, holm_desk::Error>) -> Result<Answer, Failure> {
    match outcome {
        Ok(_) => Ok(id.0.into()),
        Err(error) => Err(request.failed(&error, ObjectKind::VmGroup, id.0)),
    }
}

/// Reads a role's members into a draft; what is not given stays.
fn read_role(vector: &Vector<'_>, role: &mut RoleDraft) -> Result<(), Invalid> {
    if let Some(name) = vector.given("NAME") {
        name.clone_into(&mut role.name);
    }
    if let Some(word) = vector.text("POLICY") {
        role.policy = match word.trim().to_ascii_uppercase().as_str() {
            "" | "NONE" => RolePolicy::None,
            "AFFINED" => RolePolicy::Affined,
            "ANTI_AFFINED" => RolePolicy::AntiAffined,
            _ => return Err(Invalid::new("ROLE/POLICY", word, "is no policy", "Use AFFINED, ANTI_AFFINED or NONE.")),
        };
    }
    let hosts = |member: &str| -> Result<Option<BTreeSet<HostId>>, Invalid> {
        let Some(text) = vector.text(member) else { return Ok(None) };
        let ids = list(text).map(|id| crate::template::integer(&vector.field(member), id).map(HostId));
        ids.collect::<Result<_, _>>().map(Some)
    };
    if let Some(hosts) = hosts("HOST_AFFINED")? {
        role.hosts = hosts;
    }
    if let Some(hosts) = hosts("HOST_ANTI_AFFINED")? {
        role.not_hosts = hosts;
    }
    Ok(())
}

/// Takes the sets of roles under a name.
fn take_sets(given: &mut Attributes, name: &str) -> Vec<Vec<String>> {
    given
        .take(name)
        .into_iter()
        .filter_map(|value| match value {
            AttributeValue::Text(text) => Some(list(&text).map(str::to_owned).collect::<Vec<_>>()),
            AttributeValue::Vector(_) => None,
        })
        .filter(|set| !set.is_empty())
        .collect()
}

fn one_role(given: &Attributes) -> Result<Vector<'_>, Failure> {
    given
        .vector("ROLE")
        .ok_or_else(|| Failure::new(crate::codes::ACTION, "The template has no ROLE: give ROLE=[NAME=...]."))
}

/// `(template)`
async fn allocate(request: &Request<'_>) -> Result<Answer, Failure> {
    let mut given = request.template(1)?;
    let mut roles = Vec::new();
    for value in given.take("ROLE") {
        if let AttributeValue::Vector(pairs) = value
            && !pairs.is_empty()
        {
            let mut role = RoleDraft::default();
            read_role(&Vector { name: "ROLE", pairs: &pairs }, &mut role)?;
            roles.push(role);
        }
    }
    let draft = VmGroupDraft {
        name: given.take_text("NAME").unwrap_or_default(),
        roles,
        affined: take_sets(&mut given, "AFFINED"),
        anti_affined: take_sets(&mut given, "ANTI_AFFINED"),
        attributes: given,
    };
    match request.desk().vm_group_create(&request.caller, &request.intent, draft).await {
        Ok(made) => Ok(made.row.value.id.0.into()),
        Err(error) => Err(request.not_made(&error, ObjectKind::VmGroup)),
    }
}

/// `(id)`
async fn delete(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = id_of(request)?;
    done(request, id, request.desk().vm_group_delete(&request.caller, &request.intent, id).await)
}

/// `(id, template, type)`: roles have methods of their own.
async fn update(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = id_of(request)?;
    let (mut given, how) = (request.template(2)?, Update::of(request, 3)?);
    given.take("ROLE");
    given.take("NAME");
    let change = move |content: &mut VmGroupContent| {
        for (name, sets) in [("AFFINED", &mut content.affined), ("ANTI_AFFINED", &mut content.anti_affined)] {
            if how == Update::Replace || given.has(name) {
                *sets = take_sets(&mut given, name);
            }
        }
        how.apply(&mut content.attributes, given);
        Ok(())
    };
    done(
        request,
        id,
        request.desk().vm_group_change(&request.caller, &request.intent, id, MetaChange::default(), change).await,
    )
}

/// `(id, role template)`: answers with the role's number.
async fn role_add(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = id_of(request)?;
    let given = request.template(2)?;
    let mut role = RoleDraft::default();
    read_role(&one_role(&given)?, &mut role)?;
    match request.desk().vm_group_role_add(&request.caller, &request.intent, id, role).await {
        // Numbers are given in the order of making, so the new role has the highest.
        Ok(row) => Ok(row.value.roles.iter().map(|role| role.id).max().unwrap_or(0).into()),
        Err(error) => Err(request.failed(&error, ObjectKind::VmGroup, id.0)),
    }
}

fn role_number(request: &Request<'_>, id: VmGroupId) -> Result<u32, Failure> {
    let given = request.int(2)?;
    u32::try_from(given)
        .map_err(|_| Failure::new(NO_EXISTS, format!("Role [{given}] does not exist.")).about(id.0.into()))
}

/// `(id, role)`
async fn role_delete(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = id_of(request)?;
    let role = role_number(request, id)?;
    done(request, id, request.desk().vm_group_role_delete(&request.caller, &request.intent, id, role).await)
}

/// `(id, role, role template)`
async fn role_update(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = id_of(request)?;
    let role = role_number(request, id)?;
    let given = request.template(3)?;
    let pairs = one_role(&given)?.pairs.to_vec();
    let view = request.view();
    let row = view.get_id::<VmGroup>(&request.caller, id).map_err(|e| request.failed(&e, ObjectKind::VmGroup, id.0))?;
    if !row.value.roles.iter().any(|known| known.id == role) {
        return Err(Failure::new(NO_EXISTS, format!("Role [{role}] does not exist.")).about(id.0.into()));
    }
    // Merged with the role as it is in the transaction.
    let work = move |role: &mut RoleDraft| Ok(read_role(&Vector { name: "ROLE", pairs: &pairs }, role)?);
    let desk = request.desk();
    done(request, id, desk.vm_group_role_update(&request.caller, &request.intent, id, role, work).await)
}

/// `VM_GROUP`
fn document(row: &Row<VmGroup>, view: &View) -> String {
    let group = &row.value;
    let mut body = group.meta.attributes.clone();
    for (name, sets) in [("AFFINED", &group.affined), ("ANTI_AFFINED", &group.anti_affined)] {
        body.0.extend(sets.iter().map(|set| (name.into(), AttributeValue::Text(set.join(", ").into()))));
    }
    let joined = |hosts: &BTreeSet<HostId>| hosts.iter().map(HostId::to_string).collect::<Vec<_>>().join(",");
    let mut xml = Xml::with_capacity(1024);
    xml.within("VM_GROUP", |xml| {
        xml.text("ID", group.id);
        ownership(xml, view, &group.meta);
        permissions(xml, group.meta.permissions);
        lock(xml, &group.meta);
        xml.within("ROLES", |xml| {
            for role in &group.roles {
                xml.within("ROLE", |xml| {
                    if !role.hosts.is_empty() {
                        xml.cdata("HOST_AFFINED", &joined(&role.hosts));
                    }
                    if !role.not_hosts.is_empty() {
                        xml.cdata("HOST_ANTI_AFFINED", &joined(&role.not_hosts));
                    }
                    xml.text("ID", role.id).cdata("NAME", &role.name);
                    match role.policy {
                        RolePolicy::None => {}
                        RolePolicy::Affined => {
                            xml.cdata("POLICY", "AFFINED");
                        }
                        RolePolicy::AntiAffined => {
                            xml.cdata("POLICY", "ANTI_AFFINED");
                        }
                    }
                    let of_role = |vm: &&holm_model::vms::Vm| {
                        vm.spec.placement.role.as_ref().is_some_and(|of| of.role == role.name)
                    };
                    let vms = view.world().vms_in_group(group.id).filter(of_role).map(|vm| vm.id.to_string());
                    let vms: Vec<String> = vms.collect();
                    if !vms.is_empty() {
                        xml.cdata("VMS", &vms.join(","));
                    }
                });
            }
        });
        xml.attributes("TEMPLATE", &body);
    });
    xml.into_string()
}

fn info(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = id_of(request)?;
    let view = request.view();
    let row = view.get_id::<VmGroup>(&request.caller, id).map_err(|e| request.failed(&e, ObjectKind::VmGroup, id.0))?;
    Ok(Answer::Text(document(&row, &view)))
}

/// `(filter flag, first, last)`
fn pool(request: &Request<'_>) -> Result<Answer, Failure> {
    let (whose, part) = (Whose::of(request, 1)?, Part::of(request, 2)?);
    let view = request.view();
    let rows = pools::rows::<VmGroup>(request, &view, whose, part, |_| true);
    Ok(pools::answer("VM_GROUP_POOL", rows.iter().map(|row| Piece::escape(&document(row, &view)))))
}
