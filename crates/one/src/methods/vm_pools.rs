//! `one.vmpool.*`

use super::methods;
use crate::blocks::{self, Moment};
use crate::cache::{Documents, Making};
use crate::codes::{AUTHORIZATION, Failure};
use crate::pools::{self, Order, Part, Whose};
use crate::render::vms::{self as render, AnyVm};
use crate::render::{group_name, user_name, vm_history, vm_monitoring};
use crate::request::Request;
use crate::xml::Xml;
use crate::xmlrpc::{Answer, Piece};
use holm_desk::{Row, View};
use holm_model::vms::{EndedVm, Vm};
use holm_model::{HostId, ObjectKind, Timestamp, VmId};
use std::collections::HashSet;
use std::iter::Peekable;
use std::sync::Arc;

methods! {
    change "one.vmpool.accounting" => accounting,
    change "one.vmpool.calculateshowback" => calculate_showback,
    read "one.vmpool.info" => info,
    read "one.vmpool.infoextended" => info_extended,
    read "one.vmpool.infoset" => info_set,
    read "one.vmpool.monitoring" => monitoring,
    change "one.vmpool.showback" => showback,
}

/// How VMs are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As `one.vm.info` does.
    Full,
    /// As `one.vmpool.info` does.
    Short,
}

/// Which VMs are wanted, by their state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InState {
    /// Those that are over as well.
    Any,
    /// All but those that are over.
    NotDone,
    /// Those in this state.
    Only(u8),
}

/// So many VMs are looked at one by one.
const FEW: usize = 500;

/// `STATE` of a VM that is over.
const DONE: u8 = 6;

impl InState {
    fn of(request: &Request<'_>, at: usize) -> Result<Self, Failure> {
        match request.int_or(at, -1)? {
            -2 => Ok(Self::Any),
            -1 => Ok(Self::NotDone),
            given => match u8::try_from(given) {
                Ok(state) if state <= 11 => Ok(Self::Only(state)),
                _ => Err(Failure::parameter(format!(
                    "Incorrect state filter {given}: use -2 (any), -1 (any but DONE) or 0 to 11."
                ))),
            },
        }
    }

    fn over(self) -> bool {
        matches!(self, Self::Any | Self::Only(DONE))
    }

    fn present(self) -> bool {
        self != Self::Only(DONE)
    }
}

/// Joins two lists that are sorted by id into one.
struct Merged<P: Iterator, E: Iterator> {
    present: Peekable<P>,
    ended: Peekable<E>,
    order: Order,
}

enum Either<'a> {
    Present(&'a Arc<Row<Vm>>),
    Ended(&'a Arc<Row<EndedVm>>),
}

impl<'a, P, E> Iterator for Merged<P, E>
where
    P: Iterator<Item = &'a Arc<Row<Vm>>>,
    E: Iterator<Item = &'a Arc<Row<EndedVm>>>,
{
    type Item = Either<'a>;

    fn next(&mut self) -> Option<Either<'a>> {
        let first = match (self.present.peek(), self.ended.peek()) {
            (Some(present), Some(ended)) => {
                let before = present.value.id < ended.value.id;
                before == (self.order == Order::Ascending)
            }
            (present, _) => present.is_some(),
        };
        if first { self.present.next().map(Either::Present) } else { self.ended.next().map(Either::Ended) }
    }
}

/// The VMs that the caller sees, filtered, cut and ordered.
fn list(request: &Request<'_>, view: &View, whose: Whose, part: Part, state: InState) -> Vec<AnyVm> {
    let caller = &request.caller;
    let lost = if matches!(state, InState::Only(_)) { render::lost_hosts(view) } else { Default::default() };
    let mut found = Vec::new();
    let mut seen = 0;
    let mut take = |either: Either<'_>| -> bool {
        let vm = match &either {
            Either::Present(row) => &row.value,
            Either::Ended(row) => &row.value.vm,
        };
        if !whose.takes(caller, vm.meta.owner, vm.meta.group) {
            return true;
        }
        let keep = |either: &Either<'_>| match either {
            Either::Present(row) => AnyVm::Present((*row).clone()),
            Either::Ended(row) => AnyVm::Ended((*row).clone()),
        };
        if let InState::Only(wanted) = state {
            let any = keep(&either);
            let is_lost = vm.phase.host().is_some_and(|host| lost.contains(&host));
            if render::state(view, &any, is_lost).0 != wanted {
                return true;
            }
        }
        let Some(taken) = part.takes(vm.id.0, seen) else { return false };
        seen += 1;
        if taken {
            found.push(keep(&either));
        }
        true
    };
    let order = Order::of(request, view);
    // What is not wanted is not walked through at all.
    let present = state.present().then(|| view.each::<Vm>(caller)).into_iter().flatten();
    let ended = state.over().then(|| view.each::<EndedVm>(caller)).into_iter().flatten();
    match order {
        Order::Ascending => {
            Merged { present: present.peekable(), ended: ended.peekable(), order }.all(&mut take);
        }
        Order::Descending => {
            Merged { present: present.rev().peekable(), ended: ended.rev().peekable(), order }.all(&mut take);
        }
    }
    found
}

