//! Which accelerator guests get on this machine, and why.
//!
//! Asking /dev/kvm is not enough: on some hosts it answers every question and still boots no ordinary kernel. So the
//! rules go from what somebody decided over what the machine shows to what it proves:
//!
//! 1. the setting, whatever it says;
//! 2. no x86-64 machine: binary translation, since the guests are x86-64;
//! 3. /dev/kvm is missing or cannot be written: binary translation;
//! 4. the module `kvm_pvm` is loaded: only special guest kernels boot there, so binary translation;
//! 5. the processor shows neither `vmx` nor `svm`: binary translation;
//! 6. otherwise a kernel is booted once under KVM and must get as far as looking for its root within 20 s. The verdict
//!    is kept per kernel release and QEMU version. Without a kernel to boot KVM is used unproven, and said to be.
//!
//! A QEMU that crashes in its first second under KVM overrules all but the setting.

use super::qemu;
use crate::settings::LinuxSettings;
use holm_model::hosts::Accelerator;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::sync::Mutex;

/// How long a kernel may take to prove itself.
const PROOF_LIMIT: Duration = Duration::from_secs(20);

/// What a kernel without a root says when it has booted completely.
const PROOFS: [&str; 3] = ["Kernel panic - not syncing", "VFS: Cannot open root device", "Run /init as init process"];

/// File name of the kept verdict.
const VERDICT: &str = "accelerator.json";

/// The accelerator of new guests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What executes guest code.
    pub accelerator: Accelerator,
    /// Why, one sentence.
    pub why: String,
    /// Whether it was decided or proven, rather than taken for granted.
    pub verified: bool,
}

/// What the rules look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Evidence {
    setting: Option<Accelerator>,
    arch: String,
    kvm_writable: bool,
    kvm_pvm: bool,
    virtualization_flags: bool,
}

impl Evidence {
    fn gather(setting: Option<Accelerator>) -> Self {
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Self {
            setting,
            arch: std::env::consts::ARCH.into(),
            kvm_writable: std::fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok(),
            kvm_pvm: Path::new("/sys/module/kvm_pvm").exists(),
            virtualization_flags: cpuinfo
                .lines()
                .filter(|l| l.starts_with("flags"))
                .any(|l| l.split_ascii_whitespace().any(|flag| flag == "vmx" || flag == "svm")),
        }
    }

    /// The first rule that applies; `None` when only a boot can tell.
    fn rule(&self) -> Option<Choice> {
        let tcg = |why: &str| Some(Choice { accelerator: Accelerator::Tcg, why: why.into(), verified: true });
        if let Some(accelerator) = self.setting {
            let why = format!("The host's settings say {accelerator}.");
            return Some(Choice { accelerator, why, verified: true });
        }
        if self.arch != "x86_64" {
            return tcg("Guests are x86-64 machines and this host is not: binary translation.");
        }
        if !self.kvm_writable {
            return tcg("/dev/kvm is missing or cannot be opened for writing: binary translation.");
        }
        if self.kvm_pvm {
            return tcg("The module kvm_pvm is loaded, under which ordinary guests do not boot: binary translation.");
        }
        if !self.virtualization_flags {
            return tcg("The processor shows neither vmx nor svm: binary translation.");
        }
        None
    }
}

/// A verdict as kept between runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Verdict {
    kernel: String,
    qemu: String,
    accelerator: Accelerator,
    why: String,
    /// A proven failure is not tried again until kernel or QEMU change; an unproven success is.
    verified: bool,
}

/// Judges the machine once and remembers.
pub struct Judge {
    settings: LinuxSettings,
    /// Where `vmlinuz-*` files are looked for, besides files added by [`Judge::offer_kernel`].
    boot_dir: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    choice: Option<Choice>,
    kernels: Vec<PathBuf>,
}

impl Judge {
    /// A judge who has not looked yet.
    #[must_use]
    pub fn new(settings: LinuxSettings) -> Self {
        Self { settings, boot_dir: "/boot".into(), state: Mutex::default() }
    }

