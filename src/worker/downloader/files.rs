//! A source's files: which there are, and their bytes.
//!
//! A hub is asked what a repository holds, at which commit, and what its files hash to. Where it does not tell, and on other
//! hosts, each file is asked for by its usual name, and nobody vouches for what comes.
//!
//! Invariant: all files of a source are of one commit, where the hub tells it.
//! Invariant: whatever a catalogue pins is held to that hash; whatever a listing states, to that.

use crate::convert::catalogue::WeightFile;
use crate::convert::hub::{self, ListedFile, MAX_ANSWER_BYTES, MAX_PAGES};
use crate::convert::layout::{
    COMPANIONS, Index, Layout, LayoutError, Modules, WEIGHT_NAMES, is_weights, own_names,
};
use crate::convert::source::{Repo, Source, Sources, is_commit};
use crate::weights::{Stream, sha256_hex};
use crate::worker::fetch;
use crate::worker::model_store::failed;
use crate::worker::problem::{Code, Problem};
use crate::worker::protocol::{Order, Vouched};
use crate::worker::reader::{FileSource, Known, WeightsReader};
use std::cell::RefCell;
use std::collections::BTreeMap;
use web_sys::{AbortSignal, Blob};

/// A JSON file of more bytes is none; the largest tokenizers have 35 MB.
const MAX_JSON_BYTES: usize = 64 << 20;

/// Where the files of a source are.
pub enum Files {
    Remote {
        source: Source,
        hub: String,
        pinned: Vec<WeightFile>,
    },
    /// The reader's own, under the names that they have in a model.
    Own {
        name: String,
        files: Vec<(String, Blob)>,
        /// The names of those that are no part of a model.
        others: Vec<String>,
    },
}

/// A source whose files were found.
pub struct Found<'a> {
    files: &'a Files,
    /// The commit that all files are of, where the hub tells it.
    pub commit: Option<String>,
    listing: Option<Vec<ListedFile>>,
    pub layout: Layout,
    /// The weights, in the order in which they are read.
    pub weights: Vec<String>,
    /// The names of all tensors, where an index tells them.
    pub tensors: Option<Vec<String>>,
    /// Bytes of all weights, where somebody tells.
    pub n_bytes: u64,
    /// Small files that were read already.
    known: RefCell<BTreeMap<String, Option<Vec<u8>>>>,
}

impl Files {
    /// The files of an order's sources.
    ///
    /// # Errors
    /// [`Code::SourceInvalid`]: neither an id nor an address that may be talked to.
    pub fn remote(order: &Order) -> Result<Vec<Files>, Problem> {
        let hub = order.hub.trim().trim_end_matches('/');
        let invalid = |error| Problem::new(Code::SourceInvalid, format!("{:?}: {error}", order.source));
        let Sources { image, text } = Sources::parse(&order.source, hub).map_err(invalid)?;
        let files = |(i, source)| {
            let pinned = if i == 0 { order.pinned.clone() } else { Vec::new() };
            Files::Remote { source, hub: hub.to_owned(), pinned }
        };
        Ok([Some(image), text].into_iter().flatten().enumerate().map(files).collect())
    }

    /// The files that the reader chose.
    pub fn own(files: Vec<web_sys::File>) -> Files {
        let names: Vec<String> = files.iter().map(web_sys::File::name).collect();
        let mut others = Vec::new();
        let mut own = Vec::new();
        for ((part, name), file) in own_names(&names).into_iter().zip(&names).zip(files) {
            match part {
                Some(part) => own.push((part, file.into())),
                None => others.push(name.clone()),
            }
        }
        let weights = names.iter().find(|name| is_weights(name));
        let name = weights.map_or("", |name| crate::convert::layout::stem(name)).to_owned();
        Files::Own { name, files: own, others }
    }

    /// What a model that does not name itself is called.
    pub fn name(&self) -> &str {
        match self {
            Files::Remote { source, .. } => source.name(),
            Files::Own { name, .. } => name,
        }
    }

    /// Where the model comes from, for its card; nowhere that anybody else could look, for the reader's own files.
    pub fn source(&self) -> Option<String> {
        match self {
            Files::Remote { source, hub, .. } => Some(source.text(hub)),
            Files::Own { .. } => None,
        }
    }

