//! `one.acl.*`, `one.vdc.*`, `one.vdcpool.info`, `one.zone.*` and `one.zonepool.info`

use super::methods;
use crate::acl_words as words;
use crate::codes::Failure;
use crate::pools::{self, Part, Whose};
use crate::render::ids;
use crate::request::{Request, Update};
use crate::template::Reading as _;
use crate::xml::Xml;
use crate::xmlrpc::{Answer, Piece};
use holm_desk::{AclDraft, VdcResource};
use holm_model::acl::Acl;
use holm_model::vdcs::{Vdc, VdcMember};
use holm_model::zones::Zone;
use holm_model::{AclId, Attributes, GroupId, ObjectKind, VdcId, ZoneId};
use std::collections::BTreeSet;

methods! {
    change "one.acl.addrule" => add_rule,
    change "one.acl.delrule" => delete_rule,
    read "one.acl.info" => rules,
    change "one.vdc.addcluster" => add_cluster,
    change "one.vdc.adddatastore" => add_datastore,
    change "one.vdc.addgroup" => add_group,
    change "one.vdc.addhost" => add_host,
    change "one.vdc.addvnet" => add_network,
    change "one.vdc.allocate" => vdc_allocate,
    change "one.vdc.delcluster" => remove_cluster,
    change "one.vdc.deldatastore" => remove_datastore,
    change "one.vdc.delete" => vdc_delete,
    change "one.vdc.delgroup" => remove_group,
    change "one.vdc.delhost" => remove_host,
    change "one.vdc.delvnet" => remove_network,
    read "one.vdc.info" => vdc_info,
    change "one.vdc.rename" => vdc_rename,
    change "one.vdc.update" => vdc_update,
    read "one.vdcpool.info" => vdc_pool_info,
    change "one.zone.enable" => zone_enable,
    read "one.zone.info" => zone_info,
    read "one.zone.raftstatus" => raft_status,
    change "one.zone.rename" => zone_rename,
    change "one.zone.update" => zone_update,
    read "one.zonepool.info" => zone_pool_info,
}

/// The number that stands for all resources of a kind in a zone.
const ALL_OF_ZONE: i32 = -10;

/// `(user, resource, rights, zone)`, in hexadecimal.
async fn add_rule(request: &Request<'_>) -> Result<Answer, Failure> {
    let (kinds, scope) = words::resource(request.text(2)?)?;
    let draft = AclDraft {
        subject: words::subject(request.text(1)?)?,
        kinds,
        scope,
        rights: words::rights(request.text(3)?)?,
        zone: words::zone(request.text_or(4, "")?)?,
    };
    match request.desk().acl_add(&request.caller, &request.intent, draft).await {
        Ok(row) => Ok(row.value.id.0.into()),
        Err(error) => Err(request.not_made(&error, ObjectKind::Acl)),
    }
}

/// `(id)`
async fn delete_rule(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Acl)?;
    match request.desk().acl_delete(&request.caller, &request.intent, AclId(id)).await {
        Ok(()) => Ok(id.into()),
        Err(error) => Err(request.failed(&error, ObjectKind::Acl, id)),
    }
}

fn rules(request: &Request<'_>) -> Result<Answer, Failure> {
    let rules =
        request.desk().acls(&request.caller).map_err(|e| Failure::of(&e, ObjectKind::Acl, -1, request.user()))?;
    let mut xml = Xml::new();
    xml.within("ACL_POOL", |xml| {
        for row in &rules {
            let acl: &Acl = &row.value;
            let [user, resource, rights, zone] = words::numbers(acl);
            xml.within("ACL", |xml| {
                xml.text("ID", acl.id)
                    .escaped("USER", &user)
                    .escaped("RESOURCE", &resource)
                    .escaped("RIGHTS", &rights)
                    .escaped("ZONE", &zone)
                    .escaped("STRING", &acl.to_string());
            });
        }
    });
    Ok(Answer::Text(xml.into_string()))
}

fn done<R>(request: &Request<'_>, id: u32, outcome: Result<R, holm_desk::Error>) -> Result<Answer, Failure> {
    match outcome {
        Ok(_) => Ok(id.into()),
        Err(error) => Err(request.failed(&error, ObjectKind::Vdc, id)),
    }
}

