//! `holm operation`.

use super::{App, Noun};
use crate::args::access::OperationCommand;
use crate::errors::Result;
use crate::output::{Column, Names, Part, show_age};
use crate::wait::{self, Wait};
use holm_wire::v1::Operation;
use tokio::time::Instant;

impl Noun for Operation {
    const PATH: &'static str = "operations";
    const WORD: &'static str = "operation";

    fn columns() -> Vec<Column<Self>> {
        let field = Column::<Self>::new;
        vec![
            field("ID", "id", |o, _| o.id.to_string(), |o| o.id.to_string()),
            field("VERB", "verb", |o, _| o.verb.clone(), |o| o.verb.clone()),
            field("KIND", "kind", |o, _| o.kind.clone(), |o| o.kind.clone()),
            field("OBJECT", "object", |o, _| o.object.to_string(), |o| o.object.to_string()),
            Column {
                title: "STATE",
                key: "state",
                text: |o, _| o.state.clone(),
                plain: |o| o.state.clone(),
                state: true,
            },
            field("AGE", "created_at", |o, _| show_age(&o.created_at), |o| o.created_at.clone()),
            field("WHY", "why", |o, _| o.why.clone(), |o| o.why.clone()),
        ]
    }

    fn name(&self) -> String {
        self.id.to_string()
    }

    fn parts(&self, _: &Names) -> Vec<Part> {
        vec![
            Part::Line("id", self.id.to_string()),
            Part::Line("verb", self.verb.clone()),
            Part::Line("object", format!("{} {}", self.kind, self.object)),
            Part::State("state", self.state.clone()),
            Part::Line("why", self.why.clone()),
            Part::Line("asked", self.created_at.clone()),
        ]
    }
}

pub(super) async fn run(app: &App, command: OperationCommand) -> Result {
    match command {
        OperationCommand::List(args) => app.list::<Operation>(&args).await,
        OperationCommand::Show(args) => {
            let name = args.id.to_string();
            if args.wait {
                let (_, operation) = app.load::<Operation>(&name).await?;
                follow(
                    app,
                    &operation,
                    format!("{} {}", operation.kind, operation.object),
                    None,
                    Instant::now() + args.timeout,
                )
                .await?;
            }
            app.show::<Operation>(&name).await
        }
    }
}

/// Stays until an operation is done.
pub(super) async fn follow(
    app: &App,
    operation: &Operation,
    label: String,
    after: Option<u64>,
    deadline: Instant,
) -> Result<serde_json::Value> {
    let wait = Wait {
        client: &app.client,
        remarks: &app.remarks,
        deadline,
        kind: operation.kind.clone(),
        id: operation.object,
        label,
        after,
        look_every: wait::LOOK_WITH_STREAM,
        goes_on: format!("It goes on; follow it with `holm operation show {} --wait`.", operation.id),
    };
    wait::operation(&wait, operation).await
}
