//! Files that say how pictures are prepared: Hugging Face's `preprocessor_config.json`, the same of a timm model, and the
//! `preprocess_cfg` of `open_clip_config.json`.
//!
//! Follows transformers' CLIPImageProcessor, ChineseCLIPImageProcessor, SiglipImageProcessor, ViTImageProcessor and
//! ConvNextImageProcessor, open_clip's `image_transform_v2` and timm's `transforms_imagenet_eval`.
//!
//! Invariant: what a file asks for is followed or refused by name, never passed over.

use serde_json::{Map, Value};

use crate::image::{Filter, Fit, Preprocess};
use crate::models::ModelError;
use crate::weights::from_json;

/// One of the files, key by key.
struct Settings<'a> {
    /// Messages name this: the file, and where in it.
    file: &'static str,
    json: &'a Map<String, Value>,
}

impl<'a> Settings<'a> {
    fn new(file: &'static str, json: &'a Value) -> Result<Self, ModelError> {
        let json = json.as_object();
        Ok(Self { file, json: json.ok_or_else(|| ModelError::Config(format!("{file}: no JSON object")))? })
    }

    /// What `read` makes of the value, where there is one; `null` is none.
    fn get<T>(&self, key: &str, read: impl Fn(&'a Value) -> Option<T>) -> Result<Option<T>, ModelError> {
        match self.json.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => read(value).map(Some).ok_or_else(|| self.refused(key)),
        }
    }

    fn text(&self, key: &str) -> Result<Option<&'a str>, ModelError> {
        self.get(key, Value::as_str)
    }

    fn number(&self, key: &str) -> Result<Option<f64>, ModelError> {
        self.get(key, Value::as_f64)
    }

    fn flag(&self, key: &str, default: bool) -> Result<bool, ModelError> {
        Ok(self.get(key, Value::as_bool)?.unwrap_or(default))
    }

    /// An error that names the setting.
    fn refused(&self, key: &str) -> ModelError {
        let value = self.json.get(key).unwrap_or(&Value::Null);
        ModelError::Config(format!("{}: {key} = {value} is not supported", self.file))
    }

    /// Refuses what is not among `known` and says anything: it may change what is computed, and nothing would tell.
    fn only(&self, known: &[&str]) -> Result<(), ModelError> {
        let is_unknown = |(key, value): &(&String, &Value)| {
            !known.contains(&key.as_str()) && !matches!(value, Value::Null | Value::Bool(false))
        };
        match self.json.iter().find(is_unknown) {
            Some((key, _)) => Err(self.refused(key)),
            None => Ok(()),
        }
    }

    /// Three numbers, one a channel, or one for all.
    fn colour(&self, key: &str) -> Result<Option<[f32; 3]>, ModelError> {
        let number = |value: &Value| value.as_f64().map(|value| value as f32);
        self.get(key, |value| match value.as_array().map(Vec::as_slice) {
            Some([red, green, blue]) => Some([number(red)?, number(green)?, number(blue)?]),
            _ => number(value).map(|grey| [grey; 3]),
        })
    }

    /// Pillow's number, or a name.
    fn filter(&self, key: &str) -> Result<Option<Filter>, ModelError> {
        self.get(key, |value| match (value.as_u64(), value.as_str()) {
            (Some(0), _) | (_, Some("nearest")) => Some(Filter::Nearest),
            (Some(1), _) | (_, Some("lanczos")) => Some(Filter::Lanczos),
            (Some(2), _) | (_, Some("bilinear")) => Some(Filter::Bilinear),
            // Only training draws lots; open_clip and timm then see with this.
            (Some(3), _) | (_, Some("bicubic" | "random")) => Some(Filter::Bicubic),
            _ => None,
        })
    }

    /// A size in any of its forms.
    fn size(&self, key: &str) -> Result<Option<Size>, ModelError> {
        let side = |value: &Value| usize::try_from(value.as_u64()?).ok();
        let square = |height: &Value, width: &Value| {
            side(height).filter(|height| side(width) == Some(*height)).map(Size::Square)
        };
        self.get(key, |value| match value {
            Value::Number(_) => side(value).map(Size::Side),
            Value::Array(sides) => match &sides[..] {
                [only] => side(only).map(Size::Side),
                // timm's begins with the number of channels.
                [height, width] | [_, height, width] => square(height, width),
                _ => None,
            },
            Value::Object(sides) => {
                let mut named = sides.iter().filter(|(_, side)| !side.is_null());
                let named = [named.next(), named.next(), named.next()];
                match named.map(|side| side.map(|(name, side)| (name.as_str(), side))) {
                    [Some(("height", height)), Some(("width", width)), None] => square(height, width),
                    [Some(("height", height)), None, None] => side(height).map(Size::Square),
                    [Some(("shortest_edge", edge)), None, None] => side(edge).map(Size::Shortest),
                    _ => None,
                }
            }
            _ => None,
        })
    }
}

