//! The configuration file, `/etc/holm/holm.toml` unless `--config` says otherwise.
//!
//! Every setting has a default, so an empty or absent file is a valid one. An unknown setting is an error: a typing
//! mistake must not silently leave a default in force. `docs/reference/configuration.md` is generated from this file.
//!
//! It is a room of its own, below all others: whoever only reads settings, such as the fuzz target that feeds it
//! nonsense, does not need the rest of the house.

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Where the configuration is looked for when no path is given.
pub const DEFAULT_PATH: &str = "/etc/holm/holm.toml";

/// Everything that can be set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Settings of this machine, whatever the role.
    pub machine: Machine,
    /// Settings of the front-end.
    pub front: Front,
    /// Settings of the agent.
    pub agent: Agent,
    /// Settings of the log.
    pub log: Log,
}

/// Settings of this machine, whatever the role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Machine {
    /// Names everything Holm makes on the machine (control groups, packet filter table): two installations on one
    /// machine need two names. 1 to 12 lower-case letters and digits.
    pub instance: String,
}

impl Default for Machine {
    fn default() -> Self {
        Self { instance: "holm".into() }
    }
}

/// Settings of the front-end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Front {
    /// Where the database, the images and the keys are kept.
    pub data_dir: PathBuf,
    /// Address of the API. On a loopback address it is plain HTTP; on any other it is HTTPS.
    pub listen: SocketAddr,
    /// Certificate chain of the API, PEM. Without it, and where TLS is needed, the cloud's own authority signs one.
    pub tls_certificate: Option<PathBuf>,
    /// Private key of that certificate, PEM.
    pub tls_key: Option<PathBuf>,
    /// Whether OpenNebula's XML-RPC interface is served.
    pub opennebula: bool,
    /// Address of OpenNebula's XML-RPC interface, whose path is `/RPC2`; plain HTTP or HTTPS as the API.
    pub opennebula_listen: SocketAddr,
    /// Address of the agent link; always mutual TLS.
    pub link_listen: SocketAddr,
    /// The link's URL as agents reach it; printed in join tokens. Its host name or address is put into the link's
    /// certificate. Default: `https://` and `link_listen`.
    pub link_url: Option<String>,
    /// Seconds without a sign of life after which a host counts as lost: 10 to 3600.
    pub host_lease_s: u64,
    /// Whether image URLs may lead to private and loopback addresses. Turn it on only when everybody who may import
    /// images may also reach the front-end's own network.
    pub allow_private_image_urls: bool,
    /// Largest image accepted, GiB: 1 to 65536.
    pub max_image_gib: u64,
    /// Directories of the front-end's disk whose files users may import as images by their path. Empty: none.
    pub image_dirs: Vec<PathBuf>,
}

impl Default for Front {
    fn default() -> Self {
        Self {
            data_dir: "/var/lib/holm/front".into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 2616)),
            tls_certificate: None,
            tls_key: None,
            opennebula: true,
            opennebula_listen: SocketAddr::from(([127, 0, 0, 1], 2633)),
            link_listen: SocketAddr::from(([127, 0, 0, 1], 2617)),
            link_url: None,
            host_lease_s: 30,
            allow_private_image_urls: false,
            max_image_gib: 1024,
            image_dirs: Vec::new(),
        }
    }
}

impl Front {
    /// The link's URL as agents reach it.
    #[must_use]
    pub fn effective_link_url(&self) -> String {
        self.link_url.clone().unwrap_or_else(|| format!("https://{}", self.link_listen))
    }
}

/// Settings of the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Agent {
    /// Where the ledger, the keys, cached images and disks are kept.
    pub data_dir: PathBuf,
    /// Where sockets and process files are kept; emptied by a reboot. Keep it short: socket paths hold 107 bytes.
    pub run_dir: PathBuf,
    /// `kvm` or `tcg`; unset, it is found out by looking and, for KVM, by a boot.
    pub accelerator: Option<String>,
    /// The QEMU to use; unset, the one for this machine's architecture on the search path.
    pub qemu: Option<PathBuf>,
    /// How many guests may be starting at once; 0 takes the number of cores.
    pub starts_at_once: usize,
    /// Seconds a guest has to switch itself off before its power is cut: 1 to 3600.
    pub stop_grace_s: u64,
}