/// The documents of these VMs.
pub(crate) fn documents(request: &Request<'_>, view: &View, vms: &[AnyVm], form: Form) -> Vec<Piece> {
    // For a few VMs it is less to look at their hosts than at all hosts.
    let lost = if vms.len() > FEW { Some(render::lost_hosts(view)) } else { None };
    let is_lost = |any: &AnyVm| match &lost {
        Some(lost) => is_on(any, lost),
        None => render::is_lost(view, any.vm()),
    };
    made(request, view, vms, form, &is_lost)
}

fn is_on(any: &AnyVm, lost: &HashSet<HostId>) -> bool {
    !lost.is_empty() && any.vm().phase.host().is_some_and(|host| lost.contains(&host))
}

fn made(request: &Request<'_>, view: &View, vms: &[AnyVm], form: Form, is_lost: &dyn Fn(&AnyVm) -> bool) -> Vec<Piece> {
    let desk = request.desk();
    let making = Making {
        own: &|any: &AnyVm| (any.id().0, render::own_stamp(any, is_lost(any))),
        around: render::around_stamp(view),
        exact: &|any| render::exact_stamp(view, any.vm()),
        render: &|any| match form {
            Form::Full => render::full(view, any, is_lost(any)),
            Form::Short => render::short(view, any, is_lost(any)),
        },
        measured: &|any| desk.vm_sample(any.id()).map_or(0, |sample| u64::try_from(sample.at.0).unwrap_or(0)),
        measurement: &|any| {
            let vm = any.vm();
            let sample = desk.vm_sample(vm.id)?;
            Some(match form {
                Form::Short => vm_monitoring::short(vm, &sample),
                Form::Full => {
                    let samples = desk.vm_samples(vm.id);
                    let before = samples.iter().rev().find(|other| other.at < sample.at);
                    vm_monitoring::full(vm, &sample, before)
                }
            })
        },
    };
    cache(request, form).documents(vms, &making)
}

fn cache<'a>(request: &Request<'a>, form: Form) -> &'a Documents {
    let caches = &request.door.caches;
    match form {
        Form::Full => &caches.vms,
        Form::Short => &caches.short_vms,
    }
}

/// The documents of all VMs, newest first, in blocks; `None` when somebody with a newer picture was here before.
fn everything(request: &Request<'_>, view: &View, form: Form) -> Option<Vec<Piece>> {
    let desk = request.desk();
    let moment =
        Moment { revision: view.revision(), around: render::around_stamp(view), lost: render::lost_hosts(view) };
    let changed = |after: u64| {
        let changes = desk.changes_after(after)?;
        let vms = changes.iter().filter(|(_, change)| change.object.kind == ObjectKind::Vm);
        Some(vms.map(|(_, change)| VmId(change.object.id)).collect())
    };
    let all = || view.rows_of::<Vm>().map(|row| blocks::of(row.value.id)).collect();
    let make = |block: u32| {
        let (first, last) = blocks::ids(block);
        let vms: Vec<AnyVm> = view.rows_between::<Vm>(first, last).rev().cloned().map(AnyVm::Present).collect();
        let documents = made(request, view, &vms, form, &|any| is_on(any, &moment.lost));
        // Many short ones cost more to find than to copy. Long ones stay where they are: joined, they would leave holes in
        // the heap that nothing else fills.
        if form == Form::Full || documents.is_empty() {
            return documents;
        }
        let documents: Vec<_> = vms.iter().map(|any| any.id().0).zip(documents).collect();
        vec![cache(request, form).join(&documents)]
    };
    cache(request, form).blocks.pieces(&moment, changed, &desk.vm_sample_marks(), all, make)
}

