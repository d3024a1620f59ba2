//! The ways to prove who one is: a password, an SSH key, and a code besides where the account has a second factor.

use crate::args::access::Login;
use crate::client::{Call, Client, shaped};
use crate::errors::{Error, Exit, Result};
use crate::{fields, prompt, ssh};
use holm_wire::v1::{Challenge, ChallengeCreate, KeySessionCreate, SessionCreate};
use reqwest::Method;
use serde::Serialize;
use serde_json::Value;
use std::io::IsTerminal;

/// Logs in with a password, from a file or asked for.
pub(super) async fn by_password(client: &Client, args: &Login, address: &str) -> Result<Value> {
    let question = format!("Password of {} at {address}", args.user);
    let password = prompt::secret("--password-file", args.password_file.as_deref(), &question).await?;
    let mut wanted = SessionCreate { user: args.user.clone(), password, code: args.code.clone() };
    let answer = match send(client, "/sessions", &wanted).await {
        Err(error) if wanted.code.is_none() && wants_code(&error) => {
            wanted.code = Some(ask_code(error).await?);
            send(client, "/sessions", &wanted).await
        }
        answer => answer,
    };
    answer.map_err(|error| match error.exit {
        Exit::Denied if !wants_code(&error) => error.hint("Check the user and password. On the front-end the first ones are in /var/lib/holm/front/admin-credentials."),
        _ => error,
    })
}

/// Logs in with an SSH key, which `ssh-keygen` uses: from its file, or of the agent when only the public half is there.
pub(super) async fn by_key(client: &Client, user: &str, key: &str, code: Option<&str>) -> Result<Value> {
    match signed(client, user, key, code.map(str::to_owned)).await {
        // A challenge is good for one attempt: with the code a fresh one is signed.
        Err(error) if code.is_none() && wants_code(&error) => {
            let code = ask_code(error).await?;
            signed(client, user, key, Some(code)).await
        }
        answer => answer,
    }
}

async fn signed(client: &Client, user: &str, key: &str, code: Option<String>) -> Result<Value> {
    let user = user.to_owned();
    let challenge: Challenge =
        shaped(&send(client, "/sessions/challenges", &ChallengeCreate { user: user.clone() }).await?)?;
    let signature = ssh::sign(&fields::home_path(key), &challenge.namespace, &challenge.challenge)?;
    let wanted = KeySessionCreate { user, challenge: challenge.challenge, signature, code };
    send(client, "/sessions/key", &wanted).await
}

async fn send(client: &Client, path: &str, body: &impl Serialize) -> Result<Value> {
    let mut call = Call::new(Method::POST, path).json(body)?;
    // Guessing again on a limit would only make it last.
    call.repeat = false;
    client.send(call).await?.json()
}

fn wants_code(error: &Error) -> bool {
    error.field.as_deref() == Some("code")
}

async fn ask_code(refused: Error) -> Result<String> {
    if !std::io::stdin().is_terminal() {
        return Err(refused.hint("Give the code that the authenticator application shows: --code CODE."));
    }
    prompt::ask("Code of the authenticator application", None).await
}