impl Default for Agent {
    fn default() -> Self {
        Self {
            data_dir: "/var/lib/holm/agent".into(),
            run_dir: "/run/holm".into(),
            accelerator: None,
            qemu: None,
            starts_at_once: 0,
            stop_grace_s: 60,
        }
    }
}

/// Settings of the log, which goes to standard error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// What is logged: `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,holm_agent=debug`.
    pub level: String,
    /// `text` for people or `json` for programs.
    pub format: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".into(), format: "text".into() }
    }
}

impl Config {
    /// Reads a configuration from text.
    ///
    /// # Errors
    /// When the text is no TOML, names an unknown setting or sets one to something impossible.
    pub fn parse(text: &str) -> Result<Self> {
        let config: Self = toml::from_str(text)?;
        config.check()?;
        Ok(config)
    }

    /// Reads the file at `path`; without a path the default one, which may be absent.
    ///
    /// # Errors
    /// When a named file is absent, or the content is refused; the error names the file.
    pub fn load(path: Option<&Path>) -> Result<Self> {
        let (file, optional) = match path {
            Some(path) => (path, false),
            None => (Path::new(DEFAULT_PATH), true),
        };
        match std::fs::read_to_string(file) {
            Ok(text) => Self::parse(&text).with_context(|| format!("configuration file {}", file.display())),
            Err(error) if optional && error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read the configuration file {}", file.display())),
        }
    }

    /// The configuration as a file that reads back as the same.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_default()
    }

    fn check(&self) -> Result<()> {
        let name = &self.machine.instance;
        if !(1..=12).contains(&name.len()) || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
            bail!("machine.instance: {name:?} is not 1 to 12 lower-case letters and digits");
        }
        let range = |setting: &str, value: u64, low: u64, high: u64| {
            if (low..=high).contains(&value) {
                Ok(())
            } else {
                bail!("{setting}: {value} is not between {low} and {high}")
            }
        };
        range("front.host_lease_s", self.front.host_lease_s, 10, 3600)?;
        range("front.max_image_gib", self.front.max_image_gib, 1, 65_536)?;
        range("agent.stop_grace_s", self.agent.stop_grace_s, 1, 3600)?;
        range("agent.starts_at_once", self.agent.starts_at_once as u64, 0, 1024)?;
        if self.front.tls_certificate.is_some() != self.front.tls_key.is_some() {
            bail!("front.tls_certificate and front.tls_key belong together: set both or neither");
        }
        if let Some(url) = &self.front.link_url
            && !url.starts_with("https://")
        {
            bail!("front.link_url: {url:?} does not start with https://: the agent link is always TLS");
        }
        if let Some(accelerator) = &self.agent.accelerator
            && !["kvm", "tcg"].contains(&accelerator.as_str())
        {
            bail!("agent.accelerator: {accelerator:?} is neither kvm nor tcg; leave it out to have it found out");
        }
        if !["text", "json"].contains(&self.log.format.as_str()) {
            bail!("log.format: {:?} is neither text nor json", self.log.format);
        }
        for (setting, dir) in [
            ("front.data_dir", &self.front.data_dir),
            ("agent.data_dir", &self.agent.data_dir),
            ("agent.run_dir", &self.agent.run_dir),
        ] {
            if !dir.is_absolute() {
                bail!("{setting}: {} is not an absolute path", dir.display());
            }
        }
        for dir in &self.front.image_dirs {
            if !dir.is_absolute() {
                bail!("front.image_dirs: {} is not an absolute path", dir.display());
            }
            if self.front.data_dir.starts_with(dir) || dir.starts_with(&self.front.data_dir) {
                bail!("front.image_dirs: {} holds the front-end's own files, keys among them", dir.display());
            }
        }
        let run_dir = self.agent.run_dir.as_os_str().len();
        if run_dir > 64 {
            bail!(
                "agent.run_dir: the path has {run_dir} bytes; 64 is the most, because socket paths below it hold 107"
            );
        }
        Ok(())
    }
}

