//! `one.vn.*`, `one.vnpool.info`, `one.vntemplate.instantiate`, `one.secgroup.*` and `one.secgrouppool.info`

use super::{methods, owned};
use crate::codes::{ACTION, Failure};
use crate::network_template as read;
use crate::pools::{self, Part, Whose};
use crate::render::networks as render;
use crate::request::{Request, Update};
use crate::template::{self, Reading as _};
use crate::xmlrpc::{Answer, Piece};
use holm_desk::{
    NetworkChange, NetworkRecovery, RangeChange, ReservationDraft, SecurityGroupChange, SecurityGroupDraft, restricted,
};
use holm_model::networks::{Network, Subnet4, Subnet6};
use holm_model::security_groups::SecurityGroup;
use holm_model::{Attributes, ClusterId, Invalid, NetworkId, NetworkTemplateId, ObjectKind, SecurityGroupId, Word};

methods! {
    change "one.vn.add_ar" => add_range,
    change "one.vn.allocate" => allocate,
    change "one.vn.chmod" => owned::chmod::<Network>,
    change "one.vn.chown" => owned::chown::<Network>,
    change "one.vn.delete" => delete,
    change "one.vn.free_ar" => free_range,
    change "one.vn.hold" => hold,
    read "one.vn.info" => info,
    change "one.vn.lock" => owned::lock::<Network>,
    change "one.vn.recover" => recover,
    change "one.vn.release" => release,
    change "one.vn.rename" => owned::rename::<Network>,
    change "one.vn.reserve" => reserve,
    change "one.vn.rm_ar" => remove_range,
    change "one.vn.unlock" => owned::unlock::<Network>,
    change "one.vn.update" => update,
    change "one.vn.update_ar" => update_range,
    read "one.vnpool.info" => pool_info,
    change "one.vntemplate.instantiate" => instantiate,
    change "one.secgroup.allocate" => group_allocate,
    change "one.secgroup.chmod" => owned::chmod::<SecurityGroup>,
    change "one.secgroup.chown" => owned::chown::<SecurityGroup>,
    change "one.secgroup.clone" => group_clone,
    change "one.secgroup.commit" => group_commit,
    change "one.secgroup.delete" => group_delete,
    read "one.secgroup.info" => group_info,
    change "one.secgroup.rename" => owned::rename::<SecurityGroup>,
    change "one.secgroup.update" => group_update,
    read "one.secgrouppool.info" => group_pool_info,
}

fn outcome<R>(request: &Request<'_>, id: u32, outcome: Result<R, holm_desk::Error>) -> Result<Answer, Failure> {
    match outcome {
        Ok(_) => Ok(id.into()),
        Err(error) => Err(request.failed(&error, ObjectKind::Network, id)),
    }
}

/// `(template, cluster)`
async fn allocate(request: &Request<'_>) -> Result<Answer, Failure> {
    let attributes = request.template(1)?;
    let cluster = request.id_or_none(2, ObjectKind::Cluster)?.map(ClusterId);
    let draft = read::network(attributes, cluster)?;
    match request.desk().network_create(&request.caller, &request.intent, draft).await {
        Ok(made) => Ok(made.row.value.id.0.into()),
        Err(error) => Err(request.not_made(&error, ObjectKind::Network)),
    }
}

/// `(id)`
async fn delete(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Network)?;
    let desk = request.desk();
    outcome(request, id, desk.network_delete(&request.caller, &request.intent, &id.to_string()).await)
}