/// `(template)`
async fn vdc_allocate(request: &Request<'_>) -> Result<Answer, Failure> {
    let mut attributes = request.template(1)?;
    let name = attributes.take_text("NAME").unwrap_or_default();
    match request.desk().vdc_create(&request.caller, &request.intent, name, attributes).await {
        Ok(row) => Ok(row.value.id.0.into()),
        Err(error) => Err(request.not_made(&error, ObjectKind::Vdc)),
    }
}

/// `(id)`
async fn vdc_delete(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Vdc)?;
    done(request, id, request.desk().vdc_delete(&request.caller, &request.intent, VdcId(id)).await)
}

/// `(id, name)`
async fn vdc_rename(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Vdc)?;
    let name = request.text(2)?.to_owned();
    done(request, id, request.desk().vdc_rename(&request.caller, &request.intent, VdcId(id), name).await)
}

/// `(id, template, type)`
async fn vdc_update(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Vdc)?;
    let (given, how) = (request.template(2)?, Update::of(request, 3)?);
    let change = move |attributes: &mut Attributes| {
        how.apply(attributes, given);
        Ok(())
    };
    let desk = request.desk();
    done(request, id, desk.vdc_attributes_change(&request.caller, &request.intent, VdcId(id), change).await)
}

async fn group(request: &Request<'_>, add: bool) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Vdc)?;
    let group = request.id(2, ObjectKind::Group)?;
    match request.desk().vdc_group(&request.caller, &request.intent, VdcId(id), GroupId(group), add).await {
        Ok(_) => Ok(id.into()),
        Err(error) if error.field.is_some() => {
            Err(request.failed(&holm_desk::Error { field: None, ..error }, ObjectKind::Group, group))
        }
        Err(error) => Err(request.failed(&error, ObjectKind::Vdc, id)),
    }
}

/// `(id, group)`
async fn add_group(request: &Request<'_>) -> Result<Answer, Failure> {
    group(request, true).await
}

/// `(id, group)`
async fn remove_group(request: &Request<'_>) -> Result<Answer, Failure> {
    group(request, false).await
}

async fn resource(request: &Request<'_>, resource: VdcResource, add: bool) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Vdc)?;
    let zone = request.id(2, ObjectKind::Zone)?;
    let kind = match resource {
        VdcResource::Clusters => ObjectKind::Cluster,
        VdcResource::Hosts => ObjectKind::Host,
        VdcResource::Datastores => ObjectKind::Datastore,
        VdcResource::Networks => ObjectKind::Network,
    };
    let member = match request.int(3)? {
        ALL_OF_ZONE => None,
        _ => Some(request.id(3, kind)?),
    };
    let member = VdcMember { zone: ZoneId(zone), id: member };
    let desk = request.desk();
    done(request, id, desk.vdc_resource(&request.caller, &request.intent, VdcId(id), resource, member, add).await)
}

macro_rules! resources {
    ($($name:ident => $kind:ident, $add:literal;)*) => {
        $(
            /// `(id, zone, resource)`
            async fn $name(request: &Request<'_>) -> Result<Answer, Failure> {
                resource(request, VdcResource::$kind, $add).await
            }
        )*
    };
}

resources! {
    add_cluster => Clusters, true;
    add_datastore => Datastores, true;
    add_host => Hosts, true;
    add_network => Networks, true;
    remove_cluster => Clusters, false;
    remove_datastore => Datastores, false;
    remove_host => Hosts, false;
    remove_network => Networks, false;
}

fn vdc(vdc: &Vdc) -> String {
    let members = |xml: &mut Xml, all: &str, one: &str, members: &BTreeSet<VdcMember>| {
        xml.within(all, |xml| {
            for member in members {
                xml.within(one, |xml| {
                    xml.text("ZONE_ID", member.zone);
                    let tag = format!("{one}_ID");
                    match member.id {
                        Some(id) => xml.text(&tag, id),
                        None => xml.text(&tag, ALL_OF_ZONE),
                    };
                });
            }
        });
    };
    let mut xml = Xml::with_capacity(512);
    xml.within("VDC", |xml| {
        xml.text("ID", vdc.id).escaped("NAME", vdc.name.as_str());
        ids(xml, "GROUPS", vdc.groups.iter().map(|group| group.0));
        members(xml, "CLUSTERS", "CLUSTER", &vdc.clusters);
        members(xml, "HOSTS", "HOST", &vdc.hosts);
        members(xml, "DATASTORES", "DATASTORE", &vdc.datastores);
        members(xml, "VNETS", "VNET", &vdc.networks);
        xml.attributes("TEMPLATE", &vdc.attributes);
    });
    xml.into_string()
}

