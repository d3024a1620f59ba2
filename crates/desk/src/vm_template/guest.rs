//! `OS`, `GRAPHICS` and `CONTEXT`: what the guest boots and what it is told.

use super::Variables;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use holm_model::attributes::{Reading as _, Vector, is_yes};
use holm_model::vms::{Context, Firmware, Machine, VmDraft};
use holm_model::{Attributes, Invalid, Word};

/// Reads what the section `OS` says of kernel, firmware and machine. The section itself stays as it is written.
pub fn boot(draft: &mut VmDraft, given: &Attributes) -> Result<(), Invalid> {
    let Some(os) = given.vector("OS") else { return Ok(()) };
    draft.kernel = os.given("KERNEL_DS").map(|text| file("OS/KERNEL_DS", text)).transpose()?;
    draft.initrd = os.given("INITRD_DS").map(|text| file("OS/INITRD_DS", text)).transpose()?;
    draft.cmdline = cmdline(&os);
    if let (None, Some(cmdline)) = (&draft.kernel, &draft.cmdline) {
        let field = if os.given("KERNEL_CMD").is_some() { "OS/KERNEL_CMD" } else { "OS/ROOT" };
        let fix = "Give KERNEL_DS as well, or write the arguments into the guest's boot loader.";
        return Err(Invalid::new(field, cmdline, "is for a kernel, and none is given", fix));
    }
    draft.firmware = firmware(&os);
    draft.machine = machine(&os);
    Ok(())
}

/// The arguments of the kernel: where its root file system is, and the rest.
pub fn cmdline(os: &Vector<'_>) -> Option<String> {
    let root = os.given("ROOT").map(|root| {
        let device = root.strip_prefix("/dev/").unwrap_or(root);
        format!("root=/dev/{device}")
    });
    let all: Vec<String> = root.into_iter().chain(os.given("KERNEL_CMD").map(str::to_owned)).collect();
    (!all.is_empty()).then(|| all.join(" "))
}

/// The firmware of a section `OS`.
pub fn firmware(os: &Vector<'_>) -> Firmware {
    match os.given("FIRMWARE") {
        // Whoever gives a file of the host means one of the UEFI builds: BIOS needs none.
        Some(text) if !text.eq_ignore_ascii_case("BIOS") => Firmware::Uefi,
        Some(_) | None => Firmware::Bios,
    }
}

/// The machine of a section `OS`.
pub fn machine(os: &Vector<'_>) -> Machine {
    match os.given("MACHINE") {
        Some(text) if text.starts_with("microvm") => Machine::Microvm,
        Some(_) | None => Machine::Q35,
    }
}

/// `$FILE[IMAGE_ID=n]` or `$FILE[IMAGE="name"]`: the image's id or name.
pub fn file(field: &str, text: &str) -> Result<String, Invalid> {
    let refuse =
        || Invalid::new(field, text, "names no file image", "Write $FILE[IMAGE_ID=12], with the id of a file image.");
    let trimmed = text.trim();
    let members = trimmed
        .get(..5)
        .filter(|start| start.eq_ignore_ascii_case("$FILE"))
        .and_then(|_| trimmed[5..].trim().strip_prefix('['))
        .and_then(|rest| rest.strip_suffix(']'))
        .ok_or_else(refuse)?;
    let mut found = None;
    for member in members.split(',') {
        let (name, value) = member.split_once('=').ok_or_else(refuse)?;
        let value = value.trim().trim_matches('"');
        match name.trim().to_ascii_uppercase().as_str() {
            "IMAGE_ID" if value.parse::<u32>().is_ok() => found = Some(value.to_owned()),
            "IMAGE" if !value.is_empty() => {
                found.get_or_insert_with(|| value.to_owned());
            }
            "IMAGE_UNAME" | "IMAGE_UID" => {}
            _ => return Err(refuse()),
        }
    }
    found.ok_or_else(refuse)
}

/// Whether the guest has a screen that VNC shows.
pub fn has_screen(given: &Attributes) -> bool {
    given
        .vector("GRAPHICS")
        .and_then(|graphics| graphics.given("TYPE"))
        .is_some_and(|kind| kind.eq_ignore_ascii_case("vnc"))
}

/// Variables that name one of the guest's cards; Holm alone says what its cards are.
pub fn is_card_variable(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("ETH") else { return false };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    digits > 0 && rest.as_bytes().get(digits) == Some(&b'_')
}

/// The members of a context with the variables in their values replaced.
pub fn replaced(pairs: &[(Word, Word)], variables: &Variables<'_>) -> Result<Vec<(Word, Word)>, Invalid> {
    pairs
        .iter()
        .map(|(name, value)| Ok((name.clone(), variables.replace(&format!("CONTEXT/{name}"), value)?.into())))
        .collect()
}

