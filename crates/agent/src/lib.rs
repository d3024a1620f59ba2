//! Makes one host match its plan
