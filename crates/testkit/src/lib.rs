//! Simulated networks, fake servers, the clock of tests. A dev-dependency only.
