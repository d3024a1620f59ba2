//! The REST door, the agent link, the event stream and the console relay
