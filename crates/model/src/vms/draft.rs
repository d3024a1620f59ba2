//! Unchecked requests for VMs, and how they become specs.

use super::{
    Boot, Context, DiskSpec, Firmware, Machine, NicSpec, PlacementPolicy, PlacementRule, Power, RestartPolicy, VmSpec,
};
use crate::networks::MacAddr;
use crate::{ClusterId, CpuShare, HostId, ImageId, Invalid, Name, NetworkId};
use std::net::{Ipv4Addr, Ipv6Addr};

/// An unchecked request for a VM. Images, networks, hosts and clusters are named by id or name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "fields mean what the fields of the same name in VmSpec mean")]
pub struct VmDraft {
    pub name: String,
    pub cpu: Option<CpuShare>,
    pub vcpus: Option<u32>,
    pub memory_mib: Option<u64>,
    pub machine: Machine,
    pub firmware: Firmware,
    pub kernel: Option<String>,
    pub initrd: Option<String>,
    pub cmdline: Option<String>,
    pub disks: Vec<DiskDraft>,
    /// `None`: one NIC on the default network. `Some(vec![])`: none.
    pub nics: Option<Vec<NicDraft>>,
    pub context: Context,
    pub graphics: bool,
    pub host: Option<String>,
    pub cluster: Option<String>,
    pub policy: Option<PlacementPolicy>,
    pub power: Option<Power>,
    pub restart: RestartPolicy,
}

/// An unchecked disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskDraft {
    /// The image by id or name; `None` is an empty disk.
    pub image: Option<String>,
    /// Its size, MiB; by default the image's.
    pub size_mib: Option<u64>,
}

/// An unchecked network card.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NicDraft {
    /// The network by id or name.
    pub network: String,
    /// A wanted Ethernet address.
    pub mac: Option<MacAddr>,
    /// A wanted IPv4 address.
    pub ip4: Option<Ipv4Addr>,
    /// A wanted IPv6 address.
    pub ip6: Option<Ipv6Addr>,
}

/// What a draft needs to know of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageChoice {
    /// Its id.
    pub id: ImageId,
    /// What it is for.
    pub kind: crate::images::ImageKind,
    /// Its size in the guest, MiB; `None` while its bytes are not there yet.
    pub virtual_mib: Option<u64>,
}

/// Finds what a draft names. The desk implements it with the caller's rights; the error says what is not there.
pub trait Resolve {
    /// The caller's error.
    type Error: From<Invalid>;
    /// An image the caller may use.
    fn image(&self, field: &str, name: &str) -> Result<ImageChoice, Self::Error>;
    /// A network the caller may use.
    fn network(&self, field: &str, name: &str) -> Result<NetworkId, Self::Error>;
    /// A host.
    fn host(&self, field: &str, name: &str) -> Result<HostId, Self::Error>;
    /// A cluster.
    fn cluster(&self, field: &str, name: &str) -> Result<ClusterId, Self::Error>;
}

