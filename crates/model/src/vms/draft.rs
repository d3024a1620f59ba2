//! Unchecked requests for VMs, and how they become specs.

use super::{
    Boot, Context, DiskLimits, DiskSpec, Firmware, Hardware, Machine, NicLimits, NicModel, NicSpec, PlacementPolicy,
    PlacementRule, Power, RestartPolicy, RoleRef, VmSpec,
};
use crate::images::ImageKind;
use crate::networks::MacAddr;
use crate::schedule::ScheduledAction;
use crate::{
    ClusterId, CpuShare, GroupId, HostId, ImageId, Invalid, Name, NetworkId, SecurityGroupId, TemplateId, UserId, Word,
};
use std::net::{Ipv4Addr, Ipv6Addr};

/// An unchecked request for a VM. Images, networks, hosts and clusters are named by id or name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "fields mean what the fields of the same name in VmSpec and Vm mean")]
pub struct VmDraft {
    /// Empty: `name_prefix` and the VM's number.
    pub name: String,
    /// See `name`; `None` is `one`.
    pub name_prefix: Option<String>,
    /// Whether it may have nothing to boot from, and has only the cards that are named.
    pub bare: bool,
    pub cpu: Option<CpuShare>,
    pub vcpus: Option<u32>,
    pub memory_mib: Option<u64>,
    pub machine: Machine,
    pub firmware: Firmware,
    pub kernel: Option<String>,
    pub initrd: Option<String>,
    pub cmdline: Option<String>,
    pub disks: Vec<DiskDraft>,
    /// `None`: one NIC on the default network, and none for a bare VM. `Some(vec![])`: none.
    pub nics: Option<Vec<NicDraft>>,
    pub context: Context,
    pub graphics: bool,
    pub hardware: Hardware,
    pub host: Option<String>,
    pub cluster: Option<String>,
    pub policy: Option<PlacementPolicy>,
    pub requirements: Option<String>,
    pub rank: Option<String>,
    pub datastore_requirements: Option<String>,
    pub datastore_rank: Option<String>,
    /// A VM group by id or name, and the role in it.
    pub role: Option<(String, String)>,
    pub hold: bool,
    pub power: Option<Power>,
    pub restart: RestartPolicy,
    pub template: Option<TemplateId>,
    pub schedule: Vec<ScheduledAction>,
    /// Whom it is to belong to, if not to the caller.
    pub owner: Option<(UserId, GroupId)>,
}

/// An unchecked disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskDraft {
    /// The image by id or name; `None` is an empty disk.
    pub image: Option<String>,
    /// Whose image is meant, by id or name of the user, where `image` is a name.
    pub image_owner: Option<String>,
    /// Its size, MiB; by default the image's.
    pub size_mib: Option<u64>,
    /// Whether the guest may only read it; by default as its image says.
    pub read_only: Option<bool>,
    /// See [`DiskSpec::attributes`].
    pub attributes: Vec<(Word, Word)>,
}

/// An unchecked network card.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NicDraft {
    /// The network by id or name; not looked at when `auto` is given.
    pub network: String,
    /// Whose network is meant, by id or name of the user, where `network` is a name.
    pub network_owner: Option<String>,
    /// Set when Holm is to choose the network.
    pub auto: Option<AutoNic>,
    /// A wanted Ethernet address.
    pub mac: Option<MacAddr>,
    /// A wanted IPv4 address.
    pub ip4: Option<Ipv4Addr>,
    /// A wanted IPv6 address.
    pub ip6: Option<Ipv6Addr>,
    /// Security groups by id or name.
    pub security_groups: Vec<String>,
    /// The number of the card it is a further address of.
    pub alias_of: Option<u32>,
    /// The address range of the network it wants its address from.
    pub range: Option<u32>,
    /// See [`NicSpec::attributes`].
    pub attributes: Vec<(Word, Word)>,
}

/// How Holm chooses a card's network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AutoNic {
    /// What a network must be like: a requirement expression.
    pub requirements: Option<String>,
    /// Which networks are better: a rank expression.
    pub rank: Option<String>,
}

/// What a draft needs to know of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageChoice {
    /// Its id.
    pub id: ImageId,
    /// What it is for.
    pub kind: ImageKind,
    /// Its size in the guest, MiB; `None` while its bytes are not there yet.
    pub virtual_mib: Option<u64>,
    /// Whether the VM gets the image itself and not a copy.
    pub persistent: bool,
    /// Whether no guest may write to it.
    pub read_only: bool,
}

