//! Questions to the network: the dialer, the sweep, the conversations.
