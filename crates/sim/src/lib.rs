//! A whole cloud in one thread from a seed
