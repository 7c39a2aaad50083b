//! Which files make a model: its weights, in one file or in shards, and what lies beside them.
//!
//! Works on names alone, wherever they come from: the hub's listing, a folder on disk, what a host turned out to have, or
//! the files that a reader chose. Only the transport knows how to get at their bytes.
//!
//! Invariant: where weights were named (by an address, or by a catalogue that pins them), those are taken or the model is
//! refused: nothing that happens to lie beside them stands in.
//! Invariant: no file leads out of its folder.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use crate::files::is_systems_own;
use crate::models::ModelFolder;
use crate::text::TextError;
use crate::text::vocabulary::{bert_tokenizer_json, clip_tokenizer_json};
use crate::weights::from_json;

/// How the index of sharded weights ends.
pub const INDEX_SUFFIX: &str = ".safetensors.index.json";
/// The names that weights have in a folder, the first that is there counts. open_clip's come first where its configuration
/// lies beside them: timm's repositories call the image tower alone `model.safetensors`.
const OPEN_CLIP_WEIGHTS: [&str; 2] =
    ["open_clip_model.safetensors", "open_clip_model.safetensors.index.json"];
const WEIGHTS: [&str; 3] = ["model.safetensors", "model.safetensors.index.json", "model.gguf"];
/// Either tensor is in each of open_clip's files and in none of Hugging Face's.
const OPEN_CLIP_TENSORS: [&str; 2] = ["visual.conv1.weight", "visual.positional_embedding"];

const CONFIG: &str = "config.json";
const OPEN_CLIP_CONFIG: &str = "open_clip_config.json";
const PREPROCESSOR: &str = "preprocessor_config.json";
const TOKENIZER: &str = "tokenizer.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const CLIP_VOCABULARY: [&str; 2] = ["vocab.json", "merges.txt"];
const BERT_VOCABULARY: &str = "vocab.txt";
const MODULES: &str = "modules.json";
/// What a model's embeddings are compared with, under the name that `verify` knows.
pub const GOLDEN: &str = "golden.safetensors";
/// Files of SentencePiece, which `tokenizer.json` would say in a form that is read.
const SENTENCE_PIECE: [&str; 3] = ["spiece.model", "sentencepiece.bpe.model", "tokenizer.model"];

/// The names that may lie beside weights, for hosts that list nothing and have to be asked one by one.
pub const COMPANIONS: [&str; 9] = [
    CONFIG,
    OPEN_CLIP_CONFIG,
    PREPROCESSOR,
    TOKENIZER,
    TOKENIZER_CONFIG,
    CLIP_VOCABULARY[0],
    CLIP_VOCABULARY[1],
    BERT_VOCABULARY,
    MODULES,
];
/// The names that weights may have there.
pub const WEIGHT_NAMES: [&str; 5] =
    [OPEN_CLIP_WEIGHTS[0], OPEN_CLIP_WEIGHTS[1], WEIGHTS[0], WEIGHTS[1], WEIGHTS[2]];

/// Why files are no model, or none that is read.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum LayoutError {
    #[error("{}", no_weights(.0))]
    NoWeights(Vec<String>),
    #[error("it holds several models, {}: name one by its address", .0.join(", "))]
    Several(Vec<String>),
    #[error("{file:?} is not there, and it is the file that was named{}", beside(.weights))]
    Absent { file: String, weights: Vec<String> },
    #[error("{wanted} is not there: without it the weights cannot be understood")]
    NoConfig { wanted: &'static str },
    #[error("{index}: {reason}: an index is {{\"weight_map\": {{TENSOR: FILE, …}}}}")]
    Index { index: String, reason: String },
    #[error("{index} names no tensors")]
    EmptyIndex { index: String },
    #[error("{index} has the tensor `{tensor}` in {file:?}, which is no name of a file beside it")]
    ShardName { index: String, tensor: String, file: String },
    #[error("{file} lists {what}")]
    Module { file: String, what: String },
    #[error("{file}: {reason}")]
    Json { file: String, reason: String },
    #[error(
        "no tokenizer lies beside the weights: looked for tokenizer.json, vocab.json with merges.txt, and vocab.txt{}",
        if *.has_sentence_piece { "; there is SentencePiece's own file, which is not read: save the tokenizer as tokenizer.json" } else { "" }
    )]
    NoTokenizer { has_sentence_piece: bool },
    #[error(transparent)]
    Vocabulary(#[from] TextError),
}

