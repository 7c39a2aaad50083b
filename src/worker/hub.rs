//! Where a model's files are: a hub's id or an address to addresses of files.
//!
//! Invariant: only https is talked to, and http on this machine.

use super::problem::{Code, Problem};
use super::protocol::{Order, StoredFormat};
use crate::weights::sha256_hex;

/// The hub whose pages' addresses are known, whichever mirror is set.
const HUGGING_FACE: &str = "https://huggingface.co";
const WEIGHTS_ENDS: [&str; 3] = [".gguf", ".safetensors", ".safetensors.index.json"];

/// A folder of files, on some host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Ends in `/`.
    folder: String,
    /// The weights' file, where it was named.
    pub weights: Option<String>,
    /// What the model is called.
    pub name: String,
}

impl Place {
    /// Where `order`'s files are.
    ///
    /// # Errors
    /// [`Code::SourceInvalid`]: neither an id nor an address that may be talked to.
    pub fn of(order: &Order) -> Result<Place, Problem> {
        let (source, hub) = (order.source.trim(), order.hub.trim().trim_end_matches('/'));
        let on_hub = [hub, HUGGING_FACE]
            .into_iter()
            .find_map(|hub| source.strip_prefix(hub)?.strip_prefix('/').filter(|rest| !rest.is_empty()))
            // A page of the hub's, not a file that it happens to have.
            .filter(|rest| rest.split('/').count() > 3 || split_weights(rest).1.is_none());
        let path = match on_hub {
            Some(path) => path,
            None if source.contains("://") => return Place::at(source),
            None => source,
        };
        let path = path.split(['?', '#']).next().unwrap_or_default().trim_matches('/');
        let (id, rest) = match path.split('/').collect::<Vec<_>>()[..] {
            [owner, name, "tree" | "blob" | "resolve" | "raw", revision, ref file @ ..] => {
                (format!("{owner}/{name}@{revision}"), file.join("/"))
            }
            _ => (path.to_owned(), String::new()),
        };
        let (id, revision) = id.split_once('@').unwrap_or((&id, "main"));
        let is_part = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        };
        let is_id = id.split('/').count() <= 2 && id.split('/').all(is_part);
        let is_revision = revision.split('/').all(is_part);
        if !is_id || !is_revision || !rest.is_empty() && !rest.split('/').all(is_part) {
            return Err(invalid(source, "neither a model's id (OWNER/NAME) nor an address"));
        }
        let folder = format!("{}/{id}/resolve/{}/", checked(hub)?, revision.replace('/', "%2F"));
        let (below, weights) = split_weights(&rest);
        let below = if below.is_empty() { String::new() } else { format!("{below}/") };
        Ok(Place { folder: folder + &below, weights, name: id.to_owned() })
    }

    /// A file or folder by its address.
    fn at(address: &str) -> Result<Place, Problem> {
        let address = checked(address)?.split('#').next().unwrap_or_default();
        let (path, query) = address.split_once('?').unwrap_or((address, ""));
        let (folder, weights) = split_weights(path.trim_end_matches('/'));
        let name = weights.as_deref().unwrap_or(folder.rsplit('/').next().unwrap_or_default());
        let name = WEIGHTS_ENDS.iter().rev().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        let name = name.to_owned();
        // What signs a file's address does not sign those beside it.
        let weights = weights.map(|file| if query.is_empty() { file } else { format!("{file}?{query}") });
        Ok(Place { folder: format!("{folder}/"), weights, name })
    }

    /// The address of a file in the folder.
    pub fn address(&self, file: &str) -> String {
        format!("{}{file}", self.folder)
    }
}

/// Folder and weights' file of a path; without such a file the path is the folder.
fn split_weights(path: &str) -> (&str, Option<String>) {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    match WEIGHTS_ENDS.iter().any(|end| file.to_ascii_lowercase().ends_with(end)) {
        true => (folder, Some(file.to_owned())),
        false => (path, None),
    }
}