/// The reference of all settings in Markdown, made from this file's own text so that it cannot differ from the code.
#[must_use]
pub fn reference() -> String {
    let mut page = String::from(
        "# Configuration\n\nGenerated from `crates/config/src/lib.rs`; do not edit.\n\n\
         The file is `/etc/holm/holm.toml` unless `--config` names another. Every setting has a default, an absent \
         file is a valid one, and an unknown setting is refused.\n",
    );
    let defaults = toml::Value::try_from(Config::default()).unwrap_or(toml::Value::Boolean(false));
    let mut doc: Vec<&str> = vec![];
    let mut section = None;
    for line in include_str!("lib.rs").lines() {
        let line = line.trim();
        if let Some(text) = line.strip_prefix("/// ") {
            doc.push(text);
        } else if let Some(name) = line.strip_prefix("pub struct ").and_then(|l| l.strip_suffix(" {")) {
            section = ["machine", "front", "agent", "log"].into_iter().find(|s| s.eq_ignore_ascii_case(name));
            if let Some(section) = section {
                page.push_str(&format!(
                    "\n## [{section}]\n\n{}\n\n| setting | default | meaning |\n|---|---|---|\n",
                    doc.join(" ")
                ));
            }
            doc.clear();
        } else if let (Some(section), Some(field)) = (section, line.strip_prefix("pub ").filter(|l| l.ends_with(','))) {
            let (name, kind) = field.trim_end_matches(',').split_once(": ").unwrap_or((field, ""));
            let default = match defaults.get(section).and_then(|s| s.get(name)) {
                Some(value) => format!("`{value}`"),
                None if kind.starts_with("Option") => "unset".into(),
                None => String::new(),
            };
            page.push_str(&format!("| `{name}` | {default} | {} |\n", doc.join(" ").replace('|', "\\|")));
            doc.clear();
        } else if line == "}" {
            section = None;
            doc.clear();
        } else if !line.starts_with("#[") {
            doc.clear();
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_the_default() {
        assert_eq!(Config::parse("").expect("valid"), Config::default());
    }

    #[test]
    fn mistakes_are_named() {
        for (text, says) in [
            ("[front]\nlisten_adress = \"127.0.0.1:1\"", "listen_adress"),
            ("[front]\nlisten = \"everywhere\"", "listen"),
            ("[front]\nhost_lease_s = 1", "not between 10 and 3600"),
            ("[front]\ntls_key = \"/k\"", "belong together"),
            ("[front]\nlink_url = \"http://a\"", "always TLS"),
            ("[front]\nimage_dirs = [\"isos\"]", "isos is not an absolute path"),
            ("[front]\nimage_dirs = [\"/srv/isos\", \"/var/lib\"]", "/var/lib holds the front-end's own files"),
            ("[front]\nimage_dirs = [\"/var/lib/holm/front/tls\"]", "holds the front-end's own files"),
            ("[agent]\naccelerator = \"hax\"", "neither kvm nor tcg"),
            ("[agent]\ndata_dir = \"here\"", "not an absolute path"),
            (
                "[agent]\nrun_dir = \"/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"",
                "64 is the most",
            ),
            ("[machine]\ninstance = \"../x\"", "lower-case letters"),
            ("[log]\nformat = \"xml\"", "neither text nor json"),
            ("\u{0}", "TOML"),
        ] {
            let error = format!("{:#}", Config::parse(text).expect_err(text));
            assert!(error.contains(says), "{text:?} gave {error:?}");
        }
    }

    #[test]
    fn the_written_form_reads_back() {
        assert_eq!(Config::parse(&Config::default().to_toml()).expect("reads back"), Config::default());
    }

    #[test]
    fn the_reference_names_every_setting() {
        let reference = reference();
        let defaults = toml::Value::try_from(Config::default()).expect("can be written");
        for (section, settings) in defaults.as_table().expect("is a table") {
            assert!(reference.contains(&format!("## [{section}]")), "{section}");
            for setting in settings.as_table().expect("is a table").keys() {
                assert!(reference.contains(&format!("| `{setting}` |")), "{section}.{setting}");
            }
        }
        assert!(reference.contains("| `tls_key` | unset |"));
    }
}
