//! What a network card looks like to its guest, and how much disks and cards may move in a second, as the attributes of
//! their doors say. The names are those of OpenNebula's virtual machine templates.

use crate::{Invalid, Word};
use serde::{Deserialize, Serialize};

/// The least a bandwidth may be, bytes in a second: below it nothing works.
const LEAST_BANDWIDTH: u64 = 1 << 10;
/// The most bandwidth, kilobytes in a second: what kernels count right, with bursts.
const MOST_BANDWIDTH: u64 = 8_000_000;
/// The most a disk may do in a second, and in a burst: what QEMU takes.
const MOST: u64 = 1_000_000_000_000_000;
/// The longest burst, seconds.
const LONGEST: u64 = 24 * 3600;

/// How much of something may be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throttle {
    /// In a second, on average; 0: any number.
    pub rate: u64,
    /// In a second, for a while; 0: as much as the average.
    pub burst: u64,
    /// How long that while may be, seconds; 0: one.
    pub burst_s: u64,
}

/// How much a disk may do. There is a limit for everything or there are limits for reading and writing, never both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskLimits {
    /// Bytes: of all, reading, writing.
    pub bytes: [Throttle; 3],
    /// Operations: of all, reading, writing.
    pub operations: [Throttle; 3],
    /// A longer operation counts as several of so many bytes; 0: as one.
    pub operation_bytes: u64,
}

/// How much may go one way through a network card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bandwidth {
    /// Bytes in a second, on average.
    pub rate: u64,
    /// Bytes in a second, in a burst; 0: any number.
    pub peak: u64,
    /// Bytes of a burst; 0: what the host finds fit.
    pub burst: u64,
}

/// How much may go through a network card.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NicLimits {
    /// To the guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inbound: Option<Bandwidth>,
    /// From the guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outbound: Option<Bandwidth>,
}

/// What a network card looks like to its guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NicModel {
    /// The fastest, for guests that know they are virtual.
    #[default]
    Virtio,
    /// Intel 82540EM.
    E1000,
    /// Intel 82574L.
    E1000e,
    /// Intel 82551.
    I82551,
    /// Intel 82557B.
    I82557b,
    /// Intel 82559ER.
    I82559er,
    /// NE2000 on PCI.
    Ne2kPci,
    /// AMD PCnet.
    Pcnet,
    /// Realtek 8139.
    Rtl8139,
    /// VMware's.
    Vmxnet3,
}

impl NicModel {
    /// All of them, by the word users give.
    pub const ALL: [(&'static str, Self); 10] = [
        ("virtio", Self::Virtio),
        ("e1000", Self::E1000),
        ("e1000e", Self::E1000e),
        ("i82551", Self::I82551),
        ("i82557b", Self::I82557b),
        ("i82559er", Self::I82559er),
        ("ne2k_pci", Self::Ne2kPci),
        ("pcnet", Self::Pcnet),
        ("rtl8139", Self::Rtl8139),
        ("vmxnet3", Self::Vmxnet3),
    ];

    /// The word users give, which is also QEMU's.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, model)| *model == self).map_or("virtio", |(word, _)| *word)
    }

    /// The model that a card's attribute `MODEL` names; without one, virtio.
    ///
    /// # Errors
    /// When there is no such model.
    pub fn of(attributes: &[(Word, Word)]) -> Result<Self, Invalid> {
        let Some(given) = text(attributes, "MODEL") else { return Ok(Self::default()) };
        let named = Self::ALL.iter().find(|(word, _)| word.eq_ignore_ascii_case(given));
        named.map(|(_, model)| *model).ok_or_else(|| {
            let words: Vec<&str> = Self::ALL.iter().map(|(word, _)| *word).collect();
            Invalid::new("MODEL", given, "is no model of network card", format!("Give one of {}.", words.join(", ")))
        })
    }
}

impl DiskLimits {
    /// What a disk's attributes say: `{TOTAL,READ,WRITE}_{BYTES,IOPS}_SEC`, each with `_MAX` and `_MAX_LENGTH`, and
    /// `SIZE_IOPS_SEC`. `None` when they limit nothing.
    ///
    /// # Errors
    /// When one is no number, or they contradict each other.
    pub fn of(attributes: &[(Word, Word)]) -> Result<Option<Self>, Invalid> {
        let limits = Self {
            bytes: throttles(attributes, "BYTES")?,
            operations: throttles(attributes, "IOPS")?,
            operation_bytes: number(attributes, "SIZE_IOPS_SEC", MOST)?,
        };
        if limits.operation_bytes != 0 && limits.operations == <[Throttle; 3]>::default() {
            let wrong = "is the size of operations whose number has no limit";
            return Err(Invalid::new("SIZE_IOPS_SEC", limits.operation_bytes, wrong, "Give TOTAL_IOPS_SEC as well."));
        }
        Ok((limits != Self::default()).then_some(limits))
    }
}