fn vdc_info(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Vdc)?;
    let row = request
        .view()
        .get_id::<Vdc>(&request.caller, VdcId(id))
        .map_err(|e| request.failed(&e, ObjectKind::Vdc, id))?;
    Ok(Answer::Text(vdc(&row.value)))
}

fn vdc_pool_info(request: &Request<'_>) -> Result<Answer, Failure> {
    let view = request.view();
    let rows = pools::rows::<Vdc>(request, &view, Whose::All, Part::All, |_| true);
    Ok(pools::answer("VDC_POOL", rows.iter().map(|row| Piece::escape(&vdc(&row.value)))))
}

fn of_zone<R>(request: &Request<'_>, id: u32, outcome: Result<R, holm_desk::Error>) -> Result<Answer, Failure> {
    match outcome {
        Ok(_) => Ok(id.into()),
        Err(error) => Err(request.failed(&error, ObjectKind::Zone, id)),
    }
}

/// `(id, enable)`
async fn zone_enable(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Zone)?;
    let enable = request.flag(2)?;
    of_zone(request, id, request.desk().zone_enable(&request.caller, &request.intent, ZoneId(id), enable).await)
}

/// `(id, name)`
async fn zone_rename(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Zone)?;
    let name = request.text(2)?.to_owned();
    of_zone(request, id, request.desk().zone_rename(&request.caller, &request.intent, ZoneId(id), name).await)
}

/// `(id, template, type)`
async fn zone_update(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Zone)?;
    let (given, how) = (request.template(2)?, Update::of(request, 3)?);
    let change = move |attributes: &mut Attributes| {
        how.apply(attributes, given);
        Ok(())
    };
    let desk = request.desk();
    of_zone(request, id, desk.zone_attributes_change(&request.caller, &request.intent, ZoneId(id), change).await)
}

fn zone(zone: &Zone) -> String {
    let mut body = zone.attributes.clone();
    if body.text("ENDPOINT").is_none() {
        body.0.push(("ENDPOINT".into(), holm_model::AttributeValue::Text("http://localhost:2633/RPC2".into())));
    }
    let mut xml = Xml::with_capacity(256);
    xml.within("ZONE", |xml| {
        xml.text("ID", zone.id)
            .escaped("NAME", zone.name.as_str())
            .text("STATE", u8::from(!zone.enabled))
            .attributes("TEMPLATE", &body)
            .empty("SERVER_POOL");
    });
    xml.into_string()
}

fn zone_info(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = request.id(1, ObjectKind::Zone)?;
    let row = request
        .view()
        .get_id::<Zone>(&request.caller, ZoneId(id))
        .map_err(|e| request.failed(&e, ObjectKind::Zone, id))?;
    Ok(Answer::Text(zone(&row.value)))
}

fn zone_pool_info(request: &Request<'_>) -> Result<Answer, Failure> {
    let view = request.view();
    let rows = pools::rows::<Zone>(request, &view, Whose::All, Part::All, |_| true);
    Ok(pools::answer("ZONE_POOL", rows.iter().map(|row| Piece::escape(&zone(&row.value)))))
}

/// One front-end alone: it leads itself.
fn raft_status(request: &Request<'_>) -> Result<Answer, Failure> {
    let revision = request.view().revision();
    let mut xml = Xml::new();
    xml.within("RAFT", |xml| {
        xml.text("SERVER_ID", -1)
            .text("STATE", 0)
            .text("TERM", 0)
            .text("VOTEDFOR", -1)
            .text("COMMIT", revision)
            .text("LOG_INDEX", revision)
            .text("LOG_TERM", 0)
            .text("FEDLOG_INDEX", -1);
    });
    Ok(Answer::Text(xml.into_string()))
}
