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

use thiserror::Error;

use super::{CliError, read_file};
use crate::convert::layout::{Companions, Index, Layout, LayoutError, Modules};
use crate::tensor::Tensor;
use crate::weights::safetensors::{Header, RawTensor, TensorInfo};
use crate::weights::{Item, Stream, TensorSource, WeightsError, gguf, safetensors};

/// Why a model's files cannot be used together.
#[derive(Debug, Error)]
pub enum FilesError {
    #[error("{}: {source}", dir.display())]
    Layout { dir: PathBuf, source: LayoutError },
    #[error("{}: {source}: {} has {n_tensors} tensors there", path.display(), index.display())]
    MissingShard { path: PathBuf, index: PathBuf, n_tensors: usize, source: io::Error },
    #[error("{} holds no tensor `{tensor}`, which {} has there", path.display(), index.display())]
    AbsentTensor { path: PathBuf, tensor: String, index: PathBuf },
    #[error("the tensor `{tensor}` is in two files, {} and {}", first.display(), second.display())]
    DuplicateTensor { tensor: String, first: PathBuf, second: PathBuf },
}

/// The files of a model, found and checked.
pub enum ModelFiles {
    /// Ours, or clip.cpp's, and the tokenizer that lies beside it for one that holds none.
    Gguf {
        path: PathBuf,
        tokenizer: Option<String>,
    },
    Safetensors(Box<Folder>),
}

/// Safetensors and what lies beside them.
pub struct Folder {
    pub shards: Shards,
    pub companions: Companions,
    /// Every file that was opened.
    pub paths: Vec<PathBuf>,
}

impl ModelFiles {
    /// Finds the files of `path`: a folder, a GGUF or safetensors file, or the index of several.
    ///
    /// # Errors
    /// Nothing of the kind there; files that cannot be read or do not belong together.
    pub fn open(path: &Path) -> Result<ModelFiles, CliError> {
        let (dir, layout) = layout_of(path)?;
        let failed = |source| FilesError::Layout { dir: dir.clone(), source };
        let read = |name: &str| match dir.join(name) {
            path if path.exists() => read_file(&path).map(Some),
            _ => Ok(None),
        };
        let tokenizer = || -> Result<Option<String>, CliError> {
            let contents = layout.tokenizer.files().into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
            match layout.tokenizer.json(&contents) {
                Err(LayoutError::NoTokenizer { .. }) => Ok(None),
                json => Ok(Some(json.map_err(failed)?)),
            }
        };
        let (weights, mut shards) = match Found::of(&dir, &layout)? {
            Found::Gguf(path) => return Ok(ModelFiles::Gguf { path, tokenizer: tokenizer()? }),
            Found::Shards(path, shards) => (path, shards),
        };
        if let Some(modules) = &layout.modules {
            let modules = Modules::parse(&read_file(&dir.join(modules))?).map_err(failed)?;
            let dense = modules.dense_layer(|name| read_file(&dir.join(name)).ok()).map_err(failed)?;
            if let Some(dense) = dense.map(|dense| dir.join(dense)) {
                let file =
                    File::open(&dense).map_err(|source| CliError::File { path: dense.clone(), source })?;
                shards.add(&dense, file)?;
            }
        }
        let mut paths: Vec<PathBuf> = shards.files.iter().map(|(path, _)| path.clone()).collect();
        let beside = layout.companions().into_iter().map(|name| dir.join(name)).filter(|path| path.exists());
        paths.extend(beside.chain((!paths.contains(&weights)).then(|| weights.clone())).collect::<Vec<_>>());
        let config = layout.config(shards.tensors.keys().map(String::as_str)).map_err(failed)?;
        let companions = Companions {
            config: read_file(&dir.join(config))?,
            preprocessor: layout
                .preprocessor
                .as_deref()
                .map(|name| read_file(&dir.join(name)))
                .transpose()?,
            tokenizer: tokenizer()?,
        };
        Ok(ModelFiles::Safetensors(Box::new(Folder { shards, companions, paths })))
    }

    /// Every file that was opened.
    pub fn paths(&self) -> &[PathBuf] {
        match self {
            ModelFiles::Gguf { path, .. } => std::slice::from_ref(path),
            ModelFiles::Safetensors(folder) => &folder.paths,
        }
    }
}

/// The folder of a model that is named by its folder or its weights, and what in it makes the model.
fn layout_of(path: &Path) -> Result<(PathBuf, Layout), FilesError> {
    let (dir, named) = match path.file_name().filter(|_| !path.is_dir()) {
        None => (path, Vec::new()),
        Some(name) => (path.parent().unwrap_or(path), vec![name.to_string_lossy().into_owned()]),
    };
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let failed = |source| FilesError::Layout { dir: dir.to_owned(), source };
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    // A file that is not there is told when it is opened, with the system's reason.
    names.extend(named.iter().filter(|name| !names.contains(name)).cloned().collect::<Vec<_>>());
    names.sort();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    Ok((dir.to_owned(), Layout::choose(&names, &named).map_err(failed)?))
}

/// What weights turned out to be.
pub enum Found {
    Gguf(PathBuf),
    /// Safetensors, by themselves or by their index.
    Shards(PathBuf, Shards),
}

impl Found {
    /// Opens the weights that `path` names, or those in the folder that it is.
    pub fn open(path: &Path) -> Result<Found, CliError> {
        let (dir, layout) = layout_of(path)?;
        Found::of(&dir, &layout)
    }

    fn of(dir: &Path, layout: &Layout) -> Result<Found, CliError> {
        if let Some(index) = &layout.index {
            let path = dir.join(index);
            let shards = Shards::open_index(&path)?;
            return Ok(Found::Shards(path, shards));
        }
        let mut shards = Shards::default();
        for name in &layout.weights {
            let path = dir.join(name);
            let failed = |source| CliError::File { path: path.clone(), source };
            let mut magic = Vec::new();
            File::open(&path).and_then(|file| file.take(9).read_to_end(&mut magic)).map_err(failed)?;
            if magic.starts_with(gguf::MAGIC) {
                return Ok(Found::Gguf(path));
            }
            shards.add(&path, File::open(&path).map_err(failed)?)?;
        }
        Ok(Found::Shards(
            layout.weights.first().map_or_else(|| dir.to_owned(), |name| dir.join(name)),
            shards,
        ))
    }
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
    /// The tensors by name, each with the index of its file.
    tensors: BTreeMap<String, (usize, TensorInfo)>,
    n_bytes: u64,
    n_bytes_read: Cell<u64>,
}

impl Shards {
    fn open_index(path: &Path) -> Result<Shards, CliError> {
        let mut shards = Shards::default();
        let (dir, name) = (path.parent().unwrap_or(path), path.file_name().unwrap_or_default());
        let index = Index::parse(&name.to_string_lossy(), &read_file(path)?);
        let index = index.map_err(|source| FilesError::Layout { dir: dir.to_owned(), source })?;
        for (name, tensors) in index.files {
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
