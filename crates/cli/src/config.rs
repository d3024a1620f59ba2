//! Settings: which clouds are known, who one is there, and whom to believe.
//!
//! They live in `holm/config.toml` in the user's configuration directory, readable by the user alone, and are replaced
//! as a whole: whoever reads sees the old file or the new one.

use crate::args::Globals;
use crate::errors::{Error, Result};
use crate::trust::{self, Trust};
use reqwest::Url;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The front-end of this machine, used when nothing else is said.
pub const DEFAULT_URL: &str = "http://127.0.0.1:2616";

/// The settings file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Settings {
    /// The context used when none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// Clouds by the user's own names for them.
    #[serde(default)]
    pub contexts: BTreeMap<String, Context>,
}

/// One cloud as the user knows it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Context {
    /// Address of its front-end.
    pub url: String,
    /// Who logged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// What proves it; absent after logging out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// When the token ceases to work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// The pinned certificate, `sha256:HEX`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_fingerprint: Option<String>,
    /// The authority to believe, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_pem: Option<String>,
}

/// What the process was given besides its arguments.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `HOLM_TOKEN`.
    pub token: Option<String>,
    /// `HOLM_TOKEN_FILE`.
    pub token_file: Option<String>,
    /// `XDG_CONFIG_HOME`.
    pub config_home: Option<PathBuf>,
    /// `HOME`.
    pub home: Option<PathBuf>,
}

impl Environment {
    /// Reads the process' environment. An empty variable counts as absent.
    #[must_use]
    pub fn of_process() -> Self {
        let text = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let path = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self {
            token: text("HOLM_TOKEN"),
            token_file: text("HOLM_TOKEN_FILE"),
            config_home: path("XDG_CONFIG_HOME").filter(|path| path.is_absolute()),
            home: path("HOME"),
        }
    }

    /// Where the settings are kept.
    ///
    /// # Errors
    /// When there is neither `XDG_CONFIG_HOME` nor `HOME`.
    pub fn settings_path(&self) -> Result<PathBuf> {
        self.config_home
            .clone()
            .or_else(|| self.home.as_ref().map(|home| home.join(".config")))
            .map(|directory| directory.join("holm").join("config.toml"))
            .ok_or_else(|| {
                Error::failed("no place for settings: neither XDG_CONFIG_HOME nor HOME is set").hint("Set HOME.")
            })
    }
}

/// Where a command goes, as whom, and whom it believes.
#[derive(Clone)]
pub struct Target {
    /// The front-end's address, without a path.
    pub url: Url,
    /// Sent as bearer.
    pub token: Option<String>,
    /// Which certificates are accepted.
    pub trust: Trust,
    /// The context it came from.
    pub context: Option<String>,
    /// The user of that context.
    pub user: Option<String>,
}

impl Settings {
    /// Reads the settings; an absent file is an empty one.
    ///
    /// # Errors
    /// When the file is there but cannot be read or understood.
    pub fn load(path: &Path) -> Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(Error::io(format_args!("read {}", path.display()), &error)),
        };
        toml::from_str(&text).map_err(|error| {
            Error::failed(format!("{} is not understood: {}", path.display(), error.message()))
                .hint("Mend the file, or remove it and log in again.")
        })
    }

    /// Replaces the settings. The file is readable by the user alone from its first byte on.
    ///
    /// # Errors
    /// When the directory or the file cannot be written.
    pub fn save(&self, path: &Path) -> Result {
        let refuse = |error: std::io::Error| Error::io(format_args!("write {}", path.display()), &error);
        // A settings file that is a link (dotfiles kept elsewhere) stays one.
        let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let directory = real.parent().unwrap_or(Path::new("/"));
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(refuse)?;
        let text = toml::to_string_pretty(self)
            .map_err(|error| Error::failed(format!("cannot write {}: {error}", path.display())))?;
        let mut file = tempfile::Builder::new()
            .prefix(".config.")
            .permissions(std::fs::Permissions::from_mode(0o600))
            .tempfile_in(directory)
            .map_err(refuse)?;
        file.write_all(text.as_bytes()).map_err(refuse)?;
        file.as_file().sync_all().map_err(refuse)?;
        file.persist(&real).map_err(|error| refuse(error.error))?;
        Ok(())
    }

    /// The context to use: the named one, which must exist, or the current one.
    ///
    /// # Errors
    /// When the named one is not known.
    pub fn pick(&self, named: Option<&str>) -> Result<Option<(&str, &Context)>> {
        let name = match named.or(self.current.as_deref()) {
            Some(name) => name,
            None => return Ok(None),
        };
        match self.contexts.get_key_value(name) {
            Some((name, context)) => Ok(Some((name, context))),
            None if named.is_none() => Ok(None),
            None => {
                let known: Vec<&str> = self.contexts.keys().map(String::as_str).collect();
                Err(Error::new(crate::errors::Exit::NotFound, format!("there is no context {name:?}")).hint(
                    if known.is_empty() {
                        format!("Make it with `holm login URL --context {name}`.")
                    } else {
                        format!("There are: {}.", known.join(", "))
                    },
                ))
            }
        }
    }
}

