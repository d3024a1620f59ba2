//! The front-end's effects in the outside world
