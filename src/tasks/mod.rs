//! What is done with embeddings: pure functions, no device.
//!
//! Invariant: a type per stage, so that a text embedding cannot stand in for a picture's.
//! Invariant: nothing here divides by zero or orders by a NaN: damaged embeddings rank last, they never panic.

pub mod calibrate;
pub mod classify;
mod embedding;

pub use embedding::{ImageEmbedding, LabelEmbedding, TextEmbedding};
