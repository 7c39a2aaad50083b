//! Our own GGUF: a [`Checkpoint`] in one file.
//!
//! Invariant: each field of [`Config`] is one metadata key, `cliplet.` and its path; reading back gives the same config.
//! Invariant: batch norms are folded and matrices stacked before they are quantized.

use serde_json::{Map, Number, Value as Json};

use super::{Calibration, Checkpoint, Config, Importer, ModelError, Origin};
use crate::tensor::{Format, Tensor};
use crate::weights::gguf::{self, GgufFile, Header, Value};
use crate::weights::{Weights, WeightsError};

pub(super) const ARCHITECTURE: &str = "cliplet";

/// Which format each tensor of a file gets.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantization {
    /// The format of matrices (linear and pointwise layers) whose rows 32 divides; others are f16.
    pub matrices: Format,
    /// The format of the token table.
    pub token_table: Format,
    /// Names that contain the text get the format instead, where their rows allow it; the first that fits counts.
    pub exceptions: Vec<(String, Format)>,
}

impl Quantization {
    /// Everything that is a matrix as `format`.
    pub fn all(format: Format) -> Self {
        Self { matrices: format, token_table: format, exceptions: Vec::new() }
    }

    /// What a whole model of `format` is: [`Self::all`], but of q4_0 what loses most keeps more bits, as measured on the
    /// models of the tests (their 4-bit embeddings turn by cosines of 0.974 and more, so by 0.988). ViT-B/32 takes 94.8 MB
    /// instead of 85.9.
    pub fn preset(format: Format) -> Self {
        if format != Format::Q4_0 {
            return Self::all(format);
        }
        let part = |part: &str, format| (part.to_owned(), format);
        Self {
            matrices: Format::Q4_0,
            token_table: Format::Q5_0,
            exceptions: vec![
                part(".projection.", Format::Q8_0),
                part(".qkv.", Format::Q5_0),
                part(".out.", Format::Q5_0),
                part("vision.patch.", Format::Q5_0),
                part("vision.pool.", Format::Q5_0),
            ],
        }
    }

    /// The tensor as the file is to hold it.
    ///
    /// # Errors
    /// Values that the format cannot hold: f16 ends at 65504, and so does a block's scale.
    pub fn store(&self, name: &str, tensor: Tensor) -> Result<Tensor, ModelError> {
        let format = self.format_of(name, &tensor);
        if format == tensor.format {
            return Ok(tensor); // moved: it may be most of the model
        }
        let bad = |source| WeightsError::BadTensor { name: name.to_owned(), source };
        let stored = tensor.requantize(format).map_err(bad)?;
        stored.check_finite().map_err(bad)?;
        Ok(stored)
    }

    /// The format that the file is to hold the tensor in.
    pub fn format_of(&self, name: &str, tensor: &Tensor) -> Format {
        // Vectors are tiny and norms sensitive. Positions and depthwise kernels are small; neighbours in a block of
        // them would share one scale across channels.
        let usual = match tensor.shape.len() {
            0 | 1 => return Format::F32,
            2 if name == "text.token.weight" => self.token_table,
            2 if name.ends_with(".weight") => self.matrices,
            _ if self.matrices == Format::F32 => Format::F32,
            _ => Format::F16,
        };
        let exception = self.exceptions.iter().find(|(part, _)| name.contains(part));
        let format = exception.map_or(usual, |(_, format)| *format);
        if tensor.n_cols().is_multiple_of(format.block_len()) { format } else { Format::F16 }
    }
}

/// Writes the model, each tensor in the format that `quantization` gives it.
pub fn save_gguf(checkpoint: &Checkpoint, quantization: &Quantization) -> Result<Vec<u8>, ModelError> {
    let mut file = file_of(&checkpoint.config)?;
    for name in checkpoint.weights.names() {
        let tensor = checkpoint.weights.tensor(name)?;
        file.tensors.insert(name.to_owned(), tensor.requantize(quantization.format_of(name, tensor))?);
    }
    Ok(file.to_bytes().map_err(WeightsError::from)?)
}

