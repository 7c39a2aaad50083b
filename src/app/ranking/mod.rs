//! The view that ranks labels for a picture.
//!
//! ```text
//! stage    what is to be ranked: a picture, or the camera's frames   answer   the question and its answer
//! camera   on or off, and its film                                  look     what the model sees of the picture
//! steady   a film's answers without their noise
//! offering when a better model is offered                           trial    its answer beside the starter's
//! view     the components
//! ```
//!
//! Invariant: all but `view` is pure, and tested natively.

pub mod answer;
pub mod camera;
pub mod look;
pub mod offering;
pub mod stage;
pub mod steady;
pub mod trial;

#[cfg(feature = "web")]
pub mod view;
