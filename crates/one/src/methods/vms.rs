//! `one.vm.*`: VMs as a whole. Their disks, cards and snapshots are in `vm_devices`, pools in `vm_pools`.

use super::{methods, owned};
use crate::codes::{ACTION, AUTHORIZATION, Failure, INTERNAL, called};
use crate::render::vms::AnyVm;
use crate::request::{Request, Update};
use crate::template::Reading as _;
use crate::vm_conf::Conf;
use crate::xml::Xml;
use crate::xmlrpc::Answer;
use holm_desk::vm_template::{self, EXPRESSIONS, How, Variables, guest, is_core, schedule};
use holm_desk::{Destination, Error, ErrorKind, Recovery, View, restricted};
use holm_model::acl::AclKind;
use holm_model::schedule::ScheduledAction;
use holm_model::vms::{EndedVm, Power, Vm, VmSpec, VmVerb};
use holm_model::{Attributes, DatastoreId, HostId, NetworkId, ObjectKind, VmGroupId, VmId};

methods! {
    change "one.vm.action" => action,
    change "one.vm.allocate" => allocate,
    change "one.vm.chmod" => owned::chmod::<Vm>,
    change "one.vm.chown" => owned::chown::<Vm>,
    change "one.vm.deploy" => deploy,
    read "one.vm.info" => info,
    change "one.vm.lock" => owned::lock::<Vm>,
    change "one.vm.migrate" => migrate,
    read "one.vm.monitoring" => monitoring,
    change "one.vm.recover" => recover,
    change "one.vm.rename" => owned::rename::<Vm>,
    change "one.vm.resize" => resize,
    change "one.vm.schedadd" => schedule_add,
    change "one.vm.scheddelete" => schedule_delete,
    change "one.vm.schedupdate" => schedule_update,
    change "one.vm.unlock" => owned::unlock::<Vm>,
    change "one.vm.update" => update,
    change "one.vm.updateconf" => update_conf,
    change "one.vm.vmgroupadd" => group_join,
    change "one.vm.vmgroupdel" => group_leave,
}

/// The id of the VM that the first parameter names.
pub(crate) fn vm_id(request: &Request<'_>, at: usize) -> Result<VmId, Failure> {
    request.id(at, ObjectKind::Vm).map(VmId)
}

/// What the desk says about a VM.
pub(crate) fn refused(request: &Request<'_>, error: &Error, id: VmId) -> Failure {
    request.failed(error, ObjectKind::Vm, id.0)
}

/// The VM's id, or what the desk says.
pub(crate) fn done<R>(request: &Request<'_>, id: VmId, outcome: Result<R, Error>) -> Result<Answer, Failure> {
    match outcome {
        Ok(_) => Ok(id.0.into()),
        Err(error) => Err(refused(request, &error, id)),
    }
}

/// The number of something new. Calls through this door have no keys against being repeated, so each is carried out.
pub(crate) fn made<T: Into<Answer>>(number: Option<T>) -> Result<Answer, Failure> {
    number.map(Into::into).ok_or_else(|| Failure::new(INTERNAL, "The call was carried out before."))
}

/// A VM that the caller may see, whether it is there or over.
pub(crate) fn find(request: &Request<'_>, view: &View, id: VmId) -> Result<AnyVm, Failure> {
    match view.get_id::<Vm>(&request.caller, id) {
        Ok(row) => Ok(AnyVm::Present(row)),
        Err(error) => match view.get_id::<EndedVm>(&request.caller, id) {
            Ok(row) => Ok(AnyVm::Ended(row)),
            Err(_) => Err(request.failed(&error, ObjectKind::Vm, id.0)),
        },
    }
}

