//! Text to token ids, through a model's own `tokenizer.json`: CLIP's byte-level BPE, BERT's WordPiece.
//!
//! Invariant: ids start and end with the special tokens of the file and are at most `context_len`; a longer text
//! loses its tail, never its end token (CLIP reads the embedding there).
//! Invariant: special-token literals in a text are plain text.

use super::TextError;

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
    inner: tokenizers::Tokenizer,
    context_len: usize,
}

impl Tokenizer {
    /// From the bytes of a `tokenizer.json`; `context_len` is the most tokens that the model reads (CLIP: 77).
    pub fn from_json(json: &[u8], context_len: usize) -> Result<Tokenizer, TextError> {
        if context_len < 3 {
            return Err(TextError::Context { context_len });
        }
        let mut inner = tokenizers::Tokenizer::from_bytes(json)
            .map_err(|error| TextError::Tokenizer(error.to_string()))?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|error| TextError::Tokenizer(error.to_string()))?;
        // The library's name for it: "encode special tokens" as any other text.
        inner.set_encode_special_tokens(true);
        Ok(Tokenizer { inner, context_len })
    }

    pub fn context_len(&self) -> usize {
        self.context_len
    }

    pub fn encode(&self, text: &str) -> Result<Tokens, TextError> {
        let encoding =
            self.inner.encode_fast(text, true).map_err(|error| TextError::Encode(error.to_string()))?;
        let mut ids = encoding.get_ids().to_vec();
        let is_cut = ids.len() > self.context_len;
        if is_cut && let Some(&end) = ids.last() {
            ids.truncate(self.context_len - 1);
            ids.push(end);
        }
        Ok(Tokens { ids, is_cut })
    }
}
