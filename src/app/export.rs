//! Answers as they leave the page: JSON and tables that say what was asked of which model.
//!
//! Invariant: whoever gets an export can ask the same question again, but for the picture, of which only its name leaves.

use crate::facts::table::{Cell, Table};
use crate::facts::{Confidence, Mode, RankedLabel, RankedLabels};
use crate::worker::protocol::Card;
use serde::Serialize;

/// One answer, and what it depended on.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// A file's name, or what else the picture is called.
    pub picture: String,
    /// When it left the page: ISO 8601, in universal time.
    pub date: String,
    pub model: RecordModel,
    /// The sentences around a label.
    pub templates: Vec<String>,
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

/// A record as a file has it.
#[derive(Serialize)]
struct Written<'a> {
    picture: &'a str,
    date: &'a str,
    model: &'a RecordModel,
    templates: &'a [String],
    mode: Mode,
    confidence: Confidence,
    labels: &'a [RankedLabel],
}

/// One answer as an object, several as an array.
pub fn to_json(records: &[Record]) -> Result<String, serde_json::Error> {
    let written = |record: &'_ Record| {
        let Record { picture, date, model, templates, ranked } = record;
        let RankedLabels { mode, confidence, labels } = ranked;
        serde_json::to_string_pretty(&Written {
            picture,
            date,
            model,
            templates,
            mode: *mode,
            confidence: *confidence,
            labels,
        })
    };
    let written = records.iter().map(written).collect::<Result<Vec<_>, _>>()?;
    Ok(match &written[..] {
        [one] => one.clone(),
        all => format!("[\n{}\n]", all.join(",\n")),
    })
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
    // What some system or other allows in no name.
    let is_kept = |c: &char| !c.is_control() && !r#"/\:*?"<>|"#.contains(*c);
    let stem: String = stem.chars().filter(is_kept).take(60).collect();
    match stem.trim_matches(['.', ' ']) {
        "" => format!("ranking.{ending}"),
        stem => format!("{stem}-ranking.{ending}"),
    }
}
