//! TLS for the channels.
