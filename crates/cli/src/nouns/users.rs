//! `holm user`.

use super::{App, Noun};
use crate::args::users::{AuthArgs, AuthMethod, PasswordArgs, UserCommand, UserCreateArgs, UserGroup};
use crate::client::{Call, path, shaped};
use crate::errors::Result;
use crate::output::{Column, Names, Part, show_age};
use crate::{fields, prompt};
use holm_wire::v1::{Me, PasswordChange, PasswordSet, User, UserAuth, UserChange, UserCreate};
use reqwest::Method;

impl Noun for User {
    const PATH: &'static str = "users";
    const WORD: &'static str = "user";

    fn columns() -> Vec<Column<Self>> {
        vec![
            Column::new("ID", "id", |u, _| u.id.to_string(), |u| u.id.to_string()),
            Column::new("NAME", "name", |u, _| u.name.clone(), |u| u.name.clone()),
            Column::state("STATE", "state", |u, _| u.state.clone(), |u| u.state.clone()),
            Column::new("AUTH", "auth", |u, _| auth(u), |u| u.auth.clone()),
            Column::new(
                "GROUPS",
                "groups",
                |u, names| joined(u.groups.iter().map(|group| names.of("groups", *group))),
                |u| joined(u.groups.iter().map(u32::to_string)),
            ),
            Column::new("AGE", "created_at", |u, _| show_age(&u.created_at), |u| u.created_at.clone()),
        ]
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn mentions(&self) -> Vec<(&'static str, u32)> {
        self.groups.iter().chain(&self.admin_of).map(|group| ("groups", *group)).collect()
    }

    fn parts(&self, names: &Names) -> Vec<Part> {
        let groups = |ids: &[u32]| joined(ids.iter().map(|group| names.of("groups", *group)));
        vec![
            Part::Line("id", self.id.to_string()),
            Part::Line("name", self.name.clone()),
            Part::State("state", self.state.clone()),
            Part::Line("auth", auth(self)),
            Part::Line("public key", self.public_key.clone().unwrap_or_default()),
            Part::Line("groups", groups(&self.groups)),
            Part::Line("administers", if self.admin { "everything".into() } else { groups(&self.admin_of) }),
            Part::Line("age", show_age(&self.created_at)),
            super::owned::attributes_part(&self.attributes),
        ]
    }
}

fn auth(user: &User) -> String {
    if user.second_factor { format!("{} + code", user.auth) } else { user.auth.clone() }
}

pub(super) fn joined(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(", ")
}

pub(super) async fn run(app: &App, command: UserCommand) -> Result {
    match command {
        UserCommand::List(args) => app.list::<User>(&args).await,
        UserCommand::Show(args) => {
            let name = match args.name {
                Some(name) => name,
                None => myself(app).await?.id.to_string(),
            };
            app.show::<User>(&name).await
        }
        UserCommand::Create(args) => create(app, args).await,
        UserCommand::Set(args) => {
            let attributes = fields::attributes(args.attributes, args.unset)?;
            change(app, &args.name, &UserChange { attributes, ..UserChange::default() }).await
        }
        UserCommand::Enable(users) => enable(app, &users.names, true).await,
        UserCommand::Disable(users) => enable(app, &users.names, false).await,
        UserCommand::Password(args) => password(app, args).await,
        UserCommand::Auth(args) => auth_set(app, args).await,
        UserCommand::PrimaryGroup(args) => {
            let wanted = UserChange { primary_group: Some(args.group), ..UserChange::default() };
            change(app, &args.user, &wanted).await
        }
        UserCommand::Join(args) => membership(app, Method::PUT, args).await,
        UserCommand::Leave(args) => membership(app, Method::DELETE, args).await,
        UserCommand::Delete(args) => {
            let query: Vec<(&str, &str)> = args.give_to.iter().map(|user| ("give_to", user.as_str())).collect();
            app.remove::<User>(&args.users.names, &query).await
        }
    }
}

/// Who asks.
pub(super) async fn myself(app: &App) -> Result<Me> {
    shaped(&app.client.get("/me").await?)
}

async fn create(app: &App, args: UserCreateArgs) -> Result {
    let UserCreateArgs { name, groups, auth, password_file, public_key, attribute } = args;
    let method = auth.unwrap_or(if public_key.is_some() { AuthMethod::Ssh } else { AuthMethod::Password });
    let (password, public_key) = secrets(&name, method, password_file.as_deref(), public_key.as_deref()).await?;
    let attributes = fields::attributes(attribute, vec![])?;
    app.create::<User>(&UserCreate { name, auth: Some(method.word()), password, public_key, groups, attributes }).await
}

/// What goes with a way to prove who one is: a password, asked for where it is in no file, or a public key.
async fn secrets(
    user: &str,
    method: AuthMethod,
    password_file: Option<&str>,
    public_key: Option<&str>,
) -> Result<(Option<String>, Option<String>)> {
    let key = public_key.map(|file| fields::read_file("--public-key", file)).transpose()?;
    let password = if password_file.is_some() || (method.takes_password() && key.is_none()) {
        let question = format!("New password of {user}");
        Some(prompt::new_secret("--password-file", password_file, &question).await?)
    } else {
        None
    };
    Ok((password, key.map(|text| text.trim().to_owned())))
}

async fn change(app: &App, user: &str, wanted: &UserChange) -> Result {
    let value = app.client.patch(&path(&["users", user])?, wanted).await?;
    app.print_one::<User>(&value).await
}

async fn enable(app: &App, users: &[String], enabled: bool) -> Result {
    app.each(users, async |user| {
        let wanted = UserChange { enabled: Some(enabled), ..UserChange::default() };
        app.client.patch(&path(&["users", user])?, &wanted).await?;
        app.remarks.note(&format!("user {user} {}", if enabled { "enabled" } else { "disabled" }));
        Ok(())
    })
    .await
}

async fn password(app: &App, args: PasswordArgs) -> Result {
    let (at, who) = match &args.name {
        Some(user) => (path(&["users", user, "password"])?, user.clone()),
        None => ("/me/password".to_owned(), "you".to_owned()),
    };
    let call = if args.name.is_some() {
        let question = format!("New password of {who}");
        let new = prompt::new_secret("--password-file", args.password_file.as_deref(), &question).await?;
        Call::new(Method::PUT, at).json(&PasswordSet { new })?
    } else {
        let flag = "--old-password-file";
        let old = prompt::secret(flag, args.old_password_file.as_deref(), "Your present password").await?;
        let file = args.password_file.as_deref();
        let new = prompt::new_secret("--password-file", file, "Your new password").await?;
        Call::new(Method::PUT, at).json(&PasswordChange { old, new })?
    };
    app.client.send(call).await?;
    app.remarks.note(&format!("The password of {who} is changed; other tokens no longer work."));
    Ok(())
}

async fn auth_set(app: &App, args: AuthArgs) -> Result {
    let AuthArgs { name, method, password_file, public_key } = args;
    let (password, public_key) = secrets(&name, method, password_file.as_deref(), public_key.as_deref()).await?;
    let wanted = UserAuth { method: method.word(), password, public_key };
    let call = Call::new(Method::PUT, path(&["users", &name, "auth"])?).json(&wanted)?;
    let value = app.client.send(call).await?.json()?;
    app.print_one::<User>(&value).await
}

async fn membership(app: &App, method: Method, args: UserGroup) -> Result {
    let call = Call::new(method, path(&["users", &args.user, "groups", &args.group])?);
    let value = app.client.send(call).await?.json()?;
    app.print_one::<User>(&value).await
}
