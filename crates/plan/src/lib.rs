//! What should happen next: pure functions over a snapshot
