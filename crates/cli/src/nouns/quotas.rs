//! `holm quota`.

use super::users::myself;
use super::{App, Noun};
use crate::args::quotas::{QuotaCommand, QuotaOf, QuotaSetArgs, QuotaWhose};
use crate::client::{Call, path, shaped};
use crate::errors::{Error, Result};
use crate::fields;
use crate::output::{Column, Format, Names, Part, show_number};
use holm_wire::v1::{QuotaLimit, QuotaLine, QuotaSet, Quotas, QuotasChange};
use reqwest::Method;
use serde_json::Value;

impl Noun for QuotaLine {
    const PATH: &'static str = "quotas";
    const WORD: &'static str = "quota";

    fn columns() -> Vec<Column<Self>> {
        vec![
            Column::new("OF", "of", thing, |q| thing(q, &Names::default())),
            Column::new("METRIC", "metric", |q, _| q.metric.clone(), |q| q.metric.clone()),
            Column::new("USED", "used", |q, _| number(q.used), |q| number(q.used)),
            Column::new("HOLDS", "holds", |q, _| q.holds.map_or("-".into(), show_number), |q| number(q.holds)),
            Column::new("SET", "limit", |q, _| limit(q), limit),
        ]
    }

    fn name(&self) -> String {
        format!("{}.{}", thing(self, &Names::default()), self.metric)
    }

    fn mentions(&self) -> Vec<(&'static str, u32)> {
        let object = match self.of.as_str() {
            "network" => self.object.map(|id| ("networks", id)),
            "image" => self.object.map(|id| ("images", id)),
            "datastore" => self.object.map(|id| ("datastores", id)),
            _ => None,
        };
        object.into_iter().chain(self.clusters.iter().map(|id| ("clusters", *id))).collect()
    }

    fn parts(&self, _: &Names) -> Vec<Part> {
        vec![]
    }
}

fn thing(line: &QuotaLine, names: &Names) -> String {
    let noun = match line.of.as_str() {
        "network" => "networks",
        "image" => "images",
        _ => "datastores",
    };
    match line.object {
        Some(id) => format!("{}:{}", line.of, names.of(noun, id)),
        None if line.clusters.is_empty() => line.of.clone(),
        None => {
            let clusters: Vec<String> = line.clusters.iter().map(|id| names.of("clusters", *id)).collect();
            format!("{}@{}", line.of, clusters.join("+"))
        }
    }
}

fn number(amount: Option<f64>) -> String {
    amount.map_or(String::new(), show_number)
}

fn limit(line: &QuotaLine) -> String {
    match &line.limit {
        QuotaLimit::Amount(most) => show_number(*most),
        QuotaLimit::Word(word) => word.clone(),
    }
}

pub(super) async fn run(app: &App, command: QuotaCommand) -> Result {
    match command {
        QuotaCommand::Show(args) => show(app, args).await,
        QuotaCommand::Set(args) => set(app, args).await,
    }
}

fn place(whose: QuotaWhose, name: Option<&str>) -> Result<String> {
    let missing = || Error::usage("whose quotas is not said").hint("Name the user or group: holm quota show user anna");
    match whose {
        QuotaWhose::User => path(&["users", name.ok_or_else(missing)?, "quotas"]),
        QuotaWhose::Group => path(&["groups", name.ok_or_else(missing)?, "quotas"]),
        QuotaWhose::DefaultUser => Ok("/quotas/default-user".into()),
        QuotaWhose::DefaultGroup => Ok("/quotas/default-group".into()),
    }
}

async fn show(app: &App, args: QuotaOf) -> Result {
    let at = match args.whose {
        Some(whose) => place(whose, args.name.as_deref())?,
        None => place(QuotaWhose::User, Some(&myself(app).await?.id.to_string()))?,
    };
    let value = app.client.get(&at).await?;
    print(app, &value).await
}

async fn print(app: &App, value: &Value) -> Result {
    if matches!(app.output.format, Format::Json | Format::Yaml) {
        return app.output.value(value);
    }
    let quotas: Quotas = shaped(value)?;
    if quotas.items.is_empty() && app.output.is_table() {
        app.remarks.note("Nothing is limited or used.");
    }
    let lines = value.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
    app.print_many::<QuotaLine>(&lines, true).await
}