/// Finds what a draft names. The desk implements it with the caller's rights; the error says what is not there.
pub trait Resolve {
    /// The caller's error.
    type Error: From<Invalid>;
    /// An image the caller may use; of this owner, where one is named.
    fn image(&self, field: &str, name: &str, owner: Option<&str>) -> Result<ImageChoice, Self::Error>;
    /// A network the caller may use; of this owner, where one is named.
    fn network(&self, field: &str, name: &str, owner: Option<&str>) -> Result<NetworkId, Self::Error>;
    /// The best network the caller may use that is as wanted.
    fn any_network(&self, field: &str, wanted: &AutoNic) -> Result<NetworkId, Self::Error>;
    /// A security group the caller may use.
    fn security_group(&self, field: &str, name: &str) -> Result<SecurityGroupId, Self::Error>;
    /// A role of a VM group the caller may use.
    fn role(&self, field: &str, group: &str, role: &str) -> Result<RoleRef, Self::Error>;
    /// A host.
    fn host(&self, field: &str, name: &str) -> Result<HostId, Self::Error>;
    /// A cluster.
    fn cluster(&self, field: &str, name: &str) -> Result<ClusterId, Self::Error>;
}

fn of_kind<R: Resolve>(
    names: &R,
    field: &str,
    (name, owner): (&str, Option<&str>),
    fits: fn(ImageKind) -> bool,
    word: &str,
) -> Result<ImageChoice, R::Error> {
    let image = names.image(field, name, owner)?;
    if fits(image.kind) {
        return Ok(image);
    }
    let wrong = format!("is not an image of kind {word}");
    Err(Invalid::new(field, name, wrong, "Choose another image.").into())
}

impl DiskDraft {
    /// Checks the draft and resolves what it names; `id` is the number it gets. A disk whose image has not arrived yet
    /// and that has no size of its own gets its size when the VM is placed, and 0 until then.
    ///
    /// # Errors
    /// The first broken rule, or what `names` says of something that is not there.
    pub fn check<R: Resolve>(self, names: &R, field: &str, id: u32) -> Result<DiskSpec, R::Error> {
        let image = match &self.image {
            Some(name) => {
                let named = (name.as_str(), self.image_owner.as_deref());
                Some(of_kind(names, &format!("{field}.image"), named, ImageKind::is_disk, "disk")?)
            }
            None => None,
        };
        let of_size = format!("{field}.size_mib");
        let least = image.and_then(|image| image.virtual_mib);
        let size_mib = match (self.size_mib, least) {
            (Some(0), _) => {
                let fix = "Give at least 1 MiB, or leave it out to take the image's size.";
                return Err(Invalid::new(of_size, 0, "is no size", fix).into());
            }
            (Some(size), Some(least)) if size < least => {
                let wrong = format!("is below the image's {least} MiB");
                return Err(
                    Invalid::new(of_size, size, wrong, "Give at least the image's size, or leave it out.").into()
                );
            }
            (Some(size), _) => size,
            (None, Some(least)) => least,
            (None, None) if image.is_some() => 0,
            (None, None) => {
                return Err(Invalid::new(of_size, "", "is missing for an empty disk", "Give its size.").into());
            }
        };
        check_members(field, &self.attributes)?;
        DiskLimits::of(&self.attributes).map_err(|invalid| invalid.within(field))?;
        let cdrom = image.is_some_and(|image| image.kind == ImageKind::Cdrom);
        let read_only = cdrom || image.is_some_and(|image| image.read_only);
        Ok(DiskSpec {
            cdrom,
            read_only: read_only || self.read_only == Some(true),
            persistent: image.is_some_and(|image| image.persistent) && self.read_only != Some(true),
            attributes: self.attributes,
            ..DiskSpec::new(id, image.map(|image| image.id), size_mib)
        })
    }
}

impl NicDraft {
    /// Checks the draft and resolves what it names; `id` is the number it gets, `others` are the VM's other cards.
    ///
    /// # Errors
    /// The first broken rule, or what `names` says of something that is not there.
    pub fn check<R: Resolve>(self, names: &R, field: &str, id: u32, others: &[NicSpec]) -> Result<NicSpec, R::Error> {
        let network = match &self.auto {
            Some(wanted) => names.any_network(&format!("{field}.network"), wanted)?,
            None => names.network(&format!("{field}.network"), &self.network, self.network_owner.as_deref())?,
        };
        if let Some(of) = self.alias_of
            && !others.iter().any(|nic| nic.id == of && nic.alias_of.is_none())
        {
            let wrong = "is not the number of one of the VM's network cards";
            return Err(Invalid::new(format!("{field}.alias_of"), of, wrong, "Name a card that is no alias.").into());
        }
        check_members(field, &self.attributes)?;
        check_card(&self.attributes).map_err(|invalid| invalid.within(field))?;
        let mut security_groups = Vec::with_capacity(self.security_groups.len());
        for name in &self.security_groups {
            let group = names.security_group(&format!("{field}.security_groups"), name)?;
            if !security_groups.contains(&group) {
                security_groups.push(group);
            }
        }
        if security_groups.len() > 64 {
            let wrong = "are more than 64 security groups";
            let field = format!("{field}.security_groups");
            return Err(Invalid::new(field, security_groups.len(), wrong, "Join some of them.").into());
        }
        Ok(NicSpec {
            mac: self.mac,
            ip4: self.ip4,
            ip6: self.ip6,
            security_groups,
            alias_of: self.alias_of,
            range: self.range,
            attributes: self.attributes,
            ..NicSpec::new(id, network)
        })
    }
}

