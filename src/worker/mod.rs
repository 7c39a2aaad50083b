//! The page's two workers: the engine's thread, which computes, and the downloader, which fetches models of other hosts.
//!
//! Invariant: `protocol` and `problem` are the only types that cross between the threads; both are plain data.
//! Invariant: picture bytes enter the engine's worker and never leave it; the downloader gets neither pictures nor labels.

pub mod problem;
pub mod protocol;

#[cfg(feature = "web")]
pub mod client;
#[cfg(feature = "web")]
pub mod downloader;
#[cfg(feature = "web")]
pub mod engine;
#[cfg(feature = "web")]
mod fetch;
#[cfg(feature = "web")]
mod lock;
#[cfg(feature = "web")]
mod model_store;
#[cfg(feature = "web")]
mod reader;

/// The two workers. What one may do depends on its script, not on this.
#[cfg(feature = "web")]
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Engine,
    Downloader,
}

#[cfg(feature = "web")]
impl Role {
    /// The name that the page gives to its worker.
    fn name(self) -> &'static str {
        match self {
            Role::Engine => "engine",
            Role::Downloader => "downloader",
        }
    }

    /// What the worker starts with.
    fn script(self) -> &'static str {
        match self {
            Role::Engine => "worker-boot.js",
            Role::Downloader => "downloader-boot.js",
        }
    }
}
