//! `holm status`.

use super::App;
use crate::client::shaped;
use crate::errors::Result;
use crate::output::{Column, Format, Part};
use holm_wire::v1::{CloudStatus, Me};
use std::collections::BTreeMap;

pub(super) async fn show(app: &App) -> Result {
    let (status, me) = futures::future::join(app.client.get("/status"), app.client.get("/me")).await;
    let value = status?;
    let status: CloudStatus = shaped(&value)?;
    match app.output.format {
        Format::Json | Format::Yaml => app.output.value(&value),
        Format::Name => app.output.text(&format!("{}\n", status.cloud)),
        Format::Csv => {
            let rows: Vec<(&str, &String, &u64)> =
                [("hosts", &status.hosts), ("vms", &status.vms), ("images", &status.images)]
                    .into_iter()
                    .flat_map(|(noun, states)| states.iter().map(move |(state, count)| (noun, state, count)))
                    .collect();
            app.output.csv(
                &[
                    Column {
                        title: "NOUN",
                        key: "noun",
                        text: |_, _| String::new(),
                        plain: |r: &(&str, &String, &u64)| r.0.to_owned(),
                        state: false,
                    },
                    Column {
                        title: "STATE",
                        key: "state",
                        text: |_, _| String::new(),
                        plain: |r| r.1.clone(),
                        state: false,
                    },
                    Column {
                        title: "COUNT",
                        key: "count",
                        text: |_, _| String::new(),
                        plain: |r| r.2.to_string(),
                        state: false,
                    },
                ],
                &rows,
                true,
            )
        }
        Format::Table => {
            let target = app.client.target();
            let me: Option<Me> = me.ok().and_then(|value| shaped(&value).ok());
            let who = me.map(|me| if me.admin { format!("{} (administrator)", me.name) } else { me.name });
            app.output.parts(&[
                Part::Line("address", target.url.as_str().trim_end_matches('/').to_owned()),
                Part::Line("context", target.context.clone().unwrap_or_default()),
                Part::Line("logged in as", who.unwrap_or_default()),
                Part::Line("cloud", status.cloud.clone()),
                Part::Line("version", status.version.clone()),
                Part::Line("up since", uptime(status.uptime_s)),
                Part::Line("agents dial", status.link_url.clone()),
                Part::Line("hosts", counts(&status.hosts)),
                Part::Line("VMs", counts(&status.vms)),
                Part::Line("images", counts(&status.images)),
            ])
        }
    }
}

fn counts(states: &BTreeMap<String, u64>) -> String {
    let shown: Vec<String> =
        states.iter().filter(|(_, count)| **count > 0).map(|(state, count)| format!("{count} {state}")).collect();
    if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
}

fn uptime(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7199 => format!("{}m", seconds / 60),
        7200..=172_799 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}