fn pool(request: &Request<'_>, form: Form) -> Result<Answer, Failure> {
    let (whose, part, state) = (Whose::of(request, 1)?, Part::of(request, 2)?, InState::of(request, 4)?);
    if !request.text_or(5, "")?.is_empty() {
        return Err(Failure::parameter("Searching is not supported: leave the search out and filter the answer."));
    }
    let view = request.view();
    if (whose, part, state) == (Whose::All, Part::All, InState::NotDone)
        && request.caller.is_admin()
        && Order::of(request, &view) == Order::Descending
        && let Some(pieces) = everything(request, &view, form)
    {
        return Ok(pools::answer("VM_POOL", pieces));
    }
    let vms = list(request, &view, whose, part, state);
    Ok(pools::answer("VM_POOL", documents(request, &view, &vms, form)))
}

/// `(filter flag, first, last, state, search)`
fn info(request: &Request<'_>) -> Result<Answer, Failure> {
    pool(request, Form::Short)
}

/// `(filter flag, first, last, state, search)`
fn info_extended(request: &Request<'_>) -> Result<Answer, Failure> {
    pool(request, Form::Full)
}

/// `(ids, extended)`: those of the ids that the caller sees.
fn info_set(request: &Request<'_>) -> Result<Answer, Failure> {
    let (text, extended) = (request.text(1)?, request.flag_or(2, false)?);
    let view = request.view();
    let mut ids = std::collections::BTreeSet::new();
    for part in crate::template::list(text) {
        match part.parse::<u32>() {
            Ok(id) => {
                ids.insert(VmId(id));
            }
            Err(_) => {
                let shown: String = part.chars().take(40).collect();
                return Err(Failure::parameter(format!("{shown:?} is no VM id: give ids with commas between.")));
            }
        }
    }
    let mut vms: Vec<AnyVm> = ids.into_iter().filter_map(|id| super::vms::find(request, &view, id).ok()).collect();
    if Order::of(request, &view) == Order::Descending {
        vms.reverse();
    }
    let form = if extended { Form::Full } else { Form::Short };
    Ok(pools::answer("VM_POOL", documents(request, &view, &vms, form)))
}

/// `(filter flag, seconds)`: -1 all there is, 0 the newest of each VM.
fn monitoring(request: &Request<'_>) -> Result<Answer, Failure> {
    let (whose, seconds) = (Whose::of(request, 1)?, request.int_or(2, -1)?);
    let view = request.view();
    let since = (seconds > 0).then(|| request.desk().now().seconds() - i64::from(seconds));
    let mut xml = Xml::new();
    xml.within("MONITORING_DATA", |xml| {
        for any in list(request, &view, whose, Part::All, InState::NotDone) {
            if seconds == 0 {
                if let Some(sample) = request.desk().vm_sample(any.id()) {
                    vm_monitoring::record(xml, any.vm(), &sample);
                }
                continue;
            }
            for sample in request.desk().vm_samples(any.id()) {
                if since.is_none_or(|since| sample.at.seconds() >= since) {
                    vm_monitoring::record(xml, any.vm(), &sample);
                }
            }
        }
    });
    Ok(Answer::Text(xml.into_string()))
}

/// The filter flag in the desk's words.
fn asked(request: &Request<'_>, whose: Whose) -> holm_desk::Whose {
    match whose {
        Whose::All => holm_desk::Whose::All,
        Whose::Mine => holm_desk::Whose::User(request.caller.user_id()),
        Whose::MineAndGroups => holm_desk::Whose::Own,
        Whose::PrimaryGroup => holm_desk::Whose::Group(request.caller.primary_group()),
        Whose::User(user) => holm_desk::Whose::User(user),
    }
}

fn unread(request: &Request<'_>, error: &holm_desk::Error) -> Failure {
    Failure::of(error, ObjectKind::Vm, -1, request.user())
}

