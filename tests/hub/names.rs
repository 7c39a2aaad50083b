//! What people type or paste to name a model of the hub: one table for the command and the page.
//!
//! Invariant: each revision of [`ID`] has other weights, so that a file's hash says which one was fetched.

use super::repositories::{clip_weights, small};
use super::{Content, Hub};

pub const ID: &str = "some-one/clip_small.v1";
/// The commit of its tag `v1.0`.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A name and the revision that it means. `HUB` stands for the address of the hub that is set.
pub const NAMES: [(&str, &str); 26] = [
    ("some-one/clip_small.v1", "main"),
    (" some-one/clip_small.v1\n", "main"),
    ("some-one/clip_small.v1/", "main"),
    ("some-one/clip_small.v1@main", "main"),
    ("some-one/clip_small.v1@v1.0", "v1.0"),
    ("some-one/clip_small.v1@0123456789abcdef0123456789abcdef01234567", "v1.0"),
    ("some-one/clip_small.v1@refs/pr/15", "refs/pr/15"),
    ("some-one/clip_small.v1@refs%2Fpr%2F15", "refs/pr/15"),
    ("https://huggingface.co/some-one/clip_small.v1", "main"),
    ("https://huggingface.co/some-one/clip_small.v1/", "main"),
    ("https://huggingface.co/some-one/clip_small.v1?library=transformers", "main"),
    ("https://huggingface.co/some-one/clip_small.v1#usage", "main"),
    ("https://huggingface.co/some-one/clip_small.v1/tree/main", "main"),
    ("https://huggingface.co/some-one/clip_small.v1/tree/v1.0/", "v1.0"),
    ("https://huggingface.co/some-one/clip_small.v1/tree/refs%2Fpr%2F15", "refs/pr/15"),
    ("https://huggingface.co/some-one/clip_small.v1/tree/refs/pr/15", "refs/pr/15"),
    ("https://huggingface.co/some-one/clip_small.v1/discussions/15", "refs/pr/15"),
    ("https://huggingface.co/some-one/clip_small.v1/blob/v1.0/model.safetensors", "v1.0"),
    (
        "https://huggingface.co/some-one/clip_small.v1/resolve/refs%2Fpr%2F15/model.safetensors?download=true",
        "refs/pr/15",
    ),
    ("https://huggingface.co/some-one/clip_small.v1/blob/refs/pr/15/model.safetensors", "refs/pr/15"),
    ("http://huggingface.co/some-one/clip_small.v1", "main"),
    ("huggingface.co/some-one/clip_small.v1", "main"),
    ("www.huggingface.co/some-one/clip_small.v1/tree/v1.0", "v1.0"),
    ("hf.co/some-one/clip_small.v1", "main"),
    ("https://hf.co/some-one/clip_small.v1/blob/v1.0/model.safetensors", "v1.0"),
    ("HUB/some-one/clip_small.v1/tree/refs%2Fpr%2F15?not-for-all-audiences=true", "refs/pr/15"),
];

/// Puts [`ID`] on a hub, with a branch, a tag and a pull request.
pub fn put(hub: &Hub) {
    for (revision, last) in [("main", 0.25f32), (COMMIT, 0.5), ("refs/pr/15", 0.75)] {
        let mut weights = clip_weights().bytes();
        let at = weights.len() - 4;
        weights[at..].copy_from_slice(&last.to_le_bytes());
        let mut files = small();
        let file = files.iter_mut().find(|(name, _)| *name == "model.safetensors").expect("weights");
        file.1 = weights.into();
        hub.put(ID, revision, files);
    }
    hub.point(ID, "v1.0", COMMIT);
}

/// The hash of the weights at that revision.
pub fn sha256(hub: &Hub, revision: &str) -> String {
    Content::from(hub.file(ID, revision, "model.safetensors")).sha256()
}

/// A name of the table as it is typed where this hub is set.
pub fn typed(name: &str, hub: &Hub) -> String {
    name.replace("HUB", &hub.url(""))
}