    /// Asks what there is, and finds the model in it.
    ///
    /// # Errors
    /// A source that cannot be had, or that is no model that is read.
    pub async fn find(&self, cancel: &AbortSignal) -> Result<Found<'_>, Problem> {
        let known = RefCell::default();
        let mut found = Found {
            files: self,
            commit: None,
            listing: None,
            layout: Layout::default(),
            weights: Vec::new(),
            tensors: None,
            n_bytes: 0,
            known,
        };
        found.layout = match self {
            Files::Own { files, others, .. } => {
                let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
                Layout::choose(&names, &[]).map_err(|error| match error {
                    LayoutError::NoWeights(names) => LayoutError::NoWeights([names, others.clone()].concat()),
                    error => error,
                })
            }
            Files::Remote { source, pinned, .. } => {
                let named: Vec<String> = match &pinned[..] {
                    [] => source.file().into_iter().map(str::to_owned).collect(),
                    pinned => pinned.iter().map(|weights| weights.file.clone()).collect(),
                };
                if let Source::Repo(repo) = source {
                    found.ask_hub(repo, cancel).await?;
                }
                match &found.listing {
                    Some(_) => Layout::choose(&found.listed_names(), &named),
                    None => return found.probed(named, cancel).await,
                }
            }
        }
        .map_err(|error| self.unfit(error))?;
        found.with_weights(cancel).await
    }

    fn unfit(&self, error: LayoutError) -> Problem {
        let code = match (&error, self) {
            (
                LayoutError::NoWeights(_) | LayoutError::NoConfig { .. } | LayoutError::Absent { .. },
                Files::Own { .. },
            ) => Code::ModelFilesIncomplete,
            (LayoutError::NoWeights(_), _) => Code::SourceNoWeights,
            (LayoutError::Absent { .. }, _) => Code::SourceMissing,
            (LayoutError::NoTokenizer { .. } | LayoutError::Vocabulary(_), _) => Code::TokenizerMissing,
            _ => Code::SourceUnusable,
        };
        Problem::new(code, error)
    }
}

