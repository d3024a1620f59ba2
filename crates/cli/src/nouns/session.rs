//! `holm login`, `holm logout` and `holm token`.

use super::{App, Noun, login};
use crate::args::Globals;
use crate::args::access::{Login, TokenCommand, TokenCreateArgs};
use crate::client::{Call, Client, shaped};
use crate::config::{self, Context, DEFAULT_URL, Environment, Settings, Target};
use crate::errors::{Error, Exit, Result};
use crate::output::{Column, Format, Names, Output, Part, Remarks, show_age};
use crate::trust::{self, Trust};
use holm_wire::v1::{Me, Token, TokenCreate, TokenCreated};
use reqwest::Method;

impl Noun for Token {
    const PATH: &'static str = "tokens";
    const WORD: &'static str = "token";

    fn columns() -> Vec<Column<Self>> {
        let field = Column::<Self>::new;
        vec![
            field("ID", "id", |t, _| t.id.to_string(), |t| t.id.to_string()),
            field("LABEL", "label", |t, _| t.label.clone(), |t| t.label.clone()),
            field("USER", "user", |t, names| names.of("users", t.user), |t| t.user.to_string()),
            field(
                "GROUP",
                "group",
                |t, names| t.group.map_or(String::new(), |group| names.of("groups", group)),
                |t| t.group.map_or(String::new(), |group| group.to_string()),
            ),
            field("AGE", "created_at", |t, _| show_age(&t.created_at), |t| t.created_at.clone()),
            field("EXPIRES", "expires_at", |t, _| t.expires_at.clone(), |t| t.expires_at.clone()),
            field(
                "CURRENT",
                "current",
                |t, _| if t.current { "*".into() } else { String::new() },
                |t| t.current.to_string(),
            ),
        ]
    }

    fn name(&self) -> String {
        self.id.to_string()
    }

    fn mentions(&self) -> Vec<(&'static str, u32)> {
        self.group.map(|group| ("groups", group)).into_iter().chain([("users", self.user)]).collect()
    }

    fn parts(&self, _: &Names) -> Vec<Part> {
        vec![
            Part::Line("id", self.id.to_string()),
            Part::Line("label", self.label.clone()),
            Part::Line("expires", self.expires_at.clone()),
        ]
    }
}

pub(super) async fn login(globals: &Globals, args: &Login) -> Result {
    let remarks = Remarks::new(globals);
    let path = Environment::of_process().settings_path()?;
    let mut settings = Settings::load(&path)?;
    let named = globals.context.clone();
    let known = named.as_ref().or(settings.current.as_ref()).and_then(|name| settings.contexts.get(name)).cloned();
    let text = args
        .address
        .clone()
        .or_else(|| globals.url.clone())
        .or_else(|| known.as_ref().map(|context| context.url.clone()))
        .unwrap_or_else(|| DEFAULT_URL.to_owned());
    let url = config::parse_url(&text)?;
    let shown = url.as_str().trim_end_matches('/').to_owned();
    // Another address is another cloud: what was believed of the one before says nothing about it.
    let same = known.filter(|context| config::parse_url(&context.url).is_ok_and(|known| known == url));
    let (ca_fingerprint, ca_pem) = match (&globals.ca_fingerprint, &globals.ca) {
        (Some(pin), _) => {
            let pin = trust::fingerprint(pin).map_err(|e| Error::usage(format!("--ca-fingerprint: {e}")))?;
            (Some(trust::show_fingerprint(&pin)), None)
        }
        (None, Some(file)) => {
            let pem = crate::fields::read_file("--ca", file)?;
            trust::authority(&pem)?;
            (None, Some(pem))
        }
        (None, None) => same.map_or((None, None), |context| (context.ca_fingerprint, context.ca_pem)),
    };
    let trust = match (&ca_fingerprint, &ca_pem) {
        (Some(pin), _) => Trust::Fingerprint(trust::fingerprint(pin).map_err(Error::failed)?),
        (None, Some(pem)) => Trust::Authority(pem.clone()),
        (None, None) => Trust::System,
    };
    let mut target = Target { url, token: None, trust, context: None, user: None };
    let context = if let Some(file) = &args.token_file {
        let token = config::first_line("--token-file", file)?;
        target.token = Some(token.clone());
        let me: Me = shaped(&Client::new(target, remarks.clone())?.get("/me").await?)?;
        remarks.note(&format!("Logged in to {shown} as {}.", me.name));
        Context { url: shown, user: Some(me.name), token: Some(token), expires_at: None, ca_fingerprint, ca_pem }
    } else {
        let client = Client::new(target, remarks.clone())?;
        let value = match &args.key {
            Some(key) => login::by_key(&client, &args.user, key, args.code.as_deref()).await?,
            None => login::by_password(&client, args, &shown).await?,
        };
        let made: TokenCreated = shaped(&value)?;
        remarks.note(&format!("Logged in to {shown} as {}, until {}.", made.user, made.expires_at));
        Context {
            url: shown,
            user: Some(made.user),
            token: Some(made.token),
            expires_at: Some(made.expires_at),
            ca_fingerprint,
            ca_pem,
        }
    };
    let name = named.unwrap_or_else(|| match &settings.current {
        // Logging in to another cloud without a name for it must not make the first one forgotten.
        Some(current) if settings.contexts.get(current).is_none_or(|known| known.url == context.url) => current.clone(),
        Some(_) => host_of(&context.url),
        None => "default".to_owned(),
    });
    settings.contexts.insert(name.clone(), context);
    settings.current = Some(name);
    settings.save(&path)
}

