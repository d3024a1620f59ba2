//! The user's hand: the command holm