/// `(template, hold)`
async fn allocate(request: &Request<'_>) -> Result<Answer, Failure> {
    let (given, hold) = (request.template(1)?, request.flag_or(2, false)?);
    let view = request.view();
    // A VM without a template object is a template of one's own.
    if !request.caller.may_create(AclKind::Template) {
        let text = format!(
            "User [{}] not authorized to perform action on {}. Instantiate a template instead.",
            request.user(),
            called(ObjectKind::Template)
        );
        return Err(Failure::new(AUTHORIZATION, text));
    }
    restricted::check(ObjectKind::Vm, &given, &request.caller).map_err(|e| request.not_made(&e, ObjectKind::Vm))?;
    let read = vm_template::read(&request.caller, &view, given, How { hold, ..How::default() })
        .map_err(|error| request.not_made(&error, ObjectKind::Vm))?;
    match request.desk().vm_create(&request.caller, &request.intent, read.draft, read.attributes).await {
        Ok(made) => Ok(made.row.value.id.0.into()),
        Err(error) => Err(request.not_made(&error, ObjectKind::Vm)),
    }
}

/// The verb that a word of `one.vm.action` means.
fn verb(word: &str) -> Option<VmVerb> {
    Some(match word {
        "terminate" => VmVerb::Terminate,
        "terminate-hard" => VmVerb::TerminateHard,
        "undeploy" => VmVerb::Undeploy,
        "undeploy-hard" => VmVerb::UndeployHard,
        "poweroff" => VmVerb::Poweroff,
        "poweroff-hard" => VmVerb::PoweroffHard,
        "reboot" => VmVerb::Reboot,
        "reboot-hard" => VmVerb::RebootHard,
        "hold" => VmVerb::Hold,
        "release" => VmVerb::Release,
        "stop" => VmVerb::Stop,
        "suspend" => VmVerb::Suspend,
        "resume" => VmVerb::Resume,
        "resched" => VmVerb::Resched,
        "unresched" => VmVerb::Unresched,
        _ => return None,
    })
}

/// `(action, id)`
async fn action(request: &Request<'_>) -> Result<Answer, Failure> {
    let word = request.text(1)?;
    let id = vm_id(request, 2)?;
    let Some(verb) = verb(word) else {
        let shown: String = word.chars().take(80).collect();
        return Err(Failure::new(ACTION, format!("Action {shown:?} is not supported.")).about(id.0.into()));
    };
    let outcome = request.desk().vm_act(&request.caller, &request.intent, id, verb).await;
    match outcome {
        // Whoever wants it gone has what they want.
        Err(error)
            if error.kind == ErrorKind::NotFound
                && matches!(verb, VmVerb::Terminate | VmVerb::TerminateHard)
                && request.view().get_id::<EndedVm>(&request.caller, id).is_ok() =>
        {
            Ok(id.0.into())
        }
        outcome => done(request, id, outcome),
    }
}

/// A system datastore; -1 names none.
fn datastore(request: &Request<'_>, at: usize) -> Result<Option<DatastoreId>, Failure> {
    match request.int_or(at, -1)? {
        -1 => Ok(None),
        given => match u32::try_from(given) {
            Ok(id) => Ok(Some(DatastoreId(id))),
            Err(_) => Err(Failure::missing(ObjectKind::Datastore, given.into())),
        },
    }
}

/// `(id, host, enforce capacity, system datastore, extra template)`. Every host has one system datastore, its own; in the
/// extra template stand the networks of cards that left the choice to the scheduler.
async fn deploy(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = vm_id(request, 1)?;
    let host = HostId(request.id(2, ObjectKind::Host)?);
    let (enforce, datastore) = (request.flag_or(3, false)?, datastore(request, 4)?);
    let mut networks = Vec::new();
    if !request.text_or(5, "")?.trim().is_empty() {
        let extra = request.template(5)?;
        if let Some((name, _)) = extra.0.iter().find(|(name, _)| name != "NIC") {
            let text =
                format!("{name} cannot be given when a virtual machine is deployed: NIC=[NIC_ID, NETWORK_ID] can.");
            return Err(Failure::new(ACTION, text).about(id.0.into()));
        }
        for nic in extra.vectors("NIC") {
            let (Some(card), Some(network)) = (nic.integer("NIC_ID")?, nic.integer("NETWORK_ID")?) else {
                let text = "A NIC needs NIC_ID and NETWORK_ID when a virtual machine is deployed.";
                return Err(Failure::new(ACTION, text).about(id.0.into()));
            };
            networks.push((card, NetworkId(network)));
        }
    }
    let to = Destination { host, forced: !enforce, datastore };
    let outcome = request.desk().vm_deploy(&request.caller, &request.intent, id, to, networks).await;
    on_host(request, id, host, outcome)
}

