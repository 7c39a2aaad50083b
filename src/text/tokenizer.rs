//! Text to token ids, as a model's own `tokenizer.json` says: CLIP's byte-level BPE, BERT's WordPiece, SentencePiece's
//! Unigram (SigLIP, XLM-R) and BPE (SigLIP 2).
//!
//! BPE and WordPiece are the `tokenizers` crate's. Its own reader of the file stays out: it links every
//! component there is and two regular expression engines, which made the engine's wasm 2.8 MB instead of 1.4 MB, where
//! the few expressions that such files hold are loops over characters.
//!
//! Invariant: ids start and end with the special tokens of the file and are at most `context_len`; a longer text
//! loses its tail, never its end token (CLIP reads the embedding there).
//! Invariant: special-token literals in a text are plain text.
//! Invariant: ids equal those of the crate's own pipeline, but where BERT's rules look at characters that are newer than
//! it; a component that is not known here is an error.

use super::charsmap::Charsmap;
use super::subword::SubwordModel;
use super::unicode::{Class, Form};
use super::{TextError, repair, words};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Stands for a space in SentencePiece's vocabularies.
const SPACE_MARK: char = '\u{2581}';

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
    /// Texts that are one token wherever they stand, before anything else: Gemma's runs of line breaks.
    added: Vec<(String, u32)>,
    normalizers: Vec<Normalizer>,
    pre_tokenizers: Vec<PreTokenizer>,
    subwords: SubwordModel,
    /// Ids before and after every text.
    start: Vec<u32>,
    end: Vec<u32>,
    context_len: usize,
    clean_up: CleanUp,
}

/// What a model's makers did to texts before they were tokenized, which no tokenizer file says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum CleanUp {
    #[default]
    None,
    /// Whatever has CLIP's vocabulary was trained on texts that OpenAI's own tokenizer had repaired.
    Clip,
    /// SigLIP's.
    Lowercase,
}

/// Tokens of CLIP's vocabulary.
const N_CLIP_TOKENS: usize = 49_408;

/// A change of the whole text.
#[derive(Clone, Debug)]
enum Normalizer {
    Form(Form),
    /// Character by character, whatever stands around it.
    Lowercase,
    /// A run of white space becomes one space.
    Spaces,
    /// Two spaces or more become this.
    Runs(String),
    Bert(words::Bert),
    Charsmap(Charsmap),
    Replace {
        from: String,
        to: String,
    },
    /// These characters are left out.
    Drop(String),
    /// White space at the ends.
    Strip {
        left: bool,
        right: bool,
    },
    /// Spaces, and no other white space, at both ends.
    Trim,
    /// Before a text that is not empty.
    Prepend(String),
    /// A prefix twice where it stands once.
    Double(String),
}

/// How text is cut into words, one way after the other.
#[derive(Clone, Copy, Debug)]
enum PreTokenizer {
    /// CLIP's regular expression, then bytes as printable characters. (GPT-2's expression, which the file asks for in
    /// between, cuts no word of CLIP's again.)
    Clip,
    /// White space drops out, punctuation stands alone.
    Bert,
    /// White space drops out.
    WhiteSpace,
    /// A space ends a word.
    BehindSpaces,
    /// A space becomes `mark`, and one is put before; each begins a word.
    Metaspace { mark: char, prepend: Prepend, is_cut: bool },
}

/// Which words a mark is put before, if they have none.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Prepend {
    Always,
    /// The one at the start of the text.
    First,
    Never,
}

/// What is read of a `tokenizer.json`.
#[derive(Deserialize)]
struct File<'a> {
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    /// Not followed: how far a text is padded is the model's affair.
    padding: Option<Value>,
    normalizer: Option<Value>,
    pre_tokenizer: Option<Value>,
    post_processor: Option<Value>,
    /// The model is kept as text: its vocabulary is the crate's to read.
    #[serde(borrow)]
    model: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
    special: bool,
    #[serde(default)]
    normalized: bool,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
}

impl File<'_> {
    /// Reads the file in one place, because its reader is large.
    #[inline(never)]
    fn read(json: &[u8]) -> Result<File<'_>, TextError> {
        serde_json::from_str(std::str::from_utf8(json).map_err(malformed)?).map_err(malformed)
    }
}

