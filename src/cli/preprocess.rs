//! `cliplet preprocess`: the crop that the model sees, as a PNG.
//!
//! Invariant: the pixels are those that the engine normalises, not a drawing of them.
//! Invariant: the picture that is read is never written over, and no half crop is left.

use super::hub;
use super::model::checkpoint;
use super::output::OutputFile;
use super::{CliError, Report, read_image};
use crate::image::{Background, Filter, Fit, ImageError, Pixels, Preprocess};
use crate::models::ModelError;
use ::image::codecs::png::PngEncoder;
use ::image::{ExtendedColorType, ImageEncoder};
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub struct Args {
    /// JPEG, PNG, WebP, GIF or BMP.
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
    /// Where the crop goes.
    #[arg(short, long, value_name = "FILE.png")]
    output: PathBuf,
    /// The model whose crop it is, named as for `rank`; without one, CLIP's preprocessing.
    #[arg(long, value_name = "SRC")]
    model: Option<PathBuf>,
    /// Side of the crop in pixels: 224, if no model says otherwise.
    #[arg(long, conflicts_with = "model", value_parser = clap::value_parser!(u32).range(1..=4096))]
    size: Option<u32>,
}

#[derive(Serialize)]
pub struct Written {
    /// Upright size of the picture.
    width: usize,
    height: usize,
    size: usize,
    fit: Fit,
    filter: Filter,
    /// What the picture was resized to before it was cropped.
    resize: Option<usize>,
    /// What was laid under its transparency.
    background: Option<Background>,
    output: PathBuf,
}

impl Report for Written {}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Written { width, height, size, fit, filter, output, .. } = self;
        let fit = match (fit, self.resize) {
            (Fit::Crop, None) => "the middle".to_owned(),
            (Fit::Crop, Some(resize)) => format!("the middle of a shorter side of {resize}"),
            (Fit::Squash, None) => "squashed".to_owned(),
            (Fit::Squash, Some(resize)) => format!("the middle of a squashed {resize} × {resize}"),
            (Fit::Pad, _) => "whole, between bars".to_owned(),
        };
        let filter = match filter {
            Filter::Bicubic => "bicubic",
            Filter::Bilinear => "bilinear",
            Filter::Lanczos => "Lanczos",
            Filter::Nearest => "nearest",
        };
        write!(f, "{width} × {height} → {size} × {size} ({fit}, {filter}): {}", output.display())
    }
}

/// The preprocessing of a model that sees pictures.
fn preprocess_of(model: &Path) -> Result<Preprocess, CliError> {
    let (checkpoint, _) = checkpoint(&hub::locate(model)?.path)?;
    match checkpoint.config.vision {
        Some(_) => Ok(checkpoint.config.preprocess),
        None => Err(ModelError::NoTower { side: "image" }.into()),
    }
}

pub fn run(args: &Args) -> Result<Written, CliError> {
    let pixels = read_image(&args.image)?;
    let preprocess = match &args.model {
        Some(model) => preprocess_of(model)?,
        None => Preprocess { size: args.size.map_or(224, |size| size as usize), ..Preprocess::CLIP },
    };
    let crop = preprocess.crop(&pixels);
    let output = args.output.clone();
    let Preprocess { size, fit, filter, resize, .. } = preprocess;
    let side = size as u32;
    let mut file = OutputFile::create(&output, std::slice::from_ref(&args.image))?;
    PngEncoder::new(&mut file).write_image(&crop.rgb, side, side, ExtendedColorType::Rgb8).map_err(
        |error| match error {
            ::image::ImageError::IoError(source) => CliError::File { path: output.clone(), source },
            other => {
                CliError::Image { path: output.clone(), source: ImageError::Malformed(other.to_string()) }
            }
        },
    )?;
    file.finish()?;
    let Pixels { width, height, background, .. } = pixels;
    Ok(Written { width, height, size, fit, filter, resize, background, output })
}