/// What a size says.
#[derive(Clone, Copy)]
enum Size {
    /// A number alone: what it means, the kind of the processor says.
    Side(usize),
    Shortest(usize),
    Square(usize),
}

impl Size {
    fn side(self) -> usize {
        match self {
            Size::Side(side) | Size::Shortest(side) | Size::Square(side) => side,
        }
    }
}

/// A square of `size` from the middle of a picture that was resized to `resize`.
fn cut(settings: &Settings, resize: usize, size: usize) -> Result<Option<usize>, ModelError> {
    match resize {
        _ if resize == size => Ok(None),
        _ if resize > size => Ok(Some(resize)),
        _ => Err(ModelError::Config(format!(
            "{}: size {resize} is smaller than crop_size {size}, which is not supported",
            settings.file
        ))),
    }
}

/// The part of `open_clip_config.json` that says how pictures are prepared, over `fallback`.
pub(super) fn open_clip_preprocess(
    json: Option<&Value>,
    fallback: Preprocess,
) -> Result<Preprocess, ModelError> {
    let Some(json) = json.filter(|json| !json.is_null()) else { return Ok(fallback) };
    let settings = Settings::new("open_clip_config.json: preprocess_cfg", json)?;
    settings.only(&["size", "mode", "mean", "std", "interpolation", "resize_mode", "fill_color"])?;
    if settings.text("mode")?.is_some_and(|mode| mode != "RGB") {
        return Err(settings.refused("mode"));
    }
    Ok(Preprocess {
        size: settings.size("size")?.map_or(fallback.size, Size::side),
        mean: settings.colour("mean")?.unwrap_or(fallback.mean),
        std: settings.colour("std")?.unwrap_or(fallback.std),
        fit: match settings.text("resize_mode")? {
            None => fallback.fit,
            Some("shortest") => Fit::Crop,
            Some("longest") => Fit::Pad,
            Some("squash") => Fit::Squash,
            Some(_) => return Err(settings.refused("resize_mode")),
        },
        filter: settings.filter("interpolation")?.unwrap_or(fallback.filter),
        fill: settings
            .get("fill_color", |grey| u8::try_from(grey.as_u64()?).ok())?
            .map_or(fallback.fill, |grey| [grey; 3]),
        ..fallback
    })
}

/// What a kind of image processor does where its file does not say.
struct Kind {
    name: &'static str,
    /// A size without names is that of a square, not of the shortest edge.
    is_square: bool,
    has_crop: bool,
}

const KINDS: [Kind; 6] = [
    Kind { name: "Bit", is_square: false, has_crop: true },
    Kind { name: "CLIP", is_square: false, has_crop: true },
    Kind { name: "ChineseCLIP", is_square: false, has_crop: true },
    Kind { name: "Siglip", is_square: true, has_crop: false },
    Kind { name: "ViT", is_square: true, has_crop: false },
    Kind { name: "ConvNext", is_square: false, has_crop: false },
];