/// Where to go, from arguments, environment and settings, in this order of weight.
///
/// A context's token and trust go only to that context's own address: naming another URL never carries a secret there.
///
/// # Errors
/// When a URL, a file or the named context is no good.
pub fn resolve(globals: &Globals, settings: &Settings, environment: &Environment) -> Result<Target> {
    let given = globals.url.as_deref().map(parse_url).transpose()?;
    let picked = match (&given, settings.pick(globals.context.as_deref())?) {
        (Some(url), Some((name, context))) if parse_url(&context.url).ok().as_ref() != Some(url) => {
            if globals.context.is_some() {
                return Err(Error::usage(format!("context {name:?} is {}, but --url says {url}", context.url))
                    .hint("Give only one of --url and --context."));
            }
            // Not the current cloud; perhaps it is another known one.
            settings
                .contexts
                .iter()
                .find(|(_, c)| parse_url(&c.url).ok().as_ref() == Some(url))
                .map(|(n, c)| (n.as_str(), c))
        }
        (_, picked) => picked,
    };
    let url = match (given, picked) {
        (Some(url), _) => url,
        (None, Some((_, context))) => parse_url(&context.url)?,
        (None, None) => parse_url(DEFAULT_URL)?,
    };
    let token = match (&environment.token, &environment.token_file) {
        (Some(token), _) => Some(token.clone()),
        (None, Some(path)) => Some(first_line("HOLM_TOKEN_FILE", path)?),
        (None, None) => picked.and_then(|(_, context)| context.token.clone()),
    };
    let trust = match (&globals.ca_fingerprint, &globals.ca) {
        (Some(pin), _) => {
            Trust::Fingerprint(trust::fingerprint(pin).map_err(|e| Error::usage(format!("--ca-fingerprint: {e}")))?)
        }
        (None, Some(path)) => Trust::Authority(crate::fields::read_file("--ca", path)?),
        (None, None) => match picked.map(|(_, context)| (&context.ca_fingerprint, &context.ca_pem)) {
            Some((Some(pin), _)) => Trust::Fingerprint(
                trust::fingerprint(pin).map_err(|e| Error::failed(format!("the settings' ca_fingerprint: {e}")))?,
            ),
            Some((None, Some(pem))) => Trust::Authority(pem.clone()),
            _ => Trust::System,
        },
    };
    Ok(Target {
        url,
        token,
        trust,
        context: picked.map(|(name, _)| name.to_owned()),
        user: picked.and_then(|(_, context)| context.user.clone()),
    })
}