/// Like [`done`], where what is unknown may be the host, or what else the call names.
fn on_host<R>(request: &Request<'_>, id: VmId, host: HostId, outcome: Result<R, Error>) -> Result<Answer, Failure> {
    match outcome {
        Err(error) if error.kind == ErrorKind::NotFound && error.field.as_deref() == Some("host") => {
            Err(Failure::missing(ObjectKind::Host, host.0.into()))
        }
        Err(error) if error.kind == ErrorKind::NotFound && error.field.is_some() => {
            Err(Failure::new(crate::codes::NO_EXISTS, error.to_string()).about(id.0.into()))
        }
        outcome => done(request, id, outcome),
    }
}

/// `(id, host, live, enforce capacity, system datastore, how)`: 0 saves, 1 powers off, 2 cuts the power.
async fn migrate(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = vm_id(request, 1)?;
    let host = HostId(request.id(2, ObjectKind::Host)?);
    let live = request.flag(3)?;
    let (enforce, datastore) = (request.flag_or(4, false)?, datastore(request, 5)?);
    let how = match request.int_or(6, 0)? {
        0 => Power::Saved,
        1 => Power::Off,
        2 => Power::OffHard,
        other => {
            return Err(Failure::parameter(format!(
                "Wrong migration type {other}: use 0 (save), 1 (poweroff) or 2 (poweroff-hard)."
            )));
        }
    };
    let to = Destination { host, forced: !enforce, datastore };
    let outcome = request.desk().vm_migrate(&request.caller, &request.intent, id, to, live, how).await;
    on_host(request, id, host, outcome)
}

/// `(id, decrypt)`
fn info(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = vm_id(request, 1)?;
    let _decrypt = request.flag_or(2, false)?;
    let view = request.view();
    let any = find(request, &view, id)?;
    Ok(Answer::Pieces(super::vm_pools::documents(request, &view, &[any], super::vm_pools::Form::Full)))
}

/// `(id)`
fn monitoring(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = vm_id(request, 1)?;
    let any = find(request, &request.view(), id)?;
    let mut xml = Xml::new();
    xml.within("MONITORING_DATA", |xml| {
        for sample in request.desk().vm_samples(id) {
            crate::render::vm_monitoring::record(xml, any.vm(), &sample);
        }
    });
    Ok(Answer::Text(xml.into_string()))
}

/// `(id, operation)`
async fn recover(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = vm_id(request, 1)?;
    let how = match request.int(2)? {
        0 => Recovery::Failure,
        1 => Recovery::Success,
        2 => Recovery::Retry,
        3 => Recovery::Delete,
        4 => Recovery::Recreate,
        5 => Recovery::Forget,
        other => {
            return Err(Failure::parameter(format!(
                "Wrong recovery operation {other}: use 0 (failure), 1 (success), 2 (retry), 3 (delete), \
                 4 (delete-recreate) or 5 (delete-db)."
            )));
        }
    };
    done(request, id, request.desk().vm_recover(&request.caller, &request.intent, id, how).await)
}

