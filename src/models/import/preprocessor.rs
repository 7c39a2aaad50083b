//! Files that say how pictures are prepared: `preprocessor_config.json` and the `preprocess_cfg` of
//! `open_clip_config.json`.
//!
//! Invariant: what a file asks for is followed or refused by name, never passed over.

use serde::Deserialize;
use serde_json::Value;

use super::config_error;
use crate::image::{Filter, Fit, Preprocess};
use crate::models::ModelError;

/// The part of `open_clip_config.json` that says how pictures are prepared, over `fallback`.
pub(super) fn open_clip_preprocess(
    json: Option<&Value>,
    fallback: Preprocess,
) -> Result<Preprocess, ModelError> {
    #[derive(Deserialize)]
    struct Preprocessor {
        mean: Option<[f32; 3]>,
        std: Option<[f32; 3]>,
        interpolation: Option<String>,
        resize_mode: Option<String>,
    }
    let Some(json) = json else { return Ok(fallback) };
    let json: Preprocessor = serde_json::from_value(json.clone()).map_err(config_error)?;
    let unknown = |key: &str, value: &str| {
        ModelError::Config(format!(
            "open_clip_config.json: preprocess_cfg.{key} = {value:?} is not supported"
        ))
    };
    Ok(Preprocess {
        mean: json.mean.unwrap_or(fallback.mean),
        std: json.std.unwrap_or(fallback.std),
        fit: match json.resize_mode.as_deref() {
            None => fallback.fit,
            Some("shortest") => Fit::Crop,
            Some("squash") => Fit::Squash,
            Some(other) => return Err(unknown("resize_mode", other)),
        },
        filter: match json.interpolation.as_deref() {
            None | Some("random") => fallback.filter,
            Some("bicubic") => Filter::Bicubic,
            Some("bilinear") => Filter::Bilinear,
            Some(other) => return Err(unknown("interpolation", other)),
        },
        ..fallback
    })
}

/// `preprocessor_config.json`, over `fallback`.
pub(super) fn preprocess(json: &[u8], fallback: Preprocess) -> Result<Preprocess, ModelError> {
    /// The size is a number, or an object by side.
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Size {
        Side(usize),
        Sides { height: Option<usize>, shortest_edge: Option<usize> },
    }
    #[derive(Deserialize)]
    struct Preprocessor {
        crop_size: Option<Size>,
        size: Option<Size>,
        image_mean: Option<[f32; 3]>,
        image_std: Option<[f32; 3]>,
        do_center_crop: Option<bool>,
        /// PIL's number: 2 bilinear, 3 bicubic.
        resample: Option<u32>,
    }
    let json: Preprocessor = serde_json::from_slice(json)
        .map_err(|error| ModelError::Config(format!("preprocessor_config.json: {error}")))?;
    let side = |size: Size| match size {
        Size::Side(side) => Some(side),
        Size::Sides { height, shortest_edge } => height.or(shortest_edge),
    };
    let squash = json.do_center_crop == Some(false);
    Ok(Preprocess {
        size: json.crop_size.and_then(side).or(json.size.and_then(side)).unwrap_or(fallback.size),
        mean: json.image_mean.unwrap_or(fallback.mean),
        std: json.image_std.unwrap_or(fallback.std),
        fit: if squash { Fit::Squash } else { fallback.fit },
        filter: if json.resample == Some(2) { Filter::Bilinear } else { fallback.filter },
    })
}
