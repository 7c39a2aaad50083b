//! Models that are named instead of pointed at: hub ids (`openai/clip-vit-base-patch32`, optionally `@REVISION`) and
//! addresses, fetched once into a folder on disk. What the names mean and which files are a model stands in
//! [`convert`](crate::convert); here is how the command gets at the bytes.
//!
//! Invariant: a path that exists wins over everything that its text could also mean.
//! Invariant: a weight file is used only if its SHA-256 is the one that the catalogue or the hub states, where either does.
//! Invariant: without a network, what is there already is used.

mod address;
mod cache;
mod error;
mod fetch;

use std::path::{Path, PathBuf};

use super::{CliError, message};
use crate::convert::catalogue::{Catalogue, Entry, WeightFile};
use crate::convert::hub::ListedFile;
use crate::convert::layout::{GOLDEN, INDEX_SUFFIX, Index, Layout, Modules};
use crate::convert::source::{self, Repo, Source};
use cache::{RepoCache, Store};
pub use error::HubError;
use fetch::{Client, Remote};

/// The list that the page offers, too.
const CATALOGUE: &str = include_str!("../../../static/models/catalogue.json");

/// What a command was given as a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    Path(PathBuf),
    Source(Source),
}

impl Given {
    /// `endpoint` is the hub's own address or its mirror's.
    ///
    /// # Errors
    /// An address that cannot be used. A text that is no address and no id is a path, which may not be there.
    pub fn parse(given: &Path, endpoint: &str) -> Result<Given, HubError> {
        let path = || Given::Path(given.to_owned());
        let Some(text) = given.to_str().filter(|_| !given.exists()) else { return Ok(path()) };
        match Source::parse(text, endpoint) {
            Ok(source) => Ok(Given::Source(source)),
            Err(source) if text.contains("://") => Err(HubError::Source { text: text.to_owned(), source }),
            Err(_) => Ok(path()),
        }
    }
}

/// A model's files on this machine.
#[derive(Clone, Debug)]
pub struct Located {
    /// What was given, or the weights (or their index) that were fetched.
    pub path: PathBuf,
    /// What a model without a name is called.
    pub name: Option<String>,
    /// Where it was fetched from.
    pub source: Option<String>,
}

impl Located {
    /// The folder of files that belong to the weights.
    pub fn dir(&self) -> &Path {
        match self.path.parent() {
            Some(parent) if !self.path.is_dir() => parent,
            _ => &self.path,
        }
    }
}

/// The list of models that the program knows.
pub fn catalogue() -> Result<Catalogue, CliError> {
    Ok(Catalogue::parse(CATALOGUE.as_bytes())?)
}

/// Finds a model's files, and fetches them first where `given` is no path.
///
/// # Errors
/// Hosts that cannot be reached, refuse, or answer with something else; files that are not what was stated.
pub fn locate(given: &Path) -> Result<Located, CliError> {
    if given.exists() {
        return Ok(Located { path: given.to_owned(), name: None, source: None });
    }
    locate_in(given, &catalogue()?)
}

/// The same, with another list of known models.
pub fn locate_in(given: &Path, catalogue: &Catalogue) -> Result<Located, CliError> {
    let client = Client::from_env()?;
    let source = match Given::parse(given, client.endpoint())? {
        Given::Path(path) => return Ok(Located { path, name: None, source: None }),
        Given::Source(source) => source,
    };
    let entry = catalogue.entry_of(&source);
    let source = entry.map_or(source, Entry::repo);
    let name = entry.map_or_else(|| source.name().to_owned(), |entry| entry.name.clone());
    let text = source.text(client.endpoint());
    let path = match source {
        Source::Repo(repo) => Fetch { client: &client, repo, entry }.run()?,
        Source::Address(address) => {
            address::locate(&client, |file| address.address(file), address.file.as_slice(), &[])?
        }
    };
    Ok(Located { path, name: Some(name), source: Some(text) })
}

/// A model of the hub on its way into the cache.
struct Fetch<'a> {
    client: &'a Client,
    repo: Repo,
    entry: Option<&'a Entry>,
}