/// `(id, template, type)`: what Holm understands of the template is a change of the network itself.
async fn update(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Network)?;
    let (mut given, how) = (request.template(2)?, Update::of(request, 3)?);
    // These have elements or methods of their own; clients send back the text that the network was made from.
    for name in ["NAME", "AR", "PHYDEV", "VLAN_ID", "AUTOMATIC_VLAN_ID", "VXLAN_MC", "CLUSTER_IDS"] {
        given.take(name);
    }
    let view = request.view();
    let row = view
        .get_id::<Network>(&request.caller, NetworkId(id))
        .map_err(|e| request.failed(&e, ObjectKind::Network, id))?;
    let network = &row.value;
    let mut attributes = render::template(network);
    let before = attributes.clone();
    how.apply(&mut attributes, given);
    // Elements of their own are no part of the template and outlive its replacement.
    for name in ["VN_MAD", "BRIDGE", "BRIDGE_TYPE", "OUTER_VLAN_ID"] {
        if !attributes.has(name)
            && let Some(value) = before.text(name)
        {
            attributes.0.push((name.into(), holm_model::AttributeValue::Text(value.into())));
        }
    }
    restricted::check_change(ObjectKind::Network, &before, &attributes, &request.caller)
        .map_err(|e| request.failed(&e, ObjectKind::Network, id))?;
    let parts = read::understood(&mut attributes)?;
    let gateway4 = parts.gateway4.as_deref().map(|ip| parse("GATEWAY", ip)).transpose()?;
    let ip4 = match parts.subnet4 {
        Some(subnet) => Some(Subnet4 { subnet: parse("NETWORK_ADDRESS", &subnet)?, gateway: gateway4 }),
        None => None,
    };
    let gateway6 = parts.gateway6.as_deref().map(|ip| parse("GATEWAY6", ip)).transpose()?;
    let ip6 = network.spec.ip6.as_ref().map(|subnet| Subnet6 { subnet: subnet.subnet, gateway: gateway6 });
    let dns = parts.dns.iter().map(|ip| parse("DNS", ip)).collect::<Result<Vec<_>, _>>()?;
    let change = NetworkChange {
        ip4: Some(ip4),
        ip6: Some(ip6),
        dns: Some(dns),
        mtu: Some(parts.mtu.unwrap_or(1500)),
        guest: Some(parts.guest),
        security_groups: Some(parts.security_groups),
        attributes: Some(attributes),
        ..NetworkChange::default()
    };
    let mut intent = request.intent.clone();
    // What was read is what is changed: somebody else's change in between refuses this one.
    intent.if_revision = Some(row.revision);
    outcome(request, id, request.desk().network_change(&request.caller, &intent, NetworkId(id), change).await)
}

fn parse<T: std::str::FromStr>(field: &str, text: &str) -> Result<T, Invalid> {
    text.trim().parse().map_err(|_| Invalid::new(field, text, "is no such address", "Correct it."))
}

/// The one vector of this name in a parameter.
fn one_vector(attributes: &Attributes, name: &str) -> Result<Vec<(Word, Word)>, Failure> {
    match attributes.vector(name) {
        Some(vector) => Ok(vector.pairs.to_vec()),
        None => Err(Failure::new(ACTION, format!("The template has no {name}=[...]: give one."))),
    }
}

/// `(id, template)`
async fn add_range(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Network)?;
    let attributes = request.template(2)?;
    one_vector(&attributes, "AR")?;
    for vector in attributes.vectors("AR") {
        let draft = read::range(&vector)?;
        let added = request.desk().network_add_range(&request.caller, &request.intent, NetworkId(id), draft).await;
        outcome(request, id, added)?;
    }
    Ok(id.into())
}

/// `(id, template)`
async fn update_range(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Network)?;
    let attributes = request.template(2)?;
    one_vector(&attributes, "AR")?;
    for vector in attributes.vectors("AR") {
        let range = vector
            .integer::<u32>("AR_ID")?
            .ok_or_else(|| Invalid::new("AR/AR_ID", "", "is missing", "Say which address range is meant."))?;
        let draft = read::range(&vector)?;
        let change = RangeChange {
            size: draft.size,
            shared: vector.given("SHARED").map(template::is_yes),
            attributes: Some(draft.attributes),
            mac: draft.mac,
            ip4: draft.ip4,
            ip6: draft.ip6,
            prefix6: draft.prefix6,
            global: draft.global,
            ula: draft.ula,
        };
        let desk = request.desk();
        let changed = desk.network_change_range(&request.caller, &request.intent, NetworkId(id), range, change).await;
        outcome(request, id, changed)?;
    }
    Ok(id.into())
}

async fn drop_range(request: &Request<'_>, force: bool) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Network)?;
    let range = request.int(2)?;
    let range = u32::try_from(range)
        .map_err(|_| Failure::new(ACTION, format!("Address range [{range}] does not exist.")).about(id.into()))?;
    let desk = request.desk();
    outcome(request, id, desk.network_remove_range(&request.caller, &request.intent, NetworkId(id), range, force).await)
}

/// `(id, range, force)`
async fn remove_range(request: &Request<'_>) -> Result<Answer, Failure> {
    drop_range(request, request.flag_or(3, false)?).await
}