fn beside(weights: &[String]) -> String {
    if weights.is_empty() { String::new() } else { format!("; there are {}", weights.join(", ")) }
}

/// What is there instead of weights, and what would help.
fn no_weights(names: &[String]) -> String {
    let ends = |ends: &[&str]| names.iter().filter(|name| ends.iter().any(|end| name.ends_with(end))).count();
    let mut found = Vec::new();
    let mut helps = Vec::new();
    let (n_pickles, n_graphs) = (ends(&PICKLES), ends(&[".onnx", ".onnx_data"]));
    if n_pickles + n_graphs > 0 {
        helps.push(
            "a conversion to safetensors often lies in a pull request of the repository: add @refs/pr/NUMBER to the id",
        );
    }
    if n_pickles > 0 {
        found.push("Python pickles, which can run code and are not read");
        helps.push("or save the model with `save_pretrained(…, safe_serialization=True)`");
    }
    if n_graphs > 0 {
        found.push("ONNX graphs, which are not read");
        helps.push("the model that they were exported from is usually named on the repository's page");
    }
    if ends(&[".h5", ".msgpack", ".tflite", ".pb"]) > 0 {
        found.push("weights for TensorFlow or Flax, which are not read");
    }
    if ends(&[".gz", ".zip", ".tar"]) > 0 {
        found.push("archives, which are not opened");
    }
    let shown = names.iter().take(12).cloned().collect::<Vec<_>>().join(", ");
    let more = if names.len() > 12 { format!(" and {} more", names.len() - 12) } else { String::new() };
    let mut text = "no weights that are read here (.safetensors or .gguf)".to_owned();
    text += &match (names.is_empty(), found.is_empty()) {
        (true, _) => "; it is empty".to_owned(),
        (false, true) => format!("; it holds {shown}{more}"),
        (false, false) => format!("; it holds {} ({shown}{more})", found.join(", and ")),
    };
    for help in helps {
        text += &format!("; {help}");
    }
    text
}

/// Weights that run code when they are read.
const PICKLES: [&str; 5] = [".bin", ".pt", ".pth", ".ckpt", ".pkl"];

/// The files of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// The weights, in the order in which they are read; with an index, nothing before that was read.
    pub weights: Vec<String>,
    /// The index that names the weights and their tensors.
    pub index: Option<String>,
    /// The configurations that are there: Hugging Face's, open_clip's, or both.
    configs: Vec<&'static str>,
    pub preprocessor: Option<String>,
    pub tokenizer: Tokenizer,
    /// sentence-transformers' list of what happens to a text.
    pub modules: Option<String>,
}

/// The files that a tokenizer is read from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tokenizer {
    /// `tokenizer.json`.
    Json,
    /// CLIP's older pair.
    Clip,
    /// BERT's vocabulary.
    Bert,
    /// SentencePiece's file alone, which is not read.
    SentencePiece,
    #[default]
    Absent,
}

impl Layout {
    /// Chooses among `names`, which all lie in one folder. `named` are the weights that an address or a catalogue names;
    /// the first of several may be their index.
    ///
    /// # Errors
    /// Nothing there that is read, or not what was named.
    pub fn choose(names: &[&str], named: &[String]) -> Result<Layout, LayoutError> {
        let has = |name: &str| names.contains(&name);
        let weights_there = || -> Vec<String> {
            let is_weights = |name: &&&str| {
                !name.contains('/') && is_weights(name) && **name != GOLDEN && !is_systems_own(name)
            };
            names.iter().filter(is_weights).map(|name| (*name).to_owned()).collect()
        };
        if let Some(file) = named.iter().find(|file| !has(file)) {
            return Err(LayoutError::Absent { file: file.clone(), weights: weights_there() });
        }
        let weights = match named {
            [] => vec![Layout::usual_weights(names, weights_there())?],
            named => named.to_vec(),
        };
        let (indices, weights): (Vec<String>, Vec<String>) =
            weights.into_iter().partition(|name| name.ends_with(INDEX_SUFFIX));
        let tokenizer = match () {
            _ if has(TOKENIZER) => Tokenizer::Json,
            _ if CLIP_VOCABULARY.iter().all(|name| has(name)) => Tokenizer::Clip,
            _ if has(BERT_VOCABULARY) => Tokenizer::Bert,
            _ if SENTENCE_PIECE.iter().any(|name| has(name)) => Tokenizer::SentencePiece,
            _ => Tokenizer::Absent,
        };
        let there = |name: &str| has(name).then(|| name.to_owned());
        Ok(Layout {
            weights: if indices.is_empty() { weights } else { Vec::new() },
            index: indices.into_iter().next(),
            configs: [CONFIG, OPEN_CLIP_CONFIG].into_iter().filter(|name| has(name)).collect(),
            preprocessor: there(PREPROCESSOR),
            tokenizer,
            modules: there(MODULES),
        })
    }

