//! `cliplet inspect`: what a weights file holds, or several that are one model.
//!
//! Invariant: a file that this prints was read whole and checked as the engine checks it.

use super::files::{FilesError, Found};
use super::{CliError, Report, hub, read_file};
use crate::convert::layout::LayoutError;
use crate::weights::gguf::{self, Value};
use crate::weights::safetensors;
use crate::weights::{WeightsError, sha256_hex};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// A text or array longer than this is summed up.
const MAX_SHOWN: usize = 120;

#[derive(clap::Args)]
pub struct Args {
    /// A GGUF or safetensors file, the index of several, a model's folder, a hub id, or an address.
    #[arg(value_name = "SRC")]
    file: PathBuf,
}

#[derive(Serialize)]
pub struct Contents {
    format: &'static str,
    n_bytes: usize,
    files: Vec<FileLine>,
    n_values: usize,
    metadata: BTreeMap<String, serde_json::Value>,
    tensors: Vec<TensorLine>,
}

#[derive(Serialize)]
struct FileLine {
    file: PathBuf,
    n_bytes: usize,
    sha256: String,
}

#[derive(Serialize)]
struct TensorLine {
    name: String,
    format: String,
    shape: Vec<usize>,
    n_bytes: usize,
}

impl Report for Contents {}

impl fmt::Display for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Contents { format, n_bytes, files, n_values, metadata, tensors } = self;
        writeln!(f, "{format}: {n_bytes} bytes, {} tensors, {n_values} values", tensors.len())?;
        for FileLine { file, n_bytes, sha256 } in files {
            writeln!(f, "sha256 {sha256}  {n_bytes:>10} bytes  {}", file.display())?;
        }
        writeln!(f)?;
        let width = metadata.keys().map(|key| key.len()).max().unwrap_or(0);
        metadata.iter().try_for_each(|(key, value)| writeln!(f, "{key:width$}  {value}"))?;
        writeln!(f)?;
        let width = tensors.iter().map(|tensor| tensor.name.len()).max().unwrap_or(0);
        tensors.iter().try_for_each(|TensorLine { name, format, shape, n_bytes }| {
            writeln!(f, "{name:width$}  {format:4}  {n_bytes:>10} bytes  {shape:?}")
        })
    }
}

pub fn run(args: &Args) -> Result<Contents, CliError> {
    let paths = match Found::open(&hub::locate(&args.file)?.path)? {
        Found::Gguf(path) => vec![path],
        Found::Shards(_, shards) => shards.paths().map(Path::to_owned).collect(),
    };
    let mut all: Option<Contents> = None;
    for path in paths {
        let bytes = read_file(&path)?;
        let mut one = contents(&bytes).map_err(|source| CliError::Weights { path: path.clone(), source })?;
        one.files = vec![FileLine { file: path, n_bytes: bytes.len(), sha256: sha256_hex(&bytes) }];
        match &mut all {
            None => all = Some(one),
            Some(all) => {
                all.n_bytes += one.n_bytes;
                all.n_values += one.n_values;
                all.files.append(&mut one.files);
                all.metadata.append(&mut one.metadata);
                all.tensors.append(&mut one.tensors);
            }
        }
    }
    // A layout names at least one file.
    let nothing =
        || FilesError::Layout { dir: args.file.clone(), source: LayoutError::NoWeights(Vec::new()) };
    all.ok_or_else(|| nothing().into())
}

fn contents(bytes: &[u8]) -> Result<Contents, WeightsError> {
    let mut contents = if bytes.starts_with(gguf::MAGIC) {
        let file = gguf::read(bytes)?;
        let line = |(name, tensor): (String, crate::tensor::Tensor)| TensorLine {
            name,
            format: tensor.format.to_string(),
            n_bytes: tensor.bytes.len(),
            shape: tensor.shape,
        };
        Contents {
            metadata: file.metadata.into_iter().map(|(key, value)| (key, shown(&value))).collect(),
            tensors: file.tensors.into_iter().map(line).collect(),
            ..Contents::of("GGUF", bytes)
        }
    } else if safetensors::looks_like(bytes) {
        let file = safetensors::read(bytes)?;
        let line = |(name, tensor): (String, safetensors::RawTensor)| TensorLine {
            name,
            format: format!("{:?}", tensor.kind).to_lowercase(),
            n_bytes: tensor.bytes.len(),
            shape: tensor.shape,
        };
        Contents {
            metadata: file.metadata.into_iter().map(|(key, text)| (key, shown_text(&text))).collect(),
            tensors: file.tensors.into_iter().map(line).collect(),
            ..Contents::of("safetensors", bytes)
        }
    } else {
        return Err(WeightsError::unknown(bytes, bytes.len() as u64));
    };
    contents.n_values = contents.tensors.iter().map(|tensor| tensor.shape.iter().product::<usize>()).sum();
    Ok(contents)
}

impl Contents {
    fn of(format: &'static str, bytes: &[u8]) -> Contents {
        let (metadata, tensors) = (BTreeMap::new(), Vec::new());
        Contents { format, n_bytes: bytes.len(), files: Vec::new(), n_values: 0, metadata, tensors }
    }
}

fn shown(value: &Value) -> serde_json::Value {
    match value {
        Value::Bool(value) => (*value).into(),
        Value::String(text) => shown_text(text),
        Value::Array(array) if array.len() <= MAX_SHOWN as u64 / 4 => {
            array.iter().map(|item| shown(&item)).collect()
        }
        Value::Array(array) => format!("{} values", array.len()).into(),
        Value::I8(value) => (*value).into(),
        Value::I16(value) => (*value).into(),
        Value::I32(value) => (*value).into(),
        Value::I64(value) => (*value).into(),
        // Through its shortest text: as f64, 0.1 would become 0.10000000149011612.
        Value::F32(value) => value.to_string().parse::<f64>().unwrap_or(f64::NAN).into(),
        Value::F64(value) => (*value).into(),
        Value::U8(_) | Value::U16(_) | Value::U32(_) | Value::U64(_) => value.as_u64().into(),
    }
}

fn shown_text(text: &str) -> serde_json::Value {
    if text.len() <= MAX_SHOWN {
        return text.into();
    }
    let start: String = text.chars().take(MAX_SHOWN).collect();
    format!("{start}… ({} bytes)", text.len()).into()
}
