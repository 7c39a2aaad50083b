//! `cliplet preprocess`: the crop that the model sees, as a PNG.
//!
//! Invariant: the pixels are those that the engine normalises, not a drawing of them.
//! Invariant: the picture that is read is never written over, and no half crop is left.

use super::output::OutputFile;
use super::{CliError, Report, read_image};
use crate::image::{ImageError, Preprocess};
use ::image::codecs::png::PngEncoder;
use ::image::{ExtendedColorType, ImageEncoder};
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Args {
    /// JPEG, PNG, WebP, GIF or BMP.
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
    /// Where the crop goes.
    #[arg(short, long, value_name = "FILE.png")]
    output: PathBuf,
    /// Side of the crop in pixels.
    #[arg(long, default_value_t = 224, value_parser = clap::value_parser!(u32).range(1..=4096))]
    size: u32,
}

#[derive(Serialize)]
pub struct Written {
    /// Upright size of the picture.
    width: usize,
    height: usize,
    size: u32,
    output: PathBuf,
}

impl Report for Written {}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Written { width, height, size, output } = self;
        write!(f, "{width} × {height} → {size} × {size}: {}", output.display())
    }
}

pub fn run(args: &Args) -> Result<Written, CliError> {
    let pixels = read_image(&args.image)?;
    let crop = Preprocess { size: args.size as usize, ..Preprocess::CLIP }.crop(&pixels);
    let output = args.output.clone();
    let side = args.size;
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
    Ok(Written { width: pixels.width, height: pixels.height, size: side, output })
}
