//! Words to ids: byte-pair encoding and WordPiece, as a tokenizer file's `model` says.
//!
//! The models are the `tokenizers` crate's. Of BPE its reader stays out: it panics on merges that make no token.
//!
//! Invariant: the same word gives the same ids: nothing is sampled (BPE's dropout is for training).
//! Invariant: words are not remembered: a label is encoded once, and the crate's cache outlives its model.

use super::TextError;
use super::tokenizer::{malformed, unsupported};
use serde::Deserialize;
use serde_json::Value;
use tokenizers::Model;
use tokenizers::models::bpe::{BPE, BpeBuilder, Vocab};
use tokenizers::models::wordpiece::WordPiece;

#[derive(Clone, Debug)]
pub enum Pieces {
    Bpe(Box<BPE>),
    WordPiece(Box<WordPiece>),
}

impl Pieces {
    /// From the `model` of a tokenizer file.
    pub fn from_json(model: &str) -> Result<Pieces, TextError> {
        #[derive(Deserialize)]
        struct Kind {
            r#type: String,
        }
        let kind = serde_json::from_str::<Kind>(model).map_err(malformed)?.r#type;
        match kind.as_str() {
            "BPE" => bpe(model).map(|model| Pieces::Bpe(Box::new(model))),
            "WordPiece" => serde_json::from_str(model).map(Pieces::WordPiece).map_err(malformed),
            _ => Err(unsupported("model", &Value::from(kind))),
        }
    }

    pub fn ids(&self, word: &str) -> tokenizers::Result<Vec<u32>> {
        let tokens = match self {
            Pieces::Bpe(model) => model.tokenize(word),
            Pieces::WordPiece(model) => model.tokenize(word),
        };
        Ok(tokens?.iter().map(|token| token.id).collect())
    }
}

/// The fields of a BPE model; `dropout` is not read.
#[derive(Deserialize)]
struct BpeFile {
    vocab: Vocab,
    merges: Vec<Merge>,
    unk_token: Option<String>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    fuse_unk: bool,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    ignore_merges: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Pair(String, String),
    /// Until 2024: the same with a space between.
    Line(String),
}

fn bpe(model: &str) -> Result<BPE, TextError> {
    let file: BpeFile = serde_json::from_str(model).map_err(malformed)?;
    if let Some(prefix) = file.continuing_subword_prefix.filter(|prefix| !prefix.is_empty()) {
        return Err(unsupported("continuing_subword_prefix", &Value::from(prefix)));
    }
    let pair = |merge| match merge {
        Merge::Pair(a, b) => Ok((a, b)),
        Merge::Line(line) => match line.split_once(' ') {
            Some((a, b)) => Ok((a.to_owned(), b.to_owned())),
            None => Err(malformed(format!("the merge {line:?} holds no space"))),
        },
    };
    let merges: Vec<(String, String)> = file.merges.into_iter().map(pair).collect::<Result<_, _>>()?;
    // The builder reserves room for the longest token and writes each merge's into it.
    for (a, b) in &merges {
        if !file.vocab.contains_key(&format!("{a}{b}")) {
            return Err(malformed(format!("the merge of {a:?} and {b:?} makes no token")));
        }
    }
    let mut builder = BpeBuilder::new()
        .vocab_and_merges(file.vocab, merges)
        .fuse_unk(file.fuse_unk)
        .byte_fallback(file.byte_fallback)
        .ignore_merges(file.ignore_merges)
        .cache_capacity(0);
    if let Some(token) = file.unk_token {
        builder = builder.unk_token(token);
    }
    if let Some(suffix) = file.end_of_word_suffix {
        builder = builder.end_of_word_suffix(suffix);
    }
    builder.build().map_err(malformed)
}