    /// The weights of a folder in which nobody named any.
    fn usual_weights(names: &[&str], weights: Vec<String>) -> Result<String, LayoutError> {
        let has = |name: &&&str| names.contains(*name);
        let open_clip = OPEN_CLIP_WEIGHTS.iter().filter(|_| names.contains(&OPEN_CLIP_CONFIG));
        if let Some(found) = open_clip.chain(&WEIGHTS).chain(&OPEN_CLIP_WEIGHTS).find(has) {
            return Ok((*found).to_owned());
        }
        let whole: Vec<String> = weights.into_iter().filter(|name| !is_shard(name)).collect();
        let of_kind =
            |end: &str| whole.iter().filter(|name| name.ends_with(end)).cloned().collect::<Vec<_>>();
        for kind in [INDEX_SUFFIX, ".safetensors", ".gguf"] {
            match &of_kind(kind)[..] {
                [] => (),
                [only] => return Ok(only.clone()),
                _ => return Err(LayoutError::Several(whole)),
            }
        }
        let of_person = names.iter().filter(|name| !is_systems_own(name));
        Err(LayoutError::NoWeights(of_person.map(|name| (*name).to_owned()).collect()))
    }

    /// Whether the weights are a GGUF, which holds its configuration itself.
    pub fn is_gguf(&self) -> bool {
        self.weights.iter().any(|name| name.to_ascii_lowercase().ends_with(".gguf"))
    }

    /// Whether the weights could be read, and labels tokenized, with what is there.
    pub fn is_understandable(&self) -> bool {
        let has_tokenizer = !matches!(self.tokenizer, Tokenizer::Absent | Tokenizer::SentencePiece);
        self.is_gguf() || (!self.configs.is_empty() && has_tokenizer)
    }

    /// The files beside the weights that are read, for transports that fetch before anything is opened.
    pub fn companions(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        if !self.is_gguf() {
            names.extend(self.configs.iter().map(|name| (*name).to_owned()));
            names.extend(self.preprocessor.iter().chain(&self.modules).cloned());
        }
        names.extend(self.tokenizer.files().into_iter().map(str::to_owned));
        names
    }

    /// The configuration of weights that hold these tensors: a folder may hold both, for weights under both namings.
    ///
    /// # Errors
    /// [`LayoutError::NoConfig`] where there is none.
    pub fn config<'a>(
        &self,
        mut tensors: impl Iterator<Item = &'a str>,
    ) -> Result<&'static str, LayoutError> {
        let is_open_clip = tensors.any(|name| OPEN_CLIP_TENSORS.contains(&name));
        let wanted = if is_open_clip { OPEN_CLIP_CONFIG } else { CONFIG };
        let found = self.configs.iter().find(|name| **name == wanted).or(self.configs.first());
        found.copied().ok_or(LayoutError::NoConfig { wanted })
    }
}

