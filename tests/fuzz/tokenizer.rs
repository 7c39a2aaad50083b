//! A tokenizer file from any bytes; what loads encodes a text: the bytes behind the first zero byte, and a fixed one.
#![no_main]

mod bounds;

use bounds::within;
use cliplet::text::Tokenizer;
use libfuzzer_sys::fuzz_target;

/// Vocabularies are kept in hash maps in both directions: a file is no weights, and small.
const HELD: usize = 64;
/// BERT's rules make a word of every punctuation mark, with its place in the text; labels have 1000 characters at most.
const HELD_OF_TEXT: usize = 256;
const CONTEXT_LEN: usize = 77;
const TEXT: &str =
    "A photo  of 2 caf\u{e9}s, <|endoftext|> \u{4e2d}\u{6587} \u{1f600}\t[SEP] it's x\u{301}\u{300}\0";

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let json = parts.next().unwrap_or_default();
    let text = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let allowed = HELD * bytes.len() + (1 << 20);
    let read = within(allowed, "read", || Tokenizer::from_json(json, CONTEXT_LEN));
    let Ok(tokenizer) = read else { return };
    for text in [text.as_ref(), TEXT] {
        let encode = || tokenizer.encode(text);
        let Ok(tokens) = within(allowed + HELD_OF_TEXT * text.len(), "encode", encode) else { continue };
        assert!(tokens.ids.len() <= CONTEXT_LEN);
        assert_eq!(tokenizer.encode(text).as_ref(), Ok(&tokens), "the same text, the same ids");
    }
});
