//! `holm acl`.

use super::{App, Noun};
use crate::args::acls::{AclCheck, AclCommand, AclCreateArgs};
use crate::client::{Call, shaped};
use crate::errors::Result;
use crate::output::{Column, Names, Part};
use holm_wire::v1::{Acl, AclCreate, AclVerdict};
use reqwest::Method;

impl Noun for Acl {
    const PATH: &'static str = "acls";
    const WORD: &'static str = "access rule";

    fn columns() -> Vec<Column<Self>> {
        vec![
            Column::new("ID", "id", |a, _| a.id.to_string(), |a| a.id.to_string()),
            Column::new("RULE", "rule", |a, _| a.rule.clone(), |a| a.rule.clone()),
            Column::new("SAYS", "says", |a, _| a.says.clone(), |a| a.says.clone()),
        ]
    }

    fn name(&self) -> String {
        self.id.to_string()
    }

    fn mentions(&self) -> Vec<(&'static str, u32)> {
        self.vdc.map(|vdc| ("vdcs", vdc)).into_iter().collect()
    }

    fn parts(&self, names: &Names) -> Vec<Part> {
        vec![
            Part::Line("id", self.id.to_string()),
            Part::Line("rule", self.rule.clone()),
            Part::Line("says", self.says.clone()),
            Part::Line("kinds", self.kinds.join(", ")),
            Part::Line("rights", self.rights.join(", ")),
            Part::Line("of VDC", self.vdc.map_or(String::new(), |vdc| names.of("vdcs", vdc))),
        ]
    }
}

pub(super) async fn run(app: &App, command: AclCommand) -> Result {
    match command {
        AclCommand::List(args) => app.list::<Acl>(&args).await,
        AclCommand::Show(rule) => app.show::<Acl>(&rule.id.to_string()).await,
        AclCommand::Create(args) => {
            let AclCreateArgs { rule, user, group, kinds, id, of_group, in_cluster, rights, zone } = args;
            let wanted = AclCreate { rule, user, group, kinds, id, of_group, in_cluster, rights, zone };
            app.create::<Acl>(&wanted).await
        }
        AclCommand::Delete(rules) => {
            let ids: Vec<String> = rules.ids.iter().map(u32::to_string).collect();
            app.remove::<Acl>(&ids, &[]).await
        }
        AclCommand::Check(args) => check(app, args).await,
    }
}

async fn check(app: &App, args: AclCheck) -> Result {
    let (kind, object) = match args.object.split_once('/') {
        Some((kind, object)) => (kind, Some(object)),
        None => (args.object.as_str(), None),
    };
    let mut call = Call::new(Method::GET, "/acls/check").query("right", &args.right).query("kind", kind);
    if args.user != "me" {
        call = call.query("user", &args.user);
    }
    if let Some(object) = object {
        call = call.query("object", object);
    }
    let value = app.client.send(call).await?.json()?;
    if !app.output.is_table() {
        return app.output.value(&value);
    }
    let verdict: AclVerdict = shaped(&value)?;
    app.output.parts(&[
        Part::Line("allowed", if verdict.allowed { "yes" } else { "no" }.into()),
        Part::Line("because", verdict.because),
        Part::Line("says", verdict.says),
        Part::Line("rule", verdict.rule.map_or(String::new(), |rule| rule.rule)),
    ])
}
