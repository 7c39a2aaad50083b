//! Models that are named instead of pointed at: hub ids (`openai/clip-vit-base-patch32`, optionally `@REVISION`) and
//! addresses, fetched once into a folder on disk.
//!
//! Invariant: a path that exists wins over everything that its text could also mean.
//! Invariant: a weight file is used only if its SHA-256 is the one that the catalogue or the hub states, where either does.
//! Invariant: without a network, what is there already is used.

mod address;
mod cache;
mod error;
mod fetch;
mod listing;

use std::path::{Path, PathBuf};

use super::{CliError, message};
use crate::models::catalogue::{Catalogue, Entry};
use cache::{Repo, Store};
pub use error::HubError;
use fetch::{Client, Remote};
use listing::{Choice, RemoteFile};

/// The list that the page offers, too.
const CATALOGUE: &str = include_str!("../../../static/models/catalogue.json");

/// What a model is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Path(PathBuf),
    Hub {
        id: String,
        revision: Option<String>,
        /// One of several that are models of their own.
        file: Option<String>,
    },
    /// Of a folder or a file.
    Address(String),
}

/// A model's files on this machine.
#[derive(Clone, Debug)]
pub struct Located {
    /// What was given, or the weights (or their index) that were fetched.
    pub path: PathBuf,
    /// What a model without a name is called.
    pub name: Option<String>,
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

impl Source {
    /// `endpoint` is the hub's own address or its mirror's: one below it, or below Hugging Face's, is a hub id.
    pub fn parse(given: &Path, endpoint: &str) -> Source {
        let path = || Source::Path(given.to_owned());
        if given.exists() {
            return path();
        }
        let Some(text) = given.to_str() else { return path() };
        let below =
            [endpoint, fetch::HUB].into_iter().find_map(|hub| text.strip_prefix(hub)?.strip_prefix('/'));
        if let Some(source) = below.and_then(Source::below_hub) {
            return source;
        }
        if text.starts_with("https://") || text.starts_with("http://") {
            return Source::Address(text.to_owned());
        }
        let (id, revision) = text.split_once('@').map_or((text, None), |(id, rev)| (id, Some(rev)));
        if is_id(id) && revision.is_none_or(is_revision) {
            return Source::Hub { id: id.to_owned(), revision: revision.map(str::to_owned), file: None };
        }
        path()
    }

    /// `OWNER/NAME`, `OWNER/NAME/tree/REVISION` and `OWNER/NAME/blob/REVISION/FILE`, as the hub's own pages have it.
    fn below_hub(path: &str) -> Option<Source> {
        let path = path.split(['?', '#']).next()?.trim_end_matches('/');
        let [owner, name, rest @ ..] = &path.split('/').collect::<Vec<_>>()[..] else { return None };
        let (revision, file) = match rest {
            [] => (None, None),
            ["tree", revision] => (Some(*revision), None),
            ["blob" | "resolve", revision, file @ ..] if !file.is_empty() => {
                (Some(*revision), Some(file.join("/")))
            }
            _ => return None,
        };
        let id = format!("{owner}/{name}");
        let revision = revision.map(|revision| revision.replace("%2F", "/"));
        let is_good = is_id(&id)
            && revision.as_deref().is_none_or(is_revision)
            && file.as_deref().is_none_or(is_revision);
        is_good.then_some(Source::Hub { id, revision, file })
    }
}

/// One part of an address or a path, and never one that leads up.
fn is_plain(part: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !part.is_empty() && !part.starts_with('.') && part.chars().all(is_plain)
}

fn is_id(text: &str) -> bool {
    text.split_once('/').is_some_and(|(owner, name)| is_plain(owner) && is_plain(name))
}

fn is_revision(text: &str) -> bool {
    text.split('/').all(is_plain)
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
        return Ok(Located { path: given.to_owned(), name: None });
    }
    locate_in(given, &catalogue()?)
}

/// The same, with another list of known models.
pub fn locate_in(given: &Path, catalogue: &Catalogue) -> Result<Located, CliError> {
    let client = Client::from_env()?;
    match Source::parse(given, client.endpoint()) {
        Source::Path(path) => Ok(Located { path, name: None }),
        Source::Hub { id, revision, file } => {
            let source = revision.as_ref().map_or(id.clone(), |revision| format!("{id}@{revision}"));
            let entry = catalogue.find(&source).filter(|_| file.is_none());
            let revision = entry.map(|entry| entry.revision.clone()).or(revision);
            let path = locate_repo(&client, &id, revision.as_deref().unwrap_or("main"), entry, file)?;
            let name = entry.map_or_else(|| id.clone(), |entry| entry.name.clone());
            Ok(Located { path, name: Some(name) })
        }
        Source::Address(address) => {
            let path = address::locate(&client, &address)?;
            Ok(Located { path, name: None })
        }
    }
}

