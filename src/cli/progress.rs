//! Progress bars on standard error.
//!
//! Invariant: nothing is drawn where standard error is no terminal, so that logs stay readable.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over `n_bytes` bytes.
pub fn bytes(n_bytes: u64) -> ProgressBar {
    styled(n_bytes, "{wide_bar} {bytes}/{total_bytes} {eta}")
}

/// A bar over `n` things.
pub fn count(n: u64) -> ProgressBar {
    styled(n, "{wide_bar} {pos}/{len} {eta}")
}

fn styled(n: u64, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(n).with_style(style)
}
