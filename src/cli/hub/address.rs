//! Models of hosts that list nothing: a file, with what lies beside it, or a folder. Each file is asked for by its name.
//!
//! Invariant: a file is asked for again each time, and sent again only where it changed.
//! Invariant: a pinned file that has another hash than the catalogue says is not used.

use std::path::PathBuf;

use super::cache::Store;
use super::fetch::{Client, Remote};
use super::{CliError, HubError, message};
use crate::cli::files::FilesError;
use crate::convert::catalogue::WeightFile;
use crate::convert::layout::{COMPANIONS, Index, Layout, WEIGHT_NAMES};
use crate::weights::sha256_hex;

/// Fetches a model from a folder in which `address` names files; where its weights lie then. `named` are the weights, where
/// somebody named them.
pub fn locate(
    client: &Client,
    address: impl Fn(&str) -> String,
    named: &[String],
    pinned: &[WeightFile],
) -> Result<PathBuf, CliError> {
    let folder = address("");
    let dir = Store::from_env()?.address(&sha256_hex(folder.trim_end_matches('/').as_bytes())[..16]);
    let site = Site { client, address: &address, dir, pinned };
    let first = match named {
        [] => site.first(&WEIGHT_NAMES)?,
        [first, rest @ ..] => {
            rest.iter().try_for_each(|file| site.fetch(file).map(drop))?;
            site.fetch(first)?
        }
    };
    let name = first.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    let is_gguf = name.to_ascii_lowercase().ends_with(".gguf");
    let mut names = vec![name.clone()];
    for file in COMPANIONS {
        // A GGUF says itself what it is; it may lack a tokenizer.
        let is_wanted = !is_gguf
            || Layout::choose(&[file, "a.gguf"], &[]).is_ok_and(|layout| !layout.companions().is_empty());
        if is_wanted && site.fetch_if_there(file)? {
            names.push(file.to_owned());
        }
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let failed = |source| CliError::from(FilesError::Layout { dir: site.dir.clone(), source });
    let layout = Layout::choose(&names, std::slice::from_ref(&name)).map_err(failed)?;
    if let Some(index) = &layout.index {
        let index = Index::parse(index, &crate::cli::read_file(&first)?).map_err(failed)?;
        index.files.keys().try_for_each(|shard| site.fetch(shard).map(drop))?;
    }
    Ok(first)
}

/// A folder on a host, and its copy here.
struct Site<'a> {
    client: &'a Client,
    address: &'a dyn Fn(&str) -> String,
    dir: PathBuf,
    pinned: &'a [WeightFile],
}

impl Site<'_> {
    fn fetch(&self, name: &str) -> Result<PathBuf, CliError> {
        let path = self.dir.join(name);
        let sha256 = self.pinned.iter().find(|file| file.file == name).and_then(|file| file.sha256.clone());
        let remote = Remote {
            address: (self.address)(name),
            name: name.to_owned(),
            n_bytes: None,
            sha256: sha256.clone(),
            is_fixed: sha256.is_some(),
        };
        match self.client.download(&remote, &path) {
            Ok(()) => (),
            Err(CliError::Hub(error)) if error.is_offline() && path.exists() => {
                message(&format!("{error}: {name} as it was fetched before"));
            }
            Err(error) => return Err(error),
        }
        // Also what was here before.
        if let Some(expected) = sha256 {
            let found = super::fetch::sha256_of(&path)?;
            if found != expected {
                std::fs::remove_file(&path).map_err(|source| CliError::File { path, source })?;
                return Err(HubError::Hash { file: name.to_owned(), expected, found }.into());
            }
        }
        Ok(path)
    }

    /// The first of several files that is there.
    fn first(&self, names: &[&'static str]) -> Result<PathBuf, CliError> {
        let mut offline = None;
        for name in names {
            match self.fetch(name) {
                Err(CliError::Hub(error)) if error.is_absence() => (),
                // Another one may be here from before.
                Err(CliError::Hub(error)) if error.is_offline() => offline = Some(error),
                fetched => return fetched,
            }
        }
        let nothing = || HubError::NothingThere { address: (self.address)(""), tried: names.to_vec() };
        Err(offline.unwrap_or_else(nothing).into())
    }

    /// Whether there is one that may lie beside the weights; what the host has no more is no more here either.
    fn fetch_if_there(&self, name: &str) -> Result<bool, CliError> {
        let path = self.dir.join(name);
        match self.fetch(name) {
            Err(CliError::Hub(error)) if error.is_absence() => {
                let removed = if path.exists() { std::fs::remove_file(&path) } else { Ok(()) };
                removed.map(|()| false).map_err(|source| CliError::File { path, source })
            }
            Err(CliError::Hub(error)) if error.is_offline() => Ok(path.exists()),
            fetched => fetched.map(|_| true),
        }
    }
}
