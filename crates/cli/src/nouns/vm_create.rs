//! From flags and a file to the request that creates a VM.

use crate::args::vms::{VmCreateArgs, VmSpecArgs};
use crate::errors::{Error, Result};
use crate::fields::{read_file, text_or_file};
use holm_wire::v1::VmCreate;
use serde_json::Value;

/// The request for a VM.
pub(super) fn request(args: &VmCreateArgs) -> Result<VmCreate> {
    let mut vm = spec(&args.spec)?;
    if let Some(name) = &args.name {
        vm.name.clone_from(name);
    }
    if vm.name.is_empty() {
        return Err(Error::usage("the VM has no name").hint("Give it before the flags, or as `name` in the file."));
    }
    override_with(&mut vm.owner, &args.owner);
    override_with(&mut vm.group, &args.group);
    Ok(vm)
}

/// What a VM is to be: what the file says, and over it what the flags say.
pub(super) fn spec(args: &VmSpecArgs) -> Result<VmCreate> {
    let mut vm = match &args.file {
        Some(file) => read_request(file)?,
        None => VmCreate::default(),
    };
    disks_and_nics(args, &mut vm);
    override_with(&mut vm.memory_mib, &args.memory);
    override_with(&mut vm.cpu, &args.cpu);
    override_with(&mut vm.vcpus, &args.vcpus);
    override_with(&mut vm.kernel, &args.kernel);
    override_with(&mut vm.initrd, &args.initrd);
    override_with(&mut vm.cmdline, &args.cmdline);
    override_with(&mut vm.machine, &args.machine.map(|machine| machine.word()));
    override_with(&mut vm.firmware, &args.firmware.map(|firmware| firmware.word()));
    override_with(&mut vm.host, &args.host);
    override_with(&mut vm.cluster, &args.cluster);
    override_with(&mut vm.policy, &args.policy.map(|policy| policy.word()));
    override_with(&mut vm.requirements, &args.requirements);
    override_with(&mut vm.rank, &args.rank);
    override_with(&mut vm.vm_group, &args.vm_group);
    vm.hold |= args.hold;
    override_with(&mut vm.power, &args.power.map(|power| power.word()));
    override_with(&mut vm.restart, &args.restart.map(|restart| restart.word()));
    vm.graphics |= args.graphics;
    context(args, &mut vm)?;
    for (key, value) in &args.attribute {
        vm.attributes.insert(key.clone(), Value::String(value.clone()));
    }
    Ok(vm)
}

fn disks_and_nics(args: &VmSpecArgs, vm: &mut VmCreate) {
    if let Some(first) = &args.image {
        // The image is the first disk; a file's first disk from an image is what it stands in for.
        match vm.disks.first_mut().filter(|disk| disk.image.is_some()) {
            Some(disk) => {
                disk.image.clone_from(&first.image);
                override_with(&mut disk.size_mib, &first.size_mib);
            }
            None => vm.disks.insert(0, first.clone()),
        }
    }
    vm.disks.extend(args.disk.iter().cloned());
    if args.no_nic {
        vm.nics = Some(vec![]);
    } else if !args.nic.is_empty() {
        vm.nics = Some(args.nic.clone());
    }
}

fn context(args: &VmSpecArgs, vm: &mut VmCreate) -> Result {
    let context = &mut vm.context;
    override_with(&mut context.hostname, &args.hostname);
    context.ssh_keys.extend(ssh_keys(&args.ssh_key)?);
    if let Some(text) = &args.user_data {
        context.user_data = Some(text_or_file("--user-data", text)?);
    }
    if let Some(text) = &args.start_script {
        context.start_script = Some(text_or_file("--start-script", text)?);
    }
    context.environment.extend(args.env.iter().cloned());
    context.network &= !args.dhcp;
    Ok(())
}

/// The public keys that are given, or in the files that are given.
pub(super) fn ssh_keys(given: &[String]) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for key in given {
        let text = text_or_file("--ssh-key", key)?;
        let keys: Vec<&str> =
            text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        if keys.is_empty() {
            return Err(Error::usage(format!("--ssh-key: there is no key in {key:?}")));
        }
        if let Some(wrong) = keys.iter().find(|line| line.contains("PRIVATE KEY")) {
            return Err(Error::usage(format!("--ssh-key: {key:?} holds a private key ({wrong})"))
                .hint("Give the public key, whose file ends in .pub."));
        }
        all.extend(keys.into_iter().map(str::to_owned));
    }
    Ok(all)
}

fn read_request(file: &str) -> Result<VmCreate> {
    let text = read_file("--file", file)?;
    // JSON is read as such for better messages; everything else is YAML.
    let read = if text.trim_start().starts_with('{') {
        with_name(serde_json::from_str(&text).map_err(|e| e.to_string()))
    } else {
        with_name(serde_yaml_ng::from_str(&text).map_err(|e| e.to_string()))
    };
    read.map_err(|wrong| {
        Error::usage(format!("--file: {file:?} is no request for a VM: {wrong}"))
            .hint("Its fields are those of VmCreate in the interface, see `holm api GET /openapi.json`.")
    })
}