impl Tokenizer {
    /// The files to read, for [`Tokenizer::json`]. Some may not be there.
    pub fn files(self) -> Vec<&'static str> {
        match self {
            Tokenizer::Json => vec![TOKENIZER, TOKENIZER_CONFIG],
            Tokenizer::Clip => CLIP_VOCABULARY.to_vec(),
            Tokenizer::Bert => vec![BERT_VOCABULARY, TOKENIZER_CONFIG],
            Tokenizer::SentencePiece | Tokenizer::Absent => Vec::new(),
        }
    }

    /// # Errors
    /// [`LayoutError::NoTokenizer`] where there is none that is read.
    pub fn check(self) -> Result<(), LayoutError> {
        let has_sentence_piece = self == Tokenizer::SentencePiece;
        match self {
            Tokenizer::Absent | Tokenizer::SentencePiece => {
                Err(LayoutError::NoTokenizer { has_sentence_piece })
            }
            _ => Ok(()),
        }
    }

    /// A `tokenizer.json` from the contents of [`Tokenizer::files`], in their order.
    ///
    /// # Errors
    /// No tokenizer that is read; a vocabulary that is none.
    pub fn json(self, contents: &[Option<Vec<u8>>]) -> Result<String, LayoutError> {
        let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
        let has_sentence_piece = self == Tokenizer::SentencePiece;
        match (self, contents) {
            (Tokenizer::Json, [Some(json), ..]) => Ok(text(json)),
            (Tokenizer::Clip, [Some(vocabulary), Some(merges)]) => {
                Ok(clip_tokenizer_json(&text(vocabulary), &text(merges))?)
            }
            (Tokenizer::Bert, [Some(vocabulary), config]) => {
                Ok(bert_tokenizer_json(&text(vocabulary), config.as_deref())?)
            }
            _ => Err(LayoutError::NoTokenizer { has_sentence_piece }),
        }
    }
}

/// The JSON files of a model, as the import takes them.
#[derive(Clone, Debug, Default)]
pub struct Companions {
    pub config: Vec<u8>,
    pub preprocessor: Option<Vec<u8>>,
    pub tokenizer: Option<String>,
}

impl Companions {
    pub fn folder(&self) -> ModelFolder<'_> {
        ModelFolder {
            config: &self.config,
            tokenizer: self.tokenizer.as_deref(),
            preprocessor: self.preprocessor.as_deref(),
        }
    }
}

/// The index of weights in several files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// The names of the tensors in each file.
    pub files: BTreeMap<String, Vec<String>>,
    /// Bytes of all tensors, where the index says it.
    pub n_bytes: u64,
}

impl Index {
    /// Reads the index `name`.
    ///
    /// # Errors
    /// A file that is no index, names nothing, or names a file that does not lie beside it.
    pub fn parse(name: &str, json: &[u8]) -> Result<Index, LayoutError> {
        #[derive(Deserialize)]
        struct File {
            #[serde(default)]
            metadata: Metadata,
            weight_map: BTreeMap<String, String>,
        }
        #[derive(Default, Deserialize)]
        struct Metadata {
            #[serde(default)]
            total_size: f64,
        }
        let index = || name.to_owned();
        let File { metadata, weight_map } = from_json(json)
            .map_err(|error| LayoutError::Index { index: index(), reason: error.to_string() })?;
        let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (tensor, file) in weight_map {
            let is_outside =
                file.contains(['/', '\\', '?', '#', ':']) || file.starts_with('.') || file.is_empty();
            if is_outside {
                return Err(LayoutError::ShardName { index: index(), tensor, file });
            }
            files.entry(file).or_default().push(tensor);
        }
        if files.is_empty() {
            return Err(LayoutError::EmptyIndex { index: index() });
        }
        Ok(Index { files, n_bytes: metadata.total_size as u64 })
    }

    /// The names of all tensors.
    pub fn tensors(&self) -> impl Iterator<Item = &String> {
        self.files.values().flatten()
    }
}

/// sentence-transformers' `modules.json`: what happens to a text, one folder a step.
#[derive(Clone, Debug)]
pub struct Modules {
    steps: Vec<Module>,
}

#[derive(Clone, Debug, Deserialize)]
struct Module {
    path: String,
    r#type: String,
}

impl Module {
    fn kind(&self) -> &str {
        self.r#type.rsplit('.').next().unwrap_or_default()
    }

    fn config(&self) -> String {
        format!("{}/{CONFIG}", self.path)
    }
}

fn unknown_module(what: String) -> LayoutError {
    LayoutError::Module { file: MODULES.to_owned(), what }
}