/// Reads a context. What its own fields cannot hold stays a variable of the guest under its own name.
pub fn context(pairs: &[(Word, Word)]) -> Result<Context, Invalid> {
    let mut context = Context::default();
    let encoded = pairs
        .iter()
        .any(|(name, value)| matches!(name.as_str(), "USER_DATA_ENCODING" | "USERDATA_ENCODING") && value == "base64");
    for (name, value) in pairs {
        let field = format!("CONTEXT/{name}");
        let value = value.to_string();
        match name.as_str() {
            "DISK_ID" => {}
            _ if is_card_variable(name) => {}
            "NETWORK" if is_yes(&value) => context.network = true,
            "SET_HOSTNAME" if fits(|trial| trial.hostname = Some(value.clone())) => context.hostname = Some(value),
            "SSH_PUBLIC_KEY" => {
                let keys: Vec<String> =
                    value.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
                if fits(|trial| trial.ssh_keys.clone_from(&keys)) {
                    context.ssh_keys = keys;
                } else {
                    context.environment.push((name.to_string(), value));
                }
            }
            "START_SCRIPT" if !value.is_empty() && context.start_script.is_none() => context.start_script = Some(value),
            // The encoded form counts where there are both; the empty variable remembers which one was written.
            "START_SCRIPT_BASE64" if !value.is_empty() => match decoded(&value) {
                Some(script) => {
                    context.start_script = Some(script);
                    context.environment.push((name.to_string(), String::new()));
                }
                None => {
                    return Err(Invalid::new(
                        field,
                        value,
                        "is no text in base64",
                        "Encode the script with base64 -w0.",
                    ));
                }
            },
            "USER_DATA" if encoded => match decoded(&value) {
                Some(data) if !data.is_empty() => context.user_data = Some(data),
                _ => context.environment.push((name.to_string(), value)),
            },
            "USER_DATA" if !value.is_empty() => context.user_data = Some(value),
            _ => context.environment.push((name.to_string(), value)),
        }
    }
    context.check()?;
    Ok(context)
}

fn fits(set: impl FnOnce(&mut Context)) -> bool {
    let mut trial = Context::default();
    set(&mut trial);
    trial.check().is_ok()
}

fn decoded(text: &str) -> Option<String> {
    let compact: String = text.split_whitespace().collect();
    BASE64.decode(compact).ok().and_then(|bytes| String::from_utf8(bytes).ok()).filter(|text| !text.contains('\0'))
}

/// The members of `CONTEXT` as they were written, without those of cards.
pub fn context_members(context: &Context) -> Vec<(Word, Word)> {
    let flag = |name: &str| context.environment.iter().any(|(key, _)| key == name);
    let mut members: Vec<(Word, Word)> = context
        .environment
        .iter()
        .filter(|(name, value)| !(name == "START_SCRIPT_BASE64" && value.is_empty()))
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    let mut add = |name: &str, value: String| members.push((name.into(), value.into()));
    if let Some(hostname) = &context.hostname {
        add("SET_HOSTNAME", hostname.clone());
    }
    if !context.ssh_keys.is_empty() {
        add("SSH_PUBLIC_KEY", context.ssh_keys.join("\n"));
    }
    if let Some(script) = &context.start_script {
        if flag("START_SCRIPT_BASE64") {
            add("START_SCRIPT_BASE64", BASE64.encode(script));
        } else {
            add("START_SCRIPT", script.clone());
        }
    }
    if let Some(data) = &context.user_data {
        let encoded = flag("USER_DATA_ENCODING") || flag("USERDATA_ENCODING");
        add("USER_DATA", if encoded { BASE64.encode(data) } else { data.clone() });
    }
    if context.network {
        add("NETWORK", "YES".into());
    }
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_by_id_or_name() {
        assert_eq!(file("f", "$FILE[IMAGE_ID=12]").expect("is one"), "12");
        assert_eq!(
            file("f", " $file[ IMAGE = \"vmlinuz 6\", IMAGE_UNAME=\"oneadmin\" ]").expect("is one"),
            "vmlinuz 6"
        );
        for bad in ["", "vmlinuz", "$FILE", "$FILE[]", "$FILE[IMAGE_ID=x]", "$FILE[A=1]", "$FÌLE[IMAGE_ID=1]"] {
            assert!(file("f", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn cards_are_told_from_other_variables() {
        assert!(is_card_variable("ETH0_IP") && is_card_variable("ETH12_ALIAS0_IP"));
        assert!(!is_card_variable("ETHERNET") && !is_card_variable("ETH0") && !is_card_variable("ETH_IP"));
    }
}