/// The name may be missing in the file when it is an argument.
fn with_name(read: std::result::Result<Value, String>) -> std::result::Result<VmCreate, String> {
    let mut value = read?;
    if let Value::Object(fields) = &mut value {
        fields.entry("name").or_insert_with(|| Value::String(String::new()));
    }
    serde_json::from_value(value).map_err(|e| e.to_string())
}

fn override_with<T: Clone>(value: &mut Option<T>, flag: &Option<T>) {
    if flag.is_some() {
        value.clone_from(flag);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::vms::VmCommand;
    use crate::args::{Cli, Command};
    use clap::Parser;

    fn read(line: &[&str]) -> Result<VmCreate> {
        let cli = Cli::try_parse_from(["holm", "vm", "create"].iter().chain(line)).expect("arguments");
        match cli.command {
            Command::Vm(command) => match *command {
                VmCommand::Create(args) => request(&args),
                _ => panic!("another command"),
            },
            _ => panic!("another command"),
        }
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("written");
        file
    }

    #[test]
    fn flags_become_the_request() {
        let key = file("# mine\nssh-ed25519 AAAA me\n\nssh-ed25519 BBBB other\n");
        let key = format!("@{}", key.path().display());
        let vm = read(&[
            "web",
            "--image",
            "tiny:10G",
            "--disk",
            "size=5G",
            "--nic",
            "network=lan,ip=10.0.0.9",
            "--memory",
            "512M",
            "--cpu",
            "0.5",
            "--vcpus",
            "2",
            "--ssh-key",
            &key,
            "--env",
            "A=b=c",
            "--hostname",
            "web.example",
            "--firmware",
            "uefi",
            "--restart",
            "on-failure",
            "--power",
            "off",
            "--attribute",
            "team=x",
            "--dhcp",
            "--cmdline",
            "-x y",
            "--start-script",
            "@@home",
        ])
        .expect("a request");
        assert_eq!(
            serde_json::to_value(vm).expect("json"),
            serde_json::json!({
                "name": "web",
                "cpu": 0.5,
                "vcpus": 2,
                "memory_mib": 512,
                "firmware": "uefi",
                "cmdline": "-x y",
                "disks": [{"image": "tiny", "size_mib": 10240}, {"size_mib": 5120}],
                "nics": [{"network": "lan", "ip4": "10.0.0.9"}],
                "context": {
                    "hostname": "web.example",
                    "ssh_keys": ["ssh-ed25519 AAAA me", "ssh-ed25519 BBBB other"],
                    "start_script": "@home",
                    "environment": {"A": "b=c"},
                    "network": false
                },
                "graphics": false,
                "power": "off",
                "restart": "on_failure",
                "attributes": {"team": "x"}
            })
        );
    }

    #[test]
    fn a_bare_name_leaves_every_default_to_the_front_end() {
        let value = serde_json::to_value(read(&["web"]).expect("a request")).expect("json");
        for key in ["cpu", "memory_mib", "nics", "machine", "power", "host"] {
            assert!(value.get(key).is_none(), "{key}");
        }
        assert_eq!(read(&["web", "--no-nic"]).expect("a request").nics.map(|nics| nics.len()), Some(0));
    }

    #[test]
    fn flags_weigh_more_than_the_file() {
        let yaml = file("name: old\nmemory_mib: 128\ndisks:\n- image: tiny\n  size_mib: 512\n- size_mib: 1024\n");
        let path = yaml.path().display().to_string();
        let vm =
            read(&["new", "-f", &path, "--image", "debian", "--memory", "1G", "--disk", "size=2G"]).expect("a request");
        assert_eq!((vm.name.as_str(), vm.memory_mib), ("new", Some(1024)));
        let disks: Vec<_> = vm.disks.iter().map(|disk| (disk.image.as_deref(), disk.size_mib)).collect();
        assert_eq!(disks, [(Some("debian"), Some(512)), (None, Some(1024)), (None, Some(2048))]);
        assert_eq!(read(&["-f", &path]).expect("a request").name, "old");
    }

    #[test]
    fn wrong_files_are_named() {
        for text in ["memory: 1", "[1]", "{\"memory_mib\": -1}", "{", "name: [", ""] {
            let file = file(text);
            let error = read(&["x", "-f", &file.path().display().to_string()]).expect_err(text);
            assert_eq!(error.exit as u8, 2, "{text}");
            assert!(error.says.contains("--file"), "{error}");
        }
        assert_eq!(read(&["x", "--user-data", "@/does/not/exist"]).expect_err("no file").exit as u8, 2);
        let private = file("-----BEGIN OPENSSH PRIVATE KEY-----\nxyz\n");
        let error = read(&["x", "--ssh-key", &format!("@{}", private.path().display())]).expect_err("a private key");
        assert!(error.hint.expect("a hint").contains(".pub"));
    }
}
