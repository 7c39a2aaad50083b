//! Text: labels as typed, prompt templates, tokens.
//!
//! Invariant: text stays text: what a user types never becomes a special token.

mod charsmap;
pub mod labels;
mod repair;
mod subword;
mod template;
mod tokenizer;
mod unicode;
mod unigram;
pub mod vocabulary;
mod words;

pub use template::Template;
pub use tokenizer::{Tokenizer, Tokens, pad_token};

use thiserror::Error;

/// What is wrong with a tokenizer, a template or labels.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TextError {
    #[error("tokenizer.json cannot be read: {0}")]
    Tokenizer(String),
    #[error(
        "tokenizer.json asks for a {kind} that is not known here, only those of CLIP, BERT, SigLIP and XLM-R are: {found}"
    )]
    Unsupported { kind: &'static str, found: String },
    #[error("{file} cannot be used: {reason}")]
    Vocabulary { file: &'static str, reason: String },
    #[error("a context of {context_len} tokens has no room for text between its start and end")]
    Context { context_len: usize },
    #[error("the text cannot be tokenized: {0}")]
    Encode(String),
    #[error(
        "the template \"{0}\" lacks {{label}}: write it where the label goes, as in \"a photo of a {{label}}\""
    )]
    NoPlaceholder(String),
    #[error("the template \"{template}\" names {{label}} {found} times: once is right")]
    ManyPlaceholders { template: String, found: usize },
    #[error("the template \"{0}\" holds a brace outside {{label}}: only {{label}} is filled in")]
    StrayBrace(String),
    #[error("the template has {n_chars} characters, the most read are {max}: shorten it")]
    LongTemplate { n_chars: usize, max: usize },
    #[error("more than {max} labels: remove some")]
    ManyLabels { max: usize },
    #[error(
        "the label that starts with \"{start}\" has {n_chars} characters, the most read are {max}: shorten it"
    )]
    LongLabel { start: String, n_chars: usize, max: usize },
}
