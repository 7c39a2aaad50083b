//! The files of a model on disk: one GGUF, or safetensors with the JSON files beside them, whole or in shards.
//!
//! Invariant: only headers are read when files are opened; each tensor's bytes are read when it is asked for, so that a
//! model may be larger than memory.
//! Invariant: an error names the file, and the tensor where it is about one.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

use super::modules::dense_layer;
use super::{CliError, read_file};
use crate::models::ModelFolder;
use crate::tensor::Tensor;
use crate::text::vocabulary::{bert_tokenizer_json, clip_tokenizer_json};
use crate::weights::safetensors::{Header, RawTensor, TensorInfo};
use crate::weights::{Item, Stream, TensorSource, WeightsError, gguf, safetensors};

pub const INDEX_SUFFIX: &str = ".safetensors.index.json";
/// What a folder's weights may be called; the first that is there counts.
pub const WEIGHTS: [&str; 4] =
    ["model.gguf", "model.safetensors.index.json", "model.safetensors", OPEN_CLIP_WEIGHTS];
pub const OPEN_CLIP_WEIGHTS: &str = "open_clip_model.safetensors";
/// Weights that run code when they are read.
const PICKLES: [&str; 4] =
    ["pytorch_model.bin", "pytorch_model.bin.index.json", "open_clip_pytorch_model.bin", "model.pt"];

/// Why a model's files cannot be used together.
#[derive(Debug, Error)]
pub enum FilesError {
    #[error("{} holds no model: looked for {}", dir.display(), WEIGHTS.join(", "))]
    NoModel { dir: PathBuf },
    #[error(
        "{} is a Python pickle, which can run code and is not read: save the model with `save_pretrained(…, \
         safe_serialization=True)`",
        path.display()
    )]
    Pickle { path: PathBuf },
    #[error("{}: {source}: an index is {{\"weight_map\": {{TENSOR: FILE, …}}}}", path.display())]
    Index { path: PathBuf, source: serde_json::Error },
    #[error("{} names no tensors", path.display())]
    EmptyIndex { path: PathBuf },
    #[error("{} has the tensor `{tensor}` in {file:?}, which is no name of a file beside it", index.display())]
    ShardName { index: PathBuf, tensor: String, file: String },
    #[error("{}: {source}: {} has {n_tensors} tensors there", path.display(), index.display())]
    MissingShard { path: PathBuf, index: PathBuf, n_tensors: usize, source: io::Error },
    #[error("{} holds no tensor `{tensor}`, which {} has there", path.display(), index.display())]
    AbsentTensor { path: PathBuf, tensor: String, index: PathBuf },
    #[error("the tensor `{tensor}` is in two files, {} and {}", first.display(), second.display())]
    DuplicateTensor { tensor: String, first: PathBuf, second: PathBuf },
    #[error("{}: {source}", path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("{} lists {what}", list.display())]
    Module { list: PathBuf, what: String },
    #[error("{} is not there: without it the weights beside it cannot be understood", wanted.display())]
    NoConfig { wanted: PathBuf },
}

/// The files of a model, found and checked.
pub enum ModelFiles {
    /// Ours, or clip.cpp's.
    Gguf(PathBuf),
    Safetensors(Box<Folder>),
}

/// Safetensors and what lies beside them.
pub struct Folder {
    pub shards: Shards,
    pub config: Vec<u8>,
    pub tokenizer: Option<String>,
    pub preprocessor: Option<Vec<u8>>,
    /// Every file that was opened.
    pub paths: Vec<PathBuf>,
}

