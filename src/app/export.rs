//! Answers as they leave the page: JSON and tables that say what was asked of which model.
//!
//! Invariant: whoever gets an export can ask the same question again, but for the picture, of which only its name leaves.

use crate::facts::RankedLabels;
use crate::facts::table::{Cell, Table};
use crate::worker::protocol::Card;
use serde::Serialize;

/// One answer, and what it depended on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Record {
    /// A file's name, or what else the picture is called.
    pub picture: String,
    /// When it left the page: ISO 8601, in universal time.
    pub date: String,
    pub model: RecordModel,
    /// The sentences around a label.
    pub templates: Vec<String>,
    #[serde(flatten)]
    pub ranked: RankedLabels,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecordModel {
    pub name: String,
    pub file: String,
    pub sha256: String,
}

impl RecordModel {
    pub fn new(name: &str, card: &Card) -> RecordModel {
        RecordModel { name: name.to_owned(), file: card.file.clone(), sha256: card.sha256.clone() }
    }
}

/// One answer as an object, several as an array.
pub fn to_json(records: &[Record]) -> Result<String, serde_json::Error> {
    match records {
        [record] => serde_json::to_string_pretty(record),
        records => serde_json::to_string_pretty(records),
    }
}

/// A row a label, each with what its answer depended on: rows of many pictures can be sorted and filtered as they are.
pub fn to_table(records: &[Record]) -> Table {
    let mut columns = RankedLabels::COLUMNS.to_vec();
    columns.extend(["picture", "model", "templates", "mode", "date"]);
    let mut table = Table::new(&columns);
    for Record { picture, date, model, templates, ranked } in records {
        let about = [picture, &model.name, &templates.join("; "), ranked.mode.name(), date].map(Cell::text);
        ranked.rows().for_each(|row| table.push(row.into_iter().chain(about.iter().cloned()).collect()));
    }
    table
}

/// `cat-ranking.csv` of `cat.jpg`; of several pictures `ranking.csv`.
pub fn file_name(records: &[Record], ending: &str) -> String {
    let [Record { picture, .. }] = records else { return format!("ranking.{ending}") };
    let stem = picture.rsplit_once('.').map_or(&picture[..], |(stem, _)| stem);
    let is_kept = |c: &char| c.is_alphanumeric() || matches!(c, '-' | '_' | ' ' | '.');
    let stem: String = stem.chars().filter(is_kept).take(60).collect();
    match stem.trim().trim_start_matches('.') {
        "" => format!("ranking.{ending}"),
        stem => format!("{stem}-ranking.{ending}"),
    }
}
