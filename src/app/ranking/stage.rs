//! What is to be ranked: a picture, or the camera's frames.
//!
//! Invariant: while the camera is on, the picture waits under it.

use super::camera::{Camera, Live};

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Stage {
    pub picture: Option<Picture>,
    pub camera: Camera,
    pub live: Live,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    pub id: u64,
    /// A file's name, or what else it is called.
    pub name: String,
    /// Where the `img` finds it: a blob of this page.
    pub url: String,
}

impl Stage {
    /// The picture that a question would be about.
    pub fn subject(&self) -> Option<u64> {
        match self.camera {
            Camera::On { is_live: true } => self.live.frame,
            Camera::Off => self.still(),
            _ => None,
        }
    }

    /// The picture, unless the camera is before it.
    pub fn still(&self) -> Option<u64> {
        self.picture.as_ref().filter(|_| self.camera == Camera::Off).map(|picture| picture.id)
    }

    pub fn is_live(&self) -> bool {
        self.camera == Camera::On { is_live: true }
    }
}
