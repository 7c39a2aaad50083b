//! The page's two workers: the engine's thread, which computes, and the downloader, which fetches models of other hosts.
//!
//! Invariant: `protocol` and `problem` are the only types that cross between the threads; both are plain data.
//! Invariant: picture bytes enter the engine's worker and never leave it; the downloader gets neither pictures nor labels.

pub mod hub;
pub mod problem;
pub mod protocol;

#[cfg(feature = "web")]
pub mod client;
#[cfg(feature = "web")]
mod download;
#[cfg(feature = "web")]
pub mod downloader;
#[cfg(feature = "web")]
mod feed;
#[cfg(feature = "web")]
mod fetch;
#[cfg(feature = "web")]
pub mod host;
#[cfg(feature = "web")]
mod lock;
#[cfg(feature = "web")]
pub mod pictures;
#[cfg(feature = "web")]
mod shelf;

/// The name that the page gives to its downloader. What a worker may do depends on its script, not on this.
#[cfg(feature = "web")]
const DOWNLOADER: &str = "downloader";

/// Which of the two this thread is.
#[cfg(feature = "web")]
pub fn is_downloader() -> bool {
    fetch::scope().name() == DOWNLOADER
}
