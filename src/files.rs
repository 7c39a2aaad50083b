//! What the name of a file tells before anybody opens it.
//!
//! Invariant: one rule, wherever files come from: a folder on disk, a drop on the page, the files of a model.

/// What systems leave in a person's folders, in small letters.
const SYSTEMS: [&str; 7] = [
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "__macosx",
    "$recycle.bin",
    "system volume information",
    // A folder's own icon on a Mac; a carriage return ends the name.
    "icon\r",
];

/// Whether a file is a system's own and nothing that a person put there: its name, or that of a folder on its path, is a
/// system's, or starts with a dot (`.DS_Store`, `._photo.jpg`).
pub fn is_systems_own(path: &str) -> bool {
    let is_own = |part: &str| {
        (part.starts_with('.') && !matches!(part, "." | ".."))
            || SYSTEMS.contains(&part.to_ascii_lowercase().as_str())
    };
    path.split(['/', '\\']).any(is_own)
}
