//! Files that a command writes: whole under their name, or not there at all.
//!
//! Invariant: what stands under the final name was written and hashed to its last byte; until then it has a temporary
//! name beside it, and what is abandoned is removed.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::CliError;

/// A file that is being written.
pub struct OutputFile {
    path: PathBuf,
    temporary: PathBuf,
    /// `None` once it is finished.
    file: Option<BufWriter<File>>,
    hash: Sha256,
    n_bytes: u64,
}

/// What a finished file holds.
#[derive(Clone, Debug, Serialize)]
pub struct Written {
    pub output: PathBuf,
    pub n_bytes: u64,
    /// The hash is in lower-case hexadecimal.
    pub sha256: String,
}

impl OutputFile {
    /// Starts a file that [`OutputFile::finish`] puts in `path`'s place.
    ///
    /// # Errors
    /// `path` is one of `sources` (under any name), or its folder cannot be written to.
    pub fn create(path: &Path, sources: &[PathBuf]) -> Result<OutputFile, CliError> {
        let same = |source: &PathBuf| match (source.canonicalize(), path.canonicalize()) {
            (Ok(source), Ok(path)) => source == path,
            _ => false,
        };
        if let Some(source) = sources.iter().find(|source| same(source)) {
            return Err(CliError::OverwritesSource { path: source.clone() });
        }
        let failed = |source| CliError::File { path: path.to_owned(), source };
        let Some(name) = path.file_name().filter(|_| !path.is_dir()) else {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        };
        let temporary =
            path.with_file_name(format!(".{}.{}.part", name.to_string_lossy(), std::process::id()));
        let file = OpenOptions::new().write(true).create_new(true).open(&temporary).map_err(failed)?;
        let file = Some(BufWriter::with_capacity(1 << 20, file));
        Ok(OutputFile { path: path.to_owned(), temporary, file, hash: Sha256::new(), n_bytes: 0 })
    }

    /// Puts the file in its place, over what was there.
    pub fn finish(mut self) -> Result<Written, CliError> {
        let failed = |source| CliError::File { path: self.path.clone(), source };
        let Some(mut file) = self.file.take() else { return Err(failed(io::ErrorKind::Other.into())) };
        let moved = file
            .flush()
            // On the disk before the name: a power cut leaves the old file or the new one.
            .and_then(|()| file.get_ref().sync_all())
            .and_then(|()| std::fs::rename(&self.temporary, &self.path));
        if let Err(source) = moved {
            let _ = std::fs::remove_file(&self.temporary); // the first error is the one to tell
            return Err(failed(source));
        }
        let sha256 = self.hash.finalize_reset().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Written { output: self.path.clone(), n_bytes: self.n_bytes, sha256 })
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n_written = self.file.as_mut().map_or(Ok(0), |file| file.write(bytes))?;
        self.hash.update(&bytes[..n_written]);
        self.n_bytes += n_written as u64;
        Ok(n_written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), BufWriter::flush)
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            let _ = std::fs::remove_file(&self.temporary); // nothing can be told from here
        }
    }
}

/// A file beside an output for what is not to be held meanwhile; gone with this value.
pub struct Scratch {
    path: PathBuf,
    file: File,
}

impl Scratch {
    /// Makes a file beside `path`, so that there is room for both where there is for the output.
    pub fn beside(path: &Path) -> Result<Scratch, CliError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let path = path.with_file_name(format!(".{name}.{}.data", std::process::id()));
        let options = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
        match options {
            Ok(file) => Ok(Scratch { path, file }),
            Err(source) => Err(CliError::File { path, source }),
        }
    }

    pub fn write_at(&mut self, at: u64, bytes: &[u8]) -> Result<(), CliError> {
        let written = self.file.seek(SeekFrom::Start(at)).and_then(|_| self.file.write_all(bytes));
        written.map_err(|source| self.failed(source))
    }

    pub fn read_at(&mut self, range: Range<u64>) -> Result<Vec<u8>, CliError> {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        let read =
            self.file.seek(SeekFrom::Start(range.start)).and_then(|_| self.file.read_exact(&mut bytes));
        read.map(|()| bytes).map_err(|source| self.failed(source))
    }

    /// Everything, to the end of `output`.
    pub fn copy_to(&mut self, output: &mut OutputFile) -> Result<(), CliError> {
        let copied = self.file.rewind().and_then(|()| io::copy(&mut self.file, output));
        copied.map(drop).map_err(|source| CliError::File { path: output.path.clone(), source })
    }

    fn failed(&self, source: io::Error) -> CliError {
        CliError::File { path: self.path.clone(), source }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path); // nothing can be told from here
    }
}
