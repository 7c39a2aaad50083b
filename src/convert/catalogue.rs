//! The curated list of public models, `static/models/catalogue.json`: what the page's picker and the command share.
//!
//! Invariant: what parses is safe to build addresses and file names from, and every hash in it can be compared with.
//! Invariant: an entry that a reader takes loads: each architecture here is one that `import` knows, each tokenizer one
//! that `text` reads.

use serde::{Deserialize, Serialize};

use super::source::{Repo, Source};
use crate::weights::from_json;

/// The models, in the order in which they are shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    pub models: Vec<Entry>,
}

/// One public model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The name that people read.
    pub name: String,
    /// The hub's id: `OWNER/NAME`.
    pub id: String,
    /// A commit, so that the files stay what they are; or a branch.
    pub revision: String,
    pub weights: Vec<WeightFile>,
    pub n_parameters: u64,
    pub memory: Memory,
    pub imagenet: Accuracy,
    pub license: License,
    /// The languages of labels that the model reads, as BCP 47 writes them: `en`.
    pub languages: Vec<String>,
    /// One sentence: what it is good for.
    pub about: String,
    /// Height and width of the picture that the model sees.
    pub image_size: usize,
    pub embedding_width: usize,
}

/// A file of weights in the model's repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightFile {
    pub file: String,
    /// The size is exact where there is a hash, and else about right.
    pub bytes: u64,
    /// The hash is in lower-case hexadecimal. It is `None` where no source states it; then the hub's own is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// Bytes of all weights after converting, on disk and on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    pub q8_0: u64,
    pub q4_0: u64,
}

/// How often the first of ImageNet's 1,000 classes is right, zero-shot and in full precision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accuracy {
    /// The share is in percent.
    pub top1: f32,
    /// The address of whoever measured it.
    pub source: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct License {
    /// The name is SPDX's.
    pub name: String,
    /// The address where it is stated.
    pub source: String,
}

/// What is wrong with a catalogue.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    #[error("the catalogue cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the catalogue's entry {id:?}: {what}")]
    Entry { id: String, what: String },
}

impl Catalogue {
    /// Reads and checks the file.
    ///
    /// # Errors
    /// JSON of another form; an entry that [`CatalogueError::Entry`] names, with what is wrong with it.
    pub fn parse(json: &[u8]) -> Result<Catalogue, CatalogueError> {
        let catalogue: Catalogue = from_json(json)?;
        for (i, entry) in catalogue.models.iter().enumerate() {
            let is_double = catalogue.models[..i].iter().any(|other| other.id == entry.id);
            let wrong = entry.wrong().or_else(|| is_double.then(|| "its id is there twice".to_owned()));
            if let Some(what) = wrong {
                return Err(CatalogueError::Entry { id: entry.id.clone(), what });
            }
        }
        Ok(catalogue)
    }

    /// The entry of a source as text: its id, with or without the entry's own revision.
    pub fn find(&self, source: &str) -> Option<&Entry> {
        self.models.iter().find(|entry| entry.id == source || entry.source() == source)
    }

    /// The entry that a source means: its repository at the pinned commit or at none, and no other file of it. Whoever
    /// names a repository that is listed gets what was pinned.
    pub fn entry_of(&self, source: &Source) -> Option<&Entry> {
        let Source::Repo(Repo { id, revision, folder, file }) = source else { return None };
        let is_it = |entry: &&Entry| {
            entry.id.eq_ignore_ascii_case(id)
                && revision.as_ref().is_none_or(|revision| *revision == entry.revision)
                && folder.is_empty()
                && file.as_ref().is_none_or(|file| entry.weights.iter().any(|weights| weights.file == *file))
        };
        self.models.iter().find(is_it)
    }
}

impl Entry {
    /// `OWNER/NAME@REVISION`, as the command and the downloader take it.
    pub fn source(&self) -> String {
        format!("{}@{}", self.id, self.revision)
    }

    /// The repository at the pinned commit.
    pub fn repo(&self) -> Source {
        let (id, revision) = (self.id.clone(), Some(self.revision.clone()));
        Source::Repo(Repo { id, revision, folder: String::new(), file: None })
    }

    /// Bytes to download, JSON files apart.
    pub fn n_bytes(&self) -> u64 {
        self.weights.iter().map(|weights| weights.bytes).sum()
    }

    /// The stated hashes, by the name of their file.
    pub fn sha256(&self) -> Vec<(String, String)> {
        let stated = |file: &WeightFile| Some((file.file.clone(), file.sha256.clone()?));
        self.weights.iter().filter_map(stated).collect()
    }