    /// Names a kernel that a proof may boot. An unproven choice is judged anew with it.
    pub async fn offer_kernel(&self, kernel: &Path) {
        let mut state = self.state.lock().await;
        if !state.kernels.iter().any(|k| k == kernel) {
            state.kernels.insert(0, kernel.to_owned());
            state.kernels.truncate(4);
            if state.choice.as_ref().is_some_and(|c| !c.verified) {
                state.choice = None;
            }
        }
    }

    /// The accelerator of new guests. Takes up to 20 s when a boot must prove it, otherwise no time.
    pub async fn choice(&self) -> Choice {
        let mut state = self.state.lock().await;
        if let Some(choice) = &state.choice {
            return choice.clone();
        }
        let choice = match Evidence::gather(self.settings.accelerator).rule() {
            Some(choice) => choice,
            None => self.verdict(&state.kernels).await,
        };
        tracing::info!(accelerator = %choice.accelerator, verified = choice.verified, "{}", choice.why);
        state.choice = Some(choice.clone());
        choice
    }

    /// QEMU crashed under KVM as soon as it ran: from now on it is binary translation, unless the settings insist.
    pub async fn distrust_kvm(&self, crash: &str) -> Choice {
        if self.settings.accelerator.is_none() {
            let why = format!("QEMU crashed at its start under KVM ({crash}): binary translation.");
            tracing::warn!("{why}");
            let choice = Choice { accelerator: Accelerator::Tcg, why, verified: true };
            self.keep(&choice).await;
            self.state.lock().await.choice = Some(choice);
        }
        self.choice().await
    }

    async fn verdict(&self, offered: &[PathBuf]) -> Choice {
        let (kernel, version) = (kernel_release(), qemu::version(&self.settings).await.unwrap_or_default());
        if let Some(kept) = std::fs::read(self.settings.data_dir.join(VERDICT))
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Verdict>(&bytes).ok())
            .filter(|kept| kept.kernel == kernel && kept.qemu == version && kept.verified)
        {
            return Choice { accelerator: kept.accelerator, why: kept.why, verified: true };
        }
        let candidates: Vec<PathBuf> =
            offered.iter().filter(|k| k.is_file()).cloned().chain(kernels_in(&self.boot_dir)).collect();
        let Some(candidate) = candidates.first() else {
            return Choice {
                accelerator: Accelerator::Kvm,
                why: "/dev/kvm and the processor promise KVM; it is unverified, as there is no kernel to boot.".into(),
                verified: false,
            };
        };
        let choice = match prove(&self.settings, candidate, Accelerator::Kvm, PROOF_LIMIT).await {
            Ok(took) => Choice {
                accelerator: Accelerator::Kvm,
                why: format!("A kernel booted under KVM in {:.1} s.", took.as_secs_f64()),
                verified: true,
            },
            Err(why) => Choice {
                accelerator: Accelerator::Tcg,
                why: format!("A kernel did not boot under KVM ({why}): binary translation."),
                verified: true,
            },
        };
        self.keep(&choice).await;
        choice
    }

    async fn keep(&self, choice: &Choice) {
        let verdict = Verdict {
            kernel: kernel_release(),
            qemu: qemu::version(&self.settings).await.unwrap_or_default(),
            accelerator: choice.accelerator,
            why: choice.why.clone(),
            verified: choice.verified,
        };
        let dir = &self.settings.data_dir;
        let kept = std::fs::create_dir_all(dir).and_then(|()| super::record::write(dir, VERDICT, &verdict));
        if let Err(e) = kept {
            tracing::warn!("the accelerator's verdict could not be kept, it will be judged again: {e}");
        }
    }
}

fn kernel_release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").map(|s| s.trim().to_owned()).unwrap_or_default()
}

fn kernels_in(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .filter(|e| e.file_name().to_string_lossy().starts_with("vmlinuz-"))
        .map(|e| e.path())
        .collect();
    found.sort();
    found
}

