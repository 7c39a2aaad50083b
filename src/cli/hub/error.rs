//! What goes wrong between this machine and a model's host, each with what to do about it.

use thiserror::Error;

use crate::convert::layout::LayoutError;
use crate::convert::source::SourceError;

/// Why a model could not be fetched.
#[derive(Debug, Error)]
pub enum HubError {
    #[error(
        "{host} cannot be reached ({reason}); if it is blocked here, name a mirror in HF_ENDPOINT, or a folder that holds \
         the model"
    )]
    Offline { host: String, reason: String },
    #[error("HF_HUB_OFFLINE is set, so nothing is asked of {host}; unset it to fetch what is not here yet")]
    StayOffline { host: String },
    #[error(
        "{address} asks who you are (401 RepoNotFound): the name may be misspelled (no file or folder here is called so either), or the \
         model is private; then set HF_TOKEN to a token that may read it"
    )]
    Unauthorized { address: String },
    #[error(
        "{address} refuses access (403): accept the model's terms on its page, and set HF_TOKEN to a token of that account"
    )]
    Forbidden { address: String },
    #[error(
        "{address} is not there (404{}): look at the name; no file or folder here is called so either",
        code.as_ref().map(|code| format!(", {code}")).unwrap_or_default()
    )]
    NotFound { address: String, code: Option<String> },
    #[error("{address} is not there (RevisionNotFound): the model has no such branch, tag or commit")]
    NoRevision { address: String },
    #[error(
        "{address} asks for patience (429): too many requests from here; try again in some minutes, or set HF_TOKEN"
    )]
    TooMany { address: String },
    #[error(
        "{address} answers with status {status}: the host is busy or broken; try again later, or a mirror in HF_ENDPOINT"
    )]
    Busy { address: String, status: u16 },
    #[error("{address} answers with status {status}, which is no file")]
    Status { address: String, status: u16 },
    #[error(
        "{address} answers with a web page instead of the file: a login page or a proxy may stand in between; open the \
         address in a browser"
    )]
    Html { address: String },
    #[error("{address} cannot be understood: {reason}")]
    Answer { address: String, reason: String },
    #[error(
        "{address}: the connection broke {n_tries} times in a row ({reason}); what arrived is kept, run the command again to go on"
    )]
    Broken { address: String, n_tries: usize, reason: String },
    #[error("{address} has {found} bytes, {expected} were stated: it is not the file that was meant")]
    Length { address: String, expected: u64, found: u64 },
    #[error(
        "{file} has the SHA-256 {found}, stated is {expected}: it is damaged or not the file that was meant, and was not kept"
    )]
    Hash { file: String, expected: String, found: String },
    #[error("{text:?}: {source}")]
    Source { text: String, source: SourceError },
    #[error("{id} at {revision}: {source}")]
    Layout { id: String, revision: String, source: LayoutError },
    #[error("{id} has no file {file:?}, which belongs to the model")]
    AbsentFile { id: String, file: String },
    #[error("{address} holds no model: looked for {}", tried.join(", "))]
    NothingThere { address: String, tried: Vec<&'static str> },
    #[error("{variable} is {value:?}, which is no address that starts with https:// or http://")]
    Endpoint { variable: &'static str, value: String },
    #[error("there is no home folder to keep models in: name one in HF_HOME")]
    NoHome,
}

impl HubError {
    /// Whether nobody was asked or nobody answered, so that what is here already may do.
    pub fn is_offline(&self) -> bool {
        matches!(self, HubError::Offline { .. } | HubError::StayOffline { .. })
    }

    /// Whether a host says plainly that it has no such file. Many have a page for files that they do not have.
    pub fn is_absence(&self) -> bool {
        matches!(self, HubError::NotFound { .. } | HubError::Html { .. })
    }

    /// Whether the hub has answered, and asking for the files one by one would give the same answer.
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            HubError::Unauthorized { .. }
                | HubError::Forbidden { .. }
                | HubError::NoRevision { .. }
                | HubError::TooMany { .. }
        )
    }
}
