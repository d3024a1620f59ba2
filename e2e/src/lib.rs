//! End-to-end tests: real QEMU guests on network-namespace hosts.
