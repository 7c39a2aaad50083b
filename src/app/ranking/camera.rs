//! The camera: on or off, and what is known of its film.

use super::steady::Steady;
use crate::facts::RankedLabels;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Camera {
    #[default]
    Off,
    Opening,
    On {
        is_live: bool,
    },
}

/// Why the camera was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// By a press, or because a picture took its place.
    Asked,
    TabHidden,
    /// The device went away.
    Gone,
}

/// The film while every frame is ranked.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Live {
    /// Answers a second.
    pub rate: f64,
    /// The frame that the question is about.
    pub frame: Option<u64>,
    last_frame_millis: Option<f64>,
    steady: Steady,
    /// The winner that was said last, and when.
    said: Option<(Option<String>, f64)>,
}

/// A screen reader is told of a new winner no more often than this.
const SAY_MILLIS: f64 = 3_000.0;

impl Live {
    /// A film begins.
    pub fn begin(&mut self) {
        self.last_frame_millis = None;
        self.rate = 0.0;
        self.steady = Steady::default();
        self.said = None;
    }

    /// Whether this winner is worth saying at this time; it is said then.
    pub fn is_news(&mut self, winner: Option<Option<&str>>, millis: f64) -> bool {
        let winner = winner.flatten().map(str::to_owned);
        let is_news = match &self.said {
            Some((said, when)) => *said != winner && millis - when >= SAY_MILLIS,
            None => true,
        };
        if is_news {
            self.said = Some((winner, millis));
        }
        is_news
    }

    /// A frame was answered at this time of the page's clock; returns what is to be shown.
    pub fn tick(&mut self, ranked: &RankedLabels, millis: f64) -> RankedLabels {
        let rate = self.last_frame_millis.map(|last| 1000.0 / (millis - last).max(1.0));
        let smooth = |rate: f64| if self.rate == 0.0 { rate } else { 0.7 * self.rate + 0.3 * rate };
        self.rate = rate.map_or(0.0, smooth);
        self.last_frame_millis = Some(millis);
        self.steady.after(ranked, millis)
    }
}