fn host_of(url: &str) -> String {
    config::parse_url(url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_else(|| url.to_owned())
}

pub(super) async fn logout(globals: &Globals) -> Result {
    let app = App::new(globals)?;
    let environment = Environment::of_process();
    let path = environment.settings_path()?;
    let mut settings = Settings::load(&path)?;
    if environment.token.is_some() || environment.token_file.is_some() {
        return Err(Error::usage("the token comes from HOLM_TOKEN or HOLM_TOKEN_FILE, not from a login")
            .hint("Unset the variable, or make the token useless with `holm token revoke`."));
    }
    let name = app.client.target().context.clone();
    let Some(context) = name.as_ref().and_then(|name| settings.contexts.get_mut(name)) else {
        return Err(Error::new(Exit::Denied, "you are not logged in"));
    };
    if context.token.is_none() {
        app.remarks.note("You are not logged in.");
        return Ok(());
    }
    let revoked = app.client.send(Call::new(Method::DELETE, "/sessions/current")).await;
    match revoked {
        Ok(_) => {}
        // The token is useless already.
        Err(error) if error.exit == Exit::Denied => {}
        Err(error) => app.remarks.warning(&format!("the token is forgotten here but still valid there: {error}")),
    }
    context.token = None;
    context.expires_at = None;
    settings.save(&path)?;
    app.remarks.note(&format!("Logged out of {}.", app.client.target().url.as_str().trim_end_matches('/')));
    Ok(())
}

pub(super) async fn tokens(app: &App, command: TokenCommand) -> Result {
    match command {
        TokenCommand::List(args) => app.list::<Token>(&args).await,
        TokenCommand::Revoke(args) => {
            let ids: Vec<String> = args.ids.iter().map(u32::to_string).collect();
            app.revoke::<Token>(&ids).await
        }
        TokenCommand::Create(args) => {
            let TokenCreateArgs { label, expires, user, group } = args;
            let wanted = TokenCreate { label, expires_in_s: expires.map(|d| d.as_secs()), user, group };
            let value = app.client.post("/tokens", &wanted).await?;
            let made: TokenCreated = shaped(&value)?;
            print_token(&app.output, &app.remarks, &value, made)
        }
    }
}

fn print_token(output: &Output, remarks: &Remarks, value: &serde_json::Value, made: TokenCreated) -> Result {
    match output.format {
        Format::Json | Format::Yaml => output.value(value),
        Format::Csv => output.csv(
            &[
                Column {
                    title: "ID",
                    key: "id",
                    text: |t: &TokenCreated, _| t.id.to_string(),
                    plain: |t| t.id.to_string(),
                    state: false,
                },
                Column {
                    title: "TOKEN",
                    key: "token",
                    text: |t, _| t.token.clone(),
                    plain: |t| t.token.clone(),
                    state: false,
                },
                Column {
                    title: "EXPIRES",
                    key: "expires_at",
                    text: |t, _| t.expires_at.clone(),
                    plain: |t| t.expires_at.clone(),
                    state: false,
                },
            ],
            &[made],
            true,
        ),
        Format::Name => output.text(&format!("{}\n", made.token)),
        Format::Table => {
            output.text(&format!("{}\n", made.token))?;
            remarks.note(&format!("Token {}, valid until {}. It is shown this once.", made.id, made.expires_at));
            Ok(())
        }
    }
}
