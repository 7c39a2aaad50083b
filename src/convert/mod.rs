//! Where a model comes from, and what becomes of it: one grammar of names, one layout of files, one converter.
//!
//! ```text
//! text ─ source ─→ Source ─ hub ─→ ListedFile … ─ layout ─→ Layout ─ (bytes) ─ converter ─→ tensors, header
//! ```
//!
//! The page's downloader and the command only bring bytes: they ask hosts and write files, each in its own way, and take
//! every decision from here. So both make the same file of the same source.
//!
//! Invariant: nothing here asks a host or touches a file: names, listings and bytes go in, a plan and tensors come out.

pub mod catalogue;
pub mod converter;
pub mod hub;
pub mod layout;
pub mod source;