/// Reads a front-end's address. Without a scheme it is `http` on loopback and `https` elsewhere.
///
/// # Errors
/// When it is no address, holds a password or a path, or would send secrets in clear text over a network.
pub fn parse_url(text: &str) -> Result<Url> {
    let refuse = |wrong: String| {
        Error::usage(format!("{text:?} is no address of a front-end: {wrong}"))
            .hint("Write https://HOST:PORT, or http://127.0.0.1:2616 on the front-end itself.")
    };
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let mut url = Url::parse(&with_scheme).map_err(|error| refuse(error.to_string()))?;
    let loopback = is_loopback(&url);
    if !text.contains("://") && loopback {
        // Changing between the two web schemes of a parsed address always succeeds.
        let _ = url.set_scheme("http");
    }
    match url.scheme() {
        "https" => {}
        "http" if loopback => {}
        "http" => {
            return Err(refuse("http is spoken on loopback only".into())
                .hint("Use https, or an SSH tunnel to the front-end's loopback address."));
        }
        other => return Err(refuse(format!("{other} is not spoken"))),
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(refuse("the host is missing".into()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("it holds a user or password".into()));
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("it goes on after the port".into()));
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The first line of a file that holds a secret; `-` is standard input.
///
/// # Errors
/// When it cannot be read or is empty.
pub fn first_line(flag: &str, path: &str) -> Result<String> {
    let text = crate::fields::read_file(flag, path)?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(Error::usage(format!("{flag}: {path:?} is empty")));
    }
    Ok(line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        let context =
            |url: &str, token: &str| Context { url: url.into(), token: Some(token.into()), ..Context::default() };
        Settings {
            current: Some("here".into()),
            contexts: [
                ("here".to_owned(), context("http://127.0.0.1:2616", "t-here")),
                ("there".to_owned(), context("https://cloud.example:2616", "t-there")),
            ]
            .into(),
        }
    }

    fn at(url: Option<&str>, context: Option<&str>) -> Result<Target> {
        let globals = Globals { url: url.map(Into::into), context: context.map(Into::into), ..Globals::default() };
        resolve(&globals, &settings(), &Environment::default())
    }

    #[test]
    fn a_token_goes_only_where_it_came_from() {
        assert_eq!(at(None, None).expect("a target").token.as_deref(), Some("t-here"));
        assert_eq!(at(None, Some("there")).expect("a target").token.as_deref(), Some("t-there"));
        assert_eq!(at(Some("https://cloud.example:2616/"), None).expect("a target").token.as_deref(), Some("t-there"));
        assert_eq!(at(Some("https://evil.example"), None).expect("a target").token, None);
        assert_eq!(at(Some("https://evil.example"), Some("here")).err().expect("refused").exit as u8, 2);
        assert_eq!(at(None, Some("nowhere")).err().expect("refused").exit as u8, 3);
    }

    #[test]
    fn the_environment_weighs_more_than_the_settings() {
        let environment = Environment { token: Some("t-env".into()), ..Environment::default() };
        let target = resolve(&Globals::default(), &settings(), &environment).expect("a target");
        assert_eq!(target.token.as_deref(), Some("t-env"));
    }

    #[test]
    fn addresses_that_would_leak_or_confuse_are_refused() {
        for (text, read) in [
            ("localhost:2616", "http://localhost:2616/"),
            ("127.0.0.1:2616", "http://127.0.0.1:2616/"),
            ("[::1]:2616", "http://[::1]:2616/"),
            ("cloud.example", "https://cloud.example/"),
        ] {
            assert_eq!(parse_url(text).expect(text).as_str(), read);
        }
        for text in [
            "http://cloud.example",
            "http://127.0.0.1.cloud.example",
            "https://user:secret@cloud.example",
            "https://cloud.example/path",
            "https://cloud.example/?a=b",
            "ftp://127.0.0.1",
            "",
            "https://",
        ] {
            assert_eq!(parse_url(text).expect_err(text).exit as u8, 2, "{text}");
        }
    }

    #[test]
    fn settings_are_private_and_replaced_as_a_whole() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("new/holm/config.toml");
        settings().save(&path).expect("saved");
        let mode = |path: &Path| std::fs::metadata(path).expect("metadata").permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().expect("a parent")), 0o700);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("loosened");
        let mut changed = Settings::load(&path).expect("loaded");
        changed.current = Some("there".into());
        changed.save(&path).expect("saved again");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(Settings::load(&path).expect("loaded").current.as_deref(), Some("there"));
        let left: Vec<_> = std::fs::read_dir(path.parent().expect("a parent")).expect("listed").collect();
        assert_eq!(left.len(), 1, "nothing but the settings is left behind");
    }

    #[test]
    fn broken_settings_are_named() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("config.toml");
        std::fs::write(&path, "current = [").expect("written");
        let error = Settings::load(&path).expect_err("broken");
        assert!(error.says.contains("config.toml"), "{error}");
    }
}
