//! The engine's thread: what the page asks, what it is told, and the two ends of the channel.
//!
//! Invariant: `protocol` and `problem` are the only types that cross between the threads; both are plain data.
//! Invariant: picture bytes enter the worker and never leave it; weights are fetched inside it.

pub mod problem;
pub mod protocol;

#[cfg(feature = "web")]
pub mod client;
#[cfg(feature = "web")]
mod download;
#[cfg(feature = "web")]
pub mod host;
#[cfg(feature = "web")]
pub mod pictures;
