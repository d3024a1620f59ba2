//! What VMs have used, and what it costs.

use super::Api;
use super::door::Asker;
use super::requests::{json, parameters};
use crate::convert;
use crate::problem::{Answer, Refusal};
use axum::extract::{RawQuery, State};
use holm_desk::{Caller, Whose};
use holm_model::users::{Group, User};
use holm_model::{Timestamp, VmId};
use holm_wire::v1;
use http::StatusCode;
use std::collections::BTreeMap;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(accounting_get)).routes(routes!(showback_get))
}

/// Whose VMs are meant: one user's, one group's, one VM, or all that the caller sees.
fn whose(api: &Api, caller: &Caller, query: &BTreeMap<&str, String>) -> Answer<Whose> {
    let whose = [
        query.get("user").map(|key| Ok(Whose::User(api.id_of::<User>(caller, key)?))),
        query.get("group").map(|key| Ok(Whose::Group(api.id_of::<Group>(caller, key)?))),
        // Of a VM that is gone only the number is left.
        query.get("vm").map(|key| {
            let refuse = || Refusal::invalid("vm", "vm: it is not an id").hint("Ids are whole numbers from 0.");
            Ok(Whose::Vm(VmId(key.parse().map_err(|_| refuse())?)))
        }),
    ];
    let mut given = whose.into_iter().flatten();
    match (given.next(), given.next()) {
        (None, _) => Ok(Whose::All),
        (Some(whose), None) => whose,
        (Some(_), Some(_)) => Err(Refusal::invalid("user", "user, group and vm: more than one of them is given")
            .hint("Ask for one at a time.")),
    }
}

fn moment(query: &BTreeMap<&str, String>, field: &'static str, default: Timestamp) -> Answer<Timestamp> {
    let Some(text) = query.get(field) else { return Ok(default) };
    Timestamp::parse(text).ok_or_else(|| {
        let shown: String = text.chars().take(64).collect();
        Refusal::invalid(field, format!("{field}: {shown:?} is no moment"))
            .hint("Write a day or a moment in UTC: 2026-11-22 or 2026-11-22T08:47:05Z.")
    })
}

/// Show what VMs have used
///
/// The stays of VMs on hosts that lie, at least in part, within a span of time, of all VMs that the caller sees.
#[utoipa::path(
    get, path = "/accounting", tag = "accounting",
    params(
        ("from" = Option<String>, Query, description = "Where the span begins, a day or a moment in UTC; default the \
            beginning.", example = "2026-11-01"),
        ("to" = Option<String>, Query, description = "Where it ends; default now."),
        ("user" = Option<String>, Query, description = "Only this user's VMs, by id or name."),
        ("group" = Option<String>, Query, description = "Only this group's VMs, by id or name."),
        ("vm" = Option<u32>, Query, description = "Only this VM."),
    ),
    responses((status = 200, description = "The stays.", body = v1::Accounting)),
)]
async fn accounting_get(State(api): State<Api>, asker: Asker, RawQuery(query): RawQuery) -> Answer {
    let query = parameters(query.as_deref(), &["from", "to", "user", "group", "vm"])?;
    let now = api.desk().now();
    let (from, to) = (moment(&query, "from", Timestamp(0))?, moment(&query, "to", now)?);
    if from > to {
        return Err(Refusal::invalid("from", "from: the span ends before it begins").hint("Exchange from and to."));
    }
    let whose = whose(&api, &asker.caller, &query)?;
    let records = api.desk().accounting(&asker.caller, whose, from, to).await?;
    let items = records.iter().map(|record| convert::accounting::stay(record, from, to.min(now))).collect();
    json(StatusCode::OK, &v1::Accounting { from: from.to_string(), to: to.to_string(), items })
}

/// Show what VMs cost
///
/// By VM and month, from the prices in the VMs' attributes `CPU_COST`, `MEMORY_COST` and `DISK_COST`. Nothing has to be
/// computed in advance.
#[utoipa::path(
    get, path = "/showback", tag = "accounting",
    params(
        ("first" = Option<String>, Query, description = "The first month; default that of the first VM.",
         example = "2026-11"),
        ("last" = Option<String>, Query, description = "The last month; default this one."),
        ("user" = Option<String>, Query, description = "Only this user's VMs, by id or name."),
        ("group" = Option<String>, Query, description = "Only this group's VMs, by id or name."),
        ("vm" = Option<u32>, Query, description = "Only this VM."),
    ),
    responses((status = 200, description = "The costs.", body = v1::Showback)),
)]
async fn showback_get(State(api): State<Api>, asker: Asker, RawQuery(query): RawQuery) -> Answer {
    let query = parameters(query.as_deref(), &["first", "last", "user", "group", "vm"])?;
    let month = |field| query.get(field).map(|text| convert::accounting::month(field, text)).transpose();
    let (first, last) = (month("first")?, month("last")?);
    let whose = whose(&api, &asker.caller, &query)?;
    let costs = api.desk().showback(&asker.caller, whose, first, last).await?;
    let items: Vec<v1::MonthCost> = costs.iter().map(convert::accounting::cost).collect();
    let total = items.iter().map(|cost| cost.total).sum();
    json(StatusCode::OK, &v1::Showback { items, total })
}