/// `(id, template, enforce capacity)`: CPU, VCPU and MEMORY; 0 or nothing keeps.
async fn resize(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = vm_id(request, 1)?;
    let (given, enforce) = (request.template(2)?, request.flag_or(3, true)?);
    let wrong =
        |what: &str| Failure::new(ACTION, format!("{what} attribute must be a positive number.")).about(id.0.into());
    let set = |name: &str| given.text(name).map(str::trim).filter(|text| !text.is_empty() && *text != "0");
    let cpu = match set("CPU").filter(|text| text.parse() != Ok(0.0)) {
        None => None,
        Some(text) => Some(vm_template::cpu_share(text).ok_or_else(|| wrong("CPU"))?),
    };
    let whole = |name: &str| match set(name) {
        None => Ok(None),
        Some(text) => vm_template::positive(text).map(Some).ok_or_else(|| wrong(name)),
    };
    let memory = whole("MEMORY")?;
    let vcpus = whole("VCPU")?.map(|count| u32::try_from(count).map_err(|_| wrong("VCPU"))).transpose()?;
    let desk = request.desk();
    done(request, id, desk.vm_resize(&request.caller, &request.intent, id, cpu, vcpus, memory, enforce).await)
}

/// `(id, template)`: answers with the action's number.
async fn schedule_add(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = vm_id(request, 1)?;
    let action = schedule::single(&request.template(2)?, 0, None)?;
    match request.desk().vm_schedule_add(&request.caller, &request.intent, id, action).await {
        Ok((_, number)) => made(number),
        Err(error) => Err(refused(request, &error, id)),
    }
}

fn scheduled(request: &Request<'_>, id: VmId) -> Result<u32, Failure> {
    let given = request.int(2)?;
    u32::try_from(given).map_err(|_| {
        Failure::new(crate::codes::NO_EXISTS, format!("Scheduled action [{given}] does not exist.")).about(id.0.into())
    })
}

/// `(id, number, template)`
async fn schedule_update(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = vm_id(request, 1)?;
    let number = scheduled(request, id)?;
    let given = request.template(3)?;
    let any = find(request, &request.view(), id)?;
    if !any.vm().schedule.iter().any(|action| action.id == number) {
        return Err(Failure::new(crate::codes::NO_EXISTS, format!("Scheduled action [{number}] does not exist."))
            .about(id.0.into()));
    }
    // Merged with the action as it is in the transaction: it may have been done a moment ago.
    let work = move |action: &mut ScheduledAction| {
        *action = schedule::single(&given, number, Some(action))?;
        Ok(())
    };
    match request.desk().vm_schedule_update(&request.caller, &request.intent, id, number, work).await {
        Ok(_) => Ok(number.into()),
        Err(error) => Err(refused(request, &error, id)),
    }
}

/// `(id, number)`
async fn schedule_delete(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = vm_id(request, 1)?;
    let number = scheduled(request, id)?;
    done(request, id, request.desk().vm_schedule_delete(&request.caller, &request.intent, id, number).await)
}

/// `(id, group, role)`
async fn group_join(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = vm_id(request, 1)?;
    let group = VmGroupId(request.id(2, ObjectKind::VmGroup)?);
    let role = request.text(3)?.to_owned();
    match request.desk().vm_group_join(&request.caller, &request.intent, id, group, role).await {
        // Of the two that the call names, the VM is there for the caller: so it is the group that is not.
        Err(error) if error.kind == ErrorKind::NotFound && request.view().get_id::<Vm>(&request.caller, id).is_ok() => {
            Err(Failure::missing(ObjectKind::VmGroup, group.0.into()))
        }
        outcome => done(request, id, outcome),
    }
}

/// `(id)`
async fn group_leave(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = vm_id(request, 1)?;
    done(request, id, request.desk().vm_group_leave(&request.caller, &request.intent, id).await)
}

