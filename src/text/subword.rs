//! Words to ids: byte-pair encoding, WordPiece and Unigram, as a tokenizer file's `model` says.
//!
//! BPE and WordPiece are the `tokenizers` crate's. Of BPE its reader stays out: it panics on merges that make no token.
//!
//! Invariant: the same word gives the same ids: nothing is sampled (BPE's dropout is for training).
//! Invariant: words are not remembered: a label is encoded once, and the crate's cache outlives its model.

use super::TextError;
use super::tokenizer::{malformed, unsupported};
use super::unigram::Unigram;
use super::words;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;
use std::fmt;
use tokenizers::models::bpe::{BPE, BpeBuilder, Vocab};
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::{Model, Token};

#[derive(Clone, Debug)]
pub enum SubwordModel {
    Bpe(Box<BPE>),
    WordPiece(Box<WordPiece>),
    Unigram(Unigram),
}

/// A tokenizer file's `model`. BPE's `dropout` is not read.
#[derive(Deserialize)]
struct ModelFile<'a> {
    r#type: String,
    /// Ids by token, or tokens with scores.
    #[serde(borrow)]
    vocab: &'a RawValue,
    #[serde(default)]
    merges: Vec<Merge>,
    unk_token: Option<String>,
    unk_id: Option<u32>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    fuse_unk: bool,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    ignore_merges: bool,
}

impl SubwordModel {
    /// Makes it from the `model` of a tokenizer file, and the names of its special tokens.
    pub fn from_json(json: &str, special: &[&str]) -> Result<SubwordModel, TextError> {
        let file: ModelFile = serde_json::from_str(json).map_err(malformed)?;
        match file.r#type.as_str() {
            "BPE" => bpe(file).map(|model| SubwordModel::Bpe(Box::new(model))),
            "WordPiece" => serde_json::from_str(json).map(SubwordModel::WordPiece).map_err(malformed),
            "Unigram" => {
                let vocab = serde_json::from_str(file.vocab.get()).map_err(malformed)?;
                Unigram::new(vocab, file.unk_id, file.byte_fallback, special).map(SubwordModel::Unigram)
            }
            _ => Err(unsupported("model", &Value::from(file.r#type))),
        }
    }

    pub fn n_tokens(&self) -> usize {
        match self {
            SubwordModel::Bpe(model) => model.get_vocab_size(),
            SubwordModel::WordPiece(model) => model.get_vocab_size(),
            SubwordModel::Unigram(model) => model.n_tokens(),
        }
    }

    pub fn ids(&self, word: &str) -> tokenizers::Result<Vec<u32>> {
        let tokens = match self {
            SubwordModel::Bpe(model) => model.tokenize(word),
            SubwordModel::WordPiece(model) => model.tokenize(word),
            SubwordModel::Unigram(model) => {
                return model.ids(word).ok_or_else(|| "it holds a character that has no token".into());
            }
        };
        Ok(tokens?.iter().map(|token| token.id).collect())
    }
}

impl SubwordModel {
    /// What of `word` the vocabulary knows, character by character; `is_byte_level`: the word is of printable bytes.
    pub fn known(&self, word: &str, is_byte_level: bool) -> tokenizers::Result<String> {
        let is_byte = |token: &str| token.len() == 6 && token.starts_with("<0x") && token.ends_with('>');
        match self {
            SubwordModel::Bpe(model) => {
                let suffix = model.end_of_word_suffix.as_deref().unwrap_or_default();
                let mut known = String::new();
                for Token { value, .. } in model.tokenize(word)? {
                    let text = value.strip_suffix(suffix).unwrap_or(&value);
                    if is_byte_level {
                        // Parts of a character are no UTF-8.
                        let bytes = words::from_printable_bytes(text);
                        known.extend(bytes.utf8_chunks().map(|chunk| chunk.valid()));
                    } else if !is_byte(text) && Some(&value) != model.unk_token.as_ref() {
                        known.push_str(text);
                    }
                }
                Ok(known)
            }
            SubwordModel::WordPiece(model) => {
                let pieces = model.tokenize(word)?.into_iter().filter(|token| token.value != model.unk_token);
                Ok(pieces.map(|token| token.value.replace(&model.continuing_subword_prefix, "")).collect())
            }
            SubwordModel::Unigram(model) => Ok(model.known(word)),
        }
    }
}

/// Two tokens that become one: `["a", "b"]`, until 2024 `"a b"`.
struct Merge(String, String);

impl<'de> Deserialize<'de> for Merge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Merge, D::Error> {
        struct Pair;
        impl<'de> Visitor<'de> for Pair {
            type Value = Merge;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a merge of two tokens")
            }

            fn visit_str<E: Error>(self, line: &str) -> Result<Merge, E> {
                let (a, b) = line.split_once(' ').ok_or_else(|| E::custom("a merge without a space"))?;
                Ok(Merge(a.to_owned(), b.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut tokens: A) -> Result<Merge, A::Error> {
                match (tokens.next_element()?, tokens.next_element()?, tokens.next_element::<String>()?) {
                    (Some(a), Some(b), None) => Ok(Merge(a, b)),
                    _ => Err(A::Error::custom("a merge that is not of two tokens")),
                }
            }
        }
        deserializer.deserialize_any(Pair)
    }
}

fn bpe(file: ModelFile) -> Result<BPE, TextError> {
    let vocab: Vocab = serde_json::from_str(file.vocab.get()).map_err(malformed)?;
    if let Some(prefix) = file.continuing_subword_prefix.filter(|prefix| !prefix.is_empty()) {
        return Err(unsupported("continuing_subword_prefix", &Value::from(prefix)));
    }
    // The builder reserves room for the longest token and writes each merge's into it.
    for Merge(a, b) in &file.merges {
        if !vocab.contains_key(&format!("{a}{b}")) {
            return Err(malformed(format!("the merge of {a:?} and {b:?} makes no token")));
        }
    }
    let merges = file.merges.into_iter().map(|Merge(a, b)| (a, b)).collect();
    let mut builder = BpeBuilder::new()
        .vocab_and_merges(vocab, merges)
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