impl NicLimits {
    /// What the attributes of a card or a network say: `{INBOUND,OUTBOUND}_AVG_BW` and `_PEAK_BW`, kilobytes (1,000 bytes)
    /// in a second, and `_PEAK_KB`, kilobytes. `says` gives one by its name.
    ///
    /// # Errors
    /// When one is no number, or they contradict each other.
    pub fn of<'a>(says: impl Fn(&str) -> Option<&'a str>) -> Result<Self, Invalid> {
        let way = |way: &str| {
            let one = |what: &str| -> Result<u64, Invalid> {
                let name = format!("{way}_{what}");
                Ok(counted(&name, says(&name), MOST_BANDWIDTH)? * 1000)
            };
            let (rate, peak, burst) = (one("AVG_BW")?, one("PEAK_BW")?, one("PEAK_KB")?);
            let (average, name, length) = (format!("{way}_AVG_BW"), format!("{way}_PEAK_BW"), format!("{way}_PEAK_KB"));
            if let (0, Some((name, given))) =
                (rate, [(&name, peak), (&length, burst)].into_iter().find(|(_, n)| *n != 0))
            {
                let fix = format!("Give {average} as well.");
                return Err(Invalid::new(name, given / 1000, "is about a peak without an average", fix));
            }
            if peak != 0 && peak < rate {
                let wrong = format!("is below the average of {}", rate / 1000);
                return Err(Invalid::new(name, peak / 1000, wrong, "Give at least the average, or leave it out."));
            }
            if rate != 0 && rate < LEAST_BANDWIDTH {
                return Err(Invalid::new(average, rate / 1000, "is too little for anything", "Give at least 2."));
            }
            Ok((rate != 0).then_some(Bandwidth { rate, peak, burst }))
        };
        Ok(Self { inbound: way("INBOUND")?, outbound: way("OUTBOUND")? })
    }

    /// As [`Self::of`], of a card's attributes.
    ///
    /// # Errors
    /// As there.
    pub fn of_card(attributes: &[(Word, Word)]) -> Result<Self, Invalid> {
        Self::of(|name| text(attributes, name))
    }

    /// These, and `other` for a way that these do not limit.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self { inbound: self.inbound.or(other.inbound), outbound: self.outbound.or(other.outbound) }
    }
}

fn throttles(attributes: &[(Word, Word)], what: &str) -> Result<[Throttle; 3], Invalid> {
    let mut all = [Throttle::default(); 3];
    for (throttle, way) in all.iter_mut().zip(["TOTAL", "READ", "WRITE"]) {
        let name = format!("{way}_{what}_SEC");
        let (most, length) = (format!("{name}_MAX"), format!("{name}_MAX_LENGTH"));
        *throttle = Throttle {
            rate: number(attributes, &name, MOST)?,
            burst: number(attributes, &most, MOST)?,
            burst_s: number(attributes, &length, LONGEST)?,
        };
        if throttle.burst != 0 && throttle.burst < throttle.rate.max(1) {
            let wrong = format!("is below the average of {}", throttle.rate);
            return Err(Invalid::new(most, throttle.burst, wrong, "Give at least the average, or leave it out."));
        }
        if throttle.burst != 0 && throttle.rate == 0 {
            let fix = format!("Give {name} as well.");
            return Err(Invalid::new(most, throttle.burst, "is a burst without an average", fix));
        }
        if throttle.burst.saturating_mul(throttle.burst_s) > MOST {
            let wrong = format!("makes bursts of more than {MOST}");
            return Err(Invalid::new(length, throttle.burst_s, wrong, "Give fewer seconds."));
        }
        if throttle.burst_s != 0 && throttle.burst == 0 {
            let fix = format!("Give {most} as well.");
            return Err(Invalid::new(length, throttle.burst_s, "is the length of no burst", fix));
        }
    }
    let [total, read, write] = all;
    if total.rate != 0 && read.rate.max(write.rate) != 0 {
        let (wrong, fix) = ("is given beside one for reading or writing", "Give one for all, or one for each.");
        return Err(Invalid::new(format!("TOTAL_{what}_SEC"), total.rate, wrong, fix));
    }
    Ok(all)
}

fn text<'a>(attributes: &'a [(Word, Word)], name: &str) -> Option<&'a str> {
    let found = attributes.iter().find(|(given, _)| given.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
}

fn number(attributes: &[(Word, Word)], name: &str, most: u64) -> Result<u64, Invalid> {
    counted(name, text(attributes, name), most)
}

