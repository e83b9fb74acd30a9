//! Ways out: intervals, digests, the outbox pipeline, one folder a channel.