impl ModelFiles {
    /// Finds the files of `path`: a folder, a GGUF or safetensors file, or the index of several.
    ///
    /// # Errors
    /// Nothing of the kind there; files that cannot be read or do not belong together.
    pub fn open(path: &Path) -> Result<ModelFiles, CliError> {
        let weights = find_weights(path)?;
        let mut shards = match shards_of(&weights)? {
            Found::Gguf => return Ok(ModelFiles::Gguf(weights)),
            Found::Shards(shards) => shards,
        };
        if let Some(dense) = weights.parent().map_or(Ok(None), dense_layer)? {
            let file = File::open(&dense).map_err(|source| CliError::File { path: dense.clone(), source })?;
            shards.add(&dense, file)?;
        }
        let mut paths: Vec<PathBuf> = shards.files.iter().map(|(path, _)| path.clone()).collect();
        let mut read = |name: &str| match weights.with_file_name(name) {
            path if path.exists() => {
                paths.push(path.clone());
                read_file(&path).map(Some)
            }
            _ => Ok(None),
        };
        // open_clip's folders may hold both configurations, for weights under both namings.
        let is_open_clip = OPEN_CLIP_TENSORS.iter().any(|name| shards.contains(name));
        let names = match is_open_clip {
            true => ["open_clip_config.json", "config.json"],
            false => ["config.json", "open_clip_config.json"],
        };
        let mut config = None;
        for name in names {
            config = config.map_or_else(|| read(name), |found| Ok(Some(found)))?;
        }
        let config =
            config.ok_or_else(|| FilesError::NoConfig { wanted: weights.with_file_name(names[0]) })?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let mut tokenizer = read("tokenizer.json")?.map(text);
        if tokenizer.is_none()
            && let (Some(vocab), Some(merges)) = (read("vocab.json")?, read("merges.txt")?)
        {
            tokenizer = Some(clip_tokenizer_json(&text(vocab), &text(merges))?);
        } else if tokenizer.is_none()
            && let Some(vocab) = read("vocab.txt")?
        {
            let config = read("tokenizer_config.json")?;
            tokenizer = Some(bert_tokenizer_json(&text(vocab), config.as_deref())?);
        }
        let preprocessor = read("preprocessor_config.json")?;
        if weights.to_string_lossy().ends_with(INDEX_SUFFIX) {
            paths.push(weights);
        }
        Ok(ModelFiles::Safetensors(Box::new(Folder { shards, config, tokenizer, preprocessor, paths })))
    }

    /// Every file that was opened.
    pub fn paths(&self) -> &[PathBuf] {
        match self {
            ModelFiles::Gguf(path) => std::slice::from_ref(path),
            ModelFiles::Safetensors(folder) => &folder.paths,
        }
    }
}

impl Folder {
    /// The JSON files, as the import takes them.
    pub fn source(&self) -> ModelFolder<'_> {
        ModelFolder {
            config: &self.config,
            tokenizer: self.tokenizer.as_deref(),
            preprocessor: self.preprocessor.as_deref(),
        }
    }
}

/// Either is in each of open_clip's files and in none of Hugging Face's.
const OPEN_CLIP_TENSORS: [&str; 2] = ["visual.conv1.weight", "visual.positional_embedding"];

/// The weights file, or index of several, that `path` names: itself, or one in the folder that it is.
pub fn find_weights(dir: &Path) -> Result<PathBuf, FilesError> {
    if !dir.is_dir() {
        return Ok(dir.to_owned());
    }
    let first = |names: &[&str]| names.iter().map(|name| dir.join(name)).find(|path| path.exists());
    match (first(&WEIGHTS), first(&PICKLES)) {
        (Some(path), _) => Ok(path),
        (None, Some(path)) => Err(FilesError::Pickle { path }),
        (None, None) => Err(FilesError::NoModel { dir: dir.to_owned() }),
    }
}

/// What a path turned out to be.
pub enum Found {
    Gguf,
    Shards(Shards),
}

/// Opens a weights file or, by their index, several.
pub fn shards_of(path: &Path) -> Result<Found, CliError> {
    if path.to_string_lossy().ends_with(INDEX_SUFFIX) {
        return Ok(Found::Shards(Shards::open_index(path)?));
    }
    let failed = |source| CliError::File { path: path.to_owned(), source };
    let mut magic = Vec::new();
    File::open(path).and_then(|file| file.take(9).read_to_end(&mut magic)).map_err(failed)?;
    if magic.starts_with(gguf::MAGIC) {
        return Ok(Found::Gguf);
    }
    let mut shards = Shards::default();
    shards.add(path, File::open(path).map_err(failed)?)?;
    Ok(Found::Shards(shards))
}