    /// The first thing that is wrong, if anything is.
    fn wrong(&self) -> Option<String> {
        let is_plain = |text: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        };
        let is_address = |text: &str| text.starts_with("https://");
        let is_name = |text: &str| is_plain(text) && !text.starts_with('.');
        let is_id = self.id.split_once('/').is_some_and(|(owner, name)| is_name(owner) && is_name(name));
        let texts = [&self.name, &self.about, &self.license.name];
        let checks = [
            (is_id, "the id is no OWNER/NAME".to_owned()),
            (is_name(&self.revision), format!("{:?} is no revision", self.revision)),
            (!self.weights.is_empty(), "it names no weights".to_owned()),
            (texts.iter().all(|text| !text.trim().is_empty()), "a text is empty".to_owned()),
            (
                !self.languages.is_empty() && self.languages.iter().all(|tag| is_plain(tag)),
                "no languages".to_owned(),
            ),
            (self.memory.q4_0 < self.memory.q8_0, "q4_0 takes as much memory as q8_0".to_owned()),
            ((0.0..=100.0).contains(&self.imagenet.top1), format!("{} is no percentage", self.imagenet.top1)),
            (
                is_address(&self.imagenet.source) && is_address(&self.license.source),
                "a source is no address".to_owned(),
            ),
            (
                self.n_parameters > 0 && self.image_size > 0 && self.embedding_width > 0,
                "a size is 0".to_owned(),
            ),
        ];
        let wrong = checks.into_iter().find(|(holds, _)| !holds).map(|(_, what)| what);
        wrong.or_else(|| {
            let is_hash =
                |text: &String| text.len() == 64 && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
            let is_good = |file: &WeightFile| {
                is_name(&file.file) && file.bytes > 0 && file.sha256.as_ref().is_none_or(is_hash)
            };
            let file = self.weights.iter().find(|file| !is_good(file))?;
            Some(format!(
                "the weight file {:?} needs a plain name, its size and, if any, a whole SHA-256",
                file.file
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{ClipShape, Quantization};
    use crate::tensor::Format;

    const SHIPPED: &str = include_str!("../../static/models/catalogue.json");

    fn shipped() -> Catalogue {
        Catalogue::parse(SHIPPED.as_bytes()).unwrap()
    }

    #[test]
    fn the_shipped_catalogue_is_sound_and_its_sizes_agree() {
        let catalogue = shipped();
        assert!(catalogue.models.len() >= 8);
        for entry in &catalogue.models {
            // f32, and a header of less than 0.2 %: shapes and file are of the same model.
            let values = 4 * entry.n_parameters;
            let rest = entry.n_bytes().checked_sub(values);
            assert!(rest.is_some_and(|rest| rest * 500 < values), "{}: {rest:?}", entry.id);
            assert!(entry.revision.len() == 40, "{}: pinned to a commit", entry.id);
            assert_eq!(entry.sha256().len(), entry.weights.len(), "{}: pinned to hashes", entry.id);
            assert_eq!(catalogue.find(&entry.id), Some(entry));
            assert_eq!(catalogue.find(&entry.source()), Some(entry));
        }
        assert_eq!(
            catalogue.find("openai/clip-vit-base-patch32@main"),
            None,
            "of another revision nothing is known"
        );
    }

    #[test]
    fn memory_is_what_models_of_these_shapes_take() {
        let catalogue = shipped();
        for (id, shape) in [
            ("openai/clip-vit-base-patch32", ClipShape::VIT_B32),
            ("timm/vit_base_patch16_clip_224.openai", ClipShape::VIT_B16),
            ("openai/clip-vit-large-patch14", ClipShape::VIT_L14),
            ("timm/resnet50_clip.openai", ClipShape::RN50),
        ] {
            let weights = shape.checkpoint(Format::Q8_0).unwrap().weights;
            let stated = catalogue.find(id).unwrap().memory;
            for (format, stated) in [(Format::Q8_0, stated.q8_0), (Format::Q4_0, stated.q4_0)] {
                let quantization = Quantization::preset(format);
                let tensors = weights.names().map(|name| (name, weights.tensor(name).unwrap()));
                let sum: usize = tensors
                    .map(|(name, tensor)| quantization.format_of(name, tensor).bytes_for(tensor.n_values()))
                    .sum();
                assert_eq!(sum as u64, stated, "{id} as {}", format.name());
            }
        }
    }

    #[test]
    fn entries_that_could_mislead_are_refused_with_the_reason() {
        let refused = |from: &str, to: &str| {
            assert!(SHIPPED.contains(from), "{from}");
            Catalogue::parse(SHIPPED.replacen(from, to, 1).as_bytes()).unwrap_err().to_string()
        };
        for (from, to, reason) in [
            ("openai/clip-vit-base-patch32", "openai/../secret", "no OWNER/NAME"),
            ("openai/clip-vit-base-patch32", "clip", "no OWNER/NAME"),
            ("openai/clip-vit-base-patch32", "openai/clip-vit-large-patch14", "twice"),
            ("b33cedfd0df4e43b8238760678fcc89e1a0d38b3", "refs/../x", "no revision"),
            ("\"model.safetensors\"", "\"../model.safetensors\"", "plain name"),
            ("99d28a652e6e", "99D28A652E6E", "whole SHA-256"),
            ("\"top1\": 63.3", "\"top1\": 633", "no percentage"),
            ("\"q4_0\": 94804992", "\"q4_0\": 994804992", "as much memory"),
            ("https://github.com/openai", "http://github.com/openai", "no address"),
            ("\"image_size\": 224", "\"image_size\": 0", "a size is 0"),
            ("\"languages\"", "\"tongues\"", "unknown field"),
        ] {
            let error = refused(from, to);
            assert!(error.contains(reason), "{from} → {to}: {error}");
        }
    }
}
