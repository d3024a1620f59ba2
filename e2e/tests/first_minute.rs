//! `holmd up` and `holmd down`: the first minute of a user, and no trace afterwards.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use holm_e2e::programs::{binary, guest};
use holm_e2e::{Lab, Traces};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

struct Machine {
    lab: Lab,
    dir: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let machine =
            Self { lab: Lab::new(1).unwrap(), dir: tempfile::Builder::new().prefix("hu").tempdir_in("/tmp").unwrap() };
        let top = machine.dir.path().display();
        fs::create_dir(machine.path("home")).unwrap();
        fs::write(
            machine.path("holm.toml"),
            format!(
                "[machine]\ninstance = \"{}\"\n[front]\ndata_dir = \"{top}/lib/front\"\n[agent]\ndata_dir = \"{top}/lib/agent\"\nrun_dir = \"{top}/run\"\n",
                machine.instance()
            ),
        )
        .unwrap();
        machine
    }

    fn instance(&self) -> String {
        format!("u{}", std::process::id())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Lab::command(&self.lab.host(1), &program.display().to_string());
        command.args(arguments).env("HOME", self.path("home")).env_remove("XDG_CONFIG_HOME");
        command
    }

    fn holmd(&self, arguments: &[&str]) -> Output {
        let config = self.path("holm.toml").display().to_string();
        self.command(&binary("holmd").unwrap(), &[arguments, &["--config", &config]].concat()).output().unwrap()
    }

    fn holm(&self, arguments: &[&str]) -> String {
        let done = self.command(&binary("holm").unwrap(), arguments).output().unwrap();
        assert!(done.status.success(), "holm {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    fn traces(&self) -> Traces {
        let dirs = [self.path("lib"), self.path("run"), self.path("home")];
        let top = self.dir.path().display().to_string();
        Traces::take(
            &self.lab.host(1),
            &self.instance(),
            &[&top],
            &dirs.iter().map(PathBuf::as_path).collect::<Vec<_>>(),
        )
        .unwrap()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // After a failed test too; a second purge finds nothing to do.
        drop(self.holmd(&["down", "--purge"]));
    }
}

#[test]
fn up_boots_a_vm_and_down_leaves_no_trace() {
    let machine = Machine::new();
    // The image is built beforehand by the test's own command; the copy spares another build.
    let guest = guest().unwrap();
    fs::create_dir_all(machine.path("lib")).unwrap();
    let done = Command::new("cp")
        .arg("-r")
        .arg(guest.kernel.parent().unwrap())
        .arg(machine.path("lib/guest"))
        .status()
        .unwrap();
    assert!(done.success());
    let kept = machine.path("lib/guest");
    fs::rename(&kept, machine.path("guest")).unwrap();
    fs::remove_dir(machine.path("lib")).unwrap();
    let before = machine.traces();
    fs::create_dir(machine.path("lib")).unwrap();
    fs::rename(machine.path("guest"), kept).unwrap();

    let up = machine.holmd(&["up"]);
    let (out, err) = (String::from_utf8_lossy(&up.stdout), String::from_utf8_lossy(&up.stderr));
    assert!(up.status.success(), "{out}{err}");
    assert!(out.contains("`first` answers at http://10.77."), "{out}");
    let password = fs::read_to_string(machine.path("lib/front/admin-credentials")).unwrap();
    assert!(!out.contains(password.trim().split_once(':').unwrap().1), "the password is not printed");
    let running = machine.traces();
    for kind in ["interface", "process", "nft", "control group"] {
        assert!(running.beyond(&before).iter().any(|t| t.starts_with(kind)), "no {kind}: this check could not fail");
    }

    // Nobody but root can read what is secret.
    for file in ["lib/front/admin-credentials", "home/.config/holm/config.toml", "lib/front/holm.db"] {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(machine.path(file)).unwrap().permissions().mode() & 0o077;
        let guarded = mode == 0
            || machine
                .path(file)
                .ancestors()
                .skip(1)
                .any(|d| fs::metadata(d).is_ok_and(|m| m.permissions().mode() & 0o077 == 0));
        assert!(guarded, "{file} has mode {mode:o}");
    }

    // A second time nothing changes.
    let listed = machine.holm(&["vm", "list"]);
    assert!(listed.contains("first") && listed.contains("running"), "{listed}");
    let again = machine.holmd(&["up"]);
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    assert_eq!(machine.holm(&["vm", "list", "-o", "csv"]).lines().count(), 2);
    let processes = |t: &Traces| t.0.iter().filter(|l| l.starts_with("process")).cloned().collect::<Vec<_>>();
    assert_eq!(processes(&machine.traces()), processes(&running));

    // Down stops, up brings the same VM back, purge leaves the machine as it was.
    let down = machine.holmd(&["down"]);
    assert!(down.status.success(), "{}", String::from_utf8_lossy(&down.stderr));
    assert_eq!(processes(&machine.traces()), Vec::<String>::new());
    let up = machine.holmd(&["up"]);
    assert!(up.status.success(), "{}", String::from_utf8_lossy(&up.stderr));
    let purge = machine.holmd(&["down", "--purge"]);
    assert!(purge.status.success(), "{}", String::from_utf8_lossy(&purge.stderr));
    let left = machine.traces().beyond(&before);
    assert_eq!(left, Vec::<String>::new());
    let gone = before.beyond(&machine.traces());
    assert_eq!(gone, Vec::<String>::new(), "what was there is still there");
}