/// A weights file, read from its beginning to its end.
pub struct Items {
    path: PathBuf,
    file: File,
    stream: Option<Stream>,
    n_bytes: u64,
    piece: Vec<u8>,
    /// What of the piece is still to be taken in.
    unread: Range<usize>,
    n_bytes_read: u64,
}

impl Items {
    pub fn open(path: &Path) -> Result<Items, CliError> {
        let failed = |source| CliError::File { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let n_bytes = file.metadata().map_err(failed)?.len();
        let stream = Some(Stream::new(n_bytes));
        let (path, piece) = (path.to_owned(), vec![0; 1 << 20]);
        Ok(Items { path, file, stream, n_bytes, piece, unread: 0..0, n_bytes_read: 0 })
    }

    pub fn n_bytes(&self) -> u64 {
        self.n_bytes
    }

    pub fn n_bytes_read(&self) -> u64 {
        self.n_bytes_read
    }

    /// What comes next; `None` after the end.
    pub fn next(&mut self) -> Result<Option<Item>, CliError> {
        let bad = |source| CliError::Weights { path: self.path.clone(), source };
        while let Some(stream) = &mut self.stream {
            let mut bytes = &self.piece[self.unread.clone()];
            let item = stream.push(&mut bytes).map_err(bad)?;
            self.unread.start = self.unread.end - bytes.len();
            if item.is_some() {
                return Ok(item);
            }
            let n_read = self.file.read(&mut self.piece);
            let n_read = n_read.map_err(|source| CliError::File { path: self.path.clone(), source })?;
            self.unread = 0..n_read;
            self.n_bytes_read += n_read as u64;
            if n_read == 0
                && let Some(stream) = self.stream.take()
            {
                stream.finish().map_err(bad)?;
            }
        }
        Ok(None)
    }
}

/// Safetensors files that are one model.
#[derive(Default)]
pub struct Shards {
    files: Vec<(PathBuf, File)>,
    /// By name, with the index of its file.
    tensors: BTreeMap<String, (usize, TensorInfo)>,
    n_bytes: u64,
    n_bytes_read: Cell<u64>,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The files that an index names, each with its tensors.
///
/// # Errors
/// A file that is no index, names nothing, or names a file that does not lie beside it.
pub fn shard_names(index: &Path) -> Result<BTreeMap<String, Vec<String>>, CliError> {
    let Index { weight_map } = serde_json::from_slice(&read_file(index)?)
        .map_err(|source| FilesError::Index { path: index.to_owned(), source })?;
    let mut tensors_of: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (tensor, file) in weight_map {
        // A download's index must not lead out of its folder.
        if Path::new(&file).file_name() != Some(file.as_ref()) {
            return Err(FilesError::ShardName { index: index.to_owned(), tensor, file }.into());
        }
        tensors_of.entry(file).or_default().push(tensor);
    }
    if tensors_of.is_empty() {
        return Err(FilesError::EmptyIndex { path: index.to_owned() }.into());
    }
    Ok(tensors_of)
}

impl Shards {
    fn open_index(path: &Path) -> Result<Shards, CliError> {
        let mut shards = Shards::default();
        for (name, tensors) in shard_names(path)? {
            let shard = path.with_file_name(name);
            let file = File::open(&shard).map_err(|source| FilesError::MissingShard {
                path: shard.clone(),
                index: path.to_owned(),
                n_tensors: tensors.len(),
                source,
            })?;
            let file_idx = shards.add(&shard, file)?;
            let is_absent = |name: &&String| {
                shards.tensors.get(*name).is_none_or(|(found_idx, _)| *found_idx != file_idx)
            };
            if let Some(tensor) = tensors.iter().find(is_absent) {
                let (tensor, index) = (tensor.clone(), path.to_owned());
                return Err(FilesError::AbsentTensor { path: shard, tensor, index }.into());
            }
        }
        Ok(shards)
    }

