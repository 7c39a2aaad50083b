//! `cliplet verify`: a folder's golden tensors, recomputed and compared.
//!
//! Invariant: a tensor that is missing, or holds a NaN, fails.

use super::model::{Backend, checkpoint};
use super::{CliError, Report, hub, read_file};
use crate::engine::{self, MAX_ERROR, MIN_COSINE, verify_checkpoint};
use crate::weights::safetensors;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Args {
    /// A folder with golden.safetensors, and model.gguf or what else `convert` reads; or a hub id or an address of the like.
    #[arg(value_name = "SRC")]
    pub dir: PathBuf,
    /// Where to compute; `auto` says on which of the two it was.
    #[arg(long, value_enum, default_value = "gpu")]
    pub backend: Backend,
}

#[derive(Serialize)]
pub struct Verified {
    #[serde(flatten)]
    report: engine::Report,
    min_cosine: f64,
    max_error: f64,
}

impl Report for Verified {
    fn is_ok(&self) -> bool {
        self.report.passed
    }
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let engine::Report { backend, tensors, passed } = &self.report;
        writeln!(f, "{backend}")?;
        let width = tensors.iter().map(|tensor| tensor.name.len()).max().unwrap_or(0);
        for tensor in tensors {
            let verdict = if tensor.passed { "ok" } else { "OUT OF TOLERANCE" };
            writeln!(
                f,
                "{:width$}  cosine {:.9}  max error {:.2e} of range  {verdict}",
                tensor.name, tensor.cosine, tensor.max_error
            )?;
        }
        let verdict = if *passed { "all tensors agree" } else { "some tensors do not agree" };
        write!(f, "{verdict} (cosine ≥ {MIN_COSINE}, error ≤ {MAX_ERROR} of the golden's range)")
    }
}

pub fn run(args: &Args) -> Result<Verified, CliError> {
    let located = hub::locate(&args.dir)?;
    let path = located.dir().join("golden.safetensors");
    let golden = safetensors::read(&read_file(&path)?)
        .map_err(|error| CliError::Weights { path, source: error.into() })?;
    let (checkpoint, _) = checkpoint(&located.path)?;
    let report = pollster::block_on(verify_checkpoint(checkpoint, &golden, args.backend.into()))?;
    Ok(Verified { report, min_cosine: MIN_COSINE, max_error: MAX_ERROR })
}
