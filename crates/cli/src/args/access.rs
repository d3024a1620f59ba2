//! Arguments of logging in, tokens, contexts, events, operations, raw requests and the command's own files.

use super::{FilePath, ListArgs, One};
use clap::{Args, Subcommand};
use std::time::Duration;

/// `holm login`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  holm login
  holm login https://cloud.example:2616 --user anna
  holm login https://10.0.0.1:2616 --context lab --ca-fingerprint sha256:0123...
  holm login --password-file /run/secrets/holm
  printf %s \"$SECRET\" | holm login --password-file -
  holm login https://cloud.example:2616 --token-file token.txt
  holm login https://cloud.example:2616 --user anna --key ~/.ssh/id_ed25519

With --key an SSH key proves who you are; give the public half's file when an agent has the private one. The password is
asked for without echo; it is never an argument. What is stored is a token.")]
pub struct Login {
    /// Address of the front-end; default that of the context, else http://127.0.0.1:2616.
    #[arg(value_name = "URL")]
    pub address: Option<String>,
    /// User name.
    #[arg(long, short, default_value = "oneadmin")]
    pub user: String,
    /// Read the password from the first line of this file; `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "token_file")]
    pub password_file: Option<String>,
    /// Log in with the token in this file instead of a password; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<String>,
    /// Log in with this SSH key instead of a password.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["password_file", "token_file"])]
    pub key: Option<String>,
    /// The code that the authenticator application shows; asked for where it is needed.
    #[arg(long, value_name = "CODE", conflicts_with = "token_file")]
    pub code: Option<String>,
}

/// `holm context`.
#[derive(Debug, Subcommand)]
pub enum ContextCommand {
    /// List known clouds.
    #[command(visible_alias = "ls", after_help = "Examples:\n  holm context list")]
    List,
    /// Use this cloud from now on.
    #[command(after_help = "Examples:\n  holm context use lab")]
    Use(One),
    /// Forget a cloud. The token stays valid; log out first to make it useless.
    #[command(visible_alias = "rm", after_help = "Examples:\n  holm context delete lab")]
    Delete(One),
}

/// `holm token`.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// List your tokens; administrators see everybody's.
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  holm token list\n  holm token list --filter user:anna -o json"
    )]
    List(ListArgs),
    /// Make a further token and print it, this once.
    #[command(
        after_help = "Examples:\n  holm token create --label ci --expires 90d\n  HOLM_TOKEN=$(holm token create -o name) holm status\n  holm token create --user robot --group lab --expires 365d"
    )]
    Create(TokenCreateArgs),
    /// Make a token useless.
    #[command(visible_alias = "delete", after_help = "Examples:\n  holm token revoke 7")]
    Revoke(TokenIds),
}

/// `holm token create`.
#[derive(Debug, Args)]
pub struct TokenCreateArgs {
    /// What it is for.
    #[arg(long, default_value = "")]
    pub label: String,
    /// How long it works: 1m to 365d; default a day.
    #[arg(long, value_name = "DURATION", value_parser = crate::fields::duration)]
    pub expires: Option<Duration>,
    /// Whom it stands for, by name or id: somebody you manage. Default yourself.
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// The one group, by name or id, as whose member its bearer acts.
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,
}

/// `holm token revoke`.
#[derive(Debug, Args)]
pub struct TokenIds {
    /// Ids of the tokens.
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<u32>,
}

/// `holm event`.
#[derive(Debug, Subcommand)]
pub enum EventCommand {
    /// Print changes as they happen, one a line, until interrupted.
    #[command(after_help = "Examples:
  holm event watch
  holm event watch --kind vm --name web
  holm event watch -o json | jq -r .why
  holm event watch --after 1200 --count 10

With -o json every line is one event. A broken connection is opened again without losing events.")]
    Watch(EventWatch),
}

/// `holm event watch`.
#[derive(Debug, Args)]
pub struct EventWatch {
    /// Begin after this revision instead of now.
    #[arg(long, value_name = "REVISION")]
    pub after: Option<u64>,
    /// Only objects of this noun: vm, host, image, network, ...
    #[arg(long, value_name = "NOUN")]
    pub kind: Vec<String>,
    /// Only objects of this name or id.
    #[arg(long, value_name = "NAME")]
    pub name: Vec<String>,
    /// End after so many events.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// End after this long.
    #[arg(long, value_name = "DURATION", value_parser = crate::fields::duration)]
    pub timeout: Option<Duration>,
}

/// `holm operation`.
#[derive(Debug, Subcommand)]
pub enum OperationCommand {
    /// List what was asked for.
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  holm operation list --filter state:running\n  holm operation list --sort -created_at --limit 10"
    )]
    List(ListArgs),
    /// Show how one stands.
    #[command(after_help = "Examples:\n  holm operation show 12\n  holm operation show 12 --wait --timeout 5m")]
    Show(OperationShow),
}

/// `holm operation show`.
#[derive(Debug, Args)]
pub struct OperationShow {
    /// Its id.
    #[arg(value_name = "ID")]
    pub id: u32,
    /// Stay until it is done.
    #[arg(long)]
    pub wait: bool,
    /// Give up waiting after this long.
    #[arg(long, value_name = "DURATION", value_parser = crate::fields::duration, default_value = "15m")]
    pub timeout: Duration,
}

/// `holm api`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  holm api GET /vms
  holm api GET '/vms?limit=2&sort=name'
  holm api GET /api/v1/openapi.json
  holm api POST /vms --data '{\"name\": \"web\", \"disks\": [{\"image\": \"tiny\"}]}'
  holm api PATCH /hosts/edge1 --data @change.json
  echo '{}' | holm api POST /join-tokens --data -

The answer's body is written as it comes. Refusals end with an exit code as everywhere.")]
pub struct Api {
    /// GET, POST, PUT, PATCH, DELETE or HEAD.
    #[arg(value_name = "METHOD", value_parser = method)]
    pub method: reqwest::Method,
    /// The path, with or without /api/v1, with its query.
    #[arg(value_name = "PATH")]
    pub path: String,
    /// The body: JSON text, @FILE, or - for standard input.
    #[arg(long, short, value_name = "JSON")]
    pub data: Option<String>,
    /// Use this idempotency key instead of a fresh one.
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// A further header.
    #[arg(long, short = 'H', value_name = "NAME:VALUE")]
    pub header: Vec<String>,
}

fn method(text: &str) -> Result<reqwest::Method, String> {
    match text.to_ascii_uppercase().as_str() {
        word @ ("GET" | "POST" | "PUT" | "PATCH" | "DELETE" | "HEAD") => {
            reqwest::Method::from_bytes(word.as_bytes()).map_err(|e| e.to_string())
        }
        _ => Err("write GET, POST, PUT, PATCH, DELETE or HEAD".into()),
    }
}

/// `holm completion`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  holm completion bash > /etc/bash_completion.d/holm
  holm completion zsh > ~/.zfunc/_holm
  holm completion fish > ~/.config/fish/completions/holm.fish")]
pub struct Completion {
    /// The shell.
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// `holm man`.
#[derive(Debug, Args)]
pub struct Man {
    /// Write one page for each command into this directory.
    #[arg(long, value_name = "DIR")]
    pub dir: FilePath,
}