impl Fetch<'_> {
    fn pinned(&self) -> &[WeightFile] {
        self.entry.map_or(&[], |entry| &entry.weights)
    }

    /// The weights that the catalogue or the source names.
    fn named(&self) -> Vec<String> {
        let pinned: Vec<String> = self.pinned().iter().map(|weights| weights.file.clone()).collect();
        if pinned.is_empty() { self.repo.file.iter().cloned().collect() } else { pinned }
    }

    fn run(&self) -> Result<PathBuf, CliError> {
        let Repo { id, folder, .. } = &self.repo;
        let cache = Store::from_env()?.repo(id);
        let (revision, named) = (self.repo.revision(), self.named());
        let cached = |revision: &str| match cache.complete(revision, folder, &named) {
            Some(weights) => self.checked(&cache, weights),
            None => Ok(None),
        };
        // A commit's files never change: one request less.
        if source::is_commit(revision)
            && let Some(weights) = cached(revision)?
        {
            return Ok(weights);
        }
        let commit = match self.client.commit(id, revision) {
            Ok(commit) => commit,
            Err(error) if error.is_offline() => {
                let Some(weights) = cached(revision)? else { return Err(error.into()) };
                message(&format!("{error}: {id} as it was fetched before"));
                return Ok(weights);
            }
            Err(error) if error.is_final() => return Err(error.into()),
            Err(error) => return self.unlisted(revision, error),
        };
        if let Some(weights) = cached(&commit)? {
            cache.remember(revision, &commit)?;
            return Ok(weights);
        }
        let files = match self.client.tree(id, &commit) {
            Ok(files) => files,
            Err(error) if error.is_offline() || error.is_final() => return Err(error.into()),
            Err(error) => return self.unlisted(&commit, error),
        };
        let weights = self.listed(&cache, &commit, &files, &named)?;
        cache.remember(revision, &commit)?;
        Ok(weights)
    }

    /// Fetches what the listing of a commit shows to be the model.
    fn listed(
        &self,
        cache: &RepoCache,
        commit: &str,
        files: &[ListedFile],
        named: &[String],
    ) -> Result<PathBuf, CliError> {
        let Repo { id, folder, .. } = &self.repo;
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let names: Vec<&str> = files.iter().filter_map(|file| file.name.strip_prefix(&prefix)).collect();
        let layout = Layout::choose(&names, named).map_err(|source| HubError::Layout {
            id: id.clone(),
            revision: self.repo.revision().to_owned(),
            source,
        })?;
        let fetch = |name: &str| -> Result<PathBuf, CliError> {
            let path = format!("{prefix}{name}");
            let absent = || HubError::AbsentFile { id: id.clone(), file: path.clone() };
            let file = files.iter().find(|file| file.name == path).ok_or_else(absent)?;
            self.file(cache, commit, name, file)
        };
        let has = |name: &str| names.contains(&name);
        for name in layout.companions().iter().map(String::as_str).chain([GOLDEN]).filter(|name| has(name)) {
            let fetched = fetch(name)?;
            if layout.modules.as_deref() == Some(name) {
                let modules = Modules::parse(&super::read_file(&fetched)?);
                let modules = modules.map_err(|source| HubError::Layout {
                    id: id.clone(),
                    revision: self.repo.revision().to_owned(),
                    source,
                })?;
                let inside = modules.configs().into_iter().chain(modules.weights());
                inside.filter(|name| has(name)).try_for_each(|name| fetch(&name).map(drop))?;
            }
        }
        if let Some(index) = &layout.index {
            let path = fetch(index)?;
            let index = Index::parse(index, &super::read_file(&path)?)
                .map_err(|source| super::files::FilesError::Layout { dir: path.clone(), source })?;
            index.files.keys().try_for_each(|shard| fetch(shard).map(drop))?;
            return Ok(path);
        }
        let mut weights = layout.weights.iter().map(|name| fetch(name)).collect::<Result<Vec<_>, _>>()?;
        Ok(weights.swap_remove(0))
    }

    /// One file of a commit, from the cache or from the hub; where it lies in the commit's folder.
    fn file(
        &self,
        cache: &RepoCache,
        commit: &str,
        name: &str,
        file: &ListedFile,
    ) -> Result<PathBuf, CliError> {
        let pinned = self.pinned().iter().find(|weights| weights.file == name);
        let pinned = pinned.and_then(|weights| weights.sha256.as_deref());
        if let (Some(expected), Some(found)) = (pinned, &file.sha256)
            && expected != found
        {
            let (file, expected, found) = (file.name.clone(), expected.to_owned(), found.clone());
            return Err(HubError::Hash { file, expected, found }.into());
        }
        let sha256 = pinned.or(file.sha256.as_deref());
        let blob = cache.blob(sha256.unwrap_or(&file.git_sha1));
        let is_there = match sha256 {
            _ if !blob.exists() => false,
            None => true,
            Some(sha256) => {
                let is_sound = fetch::sha256_of(&blob)? == sha256;
                if !is_sound {
                    message(&format!("{}: damaged on this disk, fetched again", file.name));
                    let failed = |source| CliError::File { path: blob.clone(), source };
                    std::fs::remove_file(&blob).map_err(failed)?;
                }
                is_sound
            }
        };
        if !is_there {
            let remote = Remote {
                address: self.repo.address(self.client.endpoint(), commit, name),
                name: file.name.clone(),
                n_bytes: Some(file.n_bytes),
                sha256: sha256.map(str::to_owned),
                is_fixed: true,
            };
            self.client.download(&remote, &blob)?;
        }
        cache.link(commit, &file.name, &blob)
    }

    /// Fetches from a hub that does not tell what it holds: each file is asked for by its usual name.
    fn unlisted(&self, revision: &str, why: HubError) -> Result<PathBuf, CliError> {
        let known = if self.pinned().is_empty() { ", so that no hash of the files is known" } else { "" };
        message(&format!("{why}; going on without a listing{known}"));
        let address = |file: &str| self.repo.address(self.client.endpoint(), revision, file);
        address::locate(self.client, address, &self.named(), self.pinned())
    }

    /// Holds weights that were fetched before to the catalogue, and to the hash under which the cache has them. `None`: they
    /// were damaged and are removed, so that they are fetched again.
    ///
    /// # Errors
    /// Whole weights, and yet not those that the catalogue pins.
    fn checked(&self, cache: &RepoCache, weights: PathBuf) -> Result<Option<PathBuf>, CliError> {
        let mut files = vec![weights.clone()];
        if weights.to_string_lossy().ends_with(INDEX_SUFFIX) {
            let index = Index::parse("index", &super::read_file(&weights)?);
            let shards = index.map(|index| index.files.into_keys().collect::<Vec<_>>()).unwrap_or_default();
            files.extend(shards.iter().map(|shard| weights.with_file_name(shard)));
        }
        for path in files {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let pinned = self.pinned().iter().find(|weights| weights.file == name);
            let pinned = pinned.and_then(|weights| weights.sha256.clone());
            let of_blob = RepoCache::sha256(&path);
            let Some(stated) = of_blob.clone().or(pinned.clone()) else { continue };
            let found = fetch::sha256_of(&path)?;
            if found != stated {
                message(&format!("{name}: damaged on this disk, fetched again"));
                cache.forget(&path)?;
                return Ok(None);
            }
            if let Some(expected) = pinned.filter(|expected| *expected != found) {
                cache.forget(&path)?;
                return Err(HubError::Hash { file: name, expected, found }.into());
            }
        }
        Ok(Some(weights))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::source::DEFAULT_HUB;

    #[test]
    fn ids_addresses_and_paths_are_told_apart() {
        let given = |text: &str| Given::parse(Path::new(text), DEFAULT_HUB);
        for source in [
            "openai/clip-vit-base-patch32",
            "a/b@refs/pr/15",
            "https://huggingface.co/a/b",
            "http://localhost/b/",
        ] {
            assert!(matches!(given(source), Ok(Given::Source(_))), "{source}");
        }
        for path in
            ["src/cli", "model.gguf", "../clip/model", "/no/where", "a/b/c", "a/..", "a/b@../x", "a/b@"]
        {
            assert_eq!(given(path).ok(), Some(Given::Path(PathBuf::from(path))), "{path}");
        }
        for address in ["https://huggingface.co/datasets/a/b", "http://host.example/a", "ftp://a/b"] {
            assert!(matches!(given(address), Err(HubError::Source { .. })), "{address}");
        }
    }

    #[test]
    fn the_catalogue_is_built_in() {
        assert!(catalogue().unwrap().find("openai/clip-vit-base-patch32").is_some());
    }
}