async fn set(app: &App, args: QuotaSetArgs) -> Result {
    let named = matches!(args.whose, QuotaWhose::User | QuotaWhose::Group);
    let (name, words) = match args.words.split_first() {
        Some((name, words)) if named => (Some(name.as_str()), words),
        _ => (None, args.words.as_slice()),
    };
    let limits = words.iter().map(|word| entry(word).map_err(|e| Error::usage(format!("{word:?}: {e}"))));
    let wanted = QuotasChange { limits: limits.collect::<Result<_>>()? };
    if wanted.limits.is_empty() && !args.replace {
        return Err(Error::usage("no limit is named").hint("Write THING.METRIC=LIMIT, such as vms.running_cpu=8."));
    }
    let method = if args.replace { Method::PUT } else { Method::PATCH };
    let value = app.client.send(Call::new(method, place(args.whose, name)?).json(&wanted)?).await?.json()?;
    print(app, &value).await
}

/// `THING.METRIC=LIMIT`, where the thing is `vms`, `vms@CLUSTER+CLUSTER`, `datastore:NAME`, `network:NAME` or
/// `image:NAME`.
fn entry(text: &str) -> std::result::Result<QuotaSet, String> {
    let refuse = || "write THING.METRIC=LIMIT, such as vms.running_cpu=8 or datastore:default.size=200G".to_owned();
    let (what, given) = text.rsplit_once('=').ok_or_else(refuse)?;
    let (thing, metric) =
        what.rsplit_once('.').filter(|(thing, metric)| !thing.is_empty() && !metric.is_empty()).ok_or_else(refuse)?;
    let (of, object, clusters) = match (thing.split_once(':'), thing.split_once('@')) {
        (Some((of, object)), _) if !object.is_empty() => (of, Some(object.to_owned()), vec![]),
        (None, Some((of, clusters))) => (of, None, clusters.split('+').map(str::to_owned).collect()),
        (None, None) => (thing, None, vec![]),
        (Some(_), _) => return Err(refuse()),
    };
    if !["vms", "datastore", "network", "image"].contains(&of) {
        return Err(format!("{of:?} is not vms, datastore, network or image"));
    }
    Ok(QuotaSet { of: of.into(), object, clusters, metric: metric.into(), limit: amount(metric, given)? })
}

fn amount(metric: &str, given: &str) -> std::result::Result<QuotaLimit, String> {
    match given {
        "default" | "-1" => return Ok(QuotaLimit::Word("default".into())),
        "unlimited" | "-2" => return Ok(QuotaLimit::Word("unlimited".into())),
        _ => {}
    }
    if let Ok(number) = given.parse::<f64>() {
        return Ok(QuotaLimit::Amount(number));
    }
    let sizes = ["memory", "running_memory", "system_disk_size", "size"];
    if !sizes.contains(&metric.to_ascii_lowercase().as_str()) {
        return Err(format!("{given:?} is no number, `unlimited` or `default`"));
    }
    #[allow(clippy::cast_precision_loss, reason = "sizes are far below 2^52 MiB")]
    fields::size(given).map(|mib| QuotaLimit::Amount(mib as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_written_as_things_metrics_and_amounts() {
        let set = entry("vms.running_cpu=8").expect("one");
        assert_eq!((set.of.as_str(), set.metric.as_str(), set.limit), ("vms", "running_cpu", QuotaLimit::Amount(8.0)));
        let set = entry("vms@harbor+2.memory=16G").expect("one");
        assert_eq!((set.clusters, set.limit), (vec!["harbor".into(), "2".into()], QuotaLimit::Amount(16_384.0)));
        let set = entry("datastore:my.store.size=unlimited").expect("one");
        assert_eq!((set.object.as_deref(), set.limit), (Some("my.store"), QuotaLimit::Word("unlimited".into())));
        assert_eq!(entry("vms.vms=-1").expect("one").limit, QuotaLimit::Word("default".into()));
        for text in ["", "vms", "vms=4", "vms.=4", ".vms=4", "vms.vms", "cars.vms=4", "vms.vms=4G", "network:.leases=1"]
        {
            assert!(entry(text).is_err(), "{text}");
        }
    }
}
