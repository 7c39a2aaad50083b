//! `cliplet tokenize`: texts to token ids.
//!
//! Invariant: one line out per line in, each written before the next is read, so that it serves as a filter.

use super::{CliError, read_file};
use crate::text::Tokenizer;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Args {
    /// A model's tokenizer.json.
    #[arg(long, value_name = "FILE")]
    tokenizer: PathBuf,
    /// The most tokens of a text, start and end included.
    #[arg(long, value_name = "TOKENS", default_value_t = 77)]
    context_len: usize,
}

pub fn run(args: &Args) -> Result<ExitCode, CliError> {
    let tokenizer = Tokenizer::from_json(&read_file(&args.tokenizer)?, args.context_len)?;
    let mut out = io::stdout().lock();
    for (line_idx, line) in io::stdin().lock().lines().enumerate() {
        let text: String = serde_json::from_str(&line?)
            .map_err(|source| CliError::InputLine { line: line_idx + 1, source })?;
        writeln!(out, "{}", serde_json::to_string(&tokenizer.encode(&text)?.ids)?)?;
        out.flush()?;
    }
    Ok(ExitCode::SUCCESS)
}
