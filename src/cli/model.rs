//! Model files on disk: the project's GGUF, or a folder as Hugging Face writes it.
//!
//! Invariant: what is loaded is what was named; only without a name the starter model is looked for.

use super::files::ModelFiles;
use super::hub;
use super::{CliError, read_file};
use crate::convert::converter::with_tokenizer;
use crate::engine::{BackendChoice, Engine, EngineStage};
use crate::models::{Checkpoint, import, load_gguf};
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

/// Which model answers, and how it is asked.
#[derive(clap::Args)]
pub struct ModelArgs {
    /// A GGUF file, a folder with config.json, model.safetensors and tokenizer.json, a hub id as in
    /// openai/clip-vit-base-patch32, or an address; without it the starter model.
    #[arg(long, value_name = "SRC")]
    pub model: Option<PathBuf>,
    /// A prompt with {label} in it; several are averaged. Without one, the model's own.
    #[arg(long, value_name = "TEMPLATE")]
    pub template: Vec<String>,
    #[arg(long, value_enum, default_value = "auto")]
    pub backend: Backend,
}

impl ModelArgs {
    /// Loads the model and says on standard error what it does.
    pub fn load(&self) -> Result<Engine, CliError> {
        let path = match &self.model {
            Some(given) => hub::locate(given)?.path,
            None => starter()?,
        };
        let (checkpoint, n_bytes) = checkpoint(&path)?;
        super::message(&format!("{}: {:.1} MB", path.display(), n_bytes as f64 / 1e6));
        start(checkpoint, n_bytes, self.backend)
    }
}

/// Starts an engine on a model of `n_bytes` bytes and says on standard error what it does.
pub fn start(checkpoint: Checkpoint, n_bytes: usize, backend: Backend) -> Result<Engine, CliError> {
    let say = |stage: EngineStage| super::message(&format!("{}…", stage.name()));
    let engine = pollster::block_on(Engine::from_checkpoint(checkpoint, n_bytes, backend.into(), say))?;
    super::message(&engine.info().to_string());
    Ok(engine)
}

/// Reads a GGUF file, or safetensors in one file or several with the JSON files beside them, or the folder of such files;
/// returns how many bytes the weights take there, too.
pub fn checkpoint(path: &Path) -> Result<(Checkpoint, usize), CliError> {
    let bad = |source| CliError::Model { path: path.to_owned(), source };
    match ModelFiles::open(path)? {
        ModelFiles::Gguf { path: file, tokenizer } => {
            let bytes = read_file(&file)?;
            let mut checkpoint = load_gguf(&bytes).map_err(bad)?;
            checkpoint.config = with_tokenizer(checkpoint.config, tokenizer);
            Ok((checkpoint, bytes.len()))
        }
        ModelFiles::Safetensors(folder) => {
            let checkpoint = import(folder.companions.folder(), &folder.shards).map_err(bad)?;
            Ok((checkpoint, folder.shards.n_bytes() as usize))
        }
    }
}

/// The starter model: below the working directory, or below a folder that holds this program.
pub fn starter() -> Result<PathBuf, CliError> {
    let here = std::env::current_dir().ok();
    let program = std::env::current_exe().ok();
    let roots = [&here, &program].into_iter().flatten().flat_map(|path| path.ancestors());
    let found = roots.map(|root| root.join(STARTER)).find(|path| path.is_file());
    found.ok_or(CliError::NoStarter { path: STARTER })
}