/// `(filter flag, start, end)`: stays on hosts between the two times, -1 for open.
async fn accounting(request: &Request<'_>) -> Result<Answer, Failure> {
    let whose = Whose::of(request, 1)?;
    let (start, end) = (request.int_or(2, -1)?, request.int_or(3, -1)?);
    let moment = |seconds: i32| Timestamp(i64::from(seconds) * 1000);
    let from = if start < 0 { Timestamp(0) } else { moment(start) };
    let until = if end < 0 { Timestamp(i64::MAX) } else { moment(end) };
    let stays = request
        .desk()
        .accounting(&request.caller, asked(request, whose), from, until)
        .await
        .map_err(|error| unread(request, &error))?;
    let view = request.view();
    let (open, close) = (Piece::escape("<HISTORY>"), Piece::escape("</HISTORY>"));
    let mut pieces = Vec::new();
    let mut document: (Option<VmId>, Vec<Piece>) = (None, Vec::new());
    for record in stays {
        if document.0 != Some(record.vm) {
            document = (Some(record.vm), Vec::new());
            // Of a VM that was over long ago only its stays are left.
            if let Ok(any) = super::vms::find(request, &view, record.vm) {
                document.1 = documents(request, &view, std::slice::from_ref(&any), Form::Full);
            }
        }
        let mut xml = Xml::with_capacity(512);
        vm_history::members(&mut xml, &view, record.vm, &record.stay);
        pieces.push(open.clone());
        pieces.push(Piece::escape(xml.as_str()));
        pieces.extend(document.1.iter().cloned());
        pieces.push(close.clone());
    }
    Ok(pools::answer("HISTORY_RECORDS", pieces))
}

/// Two parameters, month and year; -1 for open.
fn month(request: &Request<'_>, at: usize) -> Result<Option<(i64, u8)>, Failure> {
    let (month, year) = (request.int_or(at, -1)?, request.int_or(at + 1, -1)?);
    if month == -1 || year == -1 {
        return Ok(None);
    }
    match u8::try_from(month) {
        Ok(number) if (1..=12).contains(&number) && (1970..=9999).contains(&year) => {
            Ok(Some((i64::from(year), number)))
        }
        _ => Err(Failure::parameter(format!("Wrong month {month} of year {year}: use 1 to 12, or -1 for open."))),
    }
}

/// A number with at most six digits after the point and none that say nothing.
fn decimal(value: f64) -> String {
    let text = format!("{value:.6}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text.is_empty() || text == "-0" { "0".into() } else { text.into() }
}

/// `(filter flag, start month, start year, end month, end year)`: computed from the history whenever it is asked for.
async fn showback(request: &Request<'_>) -> Result<Answer, Failure> {
    let whose = Whose::of(request, 1)?;
    let (first, last) = (month(request, 2)?, month(request, 4)?);
    let bills = request
        .desk()
        .showback(&request.caller, asked(request, whose), first, last)
        .await
        .map_err(|error| unread(request, &error))?;
    let view = request.view();
    let mut xml = Xml::new();
    xml.within("SHOWBACK_RECORDS", |xml| {
        for bill in &bills {
            xml.within("SHOWBACK", |xml| {
                xml.text("VMID", bill.vm)
                    .escaped("VMNAME", &bill.name)
                    .text("UID", bill.owner)
                    .text("GID", bill.group)
                    .escaped("UNAME", &user_name(&view, bill.owner))
                    .escaped("GNAME", &group_name(&view, bill.group))
                    .text("YEAR", bill.year)
                    .text("MONTH", bill.month)
                    .text("CPU_COST", decimal(bill.cpu))
                    .text("MEMORY_COST", decimal(bill.memory))
                    .text("DISK_COST", decimal(bill.disk))
                    .text("TOTAL_COST", decimal(bill.total()))
                    .text("HOURS", decimal(bill.hours))
                    .text("RHOURS", decimal(bill.running_hours));
            });
        }
    });
    Ok(Answer::Text(xml.into_string()))
}

/// `(start month, start year, end month, end year)`: nothing has to be computed in advance. Clients expect one blank.
async fn calculate_showback(request: &Request<'_>) -> Result<Answer, Failure> {
    month(request, 1)?;
    month(request, 3)?;
    if !request.caller.is_admin() {
        let text = format!("User [{}] : only administrators may compute showback.", request.user());
        return Err(Failure::new(AUTHORIZATION, text));
    }
    Ok(Answer::Text(" ".into()))
}

#[cfg(test)]
mod tests {
    use super::decimal;

    #[test]
    fn numbers_have_no_empty_digits() {
        assert_eq!([0.0, 1.0, 0.5, 1.0 / 3.0, 1e-9, -1e-9].map(decimal), ["0", "1", "0.5", "0.333333", "0", "0"]);
    }
}
