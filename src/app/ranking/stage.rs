//! What is to be ranked: a picture, or the camera's frames.
//!
//! Invariant: while the camera is on, the picture waits under it.
//! Invariant: a picture that cannot be read takes no other's place: the one before it comes back, with its answer.

use super::camera::{Camera, Live};
use super::trial::Asked;
use crate::worker::protocol::Answer;
use std::collections::HashMap;
use std::rc::Rc;

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Stage {
    pub picture: Option<Picture>,
    /// The picture was read; until then the one before it is kept.
    is_read: bool,
    before: Option<Box<Shown>>,
    /// The picture came back after another could not be read, which is still to be told.
    is_back: bool,
    /// Pictures that came together with the one on the stage, which is among them.
    pub tray: Vec<Picture>,
    /// What the question of the moment was answered for each of them.
    pub answers: HashMap<u64, Rc<Answer>>,
    pub camera: Camera,
    pub live: Live,
}

/// A picture that was on the stage, and its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    pub picture: Picture,
    pub answer: Option<(Asked, Rc<Answer>)>,
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
    /// Another picture takes the stage; `answer` is that of the one there.
    pub fn show(&mut self, picture: Picture, answer: Option<(Asked, Rc<Answer>)>) {
        if let Some(before) = self.picture.replace(picture)
            && (self.is_read || self.before.is_none())
        {
            self.before = Some(Box::new(Shown { picture: before, answer }));
        }
        if let Some(picture) =
            self.picture.as_ref().filter(|picture| !self.tray.is_empty() && !self.tray.contains(picture))
        {
            self.tray.push(picture.clone());
        }
        self.is_read = false;
        self.is_back = false;
        self.camera = Camera::Off;
    }

    /// Another model ranks: what this one said of earlier pictures stands no more.
    pub fn forget_answers(&mut self) {
        self.before.iter_mut().for_each(|shown| shown.answer = None);
    }

    /// The picture leaves the stage. Returns the next of those that came with it.
    pub fn clear(&mut self) -> Option<Picture> {
        let gone = self.picture.take()?;
        let place = self.tray.iter().position(|picture| *picture == gone);
        if let Some(place) = place {
            self.tray.remove(place);
        }
        self.answers.remove(&gone.id);
        (self.before, self.is_read, self.is_back) = (None, false, false);
        if self.tray.len() < 2 {
            return self.tray.pop();
        }
        let last = self.tray.len() - 1;
        self.tray.get(place.unwrap_or(0).min(last)).cloned()
    }

    /// The pictures that a question is about, that on the stage first.
    pub fn subjects(&self) -> Vec<u64> {
        let Some(first) = self.subject() else { return Vec::new() };
        let others = self.tray.iter().map(|picture| picture.id).filter(|id| *id != first);
        [first].into_iter().chain(others.filter(|_| self.camera == Camera::Off)).collect()
    }

    pub fn tray_with_answers(&self) -> Vec<(Picture, Option<Rc<Answer>>)> {
        self.tray.iter().map(|picture| (picture.clone(), self.answers.get(&picture.id).cloned())).collect()
    }

    /// One of the tray cannot be read.
    pub fn drop_from_tray(&mut self, id: u64) -> Option<Picture> {
        let place = self.tray.iter().position(|picture| picture.id == id)?;
        Some(self.tray.remove(place))
    }

    /// The picture was read.
    pub fn prove(&mut self) {
        if self.camera == Camera::Off {
            self.is_read = true;
            self.before = None;
        }
    }

    /// The picture cannot be read: the one before it comes back. Returns that one's answer.
    pub fn take_back(&mut self) -> Option<(Asked, Rc<Answer>)> {
        let bad = self.picture.take();
        self.tray.retain(|picture| Some(picture) != bad.as_ref());
        let Shown { picture, answer } = *self.before.take()?;
        (self.picture, self.is_read, self.is_back) = (Some(picture), answer.is_some(), true);
        answer
    }

    /// Whether this answer is the first since the picture came back: why it did is not to go with it.
    pub fn is_back(&mut self) -> bool {
        std::mem::take(&mut self.is_back)
    }

    /// Every picture that may be shown again.
    pub fn pictures(&self) -> impl Iterator<Item = &Picture> {
        let before = self.before.as_ref().map(|shown| &shown.picture);
        self.picture.iter().chain(before).chain(&self.tray)
    }

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
