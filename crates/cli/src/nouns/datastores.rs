//! `holm datastore`.

use super::owned::{self, Owned};
use super::{App, Noun};
use crate::args::datastores::DatastoreCommand;
use crate::errors::Result;
use crate::output::{Column, Names, Part, column, show_age, show_mib};
use holm_wire::v1::{Datastore, DatastoreChange, DatastoreCreate, Meta};

impl Noun for Datastore {
    const PATH: &'static str = "datastores";
    const WORD: &'static str = "datastore";

    fn columns() -> Vec<Column<Self>> {
        vec![
            column!("ID", "id", |d| d.id.to_string()),
            column!("NAME", "name", |d| d.meta.name.clone()),
            column!("KIND", "kind", |d| d.kind.clone()),
            column!(state "STATE", "state", |d| d.state.clone()),
            column!("IMAGES", "images", |d| d.images.len().to_string()),
            column!("USED", "used_mib", |d, _| d.room.map(|room| show_mib(room.used_mib)).unwrap_or_default(), |d| d
                .room
                .map(|room| room.used_mib.to_string())
                .unwrap_or_default()),
            column!("FREE", "free_mib", |d, _| d.room.map(|room| show_mib(room.free_mib)).unwrap_or_default(), |d| d
                .room
                .map(|room| room.free_mib.to_string())
                .unwrap_or_default()),
            column!("LIMIT", "limit_mib", |d, _| d.limit_mib.map(show_mib).unwrap_or_default(), |d| d
                .limit_mib
                .map(|limit| limit.to_string())
                .unwrap_or_default()),
        ]
    }

    fn name(&self) -> String {
        self.meta.name.clone()
    }

    fn meta(&self) -> Option<&Meta> {
        Some(&self.meta)
    }

    fn parts(&self, _: &Names) -> Vec<Part> {
        let ids = |ids: &[u32]| ids.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
        let room = self.room.map(|room| {
            let (used, total) = (show_mib(room.used_mib), show_mib(room.total_mib));
            format!("{used} of {total} used, {} free", show_mib(room.free_mib))
        });
        vec![
            Part::Line("id", self.id.to_string()),
            Part::Line("name", self.meta.name.clone()),
            Part::Line("kind", self.kind.clone()),
            Part::State("state", self.state.clone()),
            Part::Line("why", self.why.clone()),
            Part::Line("room", room.unwrap_or_default()),
            Part::Line("limit", self.limit_mib.map(show_mib).unwrap_or_default()),
            Part::Line("clusters", ids(&self.clusters)),
            Part::Line("images", ids(&self.images)),
            Part::Line("age", show_age(&self.meta.created_at)),
        ]
    }
}

impl Owned for Datastore {}

pub(super) async fn run(app: &App, command: DatastoreCommand) -> Result {
    let enable = |enabled| DatastoreChange { enabled: Some(enabled), ..DatastoreChange::default() };
    match command {
        DatastoreCommand::List(args) => app.list::<Datastore>(&args).await,
        DatastoreCommand::Show(one) => app.show::<Datastore>(&one.name).await,
        DatastoreCommand::Create(args) => {
            app.create::<Datastore>(&DatastoreCreate {
                name: args.name,
                kind: args.kind.map(|kind| kind.word()),
                clusters: args.cluster,
                limit_mib: args.limit,
                ..DatastoreCreate::default()
            })
            .await
        }
        DatastoreCommand::Change(args) => {
            let change = DatastoreChange { limit_mib: Some(args.limit), ..DatastoreChange::default() };
            owned::patch::<Datastore>(app, &[args.name], &change).await
        }
        DatastoreCommand::Enable(many) => owned::patch::<Datastore>(app, &many.names, &enable(true)).await,
        DatastoreCommand::Disable(many) => owned::patch::<Datastore>(app, &many.names, &enable(false)).await,
        DatastoreCommand::Delete(args) => app.delete::<Datastore>(&args, &[]).await,
        DatastoreCommand::Owned(command) => owned::run::<Datastore>(app, command).await,
    }
}
