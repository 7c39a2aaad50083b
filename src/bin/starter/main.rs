//! `starter`: makes the built-in model (`static/models/starter.gguf`) from openly licensed parts.
//!
//! ```text
//! fetch → features → train → calibrate → eval → build
//! ```
//!
//! `cargo run --release --features starter --bin starter -- all` does everything; each step leaves its result in the
//! cache folder, so that one can be repeated alone.
//!
//! Invariant: pictures and captions that accuracy is measured on are never trained on; of the photos one half fits
//! temperature and levels, and the other nothing.
//! Invariant: the same sources and seed give the same file.

mod answers;
mod build;
mod eval;
mod features;
mod fetch;
mod matrix;
mod photos;
mod pickle;
mod rcc;
mod report;
mod sources;
mod train;
mod words;

use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Steps end the program with a message; nothing here recovers from an error.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Makes the built-in model from its sources.
#[derive(Parser)]
#[command(name = "starter", arg_required_else_help = true)]
struct Cli {
    /// Where sources and intermediate results lie (about 1.5 GB).
    #[arg(long, global = true, default_value = "target/starter")]
    cache: PathBuf,
    /// The model.
    #[arg(long, global = true, default_value = "static/models/starter.gguf")]
    output: PathBuf,
    #[command(subcommand)]
    step: Step,
}

#[derive(Clone, Copy, Subcommand)]
enum Step {
    /// Download the sources.
    Fetch,
    /// Draw all pictures and run the image tower over them.
    Features,
    /// Train the heads.
    Train,
    /// Fit temperature and levels on one half of the photos.
    Calibrate,
    /// Measure on pictures that were not learned from.
    Eval,
    /// Put towers, heads and what was measured into the GGUF, and its hash into the manifest beside it.
    Build,
    /// All of it, in order.
    All,
}

/// The cache folder.
pub struct Cache(PathBuf);

impl Cache {
    /// The unpacked source file whose path ends so.
    fn source(&self, suffix: &str) -> Result<PathBuf> {
        let folder = self.0.join("sources");
        let found = if folder.exists() { find(&folder, suffix)? } else { None };
        Ok(found.ok_or_else(|| format!("the cache lacks {suffix}: run `starter fetch` first"))?)
    }

    /// A result of a step.
    fn work(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

fn find(folder: &Path, suffix: &str) -> Result<Option<PathBuf>> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let found = match path.ends_with(suffix) {
            true => Some(path),
            false if path.is_dir() => find(&path, suffix)?,
            false => None,
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

fn all(cache: &Cache, output: &Path) -> Result<()> {
    fetch::run(cache)?;
    train::features(cache)?;
    train::run(cache)?;
    answers::fit(cache)?;
    eval::run(cache, output)?;
    build::run(cache, output)
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let cache = Cache(cli.cache);
    let result = match cli.step {
        Step::Fetch => fetch::run(&cache),
        Step::Features => train::features(&cache),
        Step::Train => train::run(&cache),
        Step::Calibrate => answers::fit(&cache),
        Step::Build => build::run(&cache, &cli.output),
        Step::Eval => eval::run(&cache, &cli.output),
        Step::All => all(&cache, &cli.output),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("starter: {error}");
            ExitCode::FAILURE
        }
    }
}