/// Settings that change nothing: names, and what a tensor is called and where it lies.
const NEUTRAL: [&str; 18] = [
    "image_processor_type",
    "feature_extractor_type",
    "processor_class",
    "_valid_processor_keys",
    "_name_or_path",
    "name_or_path",
    "transformers_version",
    "return_tensors",
    "data_format",
    "input_data_format",
    "model_input_names",
    "default_to_square",
    "device",
    "disable_grouping",
    "image_seq_length",
    "num_channels",
    // Pictures are red, green and blue when they come here.
    "convert_rgb",
    "do_convert_rgb",
];
/// Settings that are followed.
const FOLLOWED: [&str; 13] = [
    "do_resize",
    "size",
    "resample",
    "interpolation",
    "do_center_crop",
    "crop_size",
    "crop_pct",
    "do_rescale",
    "rescale_factor",
    "do_normalize",
    "image_mean",
    "image_std",
    "use_square_size",
];

/// `preprocessor_config.json`, over `fallback`.
pub(super) fn preprocess(json: &[u8], fallback: Preprocess) -> Result<Preprocess, ModelError> {
    const FILE: &str = "preprocessor_config.json";
    let json: Value = from_json(json).map_err(|error| ModelError::Config(format!("{FILE}: {error}")))?;
    let settings = Settings::new(FILE, &json)?;
    if let Some(json) = json.get("pretrained_cfg") {
        return timm(&Settings::new("preprocessor_config.json: pretrained_cfg", json)?, fallback);
    }
    let kind = kind(&settings)?;
    settings.only(&[&NEUTRAL[..], &FOLLOWED[..]].concat())?;
    if !settings.flag("do_resize", true)? {
        return Err(settings.refused("do_resize"));
    }
    let is_squash = fallback.fit == Fit::Squash;
    let is_square =
        kind.map_or(is_squash, |kind| kind.is_square) || settings.flag("use_square_size", false)?;
    let has_crop = settings.flag("do_center_crop", kind.map_or(!is_squash, |kind| kind.has_crop))?;

    let size = settings.size("size")?;
    let crop = settings.size("crop_size")?.filter(|_| has_crop).map(Size::side);
    let side = size.or(crop.map(Size::Side)).map_or(fallback.size, Size::side);
    // Until sizes had names, a number without a crop meant a square: Chinese-CLIP's.
    let fit = match size {
        Some(Size::Square(_)) => Fit::Squash,
        Some(Size::Side(_)) | None if is_square || !has_crop => Fit::Squash,
        _ => Fit::Crop,
    };
    let part = settings.number("crop_pct")?;
    let (resize, size, fit) = match (part, kind) {
        // ConvNext's: below 384 pixels a larger picture is cropped, from there on it is squashed.
        (Some(part), Some(Kind { name: "ConvNext", .. })) if part > 0.0 && part <= 1.0 => match side < 384 {
            true => ((side as f64 / part) as usize, side, Fit::Crop),
            false => (side, side, Fit::Squash),
        },
        (Some(_), _) => return Err(settings.refused("crop_pct")),
        (None, _) if !has_crop && fit == Fit::Crop => {
            let size = settings.json.get("size").unwrap_or(&Value::Null);
            return Err(ModelError::Config(format!(
                "{FILE}: size = {size} without do_center_crop is not supported: the model sees squares"
            )));
        }
        (None, _) => (side, crop.unwrap_or(side), fit),
    };

    // What is multiplied by `factor` before it is normalised, as if white were 1.
    let factor = match settings.flag("do_rescale", true)? {
        true => settings.number("rescale_factor")?.unwrap_or(1.0 / 255.0),
        false => 1.0,
    };
    let white = 255.0 * factor;
    // A file's 0.00392156862745098 is no other figure than 1 / 255.
    let white = if f64::abs(white - 1.0) < 1e-6 { 1.0 } else { white };
    let (mean, std) = match settings.flag("do_normalize", true)? {
        true => (
            settings.colour("image_mean")?.unwrap_or(fallback.mean),
            settings.colour("image_std")?.unwrap_or(fallback.std),
        ),
        false => ([0.0; 3], [1.0; 3]),
    };
    let of_white = |channels: [f32; 3]| channels.map(|value| (f64::from(value) / white) as f32);
    let filter = match settings.filter("resample")? {
        None => settings.filter("interpolation")?,
        filter => filter,
    };
    Ok(Preprocess {
        resize: cut(&settings, resize, size)?,
        size,
        mean: of_white(mean),
        std: of_white(std),
        fit,
        filter: filter.unwrap_or(fallback.filter),
        fill: fallback.fill,
    })
}

