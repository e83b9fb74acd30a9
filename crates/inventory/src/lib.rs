//! The inventory and the change detector. Pure.