impl Tokenizer {
    /// From the bytes of a `tokenizer.json`; `context_len` is the most tokens that the model reads (CLIP: 77). The
    /// file's own padding and truncation are not read.
    pub fn from_json(json: &[u8], context_len: usize) -> Result<Tokenizer, TextError> {
        let file = File::read(json)?;
        let (special, added): (Vec<_>, Vec<_>) =
            file.added_tokens.into_iter().partition(|token| token.special);
        let is_plain =
            |token: &AddedToken| !(token.normalized || token.single_word || token.lstrip || token.rstrip);
        if let Some(token) = added.iter().find(|token| !is_plain(token) || token.content.is_empty()) {
            return Err(unsupported("added token", &Value::from(token.content.as_str())));
        }
        let mut normalizers = Vec::new();
        for part in parts(file.normalizer, "normalizers") {
            normalizers.push(normalizer(part)?);
        }
        let pre_tokenizers = pre_tokenizers(file.pre_tokenizer)?;
        let (start, end) = special_ids(file.post_processor)?;
        if context_len <= start.len() + end.len() {
            return Err(TextError::Context { context_len });
        }
        let special: Vec<&str> = special.iter().map(|token| token.content.as_str()).collect();
        let subwords = SubwordModel::from_json(file.model.map_or("null", RawValue::get), &special)?;
        let added = added.into_iter().map(|token| (token.content, token.id)).collect();
        let clean_up = CleanUp::None;
        Ok(Tokenizer { added, normalizers, pre_tokenizers, subwords, start, end, context_len, clean_up })
    }

    /// The same as the model's makers used it: texts are cleaned up first, where they did that. `is_lowercase`: the model
    /// has seen lower case only, whether or not the file says so.
    pub fn for_model(json: &[u8], context_len: usize, is_lowercase: bool) -> Result<Tokenizer, TextError> {
        let mut tokenizer = Tokenizer::from_json(json, context_len)?;
        let is_clip = tokenizer.is_byte_level() && tokenizer.subwords.n_tokens() == N_CLIP_TOKENS;
        tokenizer.clean_up = match () {
            _ if is_clip => CleanUp::Clip,
            _ if is_lowercase => CleanUp::Lowercase,
            _ => CleanUp::None,
        };
        Ok(tokenizer)
    }

    /// Whether words are cut as bytes, each written as a printable character.
    fn is_byte_level(&self) -> bool {
        self.pre_tokenizers.iter().any(|part| matches!(part, PreTokenizer::Clip))
    }

