//! What every target holds its reader to: bounded memory, bounded time.
//!
//! Invariant: time is the processor's, so that a busy machine does not fail a run.

#[path = "../native/allocation.rs"]
mod allocation;

use cpu_time::ThreadTime;
use std::time::Duration;

/// What reading `n_bytes` of weights may allocate.
pub const fn twice(n_bytes: usize) -> usize {
    2 * n_bytes + (1 << 20)
}

/// Runs `work`, and panics when it held more than `allowed` bytes at once or took more than a second.
pub fn within<T>(allowed: usize, what: &str, work: impl FnOnce() -> T) -> T {
    let start = ThreadTime::now();
    let (result, peak) = allocation::peak_of(work);
    let time = start.elapsed();
    assert!(peak <= allowed, "{what}: {peak} bytes allocated, {allowed} allowed");
    assert!(time <= Duration::from_secs(1), "{what}: took {time:?}");
    result
}