    /// Reads the header of one more file; returns the file's index.
    fn add(&mut self, path: &Path, file: File) -> Result<usize, CliError> {
        let failed = |source| CliError::File { path: path.to_owned(), source };
        let bad = |source: WeightsError| CliError::Weights { path: path.to_owned(), source };
        let n_bytes = file.metadata().map_err(failed)?.len();
        let mut prefix = Vec::new();
        (&file).take(64).read_to_end(&mut prefix).map_err(failed)?;
        if !safetensors::looks_like(&prefix) {
            return Err(bad(WeightsError::unknown(&prefix, n_bytes)));
        }
        let header_len = Header::len_of(&prefix, n_bytes).map_err(|error| bad(error.into()))?;
        let rest = header_len.saturating_sub(prefix.len() as u64);
        (&file).take(rest).read_to_end(&mut prefix).map_err(failed)?;
        let header = Header::parse(&prefix, n_bytes).map_err(|error| bad(error.into()))?;
        let file_idx = self.files.len();
        for info in header.tensors {
            if let Some((other, _)) = self.tensors.get(&info.name) {
                let (first, second) = (self.files[*other].0.clone(), path.to_owned());
                return Err(FilesError::DuplicateTensor { tensor: info.name, first, second }.into());
            }
            self.tensors.insert(info.name.clone(), (file_idx, info));
        }
        self.files.push((path.to_owned(), file));
        self.n_bytes += n_bytes;
        Ok(file_idx)
    }

    /// Names of tensors that are no integers, in the order in which the files hold them.
    pub fn weight_names(&self) -> Vec<String> {
        let mut floats: Vec<_> = self.tensors.values().filter(|(_, info)| info.kind.is_float()).collect();
        floats.sort_by_key(|(file_idx, info)| (*file_idx, info.range.start));
        floats.into_iter().map(|(_, info)| info.name.clone()).collect()
    }

    /// Bytes of all files.
    pub fn n_bytes(&self) -> u64 {
        self.n_bytes
    }

    /// Numbers in all tensors that may be weights.
    pub fn n_values(&self) -> usize {
        let weights = self.tensors.values().filter(|(_, info)| info.kind.is_float());
        weights.map(|(_, info)| info.shape.iter().product::<usize>()).sum()
    }

    /// Bytes of tensors that were read so far.
    pub fn n_bytes_read(&self) -> u64 {
        self.n_bytes_read.get()
    }

    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|(path, _)| path.as_path())
    }
}

impl TensorSource for Shards {
    fn names(&self) -> Vec<&str> {
        self.tensors.keys().map(String::as_str).collect()
    }

    /// Integers (position ids, counters) are no weights.
    fn contains(&self, name: &str) -> bool {
        self.tensors.get(name).is_some_and(|(_, info)| info.kind.is_float())
    }

    fn get(&self, name: &str) -> Result<Cow<'_, Tensor>, WeightsError> {
        let Some((file_idx, TensorInfo { shape, kind, range, .. })) = self.tensors.get(name) else {
            let n_tensors = self.tensors.len();
            return Err(WeightsError::MissingTensor { name: name.to_owned(), n_tensors });
        };
        let (path, mut file) = (&self.files[*file_idx].0, &self.files[*file_idx].1);
        // Its length was checked against the file's: a hostile header allocates no more than there is.
        let n_bytes = (range.end - range.start) as usize;
        let mut bytes = Vec::new();
        let read = bytes.try_reserve_exact(n_bytes).map_err(io::Error::from).and_then(|()| {
            bytes.resize(n_bytes, 0);
            file.seek(SeekFrom::Start(range.start))?;
            file.read_exact(&mut bytes)
        });
        read.map_err(|source| {
            let source = io::Error::new(source.kind(), format!("{}: {source}", path.display()));
            WeightsError::Unreadable { name: name.to_owned(), source }
        })?;
        self.n_bytes_read.set(self.n_bytes_read.get() + bytes.len() as u64);
        Ok(Cow::Owned(RawTensor { shape: shape.clone(), kind: *kind, bytes }.into_weight(name)?))
    }
}
