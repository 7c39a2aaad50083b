//! What is refused on a file's first bytes, natively and in the browser.
//!
//! Invariant: nothing of a picture's size is allocated here before its size was judged. A browser may decode formats whose
//! header is not known to us; their size is judged after it did.

use super::ImageError;

/// What a phone or camera of today makes at most; 300 MB as RGB.
const MAX_MEGAPIXELS: u64 = 100;
/// A browser decodes so many and keeps fewer: 1 GB for a moment.
const MAX_REDUCED_MEGAPIXELS: u64 = 250;
/// What is kept of them: many times what any model sees.
const REDUCED_PIXELS: f64 = 16e6;
/// JPEG's own limit; it also bounds the filter taps of a thin picture.
const MAX_SIDE: u64 = 65_535;

pub fn check_size(width: u64, height: u64) -> Result<(), ImageError> {
    if width.max(height) > MAX_SIDE || width * height > MAX_MEGAPIXELS * 1_000_000 {
        return Err(ImageError::TooLarge {
            width,
            height,
            max_megapixels: MAX_MEGAPIXELS,
            max_side: MAX_SIDE,
        });
    }
    if width == 0 || height == 0 {
        return Err(ImageError::Malformed(format!("{width} × {height} pixels")));
    }
    Ok(())
}

/// The width at which a browser is to give a picture that is larger than what is read: phones make 108 and 200 megapixels, and
/// a model sees a small square of them. `None`: as it is.
///
/// # Errors
/// Even the browser would need too much memory for it.
pub fn reduced_width(width: u64, height: u64) -> Result<Option<u32>, ImageError> {
    match check_size(width, height) {
        Err(ImageError::TooLarge { .. })
            if width.max(height) <= MAX_SIDE && width * height <= MAX_REDUCED_MEGAPIXELS * 1_000_000 =>
        {
            let scale = (REDUCED_PIXELS / (width * height) as f64).sqrt();
            Ok(Some((width as f64 * scale).round().max(1.0) as u32))
        }
        checked => checked.map(|()| None),
    }
}

/// The refusal that helps most: phones make HEIC, and a user can export it. Videos open with `ftyp` too.
pub fn unreadable(bytes: &[u8]) -> ImageError {
    match heif_name(bytes) {
        Some(name) => ImageError::UnsupportedFormat(name),
        None if bytes.starts_with(b"II*\0") || bytes.starts_with(b"MM\0*") => {
            ImageError::UnsupportedFormat("TIFF")
        }
        None => ImageError::UnknownFormat { n_bytes: bytes.len() },
    }
}

/// What people call a picture in the container of ISO/IEC 23008-12, by the brands that its first box lists: the main one,
/// a version, then all that it is compatible with.
fn heif_name(bytes: &[u8]) -> Option<&'static str> {
    let (n_bytes, rest) = bytes.split_first_chunk()?;
    let brands = rest.strip_prefix(b"ftyp")?;
    let n_brands = (u32::from_be_bytes(*n_bytes) as usize / 4).saturating_sub(2);
    let brands = || brands.as_chunks::<4>().0.iter().take(n_brands);
    let has = |wanted: &[&[u8; 4]]| brands().any(|brand| wanted.contains(&brand));
    // What only says that it is a picture of some kind (`mif1`) leaves its coding to the brands behind it.
    match brands().next()? {
        b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"hevm" | b"hevs" => Some("HEIC"),
        b"avif" | b"avis" => Some("AVIF"),
        b"mif1" | b"msf1" | b"mif2" | b"miaf" if has(&[b"avif", b"avis"]) => Some("AVIF"),
        b"mif1" | b"msf1" | b"mif2" | b"miaf" => Some("HEIC"),
        _ => None,
    }
}
