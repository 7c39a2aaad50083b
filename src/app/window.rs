//! Which rows of a long list are drawn: those in view and some around them, all of one height.
//!
//! Invariant: the rows that are drawn and the room above and below them are together as high as the whole list, so that the
//! browser scrolls it as if all were there.

use std::ops::Range;

/// From so many rows on a list is long.
pub const LONG: usize = 48;

/// Rows drawn beyond each edge, so that a quick scroll finds them there.
const N_BEYOND: usize = 8;

/// A list and what can be seen of it, in CSS pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    pub n_rows: usize,
    pub row_height: f64,
    /// How far the list is scrolled.
    pub top: f64,
    /// How high its view is.
    pub height: f64,
}

impl Window {
    /// The rows to draw.
    pub fn rows(&self) -> Range<usize> {
        let row = |y: f64| (y / self.row_height.max(1.0)).max(0.0);
        let first = (row(self.top) as usize).min(self.n_rows).saturating_sub(N_BEYOND);
        let end = row(self.top + self.height).ceil() as usize + N_BEYOND;
        first..end.clamp(first, self.n_rows.max(first))
    }

    /// The room above and below them.
    pub fn room(&self) -> (f64, f64) {
        let Range { start, end } = self.rows();
        (start as f64 * self.row_height, self.n_rows.saturating_sub(end) as f64 * self.row_height)
    }

    /// How far to scroll so that the row is wholly in view: no further than needed.
    pub fn top_that_shows(&self, row: usize) -> f64 {
        let start = row as f64 * self.row_height;
        let end = start + self.row_height;
        if start < self.top {
            start
        } else if end > self.top + self.height {
            end - self.height
        } else {
            self.top
        }
    }
}