/// Boots a kernel without a root and waits until it misses it.
async fn prove(
    settings: &LinuxSettings,
    kernel: &Path,
    accelerator: Accelerator,
    limit: Duration,
) -> Result<Duration, String> {
    let program = qemu::program(settings).map_err(|fault| fault.says)?;
    let mut command = tokio::process::Command::new(program);
    let accel: &[&str] = match accelerator {
        Accelerator::Kvm => &["-accel", "kvm", "-cpu", "host"],
        Accelerator::Tcg => &["-accel", "tcg,tb-size=32", "-cpu", "max"],
    };
    command
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35", "-m", "256", "-no-reboot"])
        .args(accel)
        .args(["-serial", "stdio", "-append", "console=ttyS0 panic=-1", "-kernel"])
        .arg(kernel)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let began = std::time::Instant::now();
    let mut child = command.spawn().map_err(|e| format!("QEMU did not start: {e}"))?;
    let Some(mut console) = child.stdout.take() else { return Err("QEMU has no output".into()) };
    let watch = async {
        let mut said = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match console.read(&mut buffer).await {
                Ok(0) | Err(_) => return false,
                Ok(count) => said.extend_from_slice(&buffer[..count]),
            }
            let text = String::from_utf8_lossy(&said);
            if PROOFS.iter().any(|proof| text.contains(proof)) {
                return true;
            }
            // A proof may lie across two reads, but not across this many bytes.
            if said.len() > (64 << 10) {
                said.drain(..(32 << 10));
            }
        }
    };
    let seen = tokio::time::timeout(limit, watch).await;
    // The child may have ended already; either way it is reaped here.
    let _ = child.start_kill();
    let status = child.wait().await;
    match seen {
        Ok(true) => Ok(began.elapsed()),
        Ok(false) => Err(match status {
            Ok(status) => format!("QEMU ended with {status}"),
            Err(e) => format!("QEMU ended: {e}"),
        }),
        Err(_) => Err(format!("it had not come to its end after {} s", limit.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn able() -> Evidence {
        Evidence {
            setting: None,
            arch: "x86_64".into(),
            kvm_writable: true,
            kvm_pvm: false,
            virtualization_flags: true,
        }
    }

    #[test]
    fn each_rule_has_its_reason_and_the_setting_comes_first() {
        assert_eq!(able().rule(), None);
        for (evidence, word) in [
            (Evidence { arch: "aarch64".into(), ..able() }, "x86-64"),
            (Evidence { kvm_writable: false, ..able() }, "/dev/kvm"),
            (Evidence { kvm_pvm: true, ..able() }, "kvm_pvm"),
            (Evidence { virtualization_flags: false, ..able() }, "vmx"),
        ] {
            let choice = evidence.rule().expect("decided");
            assert_eq!(choice.accelerator, Accelerator::Tcg);
            assert!(choice.why.contains(word), "{}", choice.why);
            let forced = Evidence { setting: Some(Accelerator::Kvm), ..evidence }.rule().expect("decided");
            assert_eq!(forced.accelerator, Accelerator::Kvm);
        }
    }

    fn judge(dir: &Path, setting: Option<Accelerator>) -> Judge {
        let settings = LinuxSettings { data_dir: dir.into(), accelerator: setting, ..LinuxSettings::default() };
        Judge { boot_dir: dir.join("boot"), ..Judge::new(settings) }
    }

    #[tokio::test]
    async fn a_crash_is_remembered_by_the_next_judge_but_a_setting_stands() {
        let dir = tempfile::tempdir().expect("a directory");
        let choice = judge(dir.path(), None).distrust_kvm("signal 6").await;
        assert_eq!(choice.accelerator, Accelerator::Tcg);
        let next = judge(dir.path(), None).verdict(&[]).await;
        assert_eq!((next.accelerator, next.verified), (Accelerator::Tcg, true));
        assert!(next.why.contains("signal 6"), "{}", next.why);
        let forced = judge(dir.path(), Some(Accelerator::Kvm)).distrust_kvm("signal 6").await;
        assert_eq!(forced.accelerator, Accelerator::Kvm);
    }

    #[tokio::test]
    async fn without_a_kernel_kvm_is_unverified_and_a_verdict_of_another_kernel_is_void() {
        let dir = tempfile::tempdir().expect("a directory");
        let old = Verdict {
            kernel: "1.0".into(),
            qemu: String::new(),
            accelerator: Accelerator::Tcg,
            why: "old".into(),
            verified: true,
        };
        super::super::record::write(dir.path(), VERDICT, &old).expect("written");
        let choice = judge(dir.path(), None).verdict(&[]).await;
        assert_eq!((choice.accelerator, choice.verified), (Accelerator::Kvm, false));
    }
}
