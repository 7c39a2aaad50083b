//! What is answered: labels in their order, and what is to be said beside them.

use super::table::{Cell, Table};
use serde::{Deserialize, Serialize};

/// What the probabilities mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// One of the labels is right: they compete.
    #[default]
    Softmax,
    /// Each label is right or wrong by itself.
    Independent,
}

impl Mode {
    /// As files write it.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Softmax => "softmax",
            Mode::Independent => "independent",
        }
    }
}

/// One line of a result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RankedLabel {
    /// `None` is the line "none of these".
    pub label: Option<String>,
    pub probability: f32,
    pub similarity: f32,
}

/// How far the first line of an answer can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// The first line is as probable as answers that were measured right at least 95 times in 100.
    Clear,
    /// More probable than all the others together.
    Likely,
    /// Others are as good, or nothing is.
    Unsure,
    /// "None of these" comes first.
    NoneOfThese,
    /// Nobody has measured what this model's probabilities are worth.
    NotCalibrated,
}

/// Labels, the most probable first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RankedLabels {
    /// How they were judged: a single label alone, whatever was asked for.
    pub mode: Mode,
    pub labels: Vec<RankedLabel>,
    pub confidence: Confidence,
}

impl RankedLabels {
    /// The line's text, for people and files.
    pub const NONE: &str = "none of these";
    /// What [`RankedLabels::rows`] holds.
    pub const COLUMNS: [&str; 3] = ["label", "probability", "similarity"];

    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }

    /// `label,probability,similarity`, one line a label.
    pub fn to_csv(&self) -> String {
        let mut table = Table::new(&RankedLabels::COLUMNS);
        self.rows().for_each(|row| table.push(row));
        table.to_csv()
    }

    /// A table's row a label.
    pub fn rows(&self) -> impl Iterator<Item = Vec<Cell>> {
        self.labels.iter().map(|RankedLabel { label, probability, similarity }| {
            let label = Cell::text(label.as_deref().unwrap_or(RankedLabels::NONE));
            vec![label, Cell::number(*probability), Cell::number(*similarity)]
        })
    }
}

/// What is to be said of labels beside their ranking.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelNotes {
    /// Labels that are longer than the model reads: their end was left out.
    pub cut: Vec<String>,
    /// Labels of which the model reads nothing: they take no part in the ranking.
    pub unreadable: Vec<String>,
    /// Groups of labels that are the same to the model: it cannot tell them apart.
    pub same: Vec<Vec<String>>,
}
