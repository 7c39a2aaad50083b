//! Labels to embeddings: prompts, encoding and averaging in the one place where command, page and JavaScript get them.
//!
//! Invariant: a label that the model cannot read has no embedding, so that it takes no part in a ranking.
//! Invariant: what is known of a label is kept by (prompts, label): a new label costs one label, a new picture none.

use super::{Engine, EngineError};
use crate::facts::LabelNotes;
use crate::tasks::LabelEmbedding;
use crate::text::{Template, TextError};
use std::collections::{HashMap, HashSet};

/// Labels encoded between two looks at whether they are still wanted.
const LABELS_AT_ONCE: usize = 16;
/// Embeddings kept; at 512 numbers each this is 8 MiB.
const MAX_KEPT_LABELS: usize = 4096;

/// Labels as the model sees them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EmbeddedLabels {
    /// Those that the model can read, in the order given.
    pub readable: Vec<LabelEmbedding>,
    pub notes: LabelNotes,
}

/// What an engine knows of labels already.
#[derive(Default)]
pub struct KnownLabels(HashMap<(String, String), Known>);

struct Known {
    /// The tokens of every prompt; empty: the label cannot be read.
    tokens: Vec<Vec<u32>>,
    is_cut: bool,
    embedding: LabelEmbedding,
}

impl KnownLabels {
    /// How many of the labels have to be encoded.
    pub fn n_missing(&self, labels: &[String], prompts: &[Template]) -> usize {
        let prompts = key_of(prompts);
        labels.iter().filter(|label| !self.0.contains_key(&(prompts.clone(), (*label).clone()))).count()
    }
}

fn key_of(prompts: &[Template]) -> String {
    prompts.iter().map(Template::to_string).collect::<Vec<_>>().join("\n")
}

impl Engine {
    /// The given templates, or the model's own where none is given.
    ///
    /// # Errors
    /// A template without its one `{label}`.
    pub fn prompts(&self, given: &[String]) -> Result<Vec<Template>, TextError> {
        let templates = if given.is_empty() { self.templates() } else { given };
        templates.iter().map(|text| Template::parse(text)).collect()
    }

    /// Embeds labels, each as the mean of its prompts.
    ///
    /// # Errors
    /// No tokenizer; a device that fails.
    pub async fn embed_labels(
        &self,
        labels: &[String],
        prompts: &[Template],
    ) -> Result<EmbeddedLabels, EngineError> {
        let mut known = KnownLabels::default();
        let embedded = self.embed_labels_while(labels, prompts, &mut known, async |_, _| true).await?;
        Ok(embedded.unwrap_or_default())
    }

    /// The same for a thread that hears of other work meanwhile: what is `known` is not computed again, and after a few
    /// labels each it is told how many of all are encoded, and asked whether the others are still wanted. `None`: they are
    /// not.
    pub async fn embed_labels_while(
        &self,
        labels: &[String],
        prompts: &[Template],
        known: &mut KnownLabels,
        is_wanted: impl AsyncFn(usize, usize) -> bool,
    ) -> Result<Option<EmbeddedLabels>, EngineError> {
        if known.0.len() > MAX_KEPT_LABELS {
            known.0.clear();
        }
        let prompts_key = key_of(prompts);
        let key = |label: &String| (prompts_key.clone(), label.clone());
        let mut seen = HashSet::new();
        let mut missing: Vec<&String> = labels.iter().filter(|label| seen.insert(*label)).collect();
        missing.retain(|label| !known.0.contains_key(&key(label)));
        let mut n_encoded = labels.len() - missing.len();
        for some in missing.chunks(LABELS_AT_ONCE) {
            for (label, entry) in some.iter().zip(self.read_labels(some, prompts).await?) {
                known.0.insert(key(label), entry);
            }
            n_encoded += some.len();
            if !is_wanted(n_encoded, labels.len()).await {
                return Ok(None);
            }
        }
        let mut embedded = EmbeddedLabels::default();
        let mut groups: Vec<Vec<String>> = Vec::new();
        let mut group_of: HashMap<&[Vec<u32>], usize> = HashMap::new();
        for label in labels {
            let Some(entry) = known.0.get(&key(label)) else { continue };
            if entry.tokens.is_empty() {
                embedded.notes.unreadable.push(label.clone());
                continue;
            }
            if entry.is_cut {
                embedded.notes.cut.push(label.clone());
            }
            let group = *group_of.entry(&entry.tokens).or_insert(groups.len());
            match groups.get_mut(group) {
                Some(same) => same.push(label.clone()),
                None => groups.push(vec![label.clone()]),
            }
            embedded.readable.push(entry.embedding.clone());
        }
        groups.retain(|same| same.len() > 1);
        embedded.notes.same = groups;
        Ok(Some(embedded))
    }

    async fn read_labels(&self, labels: &[&String], prompts: &[Template]) -> Result<Vec<Known>, EngineError> {
        let mut known = Vec::with_capacity(labels.len());
        let mut texts = Vec::new();
        for label in labels {
            let mut entry = Known {
                tokens: Vec::new(),
                is_cut: false,
                embedding: LabelEmbedding::new(label.as_str(), &[]),
            };
            if self.can_read(label)? {
                for text in prompts.iter().map(|prompt| prompt.fill(label)) {
                    let tokens = self.tokenize(&text)?;
                    entry.is_cut |= tokens.is_cut;
                    entry.tokens.push(tokens.ids);
                    texts.push(text);
                }
            }
            known.push(entry);
        }
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let mut embeddings = self.encode_texts(&texts).await?.into_iter();
        for (label, entry) in labels.iter().zip(&mut known) {
            let of_prompts: Vec<_> = embeddings.by_ref().take(entry.tokens.len()).collect();
            entry.embedding = LabelEmbedding::new(label.as_str(), &of_prompts);
        }
        Ok(known)
    }
}