/// A file that holds the configuration alone; with a [`Table`](crate::weights::gguf::Table) for its tensors it can be
/// written without holding them.
pub fn file_of(config: &Config) -> Result<GgufFile, ModelError> {
    let mut file = GgufFile::default();
    file.set("general.architecture", ARCHITECTURE);
    for (key, text) in [("general.name", &config.about.name), ("general.license", &config.about.license)] {
        if !text.is_empty() {
            file.set(key, text.as_str());
        }
    }
    let config = serde_json::to_value(config).map_err(|error| ModelError::Config(error.to_string()))?;
    flatten(ARCHITECTURE, &config, &mut file)?;
    Ok(file)
}

/// Whether a GGUF is one of this project.
pub fn is_own(file: &GgufFile) -> bool {
    file.string("general.architecture").is_ok_and(|name| name == ARCHITECTURE)
}

/// Reads what [`save_gguf`] wrote, or a GGUF of clip.cpp.
///
/// # Errors
/// Bytes that are no GGUF, a GGUF of another program, a key or tensor that is missing or of another type.
pub fn load_gguf(bytes: &[u8]) -> Result<Checkpoint, ModelError> {
    let mut file = gguf::read(bytes).map_err(WeightsError::from)?;
    let tensors = std::mem::take(&mut file.tensors);
    let mut importer = Importer::new(Origin::Gguf(&file), tensors.keys().cloned())?;
    let mut weights = Weights::default();
    for (name, tensor) in tensors {
        importer.push(&name, tensor, &mut |name, tensor| {
            weights.insert(name, tensor);
            Ok::<_, ModelError>(())
        })?;
    }
    Ok(Checkpoint { config: importer.finish()?, weights })
}

/// A file of ours with another calibration: the header is written anew, the tensors stay as they are, byte for byte.
///
/// # Errors
/// Bytes that are no GGUF of this program.
pub fn recalibrated(bytes: &[u8], calibration: &Calibration) -> Result<Vec<u8>, ModelError> {
    const SECTION: &str = "cliplet.calibration";
    let header = Header::parse(bytes, bytes.len() as u64).map_err(WeightsError::from)?;
    let mut file = GgufFile { metadata: header.metadata.clone(), ..Default::default() };
    if file.string("general.architecture").ok() != Some(ARCHITECTURE) {
        return Err(ModelError::Foreign(
            "a calibration is kept in a GGUF that `cliplet convert` wrote".to_owned(),
        ));
    }
    file.metadata.retain(|key, _| !key.starts_with(SECTION));
    let json = serde_json::to_value(calibration).map_err(|error| ModelError::Config(error.to_string()))?;
    flatten(SECTION, &json, &mut file)?;
    let mut calibrated = header.with_metadata(&file.metadata).map_err(WeightsError::from)?;
    calibrated.extend(&bytes[header.len as usize..]);
    Ok(calibrated)
}

/// The configuration that a file of ours holds; its tensors are canonical as they are. For programs that read no others,
/// and so need not carry what [`Importer`] knows.
///
/// # Errors
/// A GGUF of another program, a key that is missing or of another type.
pub fn own_config(file: &GgufFile) -> Result<Config, ModelError> {
    if is_own(file) {
        return config_of(file);
    }
    let architecture = file.string("general.architecture").unwrap_or_default().to_owned();
    Err(ModelError::Foreign(format!("its architecture is {architecture:?}, not {ARCHITECTURE:?}")))
}

/// The configuration that a file of ours holds.
pub(super) fn config_of(file: &GgufFile) -> Result<Config, ModelError> {
    let mut json = Map::new();
    let mut n_items = 0;
    for (key, value) in &file.metadata {
        let Some(path) = key.strip_prefix("cliplet.") else { continue };
        if let Value::Array(array) = value {
            n_items += array.len().min(MAX_ITEMS + 1);
        }
        if n_items > MAX_ITEMS {
            return Err(ModelError::Foreign(format!("its lists hold more than {MAX_ITEMS} items")));
        }
        let value = to_json(value)
            .ok_or_else(|| ModelError::Foreign(format!("the key {key:?} holds what no key of ours holds")))?;
        unflatten(&mut json, path, value).ok_or_else(|| {
            ModelError::Foreign(format!("the key {key:?} stands beside another that contains it"))
        })?;
    }
    let mut config: Config = serde_json::from_value(Json::Object(json))
        .map_err(|error| ModelError::Foreign(format!("the configuration: {error}")))?;
    config.calibration = config.calibration.without_old_defaults();
    Ok(config)
}