/// `(id, range)`: gives back a part of another network.
async fn free_range(request: &Request<'_>) -> Result<Answer, Failure> {
    drop_range(request, false).await
}

/// `(id, template)`: every `LEASES=[IP=...]` or `[MAC=...]` is put aside.
async fn hold(request: &Request<'_>) -> Result<Answer, Failure> {
    set_aside(request, true).await
}

/// `(id, template)`
async fn release(request: &Request<'_>) -> Result<Answer, Failure> {
    set_aside(request, false).await
}

async fn set_aside(request: &Request<'_>, hold: bool) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Network)?;
    let attributes = request.template(2)?;
    one_vector(&attributes, "LEASES")?;
    for vector in attributes.vectors("LEASES") {
        let address = read::address(&vector)?
            .ok_or_else(|| Invalid::new("LEASES", "", "names no address", "Give IP, IP6 or MAC."))?;
        let range = vector.integer::<u32>("AR_ID")?;
        let (desk, caller, intent) = (request.desk(), &request.caller, &request.intent);
        let done = if hold {
            desk.network_hold(caller, intent, NetworkId(id), address, range).await
        } else {
            desk.network_release(caller, intent, NetworkId(id), address, range).await
        };
        outcome(request, id, done)?;
    }
    Ok(id.into())
}

/// `(id, template)`: SIZE, and NAME of a new network or NETWORK_ID of an earlier reservation.
async fn reserve(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Network)?;
    let attributes = request.template(2)?;
    let pairs: Vec<(Word, Word)> = attributes
        .0
        .iter()
        .filter_map(|(name, value)| match value {
            holm_model::AttributeValue::Text(text) => Some((name.clone(), text.clone())),
            holm_model::AttributeValue::Vector(_) => None,
        })
        .collect();
    let flat = template::Vector { name: "RESERVATION", pairs: &pairs };
    let draft = ReservationDraft {
        name: flat.given("NAME").map(str::to_owned),
        into: flat.integer::<u32>("NETWORK_ID")?.map(NetworkId),
        size: flat
            .integer::<u32>("SIZE")?
            .ok_or_else(|| Invalid::new("SIZE", "", "is missing", "Say how many addresses are wanted."))?,
        range: flat.integer::<u32>("AR_ID")?,
        start: read::address(&flat)?,
    };
    match request.desk().network_reserve(&request.caller, &request.intent, NetworkId(id), draft).await {
        Ok(made) => Ok(made.row.value.id.0.into()),
        Err(error) => Err(request.failed(&error, ObjectKind::Network, id)),
    }
}

/// `(id, operation)`: 0 failure, 1 success, 2 delete, 3 retry.
async fn recover(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Network)?;
    let how = match request.int(2)? {
        0 => NetworkRecovery::Failure,
        1 => NetworkRecovery::Success,
        2 => NetworkRecovery::Delete,
        3 => NetworkRecovery::Retry,
        other => {
            return Err(Failure::parameter(format!("Wrong recovery operation {other}: use 0 to 3.")));
        }
    };
    let desk = request.desk();
    outcome(request, id, desk.network_recover(&request.caller, &request.intent, NetworkId(id), how).await)
}

fn info(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Network)?;
    let view = request.view();
    let row = view
        .get_id::<Network>(&request.caller, NetworkId(id))
        .map_err(|e| request.failed(&e, ObjectKind::Network, id))?;
    Ok(Answer::Text(render::network(&row, &view, true)))
}

fn pool_info(request: &Request<'_>) -> Result<Answer, Failure> {
    let view = request.view();
    let (whose, part) = (Whose::of(request, 1)?, Part::of(request, 2)?);
    let rows = pools::rows::<Network>(request, &view, whose, part, |_| true);
    Ok(pools::answer("VNET_POOL", rows.iter().map(|row| Piece::escape(&render::network(row, &view, false)))))
}