/// `(id, template, type)`: what users wrote. What the core manages is changed by methods of its own and stays.
async fn update(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = vm_id(request, 1)?;
    let (mut given, how) = (request.template(2)?, Update::of(request, 3)?);
    let view = request.view();
    let any = find(request, &view, id)?;
    let present = &any.vm().spec.placement;
    let has_expressions = present.requirements.is_some()
        || present.rank.is_some()
        || present.datastore_requirements.is_some()
        || present.datastore_rank.is_some();
    let names_expressions = EXPRESSIONS.iter().any(|name| given.has(name));
    let expressions = expressions(request, &view, &any, &mut given, how)?;
    given.0.retain(|(name, _)| !is_core(name) && !matches!(name.as_str(), "ERROR" | "SCHED_MESSAGE"));
    let change = move |attributes: &mut Attributes| {
        let mut users = Attributes(attributes.0.extract_if(.., |(name, _)| !is_core(name)).collect());
        how.apply(&mut users, given);
        attributes.0.append(&mut users.0);
    };
    let outcome = if names_expressions || (has_expressions && how == Update::Replace) {
        let both = move |spec: &mut VmSpec, attributes: &mut Attributes| {
            change(attributes);
            let placement = &mut spec.placement;
            let fields = [
                &mut placement.requirements,
                &mut placement.rank,
                &mut placement.datastore_requirements,
                &mut placement.datastore_rank,
            ];
            for (field, wanted) in fields.into_iter().zip(expressions) {
                if let Some(wanted) = wanted {
                    *field = wanted;
                }
            }
            Ok(())
        };
        request.desk().vm_configure(&request.caller, &request.intent, id, both).await.map(drop)
    } else {
        let only = move |attributes: &mut Attributes| {
            change(attributes);
            Ok(())
        };
        request.desk().attributes_change::<Vm>(&request.caller, &request.intent, id, only).await.map(drop)
    };
    done(request, id, outcome)
}

/// What becomes of each expression about placement: `None` keeps it, `Some(None)` takes it away.
fn expressions(
    request: &Request<'_>,
    view: &View,
    any: &AnyVm,
    given: &mut Attributes,
    how: Update,
) -> Result<[Option<Option<String>>; 4], Failure> {
    let mut wanted: [Option<Option<String>>; 4] = [const { None }; 4];
    if how == Update::Replace {
        wanted = [const { Some(None) }; 4];
    }
    let vm = any.vm();
    let variables = Variables::new(&request.caller, view, given.clone(), vm);
    for (field, name) in wanted.iter_mut().zip(EXPRESSIONS) {
        if given.has(name) {
            let text = given.take_text(name).filter(|text| !text.trim().is_empty());
            *field = Some(text.map(|text| variables.replace(name, &text)).transpose()?);
        }
    }
    Ok(wanted)
}

/// `(id, template, append)`
async fn update_conf(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = vm_id(request, 1)?;
    let (given, how) = (request.template(2)?, Update::of(request, 3)?);
    let view = request.view();
    let any = find(request, &view, id)?;
    let vm = any.vm();
    let mut all = vm.meta.attributes.clone();
    crate::template::merge(&mut all, given.clone());
    restricted::check_change(ObjectKind::Vm, &vm.meta.attributes, &all, &request.caller)
        .map_err(|error| refused(request, &error, id))?;
    let variables = Variables::new(&request.caller, &view, all, vm);
    let context = given.vector("CONTEXT").map(|vector| guest::replaced(vector.pairs, &variables)).transpose()?;
    let conf = Conf::new(given, context, how == Update::Append);
    let change = move |spec: &mut VmSpec, attributes: &mut Attributes| Ok(conf.apply(spec, attributes)?);
    done(request, id, request.desk().vm_configure(&request.caller, &request.intent, id, change).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fifteen_actions_are_known() {
        let words = [
            "terminate",
            "terminate-hard",
            "undeploy",
            "undeploy-hard",
            "poweroff",
            "poweroff-hard",
            "reboot",
            "reboot-hard",
            "hold",
            "release",
            "stop",
            "suspend",
            "resume",
            "resched",
            "unresched",
        ];
        assert!(words.iter().all(|word| verb(word).is_some_and(|verb| holm_desk::vm_word(verb) == *word)));
        assert!(verb("dance").is_none() && verb("Stop").is_none());
    }
}
