//! Model files on disk: the project's GGUF, or a folder as Hugging Face writes it.
//!
//! Invariant: what is loaded is what was named; only without a name the starter model is looked for.

use super::{CliError, read_file};
use crate::engine::{BackendChoice, Engine, Stage};
use crate::models::{Checkpoint, Source, import, load_gguf};
use crate::weights::{Weights, gguf};
use std::path::{Path, PathBuf};

/// Where the starter model lies in the repository.
const STARTER: &str = "static/models/starter.gguf";

/// Where to compute.
#[derive(Clone, Copy, Default, clap::ValueEnum)]
pub enum Backend {
    /// The GPU where there is one that computes right, else the CPU.
    #[default]
    Auto,
    Gpu,
    Cpu,
}

impl From<Backend> for BackendChoice {
    fn from(backend: Backend) -> Self {
        match backend {
            Backend::Auto => Self::Auto,
            Backend::Gpu => Self::Gpu,
            Backend::Cpu => Self::Cpu,
        }
    }
}

/// Loads a model and says on standard error what it does.
pub fn load(path: Option<&Path>, backend: Backend) -> Result<Engine, CliError> {
    let path = match path {
        Some(path) => path.to_owned(),
        None => starter()?,
    };
    let (checkpoint, n_bytes) = checkpoint(&path)?;
    super::message(&format!("{}: {:.1} MB", path.display(), n_bytes as f64 / 1e6));
    let say = |stage: Stage| super::message(&format!("{}…", stage.name()));
    let engine = pollster::block_on(Engine::from_checkpoint(checkpoint, n_bytes, backend.into(), say))?;
    super::message(&engine.info().to_string());
    Ok(engine)
}

/// Reads a GGUF file, a safetensors file with its `config.json` beside it, or the folder of such a file.
pub fn checkpoint(path: &Path) -> Result<(Checkpoint, usize), CliError> {
    let file = if path.is_dir() { path.join("model.safetensors") } else { path.to_owned() };
    let bytes = read_file(&file)?;
    if bytes.starts_with(gguf::MAGIC) {
        return Ok((load_gguf(&bytes)?, bytes.len()));
    }
    let weights = Weights::read(&bytes).map_err(|source| CliError::Weights { path: file.clone(), source })?;
    let beside = |name: &str| file.with_file_name(name);
    let optional =
        |name: &str| if beside(name).exists() { read_file(&beside(name)).map(Some) } else { Ok(None) };
    let config = read_file(&beside("config.json"))?;
    let tokenizer = optional("tokenizer.json")?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let preprocessor = optional("preprocessor_config.json")?;
    let source =
        Source { config: &config, tokenizer: tokenizer.as_deref(), preprocessor: preprocessor.as_deref() };
    Ok((import(source, &weights)?, bytes.len()))
}

/// The starter model: below the working directory, or below a folder that holds this program.
pub fn starter() -> Result<PathBuf, CliError> {
    let here = std::env::current_dir().ok();
    let program = std::env::current_exe().ok();
    let roots = [&here, &program].into_iter().flatten().flat_map(|path| path.ancestors());
    let found = roots.map(|root| root.join(STARTER)).find(|path| path.is_file());
    found.ok_or(CliError::NoStarter { path: STARTER })
}