/// `(id, name, template)`: what the template decides about devices only administrators may change, and whoever is
/// allowed a VLAN id by the rules of a group.
async fn instantiate(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::NetworkTemplate)?;
    let name = request.text(2)?.to_owned();
    let extra = request.template(3)?;
    let view = request.view();
    view.check_instantiation(&request.caller, NetworkTemplateId(id), &extra)
        .map_err(|e| request.failed(&e, ObjectKind::NetworkTemplate, id))?;
    let merge = move |body: &Attributes| {
        let mut attributes = body.clone();
        template::merge(&mut attributes, extra);
        if !name.is_empty() {
            attributes.take("NAME");
            attributes.0.push(("NAME".into(), holm_model::AttributeValue::Text(name.into())));
        }
        read::network(attributes, None).map_err(Failure::into_desk)
    };
    let desk = request.desk();
    let made = desk.network_template_instantiate(&request.caller, &request.intent, NetworkTemplateId(id), merge).await;
    match made {
        Ok(made) => Ok(made.row.value.id.0.into()),
        Err(error) => Err(request.failed(&error, ObjectKind::NetworkTemplate, id)),
    }
}

fn of_group<R>(request: &Request<'_>, id: u32, outcome: Result<R, holm_desk::Error>) -> Result<Answer, Failure> {
    match outcome {
        Ok(_) => Ok(id.into()),
        Err(error) => Err(request.failed(&error, ObjectKind::SecurityGroup, id)),
    }
}

/// `(template)`
async fn group_allocate(request: &Request<'_>) -> Result<Answer, Failure> {
    let mut attributes = request.template(1)?;
    let rules = read::rules(&mut attributes)?;
    let name = attributes.take_text("NAME").unwrap_or_default();
    let draft = SecurityGroupDraft { name, rules, attributes };
    match request.desk().security_group_create(&request.caller, &request.intent, draft).await {
        Ok(made) => Ok(made.row.value.id.0.into()),
        Err(error) => Err(request.not_made(&error, ObjectKind::SecurityGroup)),
    }
}

/// `(id, name)`
async fn group_clone(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::SecurityGroup)?;
    let name = request.text(2)?.to_owned();
    match request.desk().security_group_clone(&request.caller, &request.intent, SecurityGroupId(id), name).await {
        Ok(made) => Ok(made.row.value.id.0.into()),
        Err(error) => Err(request.failed(&error, ObjectKind::SecurityGroup, id)),
    }
}

/// `(id, only those in error)`
async fn group_commit(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::SecurityGroup)?;
    let recovery = request.flag(2)?;
    let desk = request.desk();
    of_group(
        request,
        id,
        desk.security_group_commit(&request.caller, &request.intent, SecurityGroupId(id), recovery).await,
    )
}

/// `(id)`
async fn group_delete(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::SecurityGroup)?;
    let desk = request.desk();
    of_group(request, id, desk.security_group_delete(&request.caller, &request.intent, SecurityGroupId(id)).await)
}

/// `(id, template, type)`: rules given replace all rules.
async fn group_update(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::SecurityGroup)?;
    let (mut given, how) = (request.template(2)?, Update::of(request, 3)?);
    let view = request.view();
    let row = view
        .get_id::<SecurityGroup>(&request.caller, SecurityGroupId(id))
        .map_err(|e| request.failed(&e, ObjectKind::SecurityGroup, id))?;
    let named = given.has("RULE");
    let rules = read::rules(&mut given)?;
    let mut attributes = row.value.meta.attributes.clone();
    how.apply(&mut attributes, given);
    let rules = (named || how == Update::Replace).then_some(rules);
    let change = SecurityGroupChange { rules, attributes: Some(attributes), ..SecurityGroupChange::default() };
    let mut intent = request.intent.clone();
    intent.if_revision = Some(row.revision);
    let desk = request.desk();
    of_group(request, id, desk.security_group_change(&request.caller, &intent, SecurityGroupId(id), change).await)
}

fn group_info(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::SecurityGroup)?;
    let view = request.view();
    let row = view
        .get_id::<SecurityGroup>(&request.caller, SecurityGroupId(id))
        .map_err(|e| request.failed(&e, ObjectKind::SecurityGroup, id))?;
    Ok(Answer::Text(render::security_group(&row, &view)))
}

fn group_pool_info(request: &Request<'_>) -> Result<Answer, Failure> {
    let view = request.view();
    let (whose, part) = (Whose::of(request, 1)?, Part::of(request, 2)?);
    let rows = pools::rows::<SecurityGroup>(request, &view, whose, part, |_| true);
    Ok(pools::answer("SECURITY_GROUP_POOL", rows.iter().map(|row| Piece::escape(&render::security_group(row, &view)))))
}
