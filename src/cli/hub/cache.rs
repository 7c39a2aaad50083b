//! Where fetched models lie: Hugging Face's own folder, so that each file is on this machine once, whoever fetched it.
//!
//! ```text
//! HUB/models--OWNER--NAME/blobs/HASH               the bytes, under the SHA-256 of a large file, else its Git hash
//! HUB/models--OWNER--NAME/refs/REVISION            the commit that a branch was at
//! HUB/models--OWNER--NAME/snapshots/COMMIT/FILE    a link to the bytes
//! ```
//!
//! Invariant: what has a blob's name is whole; a file that is being fetched has another.

use std::fs;
use std::path::{Path, PathBuf};

use super::{CliError, HubError};
use crate::convert::layout::{Index, Layout};
use crate::convert::source::is_commit;

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// `HF_HOME`, else `XDG_CACHE_HOME/huggingface`, else `~/.cache/huggingface`.
pub fn home() -> Result<PathBuf, HubError> {
    let caches = || {
        let home = || std::env::home_dir().map(|home| home.join(".cache"));
        variable("XDG_CACHE_HOME").or_else(home).ok_or(HubError::NoHome)
    };
    variable("HF_HOME").map_or_else(|| Ok(caches()?.join("huggingface")), Ok)
}

/// Both folders for fetched files.
pub struct Store {
    hub: PathBuf,
    addresses: PathBuf,
}

impl Store {
    /// `HF_HUB_CACHE`, else `hub` in [`home`].
    pub fn from_env() -> Result<Store, HubError> {
        let hub = variable("HF_HUB_CACHE").map_or_else(|| Ok(home()?.join("hub")), Ok)?;
        Ok(Store { hub, addresses: home()?.join("cliplet") })
    }

    pub fn repo(&self, id: &str) -> RepoCache {
        RepoCache { dir: self.hub.join(format!("models--{}", id.replace('/', "--"))) }
    }

    /// The folder for files of addresses that start alike.
    pub fn address(&self, name: &str) -> PathBuf {
        self.addresses.join(name)
    }
}

/// One model of the hub.
pub struct RepoCache {
    dir: PathBuf,
}

impl RepoCache {
    pub fn blob(&self, name: &str) -> PathBuf {
        self.dir.join("blobs").join(name)
    }

    /// The weights of a revision where everything that belongs to them is here, in a folder of the repository; `named` are
    /// the weights' names, where somebody named them.
    pub fn complete(&self, revision: &str, folder: &str, named: &[String]) -> Option<PathBuf> {
        let commit = match is_commit(revision) {
            true => revision.to_owned(),
            false => fs::read_to_string(self.dir.join("refs").join(revision)).ok()?,
        };
        let dir = self.dir.join("snapshots").join(commit.trim()).join(folder);
        // A link may be here whose bytes were deleted.
        let names: Vec<String> = (fs::read_dir(&dir).ok()?.flatten())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| dir.join(name).exists())
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let layout = Layout::choose(&names, named).ok().filter(Layout::is_understandable)?;
        let Some(index) = layout.index else { return Some(dir.join(layout.weights.first()?)) };
        let path = dir.join(&index);
        let shards = Index::parse(&index, &fs::read(&path).ok()?).ok()?.files;
        shards.keys().all(|shard| dir.join(shard).exists()).then_some(path)
    }

    /// Puts a blob into a commit's folder, under the file's own name.
    pub fn link(&self, commit: &str, file: &str, blob: &Path) -> Result<PathBuf, CliError> {
        let link = self.dir.join("snapshots").join(commit).join(file);
        let failed = |source| CliError::File { path: link.clone(), source };
        if let Some(dir) = link.parent() {
            fs::create_dir_all(dir).map_err(failed)?;
        }
        if link.exists() {
            return Ok(link);
        }
        let _ = fs::remove_file(&link); // a link whose file was deleted
        #[cfg(unix)]
        {
            // As others who use the folder do: relative, so that it can be moved.
            let up = "../".repeat(2 + file.matches('/').count());
            let blob = blob.file_name().unwrap_or_default();
            std::os::unix::fs::symlink(Path::new(&up).join("blobs").join(blob), &link).map_err(failed)?;
        }
        #[cfg(not(unix))]
        fs::hard_link(blob, &link).map_err(failed)?;
        Ok(link)
    }

    /// Notes the commit that a branch is at.
    pub fn remember(&self, revision: &str, commit: &str) -> Result<(), CliError> {
        if is_commit(revision) {
            return Ok(());
        }
        let path = self.dir.join("refs").join(revision);
        let failed = |source| CliError::File { path: path.clone(), source };
        path.parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::write(&path, commit))
            .map_err(failed)
    }

    /// The SHA-256 under which the cache holds a file of a commit's folder; small files have another name.
    pub fn sha256(link: &Path) -> Option<String> {
        let blob = link.canonicalize().ok()?.file_name()?.to_str()?.to_owned();
        (blob.len() == 64 && blob.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(blob)
    }

    /// Removes a file of a commit's folder, and its bytes.
    pub fn forget(&self, link: &Path) -> Result<(), CliError> {
        let failed = |source| CliError::File { path: link.to_owned(), source };
        let blob = link.canonicalize().map_err(failed)?;
        fs::remove_file(&blob)
            .and_then(|()| if blob == link { Ok(()) } else { fs::remove_file(link) })
            .or_else(|source| if link.exists() { Err(failed(source)) } else { Ok(()) })
    }
}