/// Objects nest with dots; numbers are u32 where they are whole, else f32.
fn flatten(path: &str, json: &Json, file: &mut GgufFile) -> Result<(), ModelError> {
    if let Json::Object(fields) = json {
        return fields.iter().try_for_each(|(key, json)| flatten(&format!("{path}.{key}"), json, file));
    }
    if let Json::Array(items) = json
        && items.is_empty()
    {
        return Ok(()); // an absent key reads as an empty list
    }
    let value = to_gguf(json)
        .ok_or_else(|| ModelError::Config(format!("{path}: {json} cannot be stored as metadata")))?;
    file.metadata.insert(path.to_owned(), value);
    Ok(())
}

/// A field alone, or in its section. Sections hold no sections: what follows a second dot is a field that nothing reads,
/// and a key of a thousand dots nests nothing.
fn unflatten(json: &mut Map<String, Json>, path: &str, value: Json) -> Option<()> {
    match path.split_once('.') {
        Some((section, field)) => {
            let section = json.entry(section).or_insert_with(|| Json::Object(Map::new()));
            section.as_object_mut()?.insert(field.to_owned(), value);
        }
        None => drop(json.insert(path.to_owned(), value)),
    }
    Some(())
}

fn to_gguf(json: &Json) -> Option<Value> {
    let float = |json: &Json| json.as_f64().map(|value| value as f32);
    let whole = |json: &Json| json.as_u64().and_then(|value| u32::try_from(value).ok());
    match json {
        Json::Bool(value) => Some((*value).into()),
        Json::String(text) => Some(text.as_str().into()),
        Json::Number(number) if number.is_u64() => whole(json).map(Value::from),
        Json::Number(_) => float(json).map(Value::from),
        Json::Array(items) if items.iter().all(Json::is_u64) => {
            items.iter().map(whole).collect::<Option<Vec<_>>>().map(Value::from)
        }
        Json::Array(items) if items.iter().all(Json::is_number) => {
            items.iter().map(float).collect::<Option<Vec<_>>>().map(Value::from)
        }
        Json::Array(items) => {
            let text = |json: &Json| json.as_str().map(str::to_owned);
            items.iter().map(text).collect::<Option<Vec<_>>>().map(Value::from)
        }
        Json::Null | Json::Object(_) => None,
    }
}

/// All lists of a file together hold so many items at most; ours hold two embeddings and a few words. As JSON a byte
/// takes 32.
const MAX_ITEMS: u64 = 8192;

