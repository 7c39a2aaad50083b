//! A `tokenizer.json` for models that come with the older files that it replaced: CLIP's `vocab.json` and `merges.txt`,
//! BERT's `vocab.txt`.
//!
//! Invariant: what is written here is what the `transformers` library writes when it converts the same files, as far as
//! [`Tokenizer`](super::Tokenizer) reads it.

use serde_json::{Map, Value, json};

use super::TextError;

/// Makes a tokenizer from CLIP's vocabulary and merges.
///
/// # Errors
/// A vocabulary that is no JSON object or lacks CLIP's start and end tokens; a merge that is not two tokens.
pub fn clip_tokenizer_json(vocab: &str, merges: &str) -> Result<String, TextError> {
    let vocab: Map<String, Value> =
        serde_json::from_str(vocab).map_err(|error| malformed("vocab.json", error))?;
    let id = |token: &str| {
        let lacks = || malformed("vocab.json", format!("it lacks {token}, so it is not CLIP's"));
        vocab.get(token).and_then(Value::as_u64).ok_or_else(lacks)
    };
    let (start, end) = ("<|startoftext|>", "<|endoftext|>");
    let (start_id, end_id) = (id(start)?, id(end)?);
    let pair = |line: &str| match line.split(' ').collect::<Vec<_>>()[..] {
        [left, right] => Ok(json!([left, right])),
        _ => Err(malformed("merges.txt", format!("{line:?} is not two tokens"))),
    };
    let lines = merges.lines().filter(|line| !line.is_empty() && !line.starts_with("#version"));
    let merges = lines.map(pair).collect::<Result<Vec<_>, _>>()?;
    Ok(json!({
        "version": "1.0",
        "added_tokens": [],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "NFC"},
            {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
            {"type": "Lowercase"},
        ]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": super::words::CLIP_PATTERN}, "behavior": "Removed", "invert": true},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true},
        ]},
        "post_processor": {"type": "RobertaProcessing", "cls": [start, start_id], "sep": [end, end_id],
                           "trim_offsets": false, "add_prefix_space": false},
        "decoder": null,
        "model": {"type": "BPE", "unk_token": end, "continuing_subword_prefix": "", "end_of_word_suffix": "</w>",
                  "vocab": vocab, "merges": merges},
    })
    .to_string())
}

/// From BERT's vocabulary, a token a line, and its `tokenizer_config.json`, where there is one.
///
/// # Errors
/// A vocabulary that lacks BERT's special tokens; a configuration that is no JSON.
pub fn bert_tokenizer_json(vocab: &str, config: Option<&[u8]>) -> Result<String, TextError> {
    let config: Value = match config {
        Some(json) => {
            serde_json::from_slice(json).map_err(|error| malformed("tokenizer_config.json", error))?
        }
        None => Value::Null,
    };
    let setting = |key: &str, default: bool| config[key].as_bool().unwrap_or(default);
    // The last of equal lines counts, as in the original.
    let ids: Map<String, Value> = vocab
        .lines()
        .enumerate()
        .map(|(id, token)| (token.trim_end_matches('\r').to_owned(), id.into()))
        .collect();
    let id = |token: &str| {
        let lacks = || malformed("vocab.txt", format!("it lacks {token}, so it is not BERT's"));
        ids.get(token).cloned().ok_or_else(lacks)
    };
    let (cls, sep) = (json!(["[CLS]", id("[CLS]")?]), json!(["[SEP]", id("[SEP]")?]));
    id("[UNK]")?;
    Ok(json!({
        "version": "1.0",
        "added_tokens": [],
        "normalizer": {"type": "BertNormalizer", "clean_text": true,
                       "handle_chinese_chars": setting("tokenize_chinese_chars", true),
                       "strip_accents": config["strip_accents"], "lowercase": setting("do_lower_case", true)},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "cls": cls, "sep": sep},
        "decoder": null,
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": ids},
    })
    .to_string())
}

fn malformed(file: &'static str, reason: impl std::fmt::Display) -> TextError {
    TextError::Vocabulary { file, reason: reason.to_string() }
}
