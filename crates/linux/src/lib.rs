//! The only crate with processes, netlink and sysfs
