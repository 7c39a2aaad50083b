//! Other people's weights to canonical ones: names, layouts, folded batch norms.
//!
//! Canonical names and shapes (`.weight` and, where given, `.bias` of each):
//!
//! | name | shape of the weight |
//! |---|---|
//! | `vision.patch` | `[width, patch_size² · 3]`, channels last |
//! | `vision.class`, `vision.position` (no suffix) | `[width]`, `[n_tokens, width]` |
//! | `vision.pre_norm`, `vision.post_norm`, `text.embed_norm`, `text.final_norm` | `[width]` |
//! | `text.token`, `text.position` (no suffix) | `[vocab_size, width]`, `[context_len, width]` |
//! | `SIDE.blocks.I.{norm1, norm2}` | `[width]` |
//! | `SIDE.blocks.I.{qkv, out, up, down}` | `[3 width, width]`, `[width, width]`, `[n_hidden, width]`, `[width, n_hidden]` |
//! | `SIDE.projection` | `[n_embed, width]` |
//! | `vision.pool.{qkv, norm, out, up, down}` | SigLIP's pooling block, as above; the query's third of `qkv` is zeros |
//! | `vision.stem.I`, `vision.blocks.I.{reduce, conv, expand, shortcut}` | the same of a ModifiedResNet |
//! | `vision.pool.position` (no suffix), `vision.pool.qkv` | its pooling attention: `[pixels + 1, width]`, as above |
//! | `vision.{stem, head, classifier}`, `vision.blocks.I.{expand, project}` | `[c_out, kernel² · c_in]`, channels last |
//! | `vision.blocks.I.depthwise` | `[kernel, kernel, channels]` |
//!
//! Invariant: an import is a list of [`TensorRule`]s, each one tensor made from a few, so that a download can be converted
//! tensor by tensor while it arrives.

mod bert;
mod clip_cpp;
mod efficientnet;
mod hugging_face;
mod open_clip;
mod preprocessor;
mod rules;
mod stream;

use serde_json::Value;

use super::config::activation_name;
use super::{Checkpoint, Config, ModelError, file};
use crate::graph::Activation;
use crate::image::Preprocess;
use crate::weights::gguf::GgufFile;
use crate::weights::{TensorSource, Weights, from_json};
pub use efficientnet::efficientnet_lite_strides;
use rules::{Rules, TensorRule};
pub use stream::{Importer, Sink};

/// What [`import`] knows, for messages.
pub const SUPPORTED: &str = "clip (Hugging Face's CLIPModel, open_clip's ViT and ModifiedResNet, clip.cpp's GGUF), chinese_clip (ChineseCLIPModel), siglip (SiglipModel), ModifiedResNet (open_clip's image tower), bert (BertModel), distilbert (DistilBertModel), \
                             efficientnet_lite (lukemelas' PyTorch names)";

/// Files of one model, as they lie in its folder.
#[derive(Clone, Copy, Debug, Default)]
pub struct ModelFolder<'a> {
    /// `config.json`, or `open_clip_config.json`.
    pub config: &'a [u8],
    /// `tokenizer.json`.
    pub tokenizer: Option<&'a str>,
    /// `preprocessor_config.json`; without it CLIP's values.
    pub preprocessor: Option<&'a [u8]>,
}

