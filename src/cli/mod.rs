//! The native command: one file a subcommand.
//!
//! Invariant: results go to standard output (one JSON document with `--json`), progress and messages to standard
//! error, and the exit status is 0 only when all is well.
//! Invariant: a reader that closes its end early ends the command quietly, never with a panic, and never turns a failure
//! into a success.

mod bench;
mod calibrate;
mod check;
mod convert;
mod eval;
mod files;
mod hub;
mod inspect;
mod model;
mod output;
mod pack;
mod preprocess;
mod progress;
mod rank;
mod tokenize;
mod verify;

use crate::image::{Background, ImageError};
use crate::{models::ModelError, text::TextError, weights::WeightsError};
use clap::{Parser, Subcommand};
use serde::Serialize;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use thiserror::Error;

/// CLIP on this machine: ranks labels for a picture, and checks what it computes.
#[derive(Parser)]
#[command(name = "cliplet", version, arg_required_else_help = true)]
struct Cli {
    /// Print results as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Rank labels for a picture.
    Rank(rank::Args),
    /// Turn texts into token ids: a JSON string per line in, a JSON array of ids per line out.
    Tokenize(tokenize::Args),
    /// Write the crop of a picture that the model sees.
    Preprocess(preprocess::Args),
    /// Say what a weights file holds.
    Inspect(inspect::Args),
    /// Write a model as one GGUF of this project, quantized.
    Convert(convert::Args),
    /// Put a model and its manifest into a folder, for a page to load from its own host.
    Pack(pack::Args),
    /// Measure zero-shot accuracy on a folder of labelled pictures; status 1 where one could not be read.
    Eval(eval::Args),
    /// Fit a model's probabilities on labelled pictures, and write them into its file.
    Calibrate(calibrate::Args),
    /// Recompute a folder's golden tensors and compare.
    Verify(verify::Args),
    /// Fetch public models and hold each to what is known of it; status 1 where one is not as expected.
    Check(check::Args),
    /// Time each kernel and each stage.
    Bench(bench::Args),
}

/// Why a command failed.
#[derive(Debug, Error)]
pub enum CliError {
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Image { path: PathBuf, source: ImageError },
    #[error("{}: {source}", path.display())]
    Weights { path: PathBuf, source: WeightsError },
    #[error(transparent)]
    Text(#[from] TextError),
    #[error("line {line}: {source}: each line must be one JSON string, as in \"a cat\"")]
    InputLine { line: usize, source: serde_json::Error },
    #[error("standard input or output: {0}")]
    Stream(#[from] io::Error),
    #[error("the result cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Engine(#[from] crate::engine::EngineError),
    #[error("{}: {source}", path.display())]
    Model { path: PathBuf, source: ModelError },
    #[error(transparent)]
    Towers(#[from] ModelError),
    #[error(transparent)]
    Files(#[from] files::FilesError),
    #[error(transparent)]
    Hub(#[from] hub::HubError),
    #[error(transparent)]
    Catalogue(#[from] crate::convert::catalogue::CatalogueError),
    #[error(transparent)]
    Pack(#[from] pack::PackError),
    #[error(transparent)]
    Check(#[from] check::CheckError),
    #[error(transparent)]
    Eval(#[from] eval::EvalError),
    #[error(transparent)]
    Calibrate(#[from] calibrate::CalibrateFilesError),
    #[error("{} is what is being read: write to another file", path.display())]
    OverwritesSource { path: PathBuf },
    #[error("the starter model {path} is neither here nor in a folder above: name a model with --model FILE")]
    NoStarter { path: &'static str },
}

/// What a command found: printed as text, or as JSON.
pub trait Report: Serialize + Display {
    /// Whether the exit status is 0.
    fn is_ok(&self) -> bool {
        true
    }
}

/// Without a desktop, Mesa would complain on standard error that it cannot ask one which GPU it prefers.
fn quiet_mesa() {
    let is_on_desktop =
        std::env::var_os("XDG_RUNTIME_DIR").is_some_and(|folder| Path::new(&folder).is_absolute());
    if cfg!(target_os = "linux") && !is_on_desktop {
        // SAFETY: this is the first thing that the program does: there is no thread yet that could read a variable.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}

/// Runs the command line and says how it went.
pub fn main() -> ExitCode {
    quiet_mesa();
    let Cli { json, command } = Cli::parse();
    let outcome = match command {
        Command::Rank(args) => rank::run(&args).and_then(|report| print(&report, json)),
        Command::Tokenize(args) => tokenize::run(&args),
        Command::Preprocess(args) => preprocess::run(&args).and_then(|report| print(&report, json)),
        Command::Inspect(args) => inspect::run(&args).and_then(|report| print(&report, json)),
        Command::Convert(args) => convert::run(&args).and_then(|report| print(&report, json)),
        Command::Pack(args) => pack::run(&args).and_then(|report| print(&report, json)),
        Command::Eval(args) => eval::run(&args).and_then(|report| print(&report, json)),
        Command::Calibrate(args) => calibrate::run(&args).and_then(|report| print(&report, json)),
        Command::Verify(args) => verify::run(&args).and_then(|report| print(&report, json)),
        Command::Check(args) => check::run(&args).and_then(|report| print(&report, json)),
        Command::Bench(args) => bench::run(&args).and_then(|report| print(&report, json)),
    };
    match outcome {
        Ok(code) => code,
        Err(CliError::Stream(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            message(&format!("cliplet: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Says something on standard error; that it cannot be said is no reason to fail.
pub fn message(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn print(report: &impl Report, json: bool) -> Result<ExitCode, CliError> {
    let text = if json { serde_json::to_string_pretty(report)? } else { report.to_string() };
    let code = if report.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    let mut out = io::stdout().lock();
    match writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush()) {
        // Nobody reads on: how it went is still told by the status.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(code),
        written => Ok(written.map(|()| code)?),
    }
}

/// A file's bytes, or an error that names it.
fn read_file(path: &Path) -> Result<Vec<u8>, CliError> {
    std::fs::read(path).map_err(|source| CliError::File { path: path.to_owned(), source })
}

/// A picture's pixels, or an error that names its file.
fn read_image(path: &Path) -> Result<crate::image::Pixels, CliError> {
    let bytes = read_file(path)?;
    let pixels =
        crate::image::decode(&bytes).map_err(|source| CliError::Image { path: path.to_owned(), source })?;
    if pixels.background == Some(Background::Black) {
        message(&format!("{}: nearly white on transparent, so it was laid over black", path.display()));
    }
    Ok(pixels)
}
