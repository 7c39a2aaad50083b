//! What a repository holds, and which of it is a model.
//!
//! Invariant: no name of a listing leads out of its folder.

use std::path::Path;

use serde::Deserialize;

use super::{CliError, is_plain};
use crate::cli::files;

/// The files of a commit.
pub struct Listing {
    pub commit: String,
    pub files: Vec<RemoteFile>,
}

pub struct RemoteFile {
    pub name: String,
    /// What its bytes are called in the store.
    pub blob: String,
    pub n_bytes: Option<u64>,
    /// The hub states it of large files.
    pub sha256: Option<String>,
}

impl Listing {
    /// The hub's answer to `api/models/ID/revision/REVISION?blobs=true`; names that are not plain are left out.
    pub fn parse(json: &[u8]) -> Result<Listing, String> {
        #[derive(Deserialize)]
        struct Answer {
            sha: String,
            siblings: Vec<Sibling>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Sibling {
            rfilename: String,
            size: Option<u64>,
            blob_id: Option<String>,
            lfs: Option<Lfs>,
        }
        #[derive(Deserialize)]
        struct Lfs {
            sha256: String,
        }
        let Answer { sha, siblings } = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if !super::cache::is_commit(&sha) {
            return Err(format!("{sha:?} is no commit"));
        }
        let is_hash =
            |text: &String, len: usize| text.len() == len && text.chars().all(|c| c.is_ascii_hexdigit());
        let file = |sibling: Sibling| {
            let sha256 =
                sibling.lfs.map(|lfs| lfs.sha256.to_ascii_lowercase()).filter(|hash| is_hash(hash, 64));
            let blob = sha256.clone().or(sibling.blob_id.filter(|id| is_hash(id, 40)))?;
            let is_good = sibling.rfilename.split('/').all(is_plain);
            is_good.then_some(RemoteFile { name: sibling.rfilename, blob, n_bytes: sibling.size, sha256 })
        };
        Ok(Listing { commit: sha, files: siblings.into_iter().filter_map(file).collect() })
    }
}

/// What is taken of a repository.
#[derive(Debug, PartialEq)]
pub struct Choice {
    /// The weights, or their index.
    pub weights: String,
    /// What belongs to any weights.
    pub beside: Vec<String>,
}

/// What the import, the tokenizer and `verify` read beside weights.
const BESIDE: [&str; 10] = [
    "config.json",
    "open_clip_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "modules.json",
    "golden.safetensors",
];

impl Choice {
    /// `known` are the weights' names, where a catalogue states them.
    pub fn of(names: &[&str], known: Option<&[String]>) -> Option<Choice> {
        let has = |name: &str| names.contains(&name);
        let weights = match known {
            Some(known) => known.iter().find(|name| has(name))?.clone(),
            // timm's repositories hold the image tower alone as model.safetensors.
            None if has("open_clip_config.json") && has(files::OPEN_CLIP_WEIGHTS) => {
                files::OPEN_CLIP_WEIGHTS.to_owned()
            }
            None => match files::WEIGHTS.iter().find(|name| has(name)) {
                Some(name) => (*name).to_owned(),
                None => match names.iter().filter(|name| name.ends_with(".gguf")).collect::<Vec<_>>()[..] {
                    [only] => (*only).to_owned(),
                    _ => return None,
                },
            },
        };
        let is_beside = |name: &&&str| BESIDE.contains(*name) || is_module(name);
        let beside =
            names.iter().filter(is_beside).filter(|name| ***name != weights).map(|name| (*name).to_owned());
        let beside = beside.collect();
        Some(Choice { weights, beside })
    }

    /// Whether the weights could be read and labels tokenized with what was chosen.
    pub fn is_understandable(&self) -> bool {
        let has = |name: &str| self.beside.iter().any(|beside| beside == name);
        self.weights.ends_with(".gguf")
            || ((has("config.json") || has("open_clip_config.json"))
                && (has("tokenizer.json") || has("vocab.txt") || (has("vocab.json") && has("merges.txt"))))
    }
}

/// A part of sentence-transformers' layout, as in `2_Dense/model.safetensors`.
fn is_module(name: &str) -> bool {
    name.split_once('/').is_some_and(|(dir, file)| {
        dir.starts_with(|c: char| c.is_ascii_digit()) && ["config.json", "model.safetensors"].contains(&file)
    })
}

/// The names that look like weights, for messages.
pub fn weights_among(names: &[&str]) -> Vec<String> {
    const SUFFIXES: [&str; 5] = [".safetensors", ".gguf", ".bin", ".pt", ".pth"];
    let is_weights = |name: &&&str| SUFFIXES.iter().any(|suffix| name.ends_with(suffix));
    names.iter().filter(is_weights).take(12).map(|name| (*name).to_owned()).collect()
}

/// The files that an index names; none where `path` is no index.
pub fn shards(path: &Path) -> Result<Vec<String>, CliError> {
    match path.to_string_lossy().ends_with(files::INDEX_SUFFIX) {
        true => Ok(files::shard_names(path)?.into_keys().collect()),
        false => Ok(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_chosen_as_their_makers_lay_them_out() {
        let weights = |names: &[&str]| Choice::of(names, None).map(|choice| choice.weights);
        assert_eq!(
            weights(&["config.json", "model.safetensors", "pytorch_model.bin"]).unwrap(),
            "model.safetensors"
        );
        let timm =
            ["config.json", "model.safetensors", "open_clip_config.json", "open_clip_model.safetensors"];
        assert_eq!(weights(&timm).unwrap(), "open_clip_model.safetensors");
        assert_eq!(weights(&["clip-q8_0.gguf", "README.md"]).unwrap(), "clip-q8_0.gguf");
        assert_eq!(weights(&["clip-q8_0.gguf", "clip-q4_0.gguf"]), None);
        assert_eq!(weights(&["pytorch_model.bin", "config.json"]), None);
        let known = ["model.safetensors".to_owned()];
        assert_eq!(Choice::of(&timm, Some(&known)).unwrap().weights, "model.safetensors");
        let beside =
            Choice::of(&["model.safetensors", "2_Dense/model.safetensors", "onnx/config.json"], None)
                .unwrap();
        assert_eq!(beside.beside, ["2_Dense/model.safetensors"]);
    }

    #[test]
    fn a_listing_that_leads_out_of_its_folder_is_cut() {
        let sha = "0123456789abcdef0123456789abcdef01234567";
        let json = format!(
            r#"{{"sha": "{sha}", "siblings": [{{"rfilename": "../x", "blobId": "{sha}"}},
                {{"rfilename": "config.json", "blobId": "{sha}", "size": 3}}, {{"rfilename": "y", "blobId": "../../z"}}]}}"#
        );
        let listing = Listing::parse(json.as_bytes()).unwrap();
        assert_eq!(listing.files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(), ["config.json"]);
        assert!(Listing::parse(br#"{"sha": "../x", "siblings": []}"#).is_err());
    }
}
