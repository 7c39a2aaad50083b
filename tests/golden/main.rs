//! Model stages against PyTorch: `tests/fixtures/models`, on every backend.
//!
//! Invariant: no adapter is a failure, not a skip.

mod full_size;
mod models;