fn counted(name: &str, given: Option<&str>, most: u64) -> Result<u64, Invalid> {
    let Some(given) = given.map(str::trim).filter(|given| !given.is_empty()) else { return Ok(0) };
    let number = given.parse().ok().filter(|number| *number <= most);
    number.ok_or_else(|| {
        Invalid::new(name, given, format!("is no whole number from 0 to {most}"), "Give one, or leave it out.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(all: &[(&str, &str)]) -> Vec<(Word, Word)> {
        all.iter().map(|(name, value)| (Word::from(*name), Word::from(*value))).collect()
    }

    #[test]
    fn a_disk_is_limited_as_its_attributes_say() {
        assert_eq!(DiskLimits::of(&attributes(&[("TARGET", "vda"), ("TOTAL_IOPS_SEC", " ")])), Ok(None));
        let limits = DiskLimits::of(&attributes(&[
            ("read_bytes_sec", "1000"),
            ("READ_BYTES_SEC_MAX", "5000"),
            ("READ_BYTES_SEC_MAX_LENGTH", "60"),
            ("TOTAL_IOPS_SEC", " 100 "),
            ("SIZE_IOPS_SEC", "4096"),
        ]));
        let none = Throttle::default();
        let expected = DiskLimits {
            bytes: [none, Throttle { rate: 1000, burst: 5000, burst_s: 60 }, none],
            operations: [Throttle { rate: 100, ..none }, none, none],
            operation_bytes: 4096,
        };
        assert_eq!(limits, Ok(Some(expected)));
        for (bad, field) in [
            (&[("TOTAL_IOPS_SEC", "-1")][..], "TOTAL_IOPS_SEC"),
            (&[("TOTAL_IOPS_SEC", "many")], "TOTAL_IOPS_SEC"),
            (&[("TOTAL_IOPS_SEC", "1000000000000001")], "TOTAL_IOPS_SEC"),
            (&[("TOTAL_IOPS_SEC", "5"), ("READ_IOPS_SEC", "5")], "TOTAL_IOPS_SEC"),
            (&[("READ_IOPS_SEC_MAX", "5")], "READ_IOPS_SEC_MAX"),
            (&[("READ_IOPS_SEC", "6"), ("READ_IOPS_SEC_MAX", "5")], "READ_IOPS_SEC_MAX"),
            (&[("READ_IOPS_SEC", "6"), ("READ_IOPS_SEC_MAX_LENGTH", "5")], "READ_IOPS_SEC_MAX_LENGTH"),
            (&[("SIZE_IOPS_SEC", "4096"), ("TOTAL_BYTES_SEC", "6")], "SIZE_IOPS_SEC"),
            (
                &[("READ_IOPS_SEC", "6"), ("READ_IOPS_SEC_MAX", "100000000000000"), ("READ_IOPS_SEC_MAX_LENGTH", "11")],
                "READ_IOPS_SEC_MAX_LENGTH",
            ),
        ] {
            let refused = DiskLimits::of(&attributes(bad)).expect_err("refused");
            assert_eq!(refused.field, field, "{bad:?}: {refused}");
        }
    }

    #[test]
    fn a_card_is_limited_as_it_says_or_else_as_its_network_says() {
        assert_eq!(NicLimits::of_card(&[]), Ok(NicLimits::default()));
        let of = |all: &[(&str, &str)]| NicLimits::of_card(&attributes(all));
        let own = of(&[("INBOUND_AVG_BW", "1000"), ("INBOUND_PEAK_KB", "64")]).expect("good");
        // Its peak is below the card's average: what belongs together comes from one of the two.
        let network =
            of(&[("INBOUND_AVG_BW", "7"), ("INBOUND_PEAK_BW", "20"), ("OUTBOUND_AVG_BW", "500")]).expect("good");
        let limits = own.or(network);
        assert_eq!(limits.inbound, Some(Bandwidth { rate: 1_000_000, peak: 0, burst: 64_000 }));
        assert_eq!(limits.outbound, Some(Bandwidth { rate: 500_000, peak: 0, burst: 0 }));
        assert_eq!(NicLimits::default().or(network), network);
        for (bad, field) in [
            (&[("INBOUND_AVG_BW", "1.5")][..], "INBOUND_AVG_BW"),
            (&[("INBOUND_AVG_BW", "1")], "INBOUND_AVG_BW"),
            (&[("INBOUND_AVG_BW", "8000001")], "INBOUND_AVG_BW"),
            (&[("OUTBOUND_PEAK_BW", "10")], "OUTBOUND_PEAK_BW"),
            (&[("OUTBOUND_AVG_BW", "10"), ("OUTBOUND_PEAK_BW", "9")], "OUTBOUND_PEAK_BW"),
        ] {
            let refused = of(bad).expect_err("refused");
            assert_eq!(refused.field, field, "{bad:?}: {refused}");
        }
    }

    #[test]
    fn a_card_is_of_the_model_it_names() {
        assert_eq!(NicModel::of(&[]), Ok(NicModel::Virtio));
        assert_eq!(NicModel::of(&attributes(&[("MODEL", " ")])), Ok(NicModel::Virtio));
        assert_eq!(NicModel::of(&attributes(&[("model", "E1000")])), Ok(NicModel::E1000));
        for (word, model) in NicModel::ALL {
            assert_eq!((model.word(), NicModel::of(&attributes(&[("MODEL", word)]))), (word, Ok(model)));
        }
        let refused = NicModel::of(&attributes(&[("MODEL", "e1000,romfile=/etc/shadow")])).expect_err("refused");
        assert!(refused.fix.contains("rtl8139"), "{refused}");
    }
}
