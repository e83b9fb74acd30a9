//! What crosses crates: the stories in `tests/`, the benchmarks in `examples/`.