/// The weights of a model on the hub.
fn locate_repo(
    client: &Client,
    id: &str,
    revision: &str,
    entry: Option<&Entry>,
    file: Option<String>,
) -> Result<PathBuf, CliError> {
    let repo = Store::from_env()?.repo(id);
    let pinned =
        entry.map(|entry| entry.weights.iter().map(|weights| weights.file.clone()).collect::<Vec<_>>());
    let known = pinned.or(file.map(|file| vec![file]));
    let known = known.as_deref();
    // A commit's files never change: one request less.
    if let Some(weights) = repo.complete(revision, known).filter(|_| cache::is_commit(revision)) {
        check_pinned(&repo, entry, &weights)?;
        return Ok(weights);
    }
    let listing = match client.listing(id, revision) {
        Ok(listing) => listing,
        Err(error) if error.is_offline() => {
            let Some(weights) = repo.complete(revision, known) else { return Err(error.into()) };
            message(&format!("{error}: {id} as it was fetched before"));
            check_pinned(&repo, entry, &weights)?;
            return Ok(weights);
        }
        Err(error) => return Err(error.into()),
    };
    let names: Vec<&str> = listing.files.iter().map(|file| file.name.as_str()).collect();
    let choice = Choice::of(&names, known).ok_or_else(|| HubError::NoWeights {
        id: id.to_owned(),
        revision: revision.to_owned(),
        files: listing::weights_among(&names),
    })?;
    let fetch = |name: &str| -> Result<PathBuf, CliError> {
        let absent = || HubError::AbsentFile { id: id.to_owned(), file: name.to_owned() };
        let file = listing.files.iter().find(|file| file.name == name).ok_or_else(absent)?;
        fetch_file(client, &repo, id, &listing.commit, file, entry)
    };
    choice.beside.iter().try_for_each(|name| fetch(name).map(drop))?;
    let weights = fetch(&choice.weights)?;
    // The files of an index, and those that a catalogue names besides.
    let rest = listing::shards(&weights)?.into_iter().chain(known.into_iter().flatten().cloned());
    for name in rest.filter(|name| *name != choice.weights) {
        fetch(&name)?;
    }
    repo.remember(revision, &listing.commit)?;
    Ok(weights)
}

/// One file of a commit, from the store or from the hub; where it lies in the commit's folder.
fn fetch_file(
    client: &Client,
    repo: &Repo,
    id: &str,
    commit: &str,
    file: &RemoteFile,
    entry: Option<&Entry>,
) -> Result<PathBuf, CliError> {
    let pinned = entry.and_then(|entry| {
        entry
            .weights
            .iter()
            .find(|weights| weights.file == file.name)
            .and_then(|weights| weights.sha256.as_deref())
    });
    if let (Some(expected), Some(found)) = (pinned, &file.sha256)
        && expected != found
    {
        let (file, expected, found) = (file.name.clone(), expected.to_owned(), found.clone());
        return Err(HubError::Hash { file, expected, found }.into());
    }
    let sha256 = pinned.or(file.sha256.as_deref());
    let blob = repo.blob(&file.blob);
    let is_there = match sha256 {
        _ if !blob.exists() => false,
        None => true,
        Some(sha256) => {
            let is_sound = fetch::sha256_of(&blob)? == sha256;
            if !is_sound {
                message(&format!("{}: damaged on this disk, fetched again", file.name));
                std::fs::remove_file(&blob)
                    .map_err(|source| CliError::File { path: blob.clone(), source })?;
            }
            is_sound
        }
    };
    if !is_there {
        let remote = Remote {
            address: client.file(id, commit, &file.name),
            name: file.name.clone(),
            n_bytes: file.n_bytes,
            sha256: sha256.map(str::to_owned),
            is_fixed: true,
        };
        client.download(&remote, &blob)?;
    }
    repo.link(commit, &file.name, &blob)
}

/// Holds weights that were fetched before to the catalogue; damaged ones are removed, so that the next try fetches them.
fn check_pinned(repo: &Repo, entry: Option<&Entry>, weights: &Path) -> Result<(), CliError> {
    for (file, expected) in entry.map(Entry::sha256).unwrap_or_default() {
        let path = weights.with_file_name(&file);
        let found = fetch::sha256_of(&path)?;
        if found != expected {
            repo.forget(&path)?;
            return Err(HubError::Hash { file, expected, found }.into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Source {
        Source::parse(Path::new(text), "https://huggingface.co")
    }

    fn hub(id: &str, revision: Option<&str>) -> Source {
        Source::Hub { id: id.to_owned(), revision: revision.map(str::to_owned), file: None }
    }

    #[test]
    fn ids_addresses_and_paths_are_told_apart() {
        assert_eq!(parse("openai/clip-vit-base-patch32"), hub("openai/clip-vit-base-patch32", None));
        assert_eq!(parse("a/b@refs/pr/15"), hub("a/b", Some("refs/pr/15")));
        assert_eq!(parse("https://huggingface.co/a/b"), hub("a/b", None));
        assert_eq!(parse("https://huggingface.co/a/b/tree/refs%2Fpr%2F15"), hub("a/b", Some("refs/pr/15")));
        for page in ["resolve", "blob"] {
            let file = format!("https://huggingface.co/a/b/{page}/main/q/model-q8_0.gguf?download=true");
            let expected = Source::Hub {
                id: "a/b".to_owned(),
                revision: Some("main".to_owned()),
                file: Some("q/model-q8_0.gguf".to_owned()),
            };
            assert_eq!(parse(&file), expected);
            let mirrored = Source::parse(Path::new(&file), "https://mirror.example");
            assert_eq!(mirrored, expected, "its own pages' addresses, whichever mirror is set");
        }
        for page in
            ["https://huggingface.co/a/b/resolve/main/../x.gguf", "https://huggingface.co/datasets/a/b"]
        {
            assert_eq!(parse(page), Source::Address(page.to_owned()));
        }
        assert_eq!(parse("http://host/folder/"), Source::Address("http://host/folder/".to_owned()));
        for path in
            ["src/cli", "model.gguf", "../clip/model", "/no/where", "a/b/c", "a/..", "a/b@../x", "a/b@"]
        {
            assert_eq!(parse(path), Source::Path(PathBuf::from(path)), "{path}");
        }
    }

    #[test]
    fn the_catalogue_is_built_in() {
        assert!(catalogue().unwrap().find("openai/clip-vit-base-patch32").is_some());
    }
}
