//! Models at any address: a file, with what lies beside it, or a folder.
//!
//! Invariant: a file is asked for again each time, and sent again only where it changed.

use std::path::PathBuf;

use super::cache::Store;
use super::fetch::{Client, Remote};
use super::{CliError, HubError, is_plain, listing, message};
use crate::cli::files;
use crate::weights::sha256_hex;

/// What may lie beside weights.
const BESIDE: [&str; 6] = [
    "config.json",
    "open_clip_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
];

/// Fetches what `address` names; where the weights lie then.
pub fn locate(client: &Client, address: &str) -> Result<PathBuf, CliError> {
    let address = address.split('#').next().unwrap_or(address);
    let (path, query) = address.split_once('?').map_or((address, ""), |(path, query)| (path, query));
    let (folder, file) = path.rsplit_once('/').unwrap_or((path, ""));
    let suffixes = [".gguf", ".safetensors", files::INDEX_SUFFIX];
    let is_file = is_plain(file) && suffixes.iter().any(|suffix| file.ends_with(suffix));
    let folder = if is_file { folder } else { path.trim_end_matches('/') };
    let site = Site { client, folder, dir: Store::from_env()?.address(&sha256_hex(folder.as_bytes())[..16]) };
    let weights = if is_file { site.fetch(file, query)? } else { site.first(&files::WEIGHTS)? };
    if weights.extension().is_some_and(|extension| extension == "gguf") {
        return Ok(weights);
    }
    BESIDE.iter().try_for_each(|file| site.fetch_if_there(file))?;
    listing::shards(&weights)?.iter().try_for_each(|shard| site.fetch(shard, "").map(drop))?;
    Ok(weights)
}

/// A folder on a host, and its copy here.
struct Site<'a> {
    client: &'a Client,
    folder: &'a str,
    dir: PathBuf,
}

impl Site<'_> {
    fn fetch(&self, name: &str, query: &str) -> Result<PathBuf, CliError> {
        let path = self.dir.join(name);
        let query = if query.is_empty() { String::new() } else { format!("?{query}") };
        let address = format!("{}/{name}{query}", self.folder);
        let remote = Remote { address, name: name.to_owned(), n_bytes: None, sha256: None, is_fixed: false };
        match self.client.download(&remote, &path) {
            Ok(()) => Ok(path),
            Err(CliError::Hub(error)) if error.is_offline() && path.exists() => {
                message(&format!("{error}: {name} as it was fetched before"));
                Ok(path)
            }
            Err(error) => Err(error),
        }
    }

    /// The first of several files that is there.
    fn first(&self, names: &[&'static str]) -> Result<PathBuf, CliError> {
        let mut offline = None;
        for name in names {
            match self.fetch(name, "") {
                Err(CliError::Hub(error)) if is_absence(&error) => (),
                // Another one may be here from before.
                Err(CliError::Hub(error)) if error.is_offline() => offline = Some(error),
                fetched => return fetched,
            }
        }
        let nothing = || HubError::NothingThere { address: self.folder.to_owned(), tried: names.to_vec() };
        Err(offline.unwrap_or_else(nothing).into())
    }

    /// One that may lie beside the weights; what the host has no more is no more here either.
    fn fetch_if_there(&self, name: &str) -> Result<(), CliError> {
        match self.fetch(name, "") {
            Err(CliError::Hub(error)) if is_absence(&error) => {
                let path = self.dir.join(name);
                let removed = if path.exists() { std::fs::remove_file(&path) } else { Ok(()) };
                removed.map_err(|source| CliError::File { path, source })
            }
            Err(CliError::Hub(error)) if error.is_offline() => Ok(()),
            fetched => fetched.map(drop),
        }
    }
}

/// Many hosts have a page for files that they do not have.
fn is_absence(error: &HubError) -> bool {
    matches!(error, HubError::NotFound { .. } | HubError::Html { .. })
}