/// Where a model comes from, but for its tensors.
#[derive(Clone, Copy, Debug)]
pub enum Origin<'a> {
    /// safetensors with JSON files beside them.
    Folder(ModelFolder<'a>),
    /// A GGUF, ours or clip.cpp's, of which only the metadata counts.
    Gguf(&'a GgufFile),
}

/// Reads the configuration and converts the weights.
///
/// # Errors
/// An architecture that is not in [`SUPPORTED`], a configuration without a needed field, a missing weight.
pub fn import(folder: ModelFolder, weights: &dyn TensorSource) -> Result<Checkpoint, ModelError> {
    let (config, rules) = plan(Origin::Folder(folder), weights)?;
    let mut canonical = Weights::default();
    for rule in rules {
        let is_here = rule.from.iter().all(|name| weights.contains(name));
        if is_here || !rule.is_optional {
            let sources = rule.from.iter().map(|name| weights.get(name)).collect::<Result<_, _>>()?;
            let tensor = rule.cook(sources)?;
            canonical.insert(rule.to, tensor);
        }
    }
    Ok(Checkpoint { config, weights: canonical })
}

/// The configuration, and how each canonical tensor is made; of `weights` only the names are asked, and single numbers
/// where they are there.
pub(super) fn plan(
    origin: Origin,
    weights: &dyn TensorSource,
) -> Result<(Config, Vec<TensorRule>), ModelError> {
    let file = match origin {
        Origin::Folder(folder) => return plan_folder(folder, weights),
        Origin::Gguf(file) => file,
    };
    match file.string("general.architecture").unwrap_or("") {
        file::ARCHITECTURE => {
            let mut rules = Rules::default();
            weights.names().iter().for_each(|name| rules.copy(name, name));
            Ok((file::config_of(file)?, rules.0))
        }
        "clip" => clip_cpp::plan_clip_cpp(file),
        other => Err(ModelError::Unsupported { architecture: other.to_owned() }),
    }
}

fn plan_folder(
    folder: ModelFolder,
    weights: &dyn TensorSource,
) -> Result<(Config, Vec<TensorRule>), ModelError> {
    let json: Value = from_json(folder.config).map_err(config_error)?;
    let name = ["model_type", "architecture"].iter().find_map(|key| json.get(key)?.as_str()).unwrap_or("");
    let (mut config, rules) = match name {
        // open_clip's name themselves by the towers that they describe.
        _ if json.get("model_cfg").unwrap_or(&json).get("vision_cfg").is_some() => {
            open_clip::open_clip(&json, weights)?
        }
        "clip" => hugging_face::clip(&json, weights)?,
        "chinese_clip" => hugging_face::chinese_clip(&json, weights)?,
        "siglip" => hugging_face::siglip(&json, weights)?,
        "bert" => bert::bert(&json, weights)?,
        "distilbert" => bert::distilbert(&json)?,
        "ModifiedResNet" => open_clip::modified_resnet(&json, weights)?,
        "efficientnet_lite" => efficientnet::efficientnet_lite(&json)?,
        _ => return Err(ModelError::Unsupported { architecture: name.to_owned() }),
    };
    if let Some(json) = folder.tokenizer {
        config.set_tokenizer(json.to_owned());
    }
    if let Some(preprocessor) = folder.preprocessor {
        config.preprocess = preprocessor::preprocess(preprocessor, config.preprocess)?;
    }
    check_pictures(&config, folder.preprocessor.map_or("the configuration", |_| "preprocessor_config.json"))?;
    Ok((config, rules.0))
}

/// Pictures that a tower sees are this wide at most, some eight times those of any published CLIP: sizes that follow from a
/// picture's fit 32 bits.
const MAX_IMAGE_SIZE: usize = 4096;

/// Refuses towers for huge pictures, pictures of another size than the model sees, and values that no picture would
/// survive; `file` says so.
pub(super) fn check_pictures(config: &Config, file: &str) -> Result<(), ModelError> {
    let Preprocess { size, resize, mean, std, .. } = config.preprocess;
    if let Some(resize) = resize.filter(|resize| *resize > MAX_IMAGE_SIZE) {
        return Err(ModelError::Config(format!(
            "{file} makes pictures of {resize} pixels before they are cropped, the most are {MAX_IMAGE_SIZE}"
        )));
    }
    if let Some(vision) = &config.vision {
        let expected = vision.image_size();
        if expected > MAX_IMAGE_SIZE {
            return Err(ModelError::Config(format!(
                "it sees pictures of {expected} pixels, the most are {MAX_IMAGE_SIZE}"
            )));
        }
        if expected != size {
            return Err(ModelError::Config(format!(
                "{file} makes pictures of {size} pixels, the model sees {expected}"
            )));
        }
    }
    let is_usable =
        mean.iter().all(|mean| mean.is_finite()) && std.iter().all(|std| std.is_normal() && *std > 0.0);
    if is_usable {
        return Ok(());
    }
    Err(ModelError::Config(format!("{file} has the mean {mean:?} and the deviation {std:?} of colours")))
}

fn config_error(error: serde_json::Error) -> ModelError {
    ModelError::Config(format!("config.json: {error}"))
}

fn parse_activation(name: &str) -> Result<Activation, ModelError> {
    activation_name::parse(name)
        .ok_or_else(|| ModelError::Config(format!("config.json: the activation {name:?} is not supported")))
}

/// The first value of a tensor, where the file has it.
fn scalar(weights: &dyn TensorSource, name: &str) -> Option<f32> {
    weights.get(name).ok()?.to_f32().first().copied()
}

type Imported = (Config, Rules);

/// The prompt that CLIP's authors use where they use one.
const CLIP_TEMPLATE: &str = "a photo of a {label}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_architecture_is_named_with_those_supported() {
        let source = ModelFolder { config: br#"{"model_type": "blip"}"#, ..Default::default() };
        let error = import(source, &Weights::default()).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("\"blip\"") && error.contains("clip (Hugging Face's CLIPModel"), "{error}");
    }
}
