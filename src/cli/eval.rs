//! `cliplet eval`: zero-shot accuracy on labelled pictures, a folder a label.
//!
//! Invariant: every file in a label's folder and the folders within is counted, but for a system's own, as a picture or as one that could not be read; of those the
//! result tells, and the exit status is 1.
//! Invariant: labels are compared by similarity, of equals the first by name wins: no rounding decides.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use thiserror::Error;

use super::model::ModelArgs;
use super::rank::embed;
use super::{CliError, Report, progress, read_image};
use crate::engine::{EmbeddedLabels, ModelInfo, now_millis};
use crate::files::is_systems_own;
use crate::text::Template;

/// How many pairs of labels that are taken for each other are told.
const MAX_CONFUSIONS: usize = 10;

/// Why a folder cannot be evaluated on.
#[derive(Debug, Error)]
pub enum EvalError {
    #[error("{} has {found} folders, at least 2 are needed: one a label, with its pictures inside", dir.display())]
    FewLabels { dir: PathBuf, found: usize },
    #[error("{} and {} are the same label, \"{label}\"", first.display(), second.display())]
    SameLabel { first: PathBuf, second: PathBuf, label: String },
    #[error(
        "the model cannot read the labels {labels:?}: rename their folders, or take a model that reads them"
    )]
    Unreadable { labels: Vec<String> },
}

#[derive(clap::Args)]
pub struct Args {
    /// A folder of folders: each is named as its label (`_` stands for a space) and holds its pictures, in folders of
    /// its own or not.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    #[command(flatten)]
    pub model: ModelArgs,
}

#[derive(Serialize)]
pub struct Evaluation {
    n_pictures: usize,
    /// Parts of the pictures whose label came first, or among the first five.
    top1: f64,
    top5: f64,
    labels: Vec<LabelLine>,
    /// The most frequent first.
    confusions: Vec<Confusion>,
    unreadable: Vec<Unreadable>,
    templates: Vec<String>,
    model: ModelInfo,
    millis_per_picture: f64,
}

#[derive(Serialize)]
struct LabelLine {
    label: String,
    n_pictures: usize,
    n_top1: usize,
    n_top5: usize,
}

/// Pictures of one label that were taken for another.
#[derive(Serialize)]
struct Confusion {
    label: String,
    taken_for: String,
    n_pictures: usize,
}

#[derive(Serialize)]
struct Unreadable {
    file: PathBuf,
    error: String,
}

impl Report for Evaluation {
    fn is_ok(&self) -> bool {
        self.n_pictures > 0 && self.unreadable.is_empty()
    }
}

impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |part: f64| format!("{:.2} %", 100.0 * part);
        let width = self.labels.iter().map(|line| line.label.chars().count()).max().unwrap_or(0).max(5);
        writeln!(f, "{:width$}  pictures     top-1     top-5", "label")?;
        let row = |f: &mut fmt::Formatter<'_>, label: &str, n: usize, top1: f64, top5: f64| {
            writeln!(f, "{label:width$}  {n:>8}  {:>8}  {:>8}", percent(top1), percent(top5))
        };
        for LabelLine { label, n_pictures, n_top1, n_top5 } in &self.labels {
            let part = |n: &usize| part_of(*n, *n_pictures);
            row(f, label, *n_pictures, part(n_top1), part(n_top5))?;
        }
        row(f, "all", self.n_pictures, self.top1, self.top5)?;
        if !self.confusions.is_empty() {
            writeln!(f, "\ntaken for each other most often")?;
        }
        for Confusion { label, taken_for, n_pictures } in &self.confusions {
            writeln!(f, "{n_pictures:>8}  {label} → {taken_for}")?;
        }
        if !self.unreadable.is_empty() {
            writeln!(f, "\ncould not be read: {}", self.unreadable.len())?;
        }
        for Unreadable { error, .. } in &self.unreadable {
            writeln!(f, "  {error}")?;
        }
        write!(f, "\n{:.1} ms a picture; templates: {}", self.millis_per_picture, self.templates.join(" | "))
    }
}

/// 0 of nothing.
fn part_of(n: usize, of: usize) -> f64 {
    if of == 0 { 0.0 } else { n as f64 / of as f64 }
}

/// A label and its files, by name.
pub struct Class {
    dir: PathBuf,
    pub label: String,
    pub files: Vec<PathBuf>,
}