fn to_json(value: &Value) -> Option<Json> {
    Some(match value {
        Value::Bool(value) => (*value).into(),
        Value::String(text) => text.as_str().into(),
        Value::Array(array) => Json::Array(array.iter().map(|item| to_json(&item)).collect::<Option<_>>()?),
        value => match (value.as_u64(), value.as_f32()) {
            (Some(whole), _) => whole.into(),
            (_, Some(float)) => Number::from_f64(float.into())?.into(),
            _ => return None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::super::config::*;
    use super::*;
    use crate::graph::Activation;

    fn checkpoint() -> Checkpoint {
        let transformer = Transformer {
            width: 64,
            n_layers: 1,
            n_heads: 2,
            n_hidden: 96,
            activation: Activation::QuickGelu,
            epsilon: 1e-12,
        };
        let config = Config {
            about: About {
                name: "a model".to_owned(),
                sources: vec!["here".to_owned(), "there".to_owned()],
                ..Default::default()
            },
            vision: Some(Vision::EfficientnetLite { image_size: 32, strides: vec![1, 2] }),
            text: Some(Text::ClipText { context_len: 8, end_token: Some(7), transformer }),
            image_head: Some(HeadConfig { normalize_input: true }),
            tokenizer: Some(TokenizerFile { json: "{\"a\": 1}".to_owned() }),
            selftest: Some(SelfTestRecord {
                label: "ein Apfel".to_owned(),
                image_embeds: vec![0.1, -0.5],
                text_embeds: vec![1.0, 2.0],
            }),
            ..Default::default()
        };
        let mut weights = Weights::default();
        let values: Vec<f32> = (0..64 * 96).map(|i| (i as f32 * 0.37).sin()).collect();
        let tensor = |shape: &[usize]| {
            let n_values: usize = shape.iter().product();
            Tensor::from_f32(shape, &values[..n_values], Format::F32).unwrap()
        };
        weights.insert("text.token.weight", tensor(&[20, 64]));
        weights.insert("text.position", tensor(&[8, 64]));
        weights.insert("text.blocks.0.up.weight", tensor(&[96, 64]));
        weights.insert("text.blocks.0.up.bias", tensor(&[96]));
        weights.insert("vision.stem.weight", tensor(&[8, 27]));
        weights.insert("vision.blocks.0.depthwise.weight", tensor(&[3, 3, 32]));
        weights.insert("image_head.skip.weight", tensor(&[32, 64]));
        Checkpoint { config, weights }
    }

    #[test]
    fn a_file_reads_back_as_it_was_written() {
        let checkpoint = checkpoint();
        let bytes = save_gguf(&checkpoint, &Quantization::all(Format::F32)).unwrap();
        assert_eq!(load_gguf(&bytes).unwrap(), checkpoint);
    }

    #[test]
    fn each_tensor_gets_the_format_of_its_kind() {
        let quantization = Quantization {
            matrices: Format::Q8_0,
            token_table: Format::Q4_0,
            exceptions: vec![("image_head.".to_owned(), Format::F16)],
        };
        let read = load_gguf(&save_gguf(&checkpoint(), &quantization).unwrap()).unwrap();
        let format = |name: &str| read.weights.tensor(name).unwrap().format;
        assert_eq!(format("text.token.weight"), Format::Q4_0);
        assert_eq!(format("text.position"), Format::F16);
        assert_eq!(format("text.blocks.0.up.weight"), Format::Q8_0);
        assert_eq!(format("text.blocks.0.up.bias"), Format::F32);
        assert_eq!(format("vision.stem.weight"), Format::F16, "32 does not divide 27");
        assert_eq!(format("vision.blocks.0.depthwise.weight"), Format::F16);
        assert_eq!(format("image_head.skip.weight"), Format::F16);
    }

    #[test]
    fn a_checkpoint_that_was_stored_first_gives_the_same_file() {
        let quantization = Quantization::all(Format::Q8_0);
        let mut stored = checkpoint();
        let names: Vec<String> = stored.weights.names().map(str::to_owned).collect();
        for name in names {
            let tensor = stored.weights.take(&name).unwrap();
            stored.weights.insert(name.clone(), quantization.store(&name, tensor).unwrap());
        }
        let mut file = file_of(&stored.config).unwrap();
        file.tensors = stored.weights.into();
        assert!(file.to_bytes().unwrap() == save_gguf(&checkpoint(), &quantization).unwrap());
    }

    #[test]
    fn values_beyond_f16_are_refused_by_name() {
        let large = Tensor::from_f32(&[1, 64], &[1e30; 64], Format::F32).unwrap();
        for format in [Format::F16, Format::Q8_0, Format::Q4_0] {
            let refused = Quantization::all(format).store("text.up.weight", large.clone());
            let error = refused.unwrap_err().to_string();
            assert!(error.contains("text.up.weight") && error.contains("infinity"), "{error}");
        }
    }

    #[test]
    fn another_programs_file_is_refused_by_name() {
        let mut file = GgufFile::default();
        file.set("general.architecture", "llama");
        let error = load_gguf(&file.to_bytes().unwrap()).unwrap_err().to_string();
        assert!(error.contains("\"llama\"") && error.contains("these are: clip"), "{error}");
    }
}