impl Found<'_> {
    /// Asks the hub which commit is meant and what it holds. A hub that does not tell is gone on without.
    async fn ask_hub(&mut self, repo: &Repo, cancel: &AbortSignal) -> Result<(), Problem> {
        let Files::Remote { hub, .. } = self.files else { return Ok(()) };
        // These say that there is nothing to be had, listed or not.
        let is_final = |problem: &Problem| {
            use Code::{LoadCancelled, SourceBusy, SourceGated, SourceNoRevision};
            matches!(problem.code, SourceGated | SourceNoRevision | SourceBusy | LoadCancelled)
        };
        let revision = repo.revision();
        if is_commit(revision) {
            self.commit = Some(revision.to_owned());
        } else {
            let address = hub::revision_address(hub, &repo.id, revision);
            match fetch::small(&address, MAX_ANSWER_BYTES, cancel).await {
                Ok((json, _)) => self.commit = hub::parse_revision(&json).ok(),
                Err(problem) if is_final(&problem) => return Err(problem),
                Err(_) => {}
            }
        }
        let Some(commit) = &self.commit else { return Ok(()) };
        let mut address = hub::tree_address(hub, &repo.id, commit);
        let mut files = Vec::new();
        for _ in 0..MAX_PAGES {
            let (json, link) = match fetch::small(&address, MAX_ANSWER_BYTES, cancel).await {
                Ok(answer) => answer,
                Err(problem) if is_final(&problem) => return Err(problem),
                Err(_) => return Ok(()),
            };
            let Ok(page) = hub::parse_tree(&json) else { return Ok(()) };
            files.extend(page);
            match link.and_then(|link| hub::next_page(hub, &link)) {
                Some(next) => address = next,
                None => break,
            }
        }
        self.listing = Some(files);
        Ok(())
    }

    /// The folder's part of a listed file's path.
    fn prefix(&self) -> String {
        match self.files {
            Files::Remote { source: Source::Repo(repo), .. } if !repo.folder.is_empty() => {
                format!("{}/", repo.folder)
            }
            _ => String::new(),
        }
    }

    fn listed_names(&self) -> Vec<&str> {
        let prefix = self.prefix();
        self.listing.iter().flatten().filter_map(|file| file.name.strip_prefix(&prefix)).collect()
    }

    fn listed(&self, name: &str) -> Option<&ListedFile> {
        let path = self.prefix() + name;
        self.listing.as_ref()?.iter().find(|file| file.name == path)
    }

    /// Finds the model on a host that does not list what it has: each file is asked for by its usual name.
    async fn probed(mut self, named: Vec<String>, cancel: &AbortSignal) -> Result<Self, Problem> {
        let mut weights = named;
        for name in WEIGHT_NAMES {
            if weights.is_empty() && self.has(name, cancel).await? {
                weights.push(name.to_owned());
            }
        }
        if weights.is_empty() {
            let tried = WEIGHT_NAMES.join(", ");
            return Err(Problem::new(
                Code::SourceMissing,
                format!("{}: looked for {tried}", self.address("")),
            ));
        }
        let mut names = weights.clone();
        for name in COMPANIONS {
            if self.small(name, cancel).await?.is_some() {
                names.push(name.to_owned());
            }
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.layout = Layout::choose(&names, &weights).map_err(|error| self.files.unfit(error))?;
        self.with_weights(cancel).await
    }

    /// Whether a host has a file.
    async fn has(&self, name: &str, cancel: &AbortSignal) -> Result<bool, Problem> {
        let address = self.address(name);
        match fetch::open(&address, cancel).await {
            // Its transfer ends with it.
            Ok(_) => Ok(true),
            Err(problem)
                if matches!(problem.code, Code::SourceMissing | Code::WeightsMissing | Code::SourceHtml) =>
            {
                Ok(false)
            }
            Err(problem) => Err(problem),
        }
    }

    /// Reads the index, where there is one, and adds up the weights.
    async fn with_weights(mut self, cancel: &AbortSignal) -> Result<Self, Problem> {
        self.weights = self.layout.weights.clone();
        if let Some(name) = self.layout.index.clone() {
            let json = self.small(&name, cancel).await?.unwrap_or_default();
            let index = Index::parse(&name, &json).map_err(|error| self.files.unfit(error))?;
            self.weights = index.files.keys().cloned().collect();
            self.tensors = Some(index.tensors().cloned().collect());
            self.n_bytes = index.n_bytes;
        }
        if let Some(modules) = &self.layout.modules
            && let Some(dense) = self.dense_layer(modules, cancel).await?
        {
            self.weights.push(dense);
            // The index, if any, tells of the others only.
            self.tensors = None;
        }
        if let Some(file) =
            self.weights.iter().find(|file| self.listing.is_some() && self.listed(file).is_none())
        {
            return Err(Problem::new(Code::SourceMissing, format!("{file} is not in the repository")));
        }
        let sizes: Option<Vec<u64>> = self.weights.iter().map(|file| self.size(file)).collect();
        self.n_bytes = sizes.map_or(self.n_bytes, |sizes| sizes.iter().sum());
        Ok(self)
    }

    async fn dense_layer(&self, modules: &str, cancel: &AbortSignal) -> Result<Option<String>, Problem> {
        let json = self.small(modules, cancel).await?.unwrap_or_default();
        let modules = Modules::parse(&json).map_err(|error| self.files.unfit(error))?;
        let mut configs = BTreeMap::new();
        for name in modules.configs() {
            configs.insert(name.clone(), self.small(&name, cancel).await?);
        }
        modules
            .dense_layer(|name| configs.get(name).cloned().flatten())
            .map_err(|error| self.files.unfit(error))
    }

    /// The size of a weights' file, where it is known.
    fn size(&self, file: &str) -> Option<u64> {
        match self.files {
            Files::Own { files, .. } => {
                files.iter().find(|(name, _)| name == file).map(|(_, blob)| blob.size() as u64)
            }
            Files::Remote { pinned, .. } => {
                let pinned = pinned.iter().find(|weights| weights.file == file && weights.sha256.is_some());
                pinned.map(|weights| weights.bytes).or(self.listed(file).map(|file| file.n_bytes))
            }
        }
    }

    /// The SHA-256 that a weights' file must have, and who says so.
    pub fn stated(&self, file: &str) -> (Option<String>, Vouched) {
        let Files::Remote { pinned, .. } = self.files else { return (None, Vouched::Nobody) };
        let pinned =
            pinned.iter().find(|weights| weights.file == file).and_then(|weights| weights.sha256.clone());
        if pinned.is_some() {
            return (pinned, Vouched::Catalogue);
        }
        let listed = self.listed(file).and_then(|file| file.sha256.clone());
        let vouched = if listed.is_some() { Vouched::Hub } else { Vouched::Nobody };
        (listed, vouched)
    }

    /// What is known of a weights' file before it comes.
    ///
    /// # Errors
    /// [`Code::SourceHash`]: the hub states another hash than the catalogue.
    pub fn known(&self, file: &str) -> Result<Known, Problem> {
        let (sha256, _) = self.stated(file);
        if let (Some(expected), Some(found)) =
            (&sha256, self.listed(file).and_then(|file| file.sha256.as_ref()))
            && !expected.eq_ignore_ascii_case(found)
        {
            let detail = format!("{file} has the SHA-256 {found} on the hub, expected is {expected}");
            return Err(Problem::new(Code::SourceHash, detail));
        }
        Ok(Known { n_bytes: self.size(file), sha256 })
    }

    pub fn place(&self, file: &str) -> Result<FileSource, Problem> {
        match self.files {
            Files::Remote { .. } => Ok(FileSource::Address(self.address(file))),
            Files::Own { files, .. } => {
                let found = files.iter().find(|(name, _)| name == file);
                let (_, blob) = found.ok_or_else(|| {
                    Problem::new(Code::ModelFilesIncomplete, format!("{file} is not among the files"))
                })?;
                Ok(FileSource::Blob(blob.clone()))
            }
        }
    }

    pub async fn open(&self, file: &str, cancel: &AbortSignal) -> Result<WeightsReader, Problem> {
        WeightsReader::open(self.place(file)?, self.known(file)?, Stream::new, cancel).await
    }

    fn address(&self, file: &str) -> String {
        match self.files {
            Files::Remote { source: Source::Repo(repo), hub, .. } => {
                repo.address(hub, self.commit.as_deref().unwrap_or(repo.revision()), file)
            }
            Files::Remote { source: Source::Address(address), .. } => address.address(file),
            Files::Own { .. } => file.to_owned(),
        }
    }

    /// A JSON file or the like; `None` where there is none.
    pub async fn small(&self, file: &str, cancel: &AbortSignal) -> Result<Option<Vec<u8>>, Problem> {
        if let Some(known) = self.known.borrow().get(file) {
            return Ok(known.clone());
        }
        let bytes = match self.files {
            Files::Own { files, .. } => match files.iter().find(|(name, _)| name == file) {
                Some((_, blob)) => Some(fetch::blob_bytes(blob).await.map_err(failed)?),
                None => None,
            },
            Files::Remote { .. } if self.listing.is_some() && self.listed(file).is_none() => None,
            Files::Remote { .. } => {
                let address = self.address(file);
                match fetch::small(&address, MAX_JSON_BYTES, cancel).await {
                    Ok((bytes, _)) => Some(bytes),
                    Err(problem) if matches!(problem.code, Code::SourceMissing | Code::WeightsMissing) => {
                        None
                    }
                    // A host's page for files that it does not have.
                    Err(problem) if problem.code == Code::SourceHtml && self.listing.is_none() => None,
                    Err(problem) => return Err(problem),
                }
            }
        };
        if let (Some(bytes), Some(expected)) =
            (&bytes, self.listed(file).and_then(|file| file.sha256.as_ref()))
            && sha256_hex(bytes) != *expected
        {
            let detail = format!("{file} has not the SHA-256 {expected} that the hub states");
            return Err(Problem::new(Code::SourceHash, detail));
        }
        self.known.borrow_mut().insert(file.to_owned(), bytes.clone());
        Ok(bytes)
    }

    /// `tokenizer.json`, or what is made of older files.
    pub async fn tokenizer(&self, cancel: &AbortSignal) -> Result<String, Problem> {
        let mut contents = Vec::new();
        for name in self.layout.tokenizer.files() {
            contents.push(self.small(name, cancel).await?);
        }
        self.layout.tokenizer.json(&contents).map_err(|error| self.files.unfit(error))
    }

    /// Which configuration goes with weights that hold these tensors.
    pub async fn config<'n>(
        &self,
        tensors: impl Iterator<Item = &'n str>,
        cancel: &AbortSignal,
    ) -> Result<Vec<u8>, Problem> {
        let name = self.layout.config(tensors).map_err(|error| self.files.unfit(error))?;
        let config = self.small(name, cancel).await?;
        config.ok_or_else(|| Problem::new(Code::SourceMissing, format!("{name} is not there")))
    }
}
