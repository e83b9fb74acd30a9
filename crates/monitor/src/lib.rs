//! The loop: lanes, passes, confirmations, and what is committed when.
