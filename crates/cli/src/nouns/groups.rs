//! `holm group`.

use super::users::joined;
use super::{App, Noun};
use crate::args::users::{GroupCommand, GroupUser};
use crate::client::{Call, path};
use crate::errors::Result;
use crate::fields;
use crate::output::{Column, Names, Part, show_age};
use holm_wire::v1::{Group, GroupChange, GroupCreate};
use reqwest::Method;

impl Noun for Group {
    const PATH: &'static str = "groups";
    const WORD: &'static str = "group";

    fn columns() -> Vec<Column<Self>> {
        vec![
            Column::new("ID", "id", |g, _| g.id.to_string(), |g| g.id.to_string()),
            Column::new("NAME", "name", |g, _| g.name.clone(), |g| g.name.clone()),
            Column::new("USERS", "users", |g, _| g.users.len().to_string(), |g| g.users.len().to_string()),
            Column::new(
                "ADMINISTRATORS",
                "admins",
                |g, names| joined(g.admins.iter().map(|user| names.of("users", *user))),
                |g| joined(g.admins.iter().map(u32::to_string)),
            ),
            Column::new("AGE", "created_at", |g, _| show_age(&g.created_at), |g| g.created_at.clone()),
        ]
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn mentions(&self) -> Vec<(&'static str, u32)> {
        self.users.iter().chain(&self.admins).map(|user| ("users", *user)).collect()
    }

    fn parts(&self, names: &Names) -> Vec<Part> {
        let users = |ids: &[u32]| joined(ids.iter().map(|user| names.of("users", *user)));
        vec![
            Part::Line("id", self.id.to_string()),
            Part::Line("name", self.name.clone()),
            Part::Line("users", users(&self.users)),
            Part::Line("administrators", users(&self.admins)),
            Part::Line("age", show_age(&self.created_at)),
            super::owned::attributes_part(&self.attributes),
        ]
    }
}

pub(super) async fn run(app: &App, command: GroupCommand) -> Result {
    match command {
        GroupCommand::List(args) => app.list::<Group>(&args).await,
        GroupCommand::Show(one) => app.show::<Group>(&one.name).await,
        GroupCommand::Create(one) => app.create::<Group>(&GroupCreate { name: one.name }).await,
        GroupCommand::Set(args) => {
            let attributes = fields::attributes(args.attributes, args.unset)?;
            let value = app.client.patch(&path(&["groups", &args.name])?, &GroupChange { attributes }).await?;
            app.print_one::<Group>(&value).await
        }
        GroupCommand::AddUser(args) => member(app, Method::PUT, args).await,
        GroupCommand::RemoveUser(args) => member(app, Method::DELETE, args).await,
        GroupCommand::AddAdmin(args) => admin(app, Method::PUT, args).await,
        GroupCommand::RemoveAdmin(args) => admin(app, Method::DELETE, args).await,
        GroupCommand::Delete(groups) => app.remove::<Group>(&groups.names, &[]).await,
    }
}

async fn member(app: &App, method: Method, args: GroupUser) -> Result {
    app.client.send(Call::new(method, path(&["users", &args.user, "groups", &args.group])?)).await?;
    let (value, _) = app.load::<Group>(&args.group).await?;
    app.print_one::<Group>(&value).await
}

async fn admin(app: &App, method: Method, args: GroupUser) -> Result {
    let call = Call::new(method, path(&["groups", &args.group, "admins", &args.user])?);
    let value = app.client.send(call).await?.json()?;
    app.print_one::<Group>(&value).await
}