/// An address that may be talked to.
fn checked(address: &str) -> Result<&str, Problem> {
    let host = |scheme: &str| {
        let rest = address.strip_prefix(scheme)?;
        let authority = rest.split(['/', '?', '#']).next()?;
        let is_plain = !authority.is_empty() && !authority.contains('@');
        is_plain.then(|| authority.rsplit_once(':').map_or(authority, |(host, _)| host))
    };
    match (host("https://"), host("http://")) {
        (Some(_), _) | (_, Some("localhost" | "127.0.0.1")) => Ok(address),
        _ => Err(invalid(address, "only https:// is talked to, and http:// on this machine")),
    }
}

fn invalid(source: &str, what: &str) -> Problem {
    Problem::new(Code::SourceInvalid, format!("{source:?}: {what}"))
}

/// The store's key of a model: the same for the same files in the same format.
pub fn key(source: &str, hub: &str, format: StoredFormat) -> String {
    let (source, hub) = (source.trim(), hub.trim().trim_end_matches('/'));
    let mut key = sha256_hex(format!("{source}\n{hub}\n{format:?}").as_bytes());
    key.truncate(16);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(source: &str) -> Result<Place, Problem> {
        let hub = "https://mirror.example/".to_owned();
        let format = StoredFormat::Q8_0;
        Place::of(&Order { source: source.to_owned(), hub, format, sha256: Vec::new() })
    }

    #[test]
    fn ids_and_addresses_lead_to_files() {
        let address = |source: &str| place(source).unwrap().address("config.json");
        assert_eq!(address("openai/clip"), "https://mirror.example/openai/clip/resolve/main/config.json");
        assert_eq!(address(" gpt2@v1.0 "), "https://mirror.example/gpt2/resolve/v1.0/config.json");
        let page = "https://huggingface.co/openai/clip";
        assert_eq!(address(page), "https://mirror.example/openai/clip/resolve/main/config.json");
        assert_eq!(
            address(&format!("{page}/tree/abc123/")),
            "https://mirror.example/openai/clip/resolve/abc123/config.json"
        );
        assert_eq!(address("https://a.example/b/?x=1"), "https://a.example/b/config.json");
        assert_eq!(address("http://127.0.0.1:8080/m"), "http://127.0.0.1:8080/m/config.json");

        let weights = |source: &str| {
            let place = place(source).unwrap();
            (place.address(&place.weights.clone().unwrap()), place.name)
        };
        assert_eq!(
            weights(&format!("{page}/blob/main/sub/clip.gguf?download=true")),
            ("https://mirror.example/openai/clip/resolve/main/sub/clip.gguf".into(), "openai/clip".into())
        );
        assert_eq!(
            weights("https://a.example/b/Model.GGUF?sig=1#x"),
            ("https://a.example/b/Model.GGUF?sig=1".into(), "Model.GGUF".into())
        );
        assert_eq!(weights("https://a.example/m.safetensors").1, "m");
        assert_eq!(weights("https://mirror.example/b/m.gguf").0, "https://mirror.example/b/m.gguf");
    }

    #[test]
    fn nothing_else_is_talked_to() {
        for source in [
            "",
            "a/b/c",
            "../x",
            "a b/c",
            "http://a.example/m",
            "ftp://a.example/m",
            "https://",
            "https://u:p@a.example/m",
            "http://127.0.0.1.a.example/m",
            "javascript://x",
            "a/b@",
            "a/b@..",
        ] {
            assert_eq!(place(source).unwrap_err().code, Code::SourceInvalid, "{source}");
        }
    }

    #[test]
    fn keys_tell_models_apart() {
        let one = key("a/b", "https://h.example", StoredFormat::Q8_0);
        assert_eq!(one, key(" a/b ", "https://h.example/", StoredFormat::Q8_0));
        assert_ne!(one, key("a/b", "https://h.example", StoredFormat::F16));
        assert_ne!(one, key("a/b@c", "https://h.example", StoredFormat::Q8_0));
        assert_eq!(one.len(), 16);
    }
}
