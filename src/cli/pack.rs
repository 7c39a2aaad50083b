//! `cliplet pack`: a model and its manifest in a folder, for a page to load from its own host.
//!
//! Invariant: what is packed was loaded as the page loads it, its start-up check included, and the manifest's hash is of
//! those very bytes.
//! Invariant: the manifest is written last, so that it never names a file that is not there.

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use thiserror::Error;

use super::convert::{Conversion, Opened, Quant};
use super::files::{Items, ModelFiles};
use super::model::{Backend, start};
use super::output::{OutputFile, Written};
use super::{CliError, Report, hub, message, read_file};
use crate::models::{Quantization, is_own, load_gguf};
use crate::weights::{Item, sha256_hex};

/// What the page asks its host for first.
const MANIFEST: &str = "manifest.json";

/// Why a model cannot be hosted.
#[derive(Debug, Error)]
pub enum PackError {
    #[error("{} has no {what}: the page could not rank labels with it", path.display())]
    Lacks { path: PathBuf, what: &'static str },
    #[error(
        "{} has a name that a web address cannot hold as it is: use letters, digits, '.', '-' and '_'",
        path.display()
    )]
    Name { path: PathBuf },
}

#[derive(clap::Args)]
pub struct Args {
    /// A GGUF of this project, which is packed as it is; or any other model that `convert` takes, which is converted first.
    #[arg(value_name = "SRC")]
    pub model: PathBuf,
    /// How the matrices of a model that is converted are stored.
    #[arg(long, value_enum, default_value = "q8_0")]
    pub quant: Quant,
    /// The folder for the model and manifest.json: a page's `models/`.
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
}

/// What the page reads before the model: one line of JSON.
#[derive(Serialize)]
struct Manifest<'a> {
    bytes: u64,
    file: &'a str,
    sha256: &'a str,
}

#[derive(Serialize)]
pub struct Packed {
    #[serde(flatten)]
    model: Written,
    manifest: PathBuf,
}

impl Report for Packed {}

impl fmt::Display for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Written { output, n_bytes, sha256 } = &self.model;
        writeln!(f, "{}: {n_bytes} bytes, sha256 {sha256}", output.display())?;
        write!(f, "{}", self.manifest.display())
    }
}

pub fn run(args: &Args) -> Result<Packed, CliError> {
    let dir = &args.output;
    let located = hub::locate(&args.model)?;
    if is_own_gguf(&located.path)? {
        return pack(&located.path, dir);
    }
    let files = ModelFiles::open(&located.path)?;
    let opened = Opened { located, files, tokenizer: None };
    let target = dir.join(format!("{}.gguf", plain_name(&opened.name())));
    let paths = opened.files.paths().to_vec();
    let conversion =
        Conversion { quantization: Quantization::preset(args.quant.into()), has_self_test: true };
    let was_there = dir.exists();
    std::fs::create_dir_all(dir).map_err(|source| CliError::File { path: dir.clone(), source })?;
    let packed = conversion.run(opened, None, &target, &paths).and_then(|_| pack(&target, dir));
    if packed.is_err() {
        // What cannot be packed leaves nothing behind; after a conversion that failed there is nothing.
        let _ = std::fs::remove_file(&target);
        if !was_there {
            let _ = std::fs::remove_dir(dir);
        }
    }
    packed
}

/// Whether a path is a GGUF of this project, which needs no converting.
fn is_own_gguf(path: &Path) -> Result<bool, CliError> {
    if path.is_dir() {
        return Ok(false);
    }
    let mut items = Items::open(path)?;
    let header = items.next();
    Ok(matches!(header, Ok(Some(Item::Header(header))) if header.gguf.as_ref().is_some_and(is_own)))
}

/// A model's name as one that a web address can hold.
fn plain_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let name: String = name.chars().map(plain).collect();
    let name = name.trim_matches(['.', '-']).to_owned();
    if name.is_empty() { "model".to_owned() } else { name }
}

/// Puts a GGUF of this project into `dir`, with the manifest that names it.
fn pack(path: &Path, dir: &Path) -> Result<Packed, CliError> {
    let is_plain = |name: &&str| {
        // A name that starts with a dot is hidden from many hosts.
        !name.starts_with('.') && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    let name = path.file_name().and_then(|name| name.to_str()).filter(is_plain);
    let name =
        name.filter(|name| *name != MANIFEST).ok_or_else(|| PackError::Name { path: path.to_owned() })?;
    let bytes = read_file(path)?;
    let checkpoint = load_gguf(&bytes).map_err(|source| CliError::Model { path: path.to_owned(), source })?;
    let config = &checkpoint.config;
    for (is_there, what) in [
        (config.vision.is_some(), "image tower"),
        (config.text.is_some(), "text tower"),
        (config.tokenizer.is_some(), "tokenizer"),
    ] {
        if !is_there {
            return Err(PackError::Lacks { path: path.to_owned(), what }.into());
        }
    }
    if config.selftest.is_none() {
        message("the file holds no embeddings to check a device with: convert it without --no-self-test");
    }
    start(checkpoint, bytes.len(), Backend::Cpu)?;

    std::fs::create_dir_all(dir).map_err(|source| CliError::File { path: dir.to_owned(), source })?;
    let target = dir.join(name);
    let model = if is_same(path, &target) {
        Written { output: target, n_bytes: bytes.len() as u64, sha256: sha256_hex(&bytes) }
    } else {
        write(&target, &bytes)?
    };
    let manifest = Manifest { bytes: model.n_bytes, file: name, sha256: &model.sha256 };
    let manifest = write(&dir.join(MANIFEST), format!("{}\n", serde_json::to_string(&manifest)?).as_bytes())?;
    Ok(Packed { model, manifest: manifest.output })
}

fn is_same(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

fn write(path: &Path, bytes: &[u8]) -> Result<Written, CliError> {
    let mut output = OutputFile::create(path, &[])?;
    output.write_all(bytes).map_err(|source| CliError::File { path: path.to_owned(), source })?;
    output.finish()
}
