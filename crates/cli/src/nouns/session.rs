//! `holm login`, `holm logout` and `holm token`.

use super::{App, Noun};
use crate::args::Globals;
use crate::args::access::{Login, TokenCommand};
use crate::client::{Call, Client, shaped};
use crate::config::{self, Context, DEFAULT_URL, Environment, Settings, Target};
use crate::errors::{Error, Exit, Result};
use crate::output::{Column, Format, Names, Output, Part, Remarks, show_age, visible};
use crate::terminal::RawMode;
use crate::trust::{self, Trust};
use crate::wait::Interrupted;
use holm_wire::v1::{Me, SessionCreate, Token, TokenCreate, TokenCreated};
use reqwest::Method;
use std::io::{IsTerminal, Read, Write};

impl Noun for Token {
    const PATH: &'static str = "tokens";
    const WORD: &'static str = "token";

    fn columns() -> Vec<Column<Self>> {
        let field = |title, key, text: fn(&Self, &Names) -> String, plain: fn(&Self) -> String| Column {
            title,
            key,
            text,
            plain,
            state: false,
        };
        vec![
            field("ID", "id", |t, _| t.id.to_string(), |t| t.id.to_string()),
            field("LABEL", "label", |t, _| t.label.clone(), |t| t.label.clone()),
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
        let password = match &args.password_file {
            Some(file) => config::first_line("--password-file", file)?,
            None => ask_password(&args.user, &shown).await?,
        };
        let mut call =
            Call::new(Method::POST, "/sessions").json(&SessionCreate { user: args.user.clone(), password })?;
        // Guessing again on a limit would only make it last.
        call.repeat = false;
        let sent = Client::new(target, remarks.clone())?.send(call).await;
        let value = sent
            .map_err(|error| match error.exit {
                Exit::Denied => error.hint("Check the user and password. On the front-end the first ones are in /var/lib/holm/front/admin-credentials."),
                _ => error,
            })?
            .json()?;
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

async fn ask_password(user: &str, address: &str) -> Result<String> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Error::usage("there is no terminal to ask for the password on")
            .hint("Give --password-file FILE, or --password-file - to read it from standard input."));
    }
    let refuse = |error: std::io::Error| Error::io("ask for the password", &error);
    let interrupted = || Error::new(Exit::Interrupted, "no password was given");
    let mut signals = Interrupted::new()?;
    // In raw mode nothing typed is shown and no key ends the process; signals are waited for, so that every way out of
    // here gives the terminal back.
    let raw = RawMode::enter(&stdin)?;
    let asked = write!(std::io::stderr(), "Password of {} at {address}: ", visible(user));
    let (give, take) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || give.send(read_secret(std::io::stdin().lock().bytes())));
    let typed = tokio::select! {
        typed = take => typed.unwrap_or(Ok(None)),
        () = signals.wait() => Ok(None),
    };
    let _ = write!(std::io::stderr(), "\r\n");
    drop(raw);
    asked.map_err(refuse)?;
    match typed.map_err(refuse)? {
        Some(password) if !password.is_empty() => Ok(password),
        _ => Err(interrupted()),
    }
}

/// Reads a line typed in raw mode. `None` when it was given up with Ctrl-C or Ctrl-D.
fn read_secret(typed: impl Iterator<Item = std::io::Result<u8>>) -> std::io::Result<Option<String>> {
    let mut line = Vec::new();
    for byte in typed {
        match byte? {
            b'\r' | b'\n' => return Ok(Some(String::from_utf8_lossy(&line).into_owned())),
            0x03 => return Ok(None),
            0x04 if line.is_empty() => return Ok(None),
            // Ctrl-U forgets the line, backspace a character, which may be several bytes.
            0x15 => line.clear(),
            0x08 | 0x7f => while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {},
            byte => line.push(byte),
        }
    }
    Ok(None)
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
            let wanted = TokenCreate { label: args.label, expires_in_s: args.expires.map(|d| d.as_secs()) };
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

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &str) -> Option<String> {
        read_secret(keys.bytes().map(Ok)).expect("keys can be read")
    }

    #[test]
    fn a_password_is_typed_as_people_type() {
        assert_eq!(typed("secret\r"), Some("secret".into()));
        assert_eq!(typed("sev\u{7f}cré\u{7f}et\n"), Some("secret".into()));
        assert_eq!(typed("wrong\u{15}right\r"), Some("right".into()));
        assert_eq!(typed("\u{7f}\r"), Some(String::new()));
        assert_eq!(typed("half\u{3}"), None);
        assert_eq!(typed("\u{4}"), None);
        assert_eq!(typed("no end"), None);
    }
}
