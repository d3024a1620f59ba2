//! Serves every request whatever the door
