//! A look at what the model sees of the picture.

use crate::worker::problem::Problem;
use crate::worker::protocol::Crop;
use std::rc::Rc;

#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// Of the request, and of no question.
    pub id: u64,
    pub picture: u64,
    pub seen: Option<Result<Seen, Problem>>,
}

/// The square that the model sees: `rgb` holds 3 bytes a pixel, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    pub crop: Crop,
    pub rgb: Rc<[u8]>,
}