impl Modules {
    /// # Errors
    /// A file that is no such list, or that leads out of its folder.
    pub fn parse(json: &[u8]) -> Result<Modules, LayoutError> {
        let steps: Vec<Module> = from_json(json)
            .map_err(|error| LayoutError::Json { file: MODULES.to_owned(), reason: error.to_string() })?;
        let is_outside = |step: &&Module| step.path.contains(['/', '\\', ':']) || step.path.starts_with('.');
        match steps.iter().find(is_outside) {
            Some(step) => Err(unknown_module(format!("{:?}, which is no folder beside it", step.path))),
            None => Ok(Modules { steps }),
        }
    }

    /// The configurations that [`Modules::dense_layer`] has to see.
    pub fn configs(&self) -> Vec<String> {
        let is_read = |step: &&Module| ["Pooling", "Dense"].contains(&step.kind());
        self.steps.iter().filter(is_read).map(Module::config).collect()
    }

    /// The weights that steps may have, for transports that fetch before anything is opened.
    pub fn weights(&self) -> Vec<String> {
        let dense = self.steps.iter().filter(|step| step.kind() == "Dense");
        dense.map(|step| format!("{}/{}", step.path, WEIGHTS[0])).collect()
    }

    /// The weights of the dense layer behind the pooling, where there is one. `config` gives the contents of
    /// [`Modules::configs`].
    ///
    /// # Errors
    /// Pooling other than the mean, a dense layer with an activation, steps of another kind.
    pub fn dense_layer(
        &self,
        config: impl Fn(&str) -> Option<Vec<u8>>,
    ) -> Result<Option<String>, LayoutError> {
        let read = |step: &Module| -> Result<Value, LayoutError> {
            let json = config(&step.config()).unwrap_or_default();
            let failed = |error: serde_json::Error| LayoutError::Json {
                file: step.config(),
                reason: error.to_string(),
            };
            from_json(&json).map_err(failed)
        };
        let mut dense = None;
        for step in &self.steps {
            match step.kind() {
                "Transformer" if step.path.is_empty() => (),
                // Similarities are cosines anyway.
                "Normalize" => (),
                "Pooling" => {
                    let config = read(step)?;
                    let keys = config.as_object().into_iter().flatten().map(|(key, _)| key.as_str());
                    let is_on = |key: &&str| key.starts_with("pooling_mode_") && config[*key] == true;
                    let modes: Vec<&str> = keys.filter(is_on).collect();
                    if modes != ["pooling_mode_mean_tokens"] && config["pooling_mode"] != "mean" {
                        let what = format!("pooling by {modes:?}; only the mean of tokens is known");
                        return Err(unknown_module(what));
                    }
                }
                "Dense" if dense.is_none() => {
                    let config = read(step)?;
                    let activation = config["activation_function"].as_str().unwrap_or("Tanh");
                    if !activation.ends_with("Identity") {
                        let what = format!("a dense layer with {activation}; only one without is known");
                        return Err(unknown_module(what));
                    }
                    dense = Some(format!("{}/{}", step.path, WEIGHTS[0]));
                }
                _ => {
                    let what = format!("the step {:?} in {:?}, which is not known", step.r#type, step.path);
                    return Err(unknown_module(what));
                }
            }
        }
        Ok(dense)
    }
}

/// The names under which the files that a reader chose take part in a model, in their order: without what a browser adds
/// to a name that is taken ("config (1).json") and in lower case; `None` for files that are no part of one.
pub fn own_names(names: &[String]) -> Vec<Option<String>> {
    let part = |name: &String| {
        let name = name.rsplit(['/', '\\']).next().unwrap_or(name);
        let plain = without_copy_number(&name.to_ascii_lowercase());
        let ends: [&str; 10] = [
            OPEN_CLIP_CONFIG,
            PREPROCESSOR,
            TOKENIZER_CONFIG,
            TOKENIZER,
            CLIP_VOCABULARY[0],
            CLIP_VOCABULARY[1],
            BERT_VOCABULARY,
            MODULES,
            CONFIG,
            SENTENCE_PIECE[0],
        ];
        if is_weights(&plain) {
            // Shards are named by their index.
            return Some(if is_shard(&plain) { without_copy_number(name) } else { plain });
        }
        // A prefix of the reader's own, as in "clip-b32-config.json".
        let is_named = |end: &&&str| {
            let before = plain.strip_suffix(**end);
            before.is_some_and(|before| before.is_empty() || before.ends_with(['-', '_', '.', ' ']))
        };
        ends.iter().find(is_named).map(|end| (*end).to_owned())
    };
    names.iter().map(part).collect()
}

/// A name without what a browser or a file manager adds to one that is taken, before the last of its endings or an
/// earlier one: `config (1).json`, `merges(2).txt`, `config - Copy.json`, `model.safetensors.index (1).json`.
fn without_copy_number(name: &str) -> String {
    let part = |part: &str| -> String {
        let lower = part.to_ascii_lowercase();
        let copy = [" - copy", " copy"].into_iter().find(|copy| lower.ends_with(copy));
        let part = copy.map_or(part, |copy| &part[..part.len() - copy.len()]);
        let numbered = part.strip_suffix(')').and_then(|rest| rest.rsplit_once('('));
        let is_number = |number: &str| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        numbered.filter(|(_, number)| is_number(number)).map_or(part, |(base, _)| base.trim_end()).to_owned()
    };
    name.split('.').map(part).collect::<Vec<_>>().join(".")
}

/// A name without what says that it is weights.
pub fn stem(name: &str) -> &str {
    let lower = name.to_ascii_lowercase();
    let ends = [INDEX_SUFFIX, ".safetensors", ".gguf"];
    ends.iter().find(|end| lower.ends_with(**end)).map_or(name, |end| &name[..name.len() - end.len()])
}

/// Whether a file of this name holds weights that are read, or is the index of such.
pub fn is_weights(name: &str) -> bool {
    stem(name).len() < name.len()
}

/// Whether a file is one of several, as in `model-00001-of-00002.safetensors`.
pub fn is_shard(name: &str) -> bool {
    let is_number = |text: &str| text.len() >= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    let parts = stem(name).rsplit_once("-of-");
    parts.is_some_and(|(start, total)| {
        let number = start.rsplit('-').next().unwrap_or_default();
        is_number(total) && is_number(number) && is_weights(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(names: &[&str]) -> Result<String, LayoutError> {
        let layout = Layout::choose(names, &[])?;
        Ok(layout.index.unwrap_or_else(|| layout.weights.join("+")))
    }

    #[test]
    fn weights_are_chosen_as_their_makers_lay_them_out() {
        for (names, expected) in [
            (&["config.json", "model.safetensors", "pytorch_model.bin"][..], "model.safetensors"),
            (
                &["config.json", "model.safetensors", "open_clip_config.json", "open_clip_model.safetensors"],
                "open_clip_model.safetensors",
            ),
            (&["config.json", "model.safetensors", "open_clip_model.safetensors"], "model.safetensors"),
            (&["clip-q8_0.gguf", "README.md"], "clip-q8_0.gguf"),
            (
                &["model-00001-of-00002.safetensors", "model.safetensors.index.json"],
                "model.safetensors.index.json",
            ),
            (&["vit.safetensors", "config.json"], "vit.safetensors"),
            (&["model.safetensors", "sub/model.gguf"], "model.safetensors"),
        ] {
            assert_eq!(chosen(names).as_deref(), Ok(expected), "{names:?}");
        }
        let several = ["a.gguf", "b.gguf"].map(str::to_owned).to_vec();
        assert_eq!(chosen(&["a.gguf", "b.gguf"]), Err(LayoutError::Several(several)));
    }

    #[test]
    fn named_weights_are_taken_or_refused() {
        let names =
            ["config.json", "model.safetensors", "open_clip_config.json", "open_clip_model.safetensors"];
        for name in ["model.safetensors", "open_clip_model.safetensors"] {
            assert_eq!(Layout::choose(&names, &[name.to_owned()]).unwrap().weights, [name]);
        }
        let error = Layout::choose(&names, &["q8.gguf".to_owned()]).unwrap_err();
        assert!(
            error.to_string().contains("q8.gguf") && error.to_string().contains("open_clip_model"),
            "{error}"
        );
    }

    #[test]
    fn what_holds_no_weights_is_told_with_what_would_help() {
        for (names, told) in [
            (
                &["pytorch_model.bin", "config.json"][..],
                &["pytorch_model.bin", "pickles", "@refs/pr/NUMBER"][..],
            ),
            (&["onnx/model.onnx", "config.json"], &["ONNX", "onnx/model.onnx"]),
            (&["tf_model.h5"], &["TensorFlow"]),
            (&["README.md"], &["README.md"]),
            (&[], &["empty"]),
        ] {
            let error = chosen(names).unwrap_err().to_string();
            assert!(told.iter().all(|told| error.contains(told)), "{names:?}: {error}");
        }
    }

    #[test]
    fn each_kind_of_tokenizer_is_found() {
        let of = |names: &[&str]| Layout::choose(&[names, &["model.gguf"]].concat(), &[]).unwrap().tokenizer;
        assert_eq!(of(&["tokenizer.json", "vocab.json", "merges.txt"]), Tokenizer::Json);
        assert_eq!(of(&["vocab.json", "merges.txt"]), Tokenizer::Clip);
        assert_eq!(of(&["vocab.json", "vocab.txt"]), Tokenizer::Bert);
        assert_eq!(of(&["spiece.model"]), Tokenizer::SentencePiece);
        assert_eq!(of(&["vocab.json"]), Tokenizer::Absent);
        let error = Tokenizer::SentencePiece.json(&[]).unwrap_err().to_string();
        assert!(error.contains("SentencePiece"), "{error}");
    }

    #[test]
    fn a_configuration_goes_with_its_weights_naming() {
        let names = ["config.json", "open_clip_config.json", "a.safetensors"];
        let layout = Layout::choose(&names, &[]).unwrap();
        assert_eq!(
            layout.config(["visual.conv1.weight"].into_iter()).as_deref(),
            Ok("open_clip_config.json")
        );
        assert_eq!(layout.config(["logit_scale"].into_iter()).as_deref(), Ok("config.json"));
        let alone = Layout::choose(&["open_clip_config.json", "a.safetensors"], &[]).unwrap();
        assert_eq!(alone.config(["logit_scale"].into_iter()).as_deref(), Ok("open_clip_config.json"));
        let none = Layout::choose(&["a.safetensors"], &[]).unwrap();
        assert_eq!(none.config([].into_iter()), Err(LayoutError::NoConfig { wanted: "config.json" }));
    }

    #[test]
    fn a_readers_own_files_take_part_under_the_names_that_they_had() {
        let names = [
            "config (1).json",
            "Model.SafeTensors",
            "C:\\clip\\vocab.json",
            "merges(2).txt",
            "photo.jpg",
            "clip-b32_open_clip_config.json",
            "preprocessor_config - Copy.json",
            "model-00001-of-00002 (3).safetensors",
            "model.safetensors.index (1).json",
            "myconfig.json",
        ];
        let parts = own_names(&names.map(str::to_owned));
        let parts: Vec<&str> = parts.iter().map(|part| part.as_deref().unwrap_or("-")).collect();
        assert_eq!(
            parts,
            [
                "config.json",
                "model.safetensors",
                "vocab.json",
                "merges.txt",
                "-",
                "open_clip_config.json",
                "preprocessor_config.json",
                "model-00001-of-00002.safetensors",
                "model.safetensors.index.json",
                "-",
            ]
        );
    }

    #[test]
    fn an_index_must_not_lead_out_of_its_folder() {
        let index =
            Index::parse("i", br#"{"metadata": {"total_size": 8}, "weight_map": {"a": "x.safetensors"}}"#)
                .unwrap();
        assert_eq!((index.n_bytes, index.tensors().count()), (8, 1));
        for file in ["../x", "a/b", "c:x", "", ".x", "a\\\\b"] {
            let json = format!(r#"{{"weight_map": {{"a": "{file}"}}}}"#);
            assert!(
                matches!(Index::parse("i", json.as_bytes()), Err(LayoutError::ShardName { .. })),
                "{file}"
            );
        }
        assert!(matches!(Index::parse("i", br#"{"weight_map": {}}"#), Err(LayoutError::EmptyIndex { .. })));
        assert!(matches!(Index::parse("i", b"[]"), Err(LayoutError::Index { .. })));
    }
}
