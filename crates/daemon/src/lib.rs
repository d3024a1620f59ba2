//! The command holmd: reads configuration and wires the rooms
