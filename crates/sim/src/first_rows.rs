//! What the simulated cloud contains before anything happens: the objects of a first start (without the password, whose
//! hashing is slow by design), ready images, and hosts that have joined.

use holm_model::clusters::{Cluster, ClusterSpec, PlacementPolicy};
use holm_model::hosts::{Host, HostPhase, HostSpec, HostStatus};
use holm_model::images::{Image, ImageContent, ImageFormat, ImageKind, ImageOrigin, ImagePhase, ImageSpec};
use holm_model::networks::{MacAddr, Network, NetworkDraft};
use holm_model::users::{ADMIN_GROUP, ADMIN_USER, Group, Secret, USERS_GROUP, User};
use holm_model::{
    Attributes, ClusterId, GroupId, HostId, ImageId, Invalid, Meta, Name, NetworkId, Permissions, Timestamp,
};
use holm_store::Tx;

fn meta(name: &str, now: Timestamp) -> Result<Meta, Invalid> {
    Ok(Meta::new(Name::new(name)?, (ADMIN_USER, ADMIN_GROUP), Permissions::default(), Attributes::default(), now))
}

fn image(id: u32, kind: ImageKind, now: Timestamp) -> Result<Image, Invalid> {
    Ok(Image {
        id: ImageId(id),
        meta: meta(&format!("image-{id}"), now)?,
        spec: ImageSpec::new(kind, ImageOrigin::Upload),
        phase: ImagePhase::Ready,
        received: 1 << 20,
        content: Some(ImageContent {
            digest: format!("{:064x}", u64::from(id) + 0xabc),
            format: if kind == ImageKind::Disk { ImageFormat::Qcow2 } else { ImageFormat::Raw },
            file_size: (1 << 20) + u64::from(id),
            virtual_size: 64 << 20,
        }),
        changed_at: now,
        trouble: None,
        snapshots: Vec::new(),
        next_snapshot: 0,
        current_snapshot: None,
    })
}

/// Writes everything. The pool of the network `small` is so small that it may run out.
pub(crate) fn write(tx: &mut Tx, hosts: u32, policy: PlacementPolicy, now: Timestamp) -> Result<(), Invalid> {
    let group = |id: GroupId, name: &str| -> Result<Group, Invalid> { Ok(Group::new(id, Name::new(name)?, now)) };
    tx.put(group(ADMIN_GROUP, "oneadmin")?);
    tx.put(group(USERS_GROUP, "users")?);
    tx.put(User::new(ADMIN_USER, Name::new("oneadmin")?, vec![ADMIN_GROUP], Secret("nobody logs in here".into()), now));
    tx.put(Cluster { id: ClusterId(0), meta: meta("default", now)?, spec: ClusterSpec { policy } });
    for (id, subnet) in [(0, "10.77.0.0/16"), (1, "10.5.0.0/28")] {
        let draft = NetworkDraft {
            name: format!("net-{id}"),
            kind: "nat".into(),
            subnet4: Some(subnet.into()),
            subnet6: (id == 0).then(|| "fd77::/64".into()),
            ..NetworkDraft::default()
        };
        let name = if id == 0 { "default" } else { "small" };
        tx.put(Network::drafted(NetworkId(id), meta(name, now)?, draft, MacAddr([2, 1, 0, 0, 0, 0]))?);
    }
    tx.put(image(0, ImageKind::Disk, now)?);
    tx.put(image(1, ImageKind::Disk, now)?);
    tx.put(image(2, ImageKind::Kernel, now)?);
    for id in 0..hosts {
        tx.put(Host {
            id: HostId(id),
            meta: meta(&format!("edge-{id}"), now)?,
            cluster: ClusterId(0),
            spec: HostSpec::default(),
            phase: HostPhase::Joining,
            status: HostStatus::default(),
            certificate_sha256: format!("{id:064x}"),
            trouble: None,
        });
    }
    Ok(())
}
