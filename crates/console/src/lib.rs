//! What the daemon answers: the socket's API, health and metrics.