/// The kind that a file names; `None`: it names none.
fn kind(settings: &Settings) -> Result<Option<&'static Kind>, ModelError> {
    for key in ["image_processor_type", "feature_extractor_type"] {
        let Some(name) = settings.text(key)? else { continue };
        let name = ["Fast", "Pil"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        let name = ["ImageProcessor", "FeatureExtractor"].iter().find_map(|end| name.strip_suffix(end));
        let known = name.and_then(|name| KINDS.iter().find(|kind| kind.name == name));
        return known.map(Some).ok_or_else(|| settings.refused(key));
    }
    Ok(None)
}

/// timm's `pretrained_cfg`, of which the keys that say nothing of pictures are many.
fn timm(settings: &Settings, fallback: Preprocess) -> Result<Preprocess, ModelError> {
    let size = settings.size("input_size")?.map_or(fallback.size, Size::side);
    let mean = settings.colour("mean")?.unwrap_or(fallback.mean);
    let part = settings.number("crop_pct")?.unwrap_or(0.875);
    if !(part > 0.0 && part <= 1.0) {
        return Err(settings.refused("crop_pct"));
    }
    let (fit, resize) = match settings.text("crop_mode")? {
        None | Some("center") => (Fit::Crop, cut(settings, (size as f64 / part).floor() as usize, size)?),
        Some("squash") => (Fit::Squash, cut(settings, (size as f64 / part).floor() as usize, size)?),
        Some("border") if part == 1.0 => (Fit::Pad, None),
        Some(_) => return Err(settings.refused("crop_mode")),
    };
    Ok(Preprocess {
        size,
        resize,
        mean,
        std: settings.colour("std")?.unwrap_or(fallback.std),
        fit,
        filter: settings.filter("interpolation")?.unwrap_or(fallback.filter),
        fill: mean.map(|value| (255.0 * value).round_ties_even() as u8),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn open_clip(json: Value) -> Result<Preprocess, ModelError> {
        open_clip_preprocess(Some(&json), Preprocess::CLIP)
    }

    #[test]
    fn open_clips_settings_are_followed() {
        let siglip = json!({"size": [224, 224], "mode": "RGB", "mean": [0.5, 0.5, 0.5], "std": 0.5,
            "interpolation": "bicubic", "resize_mode": "squash", "fill_color": 0});
        let halves = Preprocess { mean: [0.5; 3], std: [0.5; 3], fit: Fit::Squash, ..Preprocess::CLIP };
        assert_eq!(open_clip(siglip).unwrap(), halves);
        let padded = json!({"resize_mode": "longest", "fill_color": 127, "interpolation": "bilinear"});
        let expected =
            Preprocess { fit: Fit::Pad, fill: [127; 3], filter: Filter::Bilinear, ..Preprocess::CLIP };
        assert_eq!(open_clip(padded).unwrap(), expected);
        for plain in [json!(null), json!({}), json!({"resize_mode": "shortest", "interpolation": "random"})] {
            assert_eq!(open_clip(plain.clone()).unwrap(), Preprocess::CLIP, "{plain}");
        }
    }

    #[test]
    fn open_clips_other_settings_are_refused_by_name() {
        for (key, json) in [
            ("size", json!({"size": [224, 336]})),
            ("mode", json!({"mode": "L"})),
            ("resize_mode", json!({"resize_mode": "tallest"})),
            ("interpolation", json!({"interpolation": "area"})),
            ("fill_color", json!({"fill_color": 300})),
            ("crop_pct", json!({"crop_pct": 0.9})),
        ] {
            let error = open_clip(json.clone()).unwrap_err().to_string();
            assert!(error.contains("preprocess_cfg") && error.contains(key), "{json}: {error}");
        }
    }
}