    fn cleaned<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.clean_up {
            CleanUp::None => text.into(),
            CleanUp::Clip => repair::clip(text).into(),
            CleanUp::Lowercase => words::lowercase(text).into(),
        }
    }

    pub fn context_len(&self) -> usize {
        self.context_len
    }

    pub fn encode(&self, text: &str) -> Result<Tokens, TextError> {
        let text: &str = &self.cleaned(text);
        let max_len = self.context_len - self.end.len();
        let mut ids = self.start.clone();
        let mut rest = text;
        while !rest.is_empty() && ids.len() <= max_len {
            let is_start = rest.len() == text.len();
            let (before, id, after) = self.split_at_added(rest);
            self.encode_plain(before, is_start, max_len, &mut ids)?;
            ids.extend(id);
            rest = after;
        }
        let is_cut = ids.len() > max_len;
        ids.truncate(max_len);
        ids.extend(&self.end);
        Ok(Tokens { ids, is_cut })
    }

    /// What stands before the first added token (the longest, where several start there), its id, and what follows.
    fn split_at_added<'a>(&self, text: &'a str) -> (&'a str, Option<u32>, &'a str) {
        for (at, _) in text.char_indices().filter(|_| !self.added.is_empty()) {
            let here = self.added.iter().filter(|(token, _)| text[at..].starts_with(token.as_str()));
            if let Some((token, id)) = here.max_by_key(|(token, _)| token.len()) {
                return (&text[..at], Some(*id), &text[at + token.len()..]);
            }
        }
        (text, None, "")
    }

    /// Adds the ids of a text without added tokens, up to a few more than `max_len`.
    fn encode_plain(
        &self,
        text: &str,
        is_start: bool,
        max_len: usize,
        ids: &mut Vec<u32>,
    ) -> Result<(), TextError> {
        for word in self.words(self.normalized(text), is_start) {
            ids.extend(self.subwords.ids(&word).map_err(failed)?);
            if ids.len() > max_len {
                break;
            }
        }
        Ok(())
    }

    fn normalized(&self, text: &str) -> String {
        self.normalizers.iter().fold(text.to_owned(), |text, normalizer| normalizer.apply(text))
    }

    fn words(&self, normalized: String, is_start: bool) -> Vec<String> {
        let cut = |words: Vec<String>, part: &PreTokenizer| part.apply(&words, is_start);
        let mut words = self.pre_tokenizers.iter().fold(vec![normalized], cut);
        words.retain(|word| !word.is_empty());
        words
    }

    /// Whether the vocabulary has a token for anything of `text`: for a letter or a digit of it, where it has any, and else
    /// for another character. Tokens for what is unknown do not count, nor do those for a part of a character: a script
    /// that the tokenizer never saw comes out as single bytes.
    ///
    /// # Errors
    /// A character that the file has no token for at all.
    pub fn can_read(&self, text: &str) -> Result<bool, TextError> {
        let is_letter = |c: char| Class::Letter.has(c) || Class::Number.has(c);
        let normalized = self.normalized(&self.cleaned(text));
        let has_letters = normalized.chars().any(is_letter);
        let counts = |c: char| if has_letters { is_letter(c) } else { !c.is_whitespace() && c != SPACE_MARK };
        for word in self.words(normalized, true) {
            if self.subwords.known(&word, self.is_byte_level()).map_err(failed)?.chars().any(counts) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Normalizer {
    fn apply(&self, text: String) -> String {
        match self {
            Normalizer::Form(form) => form.of(&text),
            Normalizer::Lowercase => words::lowercase(&text),
            Normalizer::Bert(bert) => bert.apply(text),
            Normalizer::Spaces => words::collapse_spaces(&text),
            Normalizer::Runs(to) => words::replace_runs(&text, to),
            Normalizer::Charsmap(charsmap) => charsmap.apply(&text),
            Normalizer::Replace { from, to } => text.replace(from, to),
            Normalizer::Drop(set) => text.chars().filter(|c| !set.contains(*c)).collect(),
            Normalizer::Strip { left, right } => {
                let text = if *left { text.trim_start() } else { &text };
                if *right { text.trim_end() } else { text }.to_owned()
            }
            Normalizer::Trim => text.trim_matches(' ').to_owned(),
            Normalizer::Prepend(_) if text.is_empty() => text,
            Normalizer::Prepend(prefix) => format!("{prefix}{text}"),
            Normalizer::Double(prefix) if text.starts_with(prefix) => format!("{prefix}{text}"),
            Normalizer::Double(_) => text,
        }
    }
}

impl PreTokenizer {
    /// Cuts every word; `is_start`: the first is the start of the text.
    fn apply(self, all: &[String], is_start: bool) -> Vec<String> {
        let owned = |word: &str| word.to_owned();
        let mut cut: Vec<String> = Vec::new();
        for (idx, word) in all.iter().enumerate() {
            match self {
                PreTokenizer::Clip => cut.extend(words::clip(word).map(words::printable_bytes)),
                PreTokenizer::Bert => cut.extend(words::bert(word).map(owned)),
                PreTokenizer::WhiteSpace => cut.extend(word.split_whitespace().map(owned)),
                PreTokenizer::BehindSpaces => cut.extend(words::behind_each(word, ' ').map(owned)),
                PreTokenizer::Metaspace { mark, prepend, is_cut } => {
                    let mut marked = word.replace(' ', mark.encode_utf8(&mut [0; 4]));
                    let is_wanted =
                        prepend == Prepend::Always || prepend == Prepend::First && is_start && idx == 0;
                    if is_wanted && !marked.is_empty() && !marked.starts_with(mark) {
                        marked.insert(0, mark);
                    }
                    match is_cut {
                        true => cut.extend(words::before_each(&marked, mark).map(owned)),
                        false => cut.push(marked),
                    }
                }
            }
        }
        cut
    }
}

/// The token that a tokenizer's file pads with, if it says so: by the padding that it sets up, or by a special token of
/// that name.
pub fn pad_token(json: &str) -> Option<u32> {
    let file = File::read(json.as_bytes()).ok()?;
    let set_up = file.padding.and_then(|padding| u32::try_from(padding["pad_id"].as_u64()?).ok());
    let named = || file.added_tokens.iter().find(|token| token.content == "<pad>").map(|token| token.id);
    set_up.or_else(named)
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

fn normalizer(mut part: Value) -> Result<Normalizer, TextError> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let known = match part["type"].as_str() {
        Some("NFC") => Some(Normalizer::Form(Form::Nfc)),
        Some("NFD") => Some(Normalizer::Form(Form::Nfd)),
        Some("NFKC") => Some(Normalizer::Form(Form::Nfkc)),
        Some("Lowercase") => Some(Normalizer::Lowercase),
        Some("Replace") => replacement(&part),
        Some("Strip") => {
            let side = |key: &str| part[key].as_bool();
            side("strip_left").zip(side("strip_right")).map(|(left, right)| Normalizer::Strip { left, right })
        }
        Some("Prepend") => text(&part["prepend"]).map(Normalizer::Prepend),
        Some("Precompiled") => match part["precompiled_charsmap"].take() {
            Value::String(charsmap) => Some(Normalizer::Charsmap(Charsmap::from_base64(&charsmap)?)),
            _ => None,
        },
        Some("BertNormalizer") => {
            return serde_json::from_value(part).map(Normalizer::Bert).map_err(malformed);
        }
        _ => None,
    };
    known.ok_or_else(|| unsupported("normalizer", &part))
}

/// A text for another, or one of the expressions that stand in tokenizer files.
fn replacement(part: &Value) -> Option<Normalizer> {
    let to = part["content"].as_str()?;
    let pattern = &part["pattern"];
    if let Some(from) = pattern["String"].as_str().filter(|from| !from.is_empty()) {
        return Some(Normalizer::Replace { from: from.to_owned(), to: to.to_owned() });
    }
    match (pattern["Regex"].as_str()?, to) {
        (r"\s+", " ") => Some(Normalizer::Spaces),
        (" {2,}", to) => Some(Normalizer::Runs(to.to_owned())),
        (r"\A +| +\z", "") => Some(Normalizer::Trim),
        (r"\A▁", "▁▁") => Some(Normalizer::Double("▁".to_owned())),
        (set, "") => words::punctuation_set(set).map(Normalizer::Drop),
        _ => None,
    }
}

fn pre_tokenizers(component: Option<Value>) -> Result<Vec<PreTokenizer>, TextError> {
    let parts = parts(component, "pretokenizers");
    if let [split, bytes] = &parts[..]
        && split["type"] == "Split"
        && (split["invert"] == true && split["behavior"] == "Removed")
        && (split["pattern"]["Regex"].as_str()).is_some_and(words::is_clip_pattern)
        && (bytes["type"] == "ByteLevel" && bytes["add_prefix_space"] == false)
    {
        return Ok(vec![PreTokenizer::Clip]);
    }
    let pre_tokenizers: Option<Vec<PreTokenizer>> = parts.iter().map(pre_tokenizer).collect();
    pre_tokenizers.ok_or_else(|| unsupported("pre-tokenizer", &Value::from(parts)))
}

fn pre_tokenizer(part: &Value) -> Option<PreTokenizer> {
    match part["type"].as_str()? {
        "BertPreTokenizer" => Some(PreTokenizer::Bert),
        "WhitespaceSplit" => Some(PreTokenizer::WhiteSpace),
        "Split"
            if part["pattern"]["String"] == " "
                && part["behavior"] == "MergedWithPrevious"
                && part["invert"] == false =>
        {
            Some(PreTokenizer::BehindSpaces)
        }
        "Metaspace" => {
            let mark = part["replacement"].as_str()?.chars().next()?;
            // Until 2023 `add_prefix_space` said whether to prepend.
            let is_wanted = part["add_prefix_space"].as_bool().unwrap_or(true);
            let prepend = match part["prepend_scheme"].as_str() {
                None | Some("always") if is_wanted => Prepend::Always,
                Some("first") if is_wanted => Prepend::First,
                None | Some("never" | "always" | "first") => Prepend::Never,
                Some(_) => return None,
            };
            Some(PreTokenizer::Metaspace { mark, prepend, is_cut: part["split"].as_bool().unwrap_or(true) })
        }
        _ => None,
    }
}

/// The ids that go before and after a text.
fn special_ids(post_processor: Option<Value>) -> Result<(Vec<u32>, Vec<u32>), TextError> {
    let id = |value: &Value| {
        let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
        id.ok_or_else(|| malformed(format!("the post-processor holds {value} as an id")))
    };
    let (mut start, mut end) = (Vec::new(), Vec::new());
    for part in parts(post_processor, "processors") {
        match part["type"].as_str() {
            Some("RobertaProcessing" | "BertProcessing") => {
                start.push(id(&part["cls"][1])?);
                end.push(id(&part["sep"][1])?);
            }
            Some("TemplateProcessing") => {
                let mut is_after = false;
                for piece in part["single"].as_array().into_iter().flatten() {
                    let Some(name) = piece["SpecialToken"]["id"].as_str() else {
                        is_after = true;
                        continue;
                    };
                    let ids = part["special_tokens"][name]["ids"].as_array();
                    let ids = ids.ok_or_else(|| malformed(format!("no special token \"{name}\"")))?;
                    for value in ids {
                        if is_after { &mut end } else { &mut start }.push(id(value)?);
                    }
                }
            }
            // It moves offsets alone.
            Some("ByteLevel") => (),
            _ => return Err(unsupported("post-processor", &part)),
        }
    }
    Ok((start, end))
}

fn failed(error: tokenizers::Error) -> TextError {
    TextError::Encode(error.to_string())
}

pub(super) fn malformed(error: impl std::fmt::Display) -> TextError {
    TextError::Tokenizer(error.to_string())
}

/// Names the component, shortened: a file may hold anything.
pub(super) fn unsupported(kind: &'static str, found: &Value) -> TextError {
    TextError::Unsupported { kind, found: found.to_string().chars().take(200).collect() }
}
