//! Devices of the host that are handed to a guest: taken from the driver that has them, given to `vfio-pci`, and given
//! back when the guest has ended.
//!
//! The kernel is told in files below `/sys/bus/pci`. Every step looks first, so that doing it again changes nothing,
//! and what an earlier agent left half done is completed.

use holm_driver::Fault;
use holm_model::VmId;
use holm_model::vms::BoundPci;
use std::io;
use std::path::PathBuf;
use std::process::Command;

/// The driver that hands devices to processes.
const VFIO: &str = "vfio-pci";

/// The kernel's files about PCI devices.
#[derive(Clone, Debug)]
pub(super) struct Bus(PathBuf);

impl Default for Bus {
    fn default() -> Self {
        Self("/sys/bus/pci".into())
    }
}

/// Whether the text is an address such as `0000:01:00.0`, and nothing that would lead out of the directory.
fn is_address(text: &str) -> bool {
    let widths = [4, 2, 2, 1];
    let parts: Vec<&str> = text.split([':', '.']).collect();
    parts.len() == widths.len()
        && text.len() == 12
        && parts.iter().zip(widths).all(|(part, width)| {
            part.len() == width && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        })
}

impl Bus {
    fn device(&self, address: &str) -> PathBuf {
        self.0.join("devices").join(address)
    }

    fn driver(&self, address: &str) -> Option<String> {
        let link = std::fs::read_link(self.device(address).join("driver")).ok()?;
        Some(link.file_name()?.to_string_lossy().into_owned())
    }

