//! SentencePiece's Unigram model: of all ways to cut a word into tokens the one of the highest score (Kudo 2018), found
//! as Viterbi does.
//!
//! The `tokenizers` crate has one too; its trie is a hash map a byte, 183 MB for 250,000 tokens, and it links sampling and
//! training. Here a token is found in one map.
//!
//! Invariant: ids equal the crate's, but that special tokens are not found in text: SentencePiece doesn't either.
//! Invariant: a word costs its length times that of the longest token, which is bounded.

use super::TextError;
use super::tokenizer::malformed;
use tokenizers::models::bpe::Vocab;

/// The most bytes of a piece. SentencePiece's have at most 16 characters; Gemma's longest run of spaces has 93 bytes.
const MAX_TOKEN_LEN: usize = 512;
/// What an unknown character scores below the worst token.
const UNKNOWN_PENALTY: f64 = 10.0;

#[derive(Clone, Debug)]
pub struct Unigram {
    ids: Vocab,
    /// The score of each id.
    scores: Vec<f64>,
    /// The length of the longest piece, in bytes.
    longest: usize,
    unknown: Option<u32>,
    unknown_score: f64,
    /// Ids of the 256 bytes, for characters that no token holds.
    bytes: Option<Vec<u32>>,
}

/// The best way to a place in the word.
#[derive(Clone, Copy)]
struct Step {
    from: usize,
    /// `None`: an unknown character.
    id: Option<u32>,
    score: f64,
}

impl Unigram {
    /// Makes it from tokens and their scores, in the order of their ids; `special` tokens never stand for text.
    pub fn new(
        vocab: Vec<(String, f64)>,
        unknown: Option<u32>,
        byte_fallback: bool,
        special: &[&str],
    ) -> Result<Unigram, TextError> {
        if let Some(id) = unknown.filter(|&id| id as usize >= vocab.len()) {
            return Err(malformed(format!("unk_id is {id}, there are {} tokens", vocab.len())));
        }
        let lowest = vocab.iter().map(|(_, score)| *score).fold(f64::INFINITY, f64::min);
        let mut ids = Vocab::default();
        let mut scores = Vec::with_capacity(vocab.len());
        let mut longest = 0;
        for (id, (token, score)) in (0..).zip(vocab) {
            if token.len() > MAX_TOKEN_LEN {
                return Err(malformed(format!(
                    "a token of {} bytes, the most are {MAX_TOKEN_LEN}",
                    token.len()
                )));
            }
            longest = longest.max(token.len());
            scores.push(score);
            ids.insert(token, id);
        }
        let byte = |byte: u8| ids.get(&format!("<0x{byte:02X}>")).copied();
        let bytes = if byte_fallback { (0..=255).map(byte).collect() } else { None };
        // Behind the bytes, which are special in some files.
        for token in special {
            ids.remove(*token);
        }
        let unknown_score = lowest - UNKNOWN_PENALTY;
        Ok(Unigram { ids, scores, longest, unknown, unknown_score, bytes })
    }

    /// `None`: the word holds an unknown character, and the file names no token for those.
    pub fn ids(&self, word: &str) -> Option<Vec<u32>> {
        let mut ids = Vec::new();
        let mut is_behind_unknown = false;
        for (part, id) in self.cut(word) {
            match (id, &self.bytes) {
                (Some(id), _) => ids.push(id),
                (None, Some(bytes)) => ids.extend(part.bytes().map(|byte| bytes[usize::from(byte)])),
                // A run of unknown characters is one.
                (None, None) if is_behind_unknown => (),
                (None, None) => ids.push(self.unknown?),
            }
            is_behind_unknown = id.is_none();
        }
        Some(ids)
    }

    pub fn n_tokens(&self) -> usize {
        self.scores.len()
    }

    /// What of `word` is in the vocabulary.
    pub fn known(&self, word: &str) -> String {
        self.cut(word).into_iter().filter(|(_, id)| id.is_some()).map(|(part, _)| part).collect()
    }

    /// The parts of the highest score in sum, each with its token's id, if it is one.
    fn cut<'a>(&self, word: &'a str) -> Vec<(&'a str, Option<u32>)> {
        let mut best: Vec<Option<Step>> = vec![None; word.len() + 1];
        for (from, c) in word.char_indices() {
            let before = best[from].map_or(0.0, |step| step.score);
            let mut reach = |end: usize, id: Option<u32>, score: f64| {
                let score = before + score;
                if best[end].is_none_or(|step| score > step.score) {
                    best[end] = Some(Step { from, id, score });
                }
            };
            let next = from + c.len_utf8();
            let last = (from + self.longest).min(word.len());
            let mut is_known = false;
            for end in (next..=last).filter(|&end| word.is_char_boundary(end)) {
                if let Some(&id) = self.ids.get(&word[from..end]) {
                    reach(end, Some(id), self.scores[id as usize]);
                    is_known |= end == next;
                }
            }
            if !is_known {
                reach(next, None, self.unknown_score);
            }
        }
        let mut parts = Vec::new();
        let mut end = word.len();
        while let Some(step) = best[end] {
            parts.push((&word[step.from..end], step.id));
            end = step.from;
        }
        parts.reverse();
        parts
    }
}
