//! What a guest is told about itself at boot.

use crate::{Common, Invalid, Pool, VmId};
use serde::{Deserialize, Serialize};

/// What the guest is told about itself at boot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Context {
    /// Host name; by default the VM's name made fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Public keys that may log in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ssh_keys: Vec<String>,
    /// User data for cloud-init, as is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_data: Option<String>,
    /// A script run at the end of the first boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_script: Option<String>,
    /// Variables for the guest's scripts, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<(String, String)>,
    /// Whether addresses are written into the context. Off: the guest finds them by DHCP.
    #[serde(default = "yes")]
    pub network: bool,
}

/// Stands in a context for the VM's name as long as that is not known. A private character, so that no text has it by
/// chance; whoever writes it on purpose gets the name.
pub const NAME_LATER: &str = "\u{f8f0}name\u{f8f1}";
/// Stands for the VM's number likewise.
pub const ID_LATER: &str = "\u{f8f0}id\u{f8f1}";

fn yes() -> bool {
    true
}

impl Common for Context {
    fn pool() -> &'static Pool<Self> {
        static POOL: Pool<Context> = Pool::new();
        &POOL
    }
}

impl Context {
    /// Puts the VM's number and name where they were not known yet.
    pub fn settle(&mut self, id: VmId, name: &str) {
        let number = id.to_string();
        let settle = |text: &mut String| {
            if text.contains(NAME_LATER) || text.contains(ID_LATER) {
                *text = text.replace(NAME_LATER, name).replace(ID_LATER, &number);
            }
        };
        self.environment.iter_mut().for_each(|(_, value)| settle(value));
        self.ssh_keys.iter_mut().for_each(settle);
        self.user_data.iter_mut().chain(&mut self.start_script).for_each(settle);
        // A host name with a mark in it was none yet.
        if let (None, Some(at)) = (&self.hostname, self.environment.iter().position(|(name, _)| name == "SET_HOSTNAME"))
        {
            let hostname = Some(self.environment[at].1.clone());
            if (Self { hostname: hostname.clone(), ..Self::default() }).check().is_ok() {
                self.environment.remove(at);
                self.hostname = hostname;
            }
        }
    }

    /// Checks sizes and spellings.
    ///
    /// # Errors
    /// The first broken rule.
    pub fn check(&self) -> Result<(), Invalid> {
        if let Some(hostname) = &self.hostname {
            let fine = |label: &str| {
                (1..=63).contains(&label.len())
                    && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                    && !label.starts_with('-')
                    && !label.ends_with('-')
            };
            if hostname.len() > 253 || !hostname.split('.').all(fine) {
                return Err(Invalid::new(
                    "hostname",
                    hostname,
                    "is no host name (RFC 1123)",
                    "Use letters, digits and '-', parts joined by dots.",
                ));
            }
        }
        for (at, key) in self.ssh_keys.iter().enumerate() {
            let kind = key.split_whitespace().next().unwrap_or("");
            let known = kind.starts_with("ssh-") || kind.starts_with("ecdsa-") || kind.starts_with("sk-");
            if key.len() > 16_384 || key.chars().any(char::is_control) || !known || key.split_whitespace().count() < 2 {
                return Err(Invalid::new(
                    format!("ssh_keys[{at}]"),
                    key,
                    "is no public key",
                    "Paste one line of a .pub file.",
                ));
            }
        }
        for (name, value) in &self.environment {
            let fine = name.len() <= 128
                && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !fine {
                return Err(Invalid::new(
                    "environment",
                    name,
                    "is no variable name",
                    "Use letters, digits and '_', not a digit first.",
                ));
            }
            if value.contains('\0') {
                return Err(Invalid::new("environment", name, "has a value with a NUL character", "Remove it."));
            }
        }
        let script = |t: &Option<String>| t.as_ref().map_or(0, String::len);
        let bytes = script(&self.user_data)
            + script(&self.start_script)
            + self.ssh_keys.iter().map(String::len).sum::<usize>()
            + self.environment.iter().map(|(k, v)| k.len() + v.len()).sum::<usize>();
        if bytes > 128 * 1024 {
            return Err(Invalid::new(
                "context",
                bytes,
                "bytes are more than 131072",
                "Let the guest fetch large data itself.",
            ));
        }
        if [&self.user_data, &self.start_script].into_iter().flatten().any(|t| t.contains('\0')) {
            return Err(Invalid::new("user_data", "", "has a NUL character", "Encode binary data."));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_known_is_put_in_its_place() {
        let pair = |name: &str, value: String| (name.to_owned(), value);
        let mut context = Context {
            environment: vec![pair("A", format!("{NAME_LATER}/{ID_LATER}")), pair("SET_HOSTNAME", NAME_LATER.into())],
            start_script: Some(format!("echo {NAME_LATER}")),
            ..Context::default()
        };
        context.settle(VmId(7), "one-7");
        assert_eq!(context.environment, [pair("A", "one-7/7".into())]);
        assert_eq!((context.hostname.as_deref(), context.start_script.as_deref()), (Some("one-7"), Some("echo one-7")));
        let before = context.clone();
        context.settle(VmId(8), "other");
        assert_eq!(context, before);
    }
}
