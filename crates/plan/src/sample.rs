//! Small worlds for tests.
