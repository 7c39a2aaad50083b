//! Text to token ids, as a model's own `tokenizer.json` says: CLIP's byte-level BPE, BERT's WordPiece.
//!
//! The models, the Unicode forms and BERT's rules are the `tokenizers` crate's. Its own reader of the file stays out:
//! it links every component there is and two regular expression engines, which made the engine's wasm 2.8 MB instead of
//! 1.4 MB, where CLIP's one expression is a loop over characters.
//!
//! Invariant: ids start and end with the special tokens of the file and are at most `context_len`; a longer text
//! loses its tail, never its end token (CLIP reads the embedding there).
//! Invariant: special-token literals in a text are plain text.
//! Invariant: ids equal those of the crate's own pipeline; a component that is not known here is an error.

use super::pieces::Pieces;
use super::{TextError, words};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::{
    NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
};

/// Token ids of one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Start and end token included.
    pub ids: Vec<u32>,
    /// Whether the text was longer than the context.
    pub is_cut: bool,
}

/// A model's tokenizer.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    normalizers: Vec<Normalize>,
    words: Words,
    pieces: Pieces,
    /// Ids before and after every text.
    start: Vec<u32>,
    end: Vec<u32>,
    context_len: usize,
}

/// A change of the whole text.
#[derive(Clone, Debug)]
enum Normalize {
    Nfc,
    Nfd,
    Nfkc,
    Lowercase,
    /// A run of white space becomes one space.
    Spaces,
    Bert(BertNormalizer),
}

/// How text is cut into words.
#[derive(Clone, Copy, Debug)]
enum Words {
    /// CLIP's regular expression, then bytes as printable characters. (GPT-2's expression, which the file asks for in
    /// between, cuts no word of CLIP's again.)
    Clip,
    /// White space drops out, punctuation stands alone.
    Bert,
}

/// What is read of a `tokenizer.json`.
#[derive(Deserialize)]
struct File<'a> {
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    normalizer: Option<Value>,
    pre_tokenizer: Option<Value>,
    post_processor: Option<Value>,
    /// As it stands: the vocabulary is the crate's to read.
    #[serde(borrow)]
    model: &'a RawValue,
}

#[derive(Deserialize)]
struct AddedToken {
    content: String,
    special: bool,
}

impl Tokenizer {
    /// From the bytes of a `tokenizer.json`; `context_len` is the most tokens that the model reads (CLIP: 77). The
    /// file's own padding and truncation are not read.
    pub fn from_json(json: &[u8], context_len: usize) -> Result<Tokenizer, TextError> {
        let file: File = serde_json::from_slice(json).map_err(malformed)?;
        if let Some(token) = file.added_tokens.iter().find(|token| !token.special) {
            return Err(unsupported("added token", &Value::from(token.content.as_str())));
        }
        let mut normalizers = Vec::new();
        for part in parts(file.normalizer, "normalizers") {
            normalizers.push(normalizer(part)?);
        }
        let words = words(file.pre_tokenizer)?;
        let (start, end) = special_ids(file.post_processor)?;
        if context_len <= start.len() + end.len() {
            return Err(TextError::Context { context_len });
        }
        let pieces = Pieces::from_json(file.model.get())?;
        Ok(Tokenizer { normalizers, words, pieces, start, end, context_len })
    }

    pub fn context_len(&self) -> usize {
        self.context_len
    }

    pub fn encode(&self, text: &str) -> Result<Tokens, TextError> {
        let failed = |error: tokenizers::Error| TextError::Encode(error.to_string());
        let mut text = NormalizedString::from(text);
        for normalizer in &self.normalizers {
            normalizer.apply(&mut text).map_err(failed)?;
        }
        let max_len = self.context_len - self.end.len();
        let mut ids = self.start.clone();
        for word in self.words.of(text).map_err(failed)? {
            ids.extend(self.pieces.ids(&word).map_err(failed)?);
            if ids.len() > max_len {
                break;
            }
        }
        let is_cut = ids.len() > max_len;
        ids.truncate(max_len);
        ids.extend(&self.end);
        Ok(Tokens { ids, is_cut })
    }
}

impl Normalize {
    fn apply(&self, text: &mut NormalizedString) -> tokenizers::Result<()> {
        match self {
            Normalize::Nfc => drop(text.nfc()),
            Normalize::Nfd => drop(text.nfd()),
            Normalize::Nfkc => drop(text.nfkc()),
            Normalize::Lowercase => drop(text.lowercase()),
            Normalize::Spaces => *text = NormalizedString::from(words::collapse_spaces(text.get())),
            Normalize::Bert(bert) => bert.normalize(text)?,
        }
        Ok(())
    }
}