pub fn run(args: &Args) -> Result<Evaluation, CliError> {
    let classes = classes(&args.dir)?;
    let engine = args.model.load()?;
    let prompts = engine.prompts(&args.model.template)?;
    let labels: Vec<String> = classes.iter().map(|class| class.label.clone()).collect();
    let EmbeddedLabels { readable: labels, notes } = embed(&engine, &labels, &prompts)?;
    if !notes.unreadable.is_empty() {
        return Err(EvalError::Unreadable { labels: notes.unreadable }.into());
    }

    let mut lines = Vec::new();
    let mut unreadable = Vec::new();
    let mut pairs: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    let start = now_millis();
    let bar = progress::count(classes.iter().map(|class| class.files.len() as u64).sum());
    for (own_idx, class) in classes.iter().enumerate() {
        let mut line = LabelLine { label: class.label.clone(), n_pictures: 0, n_top1: 0, n_top5: 0 };
        for file in &class.files {
            bar.inc(1);
            let pixels = match read_image(file) {
                Ok(pixels) => engine.preprocess(&pixels),
                Err(error) => {
                    unreadable.push(Unreadable { file: file.clone(), error: error.to_string() });
                    continue;
                }
            };
            let image = pollster::block_on(engine.encode_images(&[pixels]))?.swap_remove(0);
            let scores: Vec<f32> = labels.iter().map(|label| label.similarity(&image)).collect();
            let order = ranked(&scores);
            let rank = order.iter().position(|label_idx| *label_idx == own_idx);
            line.n_pictures += 1;
            line.n_top1 += usize::from(rank == Some(0));
            line.n_top5 += usize::from(rank.is_some_and(|rank| rank < 5));
            if let Some(first) = order.first().filter(|first| **first != own_idx) {
                *pairs.entry((own_idx, *first)).or_default() += 1;
            }
        }
        lines.push(line);
    }
    bar.finish_and_clear();
    let millis = now_millis() - start;

    let sum = |of: fn(&LabelLine) -> usize| lines.iter().map(of).sum::<usize>();
    let n_pictures = sum(|line| line.n_pictures);
    let (top1, top5) = (sum(|line| line.n_top1), sum(|line| line.n_top5));
    let name = |label_idx: usize| classes[label_idx].label.clone();
    let mut confusions: Vec<Confusion> = pairs
        .into_iter()
        .map(|((own, other), n_pictures)| Confusion { label: name(own), taken_for: name(other), n_pictures })
        .collect();
    confusions.sort_by_key(|confusion| Reverse(confusion.n_pictures));
    confusions.truncate(MAX_CONFUSIONS);
    Ok(Evaluation {
        n_pictures,
        top1: part_of(top1, n_pictures),
        top5: part_of(top5, n_pictures),
        labels: lines,
        confusions,
        unreadable,
        templates: prompts.iter().map(Template::to_string).collect(),
        model: engine.info().clone(),
        millis_per_picture: millis / n_pictures.max(1) as f64,
    })
}

/// Indices of scores, the highest first; among equals as they stand.
fn ranked(scores: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    order
}

/// The labels of `dir` and their files, both by name, from folders within a label's, too; what is a system's own is left
/// out.
pub fn classes(dir: &Path) -> Result<Vec<Class>, CliError> {
    let dirs: Vec<PathBuf> = entries(dir)?.into_iter().filter(|path| path.is_dir()).collect();
    if dirs.len() < 2 {
        return Err(EvalError::FewLabels { dir: dir.to_owned(), found: dirs.len() }.into());
    }
    let mut classes: Vec<Class> = Vec::new();
    for dir in dirs {
        let name = dir.file_name().map(|name| name.to_string_lossy().replace('_', " ")).unwrap_or_default();
        let label = name.trim().to_owned();
        if let Some(other) = classes.iter().find(|other| other.label == label) {
            return Err(EvalError::SameLabel { first: other.dir.clone(), second: dir, label }.into());
        }
        let files = files_within(&dir)?;
        classes.push(Class { dir, label, files });
    }
    Ok(classes)
}

/// All files below `dir`. A link to a folder is not followed: it may lead to where it came from.
fn files_within(dir: &Path) -> Result<Vec<PathBuf>, CliError> {
    let mut files = Vec::new();
    for path in entries(dir)? {
        match (path.is_dir(), path.is_symlink()) {
            (false, _) => files.push(path),
            (true, false) => files.extend(files_within(&path)?),
            (true, true) => {}
        }
    }
    Ok(files)
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, CliError> {
    let failed = |source| CliError::File { path: dir.to_owned(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !is_systems_own(&entry.file_name().to_string_lossy()) {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_keep_their_order() {
        assert_eq!(ranked(&[0.1, 0.3, 0.3, 0.2]), [1, 2, 3, 0]);
        assert_eq!(ranked(&[]), [0; 0]);
    }

    #[test]
    fn nothing_of_nothing_is_no_accuracy() {
        assert_eq!((part_of(0, 0), part_of(1, 4)), (0.0, 0.25));
    }
}
