//! The rank policies that have a number and no text of their own.

/// What a rank is asked of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ranked {
    /// A host.
    Host,
    /// A datastore.
    Datastore,
    /// A network.
    Network,
}

/// A way to choose that is known by a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RankPolicy {
    /// As few objects in use as possible.
    Packing,
    /// Spread over as many objects as possible.
    Striping,
    /// The host with most free CPU.
    LoadAware,
    /// A rank of the user's own.
    Custom,
    /// As the objects' attribute `PRIORITY` says.
    Fixed,
}

impl RankPolicy {
    /// The policy of this number; `None` when there is none. Hosts have 0 to 4, datastores and networks 0 to 3, for
    /// load is known of hosts only.
    #[must_use]
    pub fn numbered(ranked: Ranked, number: u32) -> Option<Self> {
        let policies: &[Self] = match ranked {
            Ranked::Host => &[Self::Packing, Self::Striping, Self::LoadAware, Self::Custom, Self::Fixed],
            Ranked::Datastore | Ranked::Network => &[Self::Packing, Self::Striping, Self::Custom, Self::Fixed],
        };
        policies.get(usize::try_from(number).ok()?).copied()
    }

    /// The rank it stands for, to be read by [`Rank::parse`](super::Rank::parse). `None` for [`Self::Custom`], whose
    /// text the user gives, and where the policy does not exist.
    #[must_use]
    pub fn expression(self, ranked: Ranked) -> Option<&'static str> {
        match (self, ranked) {
            (Self::Packing, Ranked::Host) => Some("RUNNING_VMS"),
            (Self::Striping, Ranked::Host) => Some("-RUNNING_VMS"),
            (Self::LoadAware, Ranked::Host) => Some("FREE_CPU"),
            (Self::Packing, Ranked::Datastore) => Some("-FREE_MB"),
            (Self::Striping, Ranked::Datastore) => Some("FREE_MB"),
            (Self::Packing, Ranked::Network) => Some("USED_LEASES"),
            (Self::Striping, Ranked::Network) => Some("-USED_LEASES"),
            (Self::Fixed, _) => Some("PRIORITY"),
            (Self::Custom, _) | (Self::LoadAware, Ranked::Datastore | Ranked::Network) => None,
        }
    }
}
