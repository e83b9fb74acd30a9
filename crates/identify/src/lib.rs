//! Bytes in, evidence out: protocol parsers, certificates and their verdicts. Pure.