/// What a card says of its model and its bandwidth.
fn check_card(attributes: &[(Word, Word)]) -> Result<(), Invalid> {
    NicModel::of(attributes)?;
    NicLimits::of_card(attributes).map(drop)
}

/// What a device carries in the terms of its door must stay small.
fn check_members(field: &str, members: &[(Word, Word)]) -> Result<(), Invalid> {
    let bytes: usize = members.iter().map(|(name, value)| name.len() + value.len()).sum();
    if members.len() > 128 || bytes > 16 * 1024 {
        let wrong = "attributes are more than 128, or more than 16384 bytes";
        return Err(Invalid::new(field, members.len(), wrong, "Give fewer."));
    }
    Ok(())
}

fn number(at: usize) -> u32 {
    // Lists longer than that are refused by the check of their length.
    u32::try_from(at).unwrap_or(u32::MAX)
}

impl VmDraft {
    fn boot<R: Resolve>(&mut self, names: &R) -> Result<Boot, R::Error> {
        let without = |field: &str, given: String| {
            Err(Invalid::new(field, given, "is given without a kernel", "Give the kernel as well.").into())
        };
        Ok(match (self.kernel.take(), self.initrd.take(), self.cmdline.take()) {
            (Some(kernel), initrd, cmdline) => Boot::Kernel {
                kernel: of_kind(names, "kernel", (&kernel, None), |kind| kind == ImageKind::Kernel, "kernel")?.id,
                initrd: match initrd {
                    Some(initrd) => {
                        let fits = |kind| kind == ImageKind::Initrd;
                        Some(of_kind(names, "initrd", (&initrd, None), fits, "initrd")?.id)
                    }
                    None => None,
                },
                cmdline: cmdline.unwrap_or_else(|| "console=ttyS0 quiet".into()),
            },
            (None, Some(initrd), _) => return without("initrd", initrd),
            (None, None, Some(cmdline)) => return without("cmdline", cmdline),
            (None, None, None) => Boot::Disk,
        })
    }

    /// Checks the draft and resolves what it names. Defaults: 1 core, as many vCPUs as cores booked (at least 1),
    /// 256 MiB, one NIC on the network `default`, power on. Answers with no name when the VM is to be called by its
    /// number.
    ///
    /// # Errors
    /// The first broken rule, or what `names` says of something that is not there.
    pub fn check<R: Resolve>(mut self, names: &R) -> Result<(Option<Name>, VmSpec), R::Error> {
        let named = if self.name.is_empty() && self.bare { None } else { Some(Name::new(self.name.clone())?) };
        let mut disks = Vec::with_capacity(self.disks.len());
        for (at, disk) in std::mem::take(&mut self.disks).into_iter().enumerate() {
            disks.push(disk.check(names, &format!("disks[{at}]"), number(at))?);
        }
        let nic_drafts = self.nics.take().unwrap_or_else(|| {
            let default = NicDraft { network: "default".into(), ..NicDraft::default() };
            if self.bare { Vec::new() } else { vec![default] }
        });
        let mut nics = Vec::with_capacity(nic_drafts.len());
        for (at, nic) in nic_drafts.into_iter().enumerate() {
            let nic = nic.check(names, &format!("nics[{at}]"), number(at), &nics)?;
            nics.push(nic);
        }
        let boot = self.boot(names)?;
        let cpu = self.cpu.unwrap_or(CpuShare::cores(1));
        let vcpus = self.vcpus.unwrap_or_else(|| cpu.0.div_ceil(100).max(1));
        let spec = VmSpec {
            machine: self.machine,
            firmware: self.firmware,
            boot,
            disks,
            nics,
            context: self.context.into(),
            graphics: self.graphics,
            hardware: self.hardware.into(),
            placement: PlacementRule {
                host: self.host.map(|host| names.host("host", &host)).transpose()?,
                cluster: self.cluster.map(|cluster| names.cluster("cluster", &cluster)).transpose()?,
                policy: self.policy,
                requirements: self.requirements,
                rank: self.rank,
                datastore_requirements: self.datastore_requirements,
                datastore_rank: self.datastore_rank,
                role: self.role.map(|(group, role)| names.role("role", &group, &role)).transpose()?,
                hold: self.hold,
                ..PlacementRule::default()
            },
            power: self.power.unwrap_or(Power::On),
            restart: self.restart,
            ..VmSpec::new(cpu, vcpus, self.memory_mib.unwrap_or(256))
        };
        if spec.boot == Boot::Disk && !self.bare {
            let missing = match spec.disks.first() {
                None => Some(("disks", "[]", "Give a disk with an image, or a kernel.")),
                Some(first) if first.image.is_none() => {
                    Some(("disks[0]", "an empty disk", "Give the first disk an image, or boot a kernel."))
                }
                Some(_) => None,
            };
            if let Some((field, given, fix)) = missing {
                return Err(Invalid::new(field, given, "leaves nothing to boot from", fix).into());
            }
        }
        spec.check_unplaced()?;
        spec.check_boot_order()?;
        Ok((named, spec))
    }
}