impl Words {
    fn of(self, text: NormalizedString) -> tokenizers::Result<Vec<String>> {
        match self {
            Words::Clip => Ok(words::clip(text.get()).map(words::printable_bytes).collect()),
            Words::Bert => {
                let mut words = PreTokenizedString::from(text);
                BertPreTokenizer.pre_tokenize(&mut words)?;
                let words = words.get_splits(OffsetReferential::Normalized, OffsetType::None);
                Ok(words.into_iter().map(|(word, ..)| word.to_owned()).collect())
            }
        }
    }
}

/// The members of a `Sequence`, or the one component that there is.
fn parts(component: Option<Value>, members: &str) -> Vec<Value> {
    match component {
        Some(Value::Null) | None => Vec::new(),
        Some(mut value) if value["type"] == "Sequence" => match value[members].take() {
            Value::Array(parts) => {
                parts.into_iter().flat_map(|part| self::parts(Some(part), members)).collect()
            }
            _ => Vec::new(),
        },
        Some(value) => vec![value],
    }
}

fn normalizer(part: Value) -> Result<Normalize, TextError> {
    Ok(match part["type"].as_str() {
        Some("NFC") => Normalize::Nfc,
        Some("NFD") => Normalize::Nfd,
        Some("NFKC") => Normalize::Nfkc,
        Some("Lowercase") => Normalize::Lowercase,
        Some("Replace") if part["pattern"]["Regex"] == r"\s+" && part["content"] == " " => Normalize::Spaces,
        Some("BertNormalizer") => Normalize::Bert(serde_json::from_value(part).map_err(malformed)?),
        _ => return Err(unsupported("normalizer", &part)),
    })
}

fn words(pre_tokenizer: Option<Value>) -> Result<Words, TextError> {
    let parts = parts(pre_tokenizer, "pretokenizers");
    match &parts[..] {
        [bert] if bert["type"] == "BertPreTokenizer" => Ok(Words::Bert),
        [split, bytes]
            if split["type"] == "Split"
                && (split["invert"] == true && split["behavior"] == "Removed")
                && (split["pattern"]["Regex"].as_str()).is_some_and(words::is_clip_pattern)
                && (bytes["type"] == "ByteLevel" && bytes["add_prefix_space"] == false) =>
        {
            Ok(Words::Clip)
        }
        _ => Err(unsupported("pre-tokenizer", &Value::from(parts))),
    }
}

/// The ids that go before and after a text.
fn special_ids(post_processor: Option<Value>) -> Result<(Vec<u32>, Vec<u32>), TextError> {
    #[derive(Deserialize)]
    struct Pair {
        cls: (String, u32),
        sep: (String, u32),
    }
    #[derive(Deserialize)]
    struct Template {
        single: Vec<BTreeMap<String, Value>>,
        special_tokens: BTreeMap<String, Special>,
    }
    #[derive(Deserialize)]
    struct Special {
        ids: Vec<u32>,
    }
    let (mut start, mut end) = (Vec::new(), Vec::new());
    for part in parts(post_processor, "processors") {
        match part["type"].as_str() {
            Some("RobertaProcessing" | "BertProcessing") => {
                let pair: Pair = serde_json::from_value(part).map_err(malformed)?;
                start.push(pair.cls.1);
                end.push(pair.sep.1);
            }
            Some("TemplateProcessing") => {
                let template: Template = serde_json::from_value(part).map_err(malformed)?;
                let mut is_after = false;
                for piece in &template.single {
                    let Some(special) = piece.get("SpecialToken") else {
                        is_after = true;
                        continue;
                    };
                    let name = special["id"].as_str().unwrap_or_default();
                    let special = template.special_tokens.get(name);
                    let special = special.ok_or_else(|| malformed(format!("no special token \"{name}\"")))?;
                    if is_after { &mut end } else { &mut start }.extend(&special.ids);
                }
            }
            // It moves offsets alone.
            Some("ByteLevel") => (),
            _ => return Err(unsupported("post-processor", &part)),
        }
    }
    Ok((start, end))
}

pub(super) fn malformed(error: impl std::fmt::Display) -> TextError {
    TextError::Tokenizer(error.to_string())
}

/// Names the component, shortened: a file may hold anything.
pub(super) fn unsupported(kind: &'static str, found: &Value) -> TextError {
    TextError::Unsupported { kind, found: found.to_string().chars().take(200).collect() }
}
