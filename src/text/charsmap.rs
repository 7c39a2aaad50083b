//! SentencePiece's `precompiled_charsmap`: which characters it replaces by which.
//!
//! `u32 n_bytes · trie · replacements`: the trie is a double array of u32 (Aoe 1989, as in darts-clone), its values are
//! places in the replacements, each of which ends with a zero byte.
//!
//! The crate `spm_precompiled` reads the same, but indexes wherever the bytes say; here any bytes give an answer.
//!
//! Invariant: a cluster (a character and the marks on it) of less than six bytes is looked up whole, and what it starts
//! with counts; any other character by character: so does the `tokenizers` crate. Clusters this short are Unicode's,
//! without the tables of its segmentation, but where no text has them: Burmese vowels on a Latin letter, marks that are
//! newer than our table, signs that join the number behind them.

use super::TextError;
use super::tokenizer::malformed;
use super::unicode::Class;

#[derive(Clone, Debug)]
pub struct Charsmap {
    trie: Vec<u32>,
    replacements: String,
}

impl Charsmap {
    pub fn from_base64(text: &str) -> Result<Charsmap, TextError> {
        let bytes = decode_base64(text).ok_or_else(|| malformed("the charsmap is not base64"))?;
        let parts = bytes.split_first_chunk().and_then(|(n_bytes, rest)| {
            rest.split_at_checked(usize::try_from(u32::from_le_bytes(*n_bytes)).ok()? / 4 * 4)
        });
        let (trie, replacements) = parts.ok_or_else(|| malformed("the charsmap is cut"))?;
        let trie = trie.as_chunks().0.iter().map(|&unit| u32::from_le_bytes(unit)).collect();
        let replacements = String::from_utf8(replacements.to_vec()).map_err(malformed)?;
        Ok(Charsmap { trie, replacements })
    }

    pub fn apply(&self, text: &str) -> String {
        const MAX_CLUSTER: usize = 6;
        let mut mapped = String::with_capacity(text.len());
        let mut rest = text;
        while !rest.is_empty() {
            let cluster;
            (cluster, rest) = rest.split_at(cluster_len(rest));
            if cluster.len() < MAX_CLUSTER
                && let Some(replacement) = self.replacement(cluster)
            {
                mapped += replacement;
                continue;
            }
            for c in cluster.chars() {
                let mut utf8 = [0; 4];
                match self.replacement(c.encode_utf8(&mut utf8)) {
                    Some(replacement) => mapped += replacement,
                    None => mapped.push(c),
                }
            }
        }
        mapped
    }

    /// What stands in the map for the shortest start of `text` that is there.
    fn replacement(&self, text: &str) -> Option<&str> {
        const HAS_LEAF: u32 = 1 << 8;
        const LABEL: u32 = 1 << 31 | 0xFF;
        let unit = |at: u32| self.trie.get(at as usize).copied();
        let offset = |unit: u32| (unit >> 10) << ((unit & 1 << 9) >> 6);
        let mut at = offset(unit(0)?);
        for byte in text.bytes().take_while(|&byte| byte != 0) {
            at ^= u32::from(byte);
            let found = unit(at)?;
            if found & LABEL != u32::from(byte) {
                return None;
            }
            at ^= offset(found);
            if found & HAS_LEAF != 0 {
                let start = unit(at)? & !(1 << 31);
                return self.replacements.get(start as usize..)?.split('\0').next();
            }
        }
        None
    }
}

/// RFC 4648, four characters for three bytes. A crate takes 4 kB of the page's program for it.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for group in text.chunks(4) {
        let mut bits = 0;
        for (i, &c) in group.iter().enumerate() {
            let value = match c {
                b'A'..=b'Z' => c - b'A',
                b'a'..=b'z' => c - b'a' + 26,
                b'0'..=b'9' => c - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            bits |= u32::from(value) << (18 - 6 * i);
        }
        bytes.extend(&bits.to_be_bytes()[1..group.len()]);
    }
    Some(bytes)
}

/// Bytes of the first character and the marks on it; 0 for no text.
fn cluster_len(text: &str) -> usize {
    let mut chars = text.char_indices();
    match chars.next() {
        None => 0,
        Some((_, '\r')) if text.starts_with("\r\n") => 2,
        Some((_, first)) if is_control(first) => first.len_utf8(),
        Some(_) => chars.find(|(_, c)| !is_mark(*c)).map_or(text.len(), |(at, _)| at),
    }
}

/// Whether marks do not join the character.
fn is_control(c: char) -> bool {
    Class::Control.has(c) && !is_mark(c)
}

/// Whether the character joins the one before.
fn is_mark(c: char) -> bool {
    Class::Mark.has(c)
        || matches!(c, '\u{200C}' | '\u{200D}' | '\u{E33}' | '\u{EB3}' | '\u{FF9E}' | '\u{FF9F}')
        // Skin tones and the letters of flags.
        || matches!(c, '\u{1F3FB}'..='\u{1F3FF}' | '\u{E0020}'..='\u{E007F}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use unicode_segmentation::UnicodeSegmentation;

    #[test]
    fn base64_is_read() {
        for (text, bytes) in [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYg", "foob")] {
            assert_eq!(decode_base64(text).unwrap(), bytes.as_bytes());
        }
        assert_eq!(decode_base64("+/+/"), Some(vec![0xFB, 0xFF, 0xBF]));
        assert!(decode_base64("Zm9\n").is_none() && decode_base64("Z=g=").is_none());
    }

    #[test]
    fn short_clusters_are_unicodes() {
        let differs = |text: &String| {
            text.len() < 6 && text.graphemes(true).next().map(str::len) != Some(cluster_len(text))
        };
        let pairs =
            ('\0'..=char::MAX).flat_map(|c| [format!("a{c}"), format!("{c}\u{301}"), format!("{c}a")]);
        let found: Vec<String> = pairs.filter(differs).collect();
        // Rare scripts, and at most as many as there were with Unicode 17.
        assert!(found.len() <= 125, "{}: {found:?}", found.len());
        let is_common =
            |c: char| matches!(c, '\0'..'\u{600}' | '\u{1E00}'..'\u{2060}' | '\u{20A0}'..'\u{A000}');
        assert!(!found.iter().any(|text| text.chars().all(is_common)), "{found:?}");
    }
}
