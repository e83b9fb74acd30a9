//! What may be touched: targets, exclusions, leases of names, and the order in which they are visited.
