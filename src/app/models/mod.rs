//! The view that finds, fetches and keeps models.
//!
//! ```text
//! picker     the machine: the catalogue, what is stored, the download under way
//! recommend  which model of the list suits the device
//! view       the components
//! ```
//!
//! Invariant: all but `view` is pure, and tested natively.

pub mod picker;
pub mod recommend;

#[cfg(feature = "web")]
pub mod view;
