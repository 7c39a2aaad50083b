//! What the views share: each part gets what it shows, and emits what the reader does.
//!
//! Invariant: a part renders the same for the same props; what it keeps to itself is a half-typed text or a drag.

pub mod deletion;
pub mod dialogs;
pub mod header;
pub mod icon;
pub mod language;
pub mod messages;
pub mod offer;
pub mod toasts;