    /// The devices that can only be given away together with this one, bridges aside.
    fn group(&self, address: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.device(address).join("iommu_group/devices")) else {
            return Vec::new();
        };
        let mut all: Vec<String> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| is_address(name))
            .collect();
        all.retain(|name| {
            let class = std::fs::read_to_string(self.device(name).join("class")).unwrap_or_default();
            !class.trim().starts_with("0x06")
        });
        all.sort();
        all
    }

    /// Hands the devices to `vfio-pci`.
    ///
    /// # Errors
    /// Permanent, when the host cannot hand a device to a guest at all.
    pub(super) fn give(&self, vm: VmId, devices: &[BoundPci]) -> Result<(), Fault> {
        for BoundPci { address, .. } in devices {
            let refuse =
                |says: &str| Err(Fault::permanent(format!("VM {vm} cannot have PCI device {address}: {says}")));
            if !is_address(address) {
                return refuse("that is no address of a device");
            }
            if !self.device(address).is_dir() {
                return refuse("this host has no such device");
            }
            if !self.device(address).join("iommu_group").exists() {
                return refuse("this host has no IOMMU that is on (see intel_iommu=on or amd_iommu=on)");
            }
            let others = self.group(address);
            let busy = |name: &String| {
                !devices.iter().any(|own| own.address == *name)
                    && self.driver(name).is_some_and(|driver| driver != VFIO && driver != "pci-stub")
            };
            if let Some(other) = others.iter().find(|name| *name != address && busy(name)) {
                return refuse(&format!("{other} is in the same IOMMU group and is used by the host"));
            }
            self.drive(address, VFIO).map_err(|e| {
                Fault::transient(format!("VM {vm} cannot have PCI device {address}: {VFIO} does not take it: {e}"))
            })?;
        }
        Ok(())
    }

    fn drive(&self, address: &str, driver: &str) -> io::Result<()> {
        if self.driver(address).as_deref() == Some(driver) {
            return Ok(());
        }
        if !self.0.join("drivers").join(driver).is_dir() {
            // Where the kernel has it built in, or has no modules, what follows tells.
            let _ =
                Command::new("modprobe").arg(driver).env_clear().env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin").status();
        }
        std::fs::write(self.device(address).join("driver_override"), driver)?;
        self.let_go(address)?;
        std::fs::write(self.0.join("drivers_probe"), address)?;
        match self.driver(address) {
            Some(now) if now == driver => Ok(()),
            Some(now) => Err(io::Error::other(format!("it is driven by {now}"))),
            None => Err(io::Error::other("the kernel has not bound it; look at dmesg")),
        }
    }

    fn let_go(&self, address: &str) -> io::Result<()> {
        let unbind = self.device(address).join("driver/unbind");
        if unbind.exists() { std::fs::write(unbind, address) } else { Ok(()) }
    }

    /// Gives the devices back to the drivers that would have them. What cannot be given back stays with `vfio-pci`.
    pub(super) fn take_back(&self, vm: VmId, devices: &[BoundPci]) {
        for BoundPci { address, .. } in devices.iter().filter(|device| is_address(&device.address)) {
            if self.driver(address).as_deref() != Some(VFIO) {
                continue;
            }
            let back = std::fs::write(self.device(address).join("driver_override"), "\n")
                .and_then(|()| self.let_go(address))
                .and_then(|()| std::fs::write(self.0.join("drivers_probe"), address));
            if let Err(e) = back {
                tracing::warn!(vm = vm.0, address, "a PCI device could not be given back to the host's driver: {e}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    /// A host with one IOMMU group of two functions of a card, as files.
    fn bus(of: &Path) -> Bus {
        for (address, driver) in [("0000:01:00.0", "nvidia"), ("0000:01:00.1", "snd")] {
            let device = of.join("devices").join(address);
            fs::create_dir_all(&device).expect("made");
            fs::write(device.join("class"), "0x030000\n").expect("written");
            let driver_dir = of.join("drivers").join(driver);
            fs::create_dir_all(&driver_dir).expect("made");
            fs::write(driver_dir.join("unbind"), "").expect("written");
            symlink(&driver_dir, device.join("driver")).expect("linked");
            let group = of.join("group/devices");
            fs::create_dir_all(&group).expect("made");
            fs::write(group.join(address), "").expect("written");
            symlink(of.join("group"), device.join("iommu_group")).expect("linked");
        }
        fs::create_dir_all(of.join("drivers").join(VFIO)).expect("made");
        Bus(of.into())
    }

    /// What the kernel does when a device is probed.
    fn bind(of: &Path, address: &str, driver: &str) {
        let link = of.join("devices").join(address).join("driver");
        fs::remove_file(&link).expect("removed");
        symlink(of.join("drivers").join(driver), link).expect("linked");
    }

    fn wanted(addresses: &[&str]) -> Vec<BoundPci> {
        (0..).zip(addresses).map(|(id, address)| BoundPci { id, address: (*address).to_owned() }).collect()
    }

    #[test]
    fn a_device_is_given_only_with_everything_in_its_group() {
        let dir = tempfile::tempdir().expect("a directory");
        let bus = bus(dir.path());
        let refused = bus.give(VmId(7), &wanted(&["0000:01:00.0"])).expect_err("the other function is in use").says;
        assert!(refused.contains("0000:01:00.1 is in the same IOMMU group"), "{refused}");
        // These files are no kernel: nothing happens when a probe is asked for, and that is said.
        let both = wanted(&["0000:01:00.0", "0000:01:00.1"]);
        let refused = bus.give(VmId(7), &both).expect_err("nobody binds it").says;
        assert!(refused.contains("driven by nvidia"), "{refused}");
        let read = |file: &str| fs::read_to_string(dir.path().join(file)).expect("is there");
        assert_eq!(read("devices/0000:01:00.0/driver_override"), VFIO);
        assert_eq!(
            (read("drivers/nvidia/unbind"), read("drivers_probe")),
            ("0000:01:00.0".into(), "0000:01:00.0".into())
        );
        for address in ["0000:01:00.0", "0000:01:00.1"] {
            bind(dir.path(), address, VFIO);
        }
        bus.give(VmId(7), &both).expect("both are there already");
        bus.take_back(VmId(7), &both);
        assert_eq!(read("devices/0000:01:00.1/driver_override"), "\n");
    }

    #[test]
    fn what_is_no_device_or_has_no_iommu_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let bus = bus(dir.path());
        fs::remove_file(dir.path().join("devices/0000:01:00.1/iommu_group")).expect("removed");
        for (address, says) in [
            ("../../etc", "no address"),
            ("0000:01:00.0/x", "no address"),
            ("0000:02:00.0", "no such device"),
            ("0000:01:00.1", "no IOMMU"),
        ] {
            let fault = bus.give(VmId(7), &wanted(&[address])).expect_err(address);
            assert!(fault.says.contains(says) && fault.class == holm_driver::FaultClass::Permanent, "{fault:?}");
        }
    }
}
