//! The first image is made, made again alike, boots, and reads the context media this crate writes.
#![allow(missing_docs, reason = "tests")]

use holm_linux::first_image::{self, FirstImage};
use holm_linux::media;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Kept between runs, as on a user's machine.
fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("first-image")
}

fn made() -> FirstImage {
    first_image::build(&cache(), &mut |line| eprintln!("{line}")).expect("made (packages: holm_linux::packages)")
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    let first = made();
    let other = tempfile::tempdir().expect("a directory");
    // The packages' files are taken along: what is compared is what is made of them.
    for entry in std::fs::read_dir(cache()).expect("read").flatten() {
        if entry.path().extension().is_some_and(|e| e == "deb") {
            std::fs::copy(entry.path(), other.path().join(entry.file_name())).expect("copied");
        }
    }
    let mut said = 0;
    let second = first_image::build(other.path(), &mut |_| said += 1).expect("made");
    assert!(said > 0, "nothing was made");
    let third = first_image::build(other.path(), &mut |line| panic!("made a second time: {line}")).expect("is there");
    assert_eq!(second, third);
    for (a, b) in [(&first.kernel, &second.kernel), (&first.initrd, &second.initrd), (&first.disk, &second.disk)] {
        assert!(std::fs::read(a).expect("read") == std::fs::read(b).expect("read"), "{} differs", b.display());
    }
}

/// A guest that ends with the test.
struct Guest {
    process: Child,
    lines: mpsc::Receiver<String>,
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Guest {
    fn start(arguments: &[String]) -> Self {
        let mut process = Command::new("qemu-system-x86_64")
            .args("-M q35 -accel tcg,tb-size=64 -m 160 -nodefaults -display none -serial stdio -no-reboot".split(' '))
            .args(
                "-netdev user,id=n0,restrict=on -device virtio-net-pci,netdev=n0,mac=02:00:0a:4d:00:02,romfile="
                    .split(' '),
            )
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("QEMU starts");
        let out = process.stdout.take().expect("piped");
        let (send, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).split(b'\n').map_while(Result::ok) {
                let _ = send.send(String::from_utf8_lossy(&line).trim().to_owned());
            }
        });
        Self { process, lines }
    }

    fn says(&self, wanted: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(Duration::from_secs(120)).expect("the guest goes on");
            eprintln!("{line}");
            if line.contains(wanted) {
                return line;
            }
        }
    }
}

fn medium(directory: &Path, label: &str, files: &[(&str, &[u8])]) -> String {
    let path = directory.join(format!("{label}.iso"));
    std::fs::write(&path, media::write(label, files).expect("fits")).expect("written");
    format!("file={},if=virtio,format=raw,readonly=on", path.display())
}

#[test]
fn a_guest_reads_both_media_and_starts_from_kernel_and_disk() {
    let image = made();
    let directory = tempfile::tempdir().expect("a directory");
    let script = "ETH0_MAC='02:00:0a:4d:00:02'\nETH0_IP='10.77.0.2'\nETH0_MASK='255.255.0.0'\nETH0_GATEWAY='10.77.0.1'\n\
                  ETH0_IP6='fd77::2'\nETH0_IP6_PREFIX_LENGTH='64'\nSET_HOSTNAME='web-1'\n\
                  WORD='it'\\''s here'\nSTART_SCRIPT='echo \"script: $WORD\" > /dev/console'\n";
    let context = medium(directory.path(), "CONTEXT", &[("context.sh", script.as_bytes())]);
    let network = b"version: 2\nethernets:\n  nic0:\n    match:\n      macaddress: \"02:00:0a:4d:00:02\"\n    addresses:\n      \
                   - \"10.77.0.3/16\"\n      - \"fd77::3/64\"\n    routes:\n      - to: \"0.0.0.0/0\"\n        via: \"10.77.0.1\"\n";
    let cidata = medium(
        directory.path(),
        "cidata",
        &[
            ("meta-data", b"instance-id: i\nlocal-hostname: web-2\n"),
            ("user-data", b"#cloud-config\n"),
            ("network-config", network),
        ],
    );

    let path = |p: &Path| p.display().to_string();
    let direct =
        ["-kernel", &path(&image.kernel), "-initrd", &path(&image.initrd), "-append", first_image::KERNEL_ARGUMENTS]
            .map(String::from);
    let guest = Guest::start(&[&direct[..], &["-drive".into(), context]].concat());
    let ready = guest.says("tiny: ready");
    assert!(ready.contains("host=web-1 context=CONTEXT ip=10.77.0.2/16,fd77::2/64"), "{ready}");
    guest.says("script: it's here");
    drop(guest);

    // As a guest's disk is: the image under an overlay nobody else writes to.
    let disk = format!("file={},if=virtio,format=qcow2,snapshot=on", image.disk.display());
    let guest = Guest::start(&["-drive".into(), disk, "-drive".into(), cidata]);
    let ready = guest.says("tiny: ready");
    assert!(ready.contains("host=web-2 context=cidata ip=10.77.0.3/16,fd77::3/64"), "{ready}");
}
