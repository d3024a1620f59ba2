//! What is remembered: typed tables, one writer, a durable journal, a change feed