impl VmDraft {
    /// Checks the draft and resolves what it names. Defaults: 1 core, as many vCPUs as cores booked (at least 1),
    /// 256 MiB, one NIC on the network `default`, power on.
    ///
    /// # Errors
    /// The first broken rule, or what `names` says of something that is not there.
    pub fn check<R: Resolve>(self, names: &R) -> Result<(Name, VmSpec), R::Error> {
        use crate::images::ImageKind;
        let name = Name::new(self.name)?;
        let of_kind = |field: &str, text: &str, kind: ImageKind, word: &str| -> Result<ImageChoice, R::Error> {
            let image = names.image(field, text)?;
            if image.kind != kind {
                return Err(Invalid::new(
                    field,
                    text,
                    format!("is not an image of kind {word}"),
                    "Choose another image.",
                )
                .into());
            }
            Ok(image)
        };
        let mut disks = Vec::with_capacity(self.disks.len());
        for (at, disk) in self.disks.into_iter().enumerate() {
            let field = format!("disks[{at}]");
            let image = match &disk.image {
                Some(text) => Some(of_kind(&format!("{field}.image"), text, ImageKind::Disk, "disk")?),
                None => None,
            };
            let least = image.and_then(|i| i.virtual_mib);
            let size_mib = match (disk.size_mib, least) {
                (Some(0), _) => {
                    return Err(Invalid::new(
                        format!("{field}.size_mib"),
                        0,
                        "is no size",
                        "Give at least 1 MiB, or leave it out to take the image's size.",
                    )
                    .into());
                }
                (Some(size), Some(least)) if size < least => {
                    return Err(Invalid::new(
                        format!("{field}.size_mib"),
                        size,
                        format!("is below the image's {least} MiB"),
                        "Give at least the image's size, or leave it out.",
                    )
                    .into());
                }
                (Some(size), _) => size,
                (None, Some(least)) => least,
                (None, None) if image.is_some() => 0,
                (None, None) => {
                    return Err(Invalid::new(
                        format!("{field}.size_mib"),
                        "",
                        "is missing for an empty disk",
                        "Give its size.",
                    )
                    .into());
                }
            };
            let id = u32::try_from(at).unwrap_or(u32::MAX);
            disks.push(DiskSpec::new(id, image.map(|i| i.id), size_mib));
        }
        let nic_drafts =
            self.nics.unwrap_or_else(|| vec![NicDraft { network: "default".into(), ..NicDraft::default() }]);
        let mut nics = Vec::with_capacity(nic_drafts.len());
        for (at, nic) in nic_drafts.into_iter().enumerate() {
            let network = names.network(&format!("nics[{at}].network"), &nic.network)?;
            let id = u32::try_from(at).unwrap_or(u32::MAX);
            nics.push(NicSpec { mac: nic.mac, ip4: nic.ip4, ip6: nic.ip6, ..NicSpec::new(id, network) });
        }
        let boot = match (self.kernel, self.initrd, self.cmdline) {
            (Some(kernel), initrd, cmdline) => Boot::Kernel {
                kernel: of_kind("kernel", &kernel, ImageKind::Kernel, "kernel")?.id,
                initrd: match initrd {
                    Some(initrd) => Some(of_kind("initrd", &initrd, ImageKind::Initrd, "initrd")?.id),
                    None => None,
                },
                cmdline: cmdline.unwrap_or_else(|| "console=ttyS0 quiet".into()),
            },
            (None, Some(initrd), _) => {
                return Err(
                    Invalid::new("initrd", initrd, "is given without a kernel", "Give the kernel as well.").into()
                );
            }
            (None, None, Some(cmdline)) => {
                return Err(
                    Invalid::new("cmdline", cmdline, "is given without a kernel", "Give the kernel as well.").into()
                );
            }
            (None, None, None) => Boot::Disk,
        };
        let cpu = self.cpu.unwrap_or(CpuShare::cores(1));
        let vcpus = self.vcpus.unwrap_or_else(|| cpu.0.div_ceil(100).max(1));
        let spec = VmSpec {
            machine: self.machine,
            firmware: self.firmware,
            boot,
            disks,
            nics,
            context: self.context,
            graphics: self.graphics,
            placement: PlacementRule {
                host: self.host.map(|h| names.host("host", &h)).transpose()?,
                cluster: self.cluster.map(|c| names.cluster("cluster", &c)).transpose()?,
                policy: self.policy,
                ..PlacementRule::default()
            },
            power: self.power.unwrap_or(Power::On),
            restart: self.restart,
            ..VmSpec::new(cpu, vcpus, self.memory_mib.unwrap_or(256))
        };
        if spec.boot == Boot::Disk {
            match spec.disks.first() {
                None => {
                    return Err(Invalid::new(
                        "disks",
                        "[]",
                        "leaves nothing to boot from",
                        "Give a disk with an image, or a kernel.",
                    )
                    .into());
                }
                Some(first) if first.image.is_none() => {
                    return Err(Invalid::new(
                        "disks[0]",
                        "an empty disk",
                        "leaves nothing to boot from",
                        "Give the first disk an image, or boot a kernel.",
                    )
                    .into());
                }
                Some(_) => {}
            }
        }
        // A disk whose image has not arrived yet gets its size when the VM is placed.
        let mut sized = spec.clone();
        for disk in &mut sized.disks {
            disk.size_mib = disk.size_mib.max(1);
        }
        sized.check()?;
        Ok((name, spec))
    }
}
