//! What a host can do: driver traits, faults, fakes, conformance suites
