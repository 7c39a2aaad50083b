//! A picture's file as all decoders read it alike: what they disagree about is settled here, before one of them is asked.
//!
//! Decoders agree on what a format says, and not on what it leaves open: whether a picture turned by metadata is turned,
//! which picture of an animation comes first, what a file that ends early is worth, where the pixels of a damaged header lie.
//!
//! Invariant: natively and in the page, decoders see the bytes that come out of here.
//! Invariant: a file that ends before its picture does is refused, whatever the decoder would make of it.
//! Invariant: the pixels themselves are not looked at, and nothing is allocated that is larger than the file.

use super::limits::check_size;
use super::{ImageError, Pixels};
use ::image::metadata::Orientation;
use ::image::{RgbImage, imageops};
use std::borrow::Cow;
use std::ops::Range;

/// What a decoder is given.
pub struct Plain<'a> {
    pub bytes: Cow<'a, [u8]>,
    /// How the decoded picture is turned to stand upright. A JPEG's is left to the decoders, which agree on it.
    pub orientation: Orientation,
}

impl<'a> Plain<'a> {
    /// # Errors
    /// The file ends early, is larger than what is read, or says what no two decoders understand alike. Unknown formats
    /// pass.
    pub fn new(bytes: &'a [u8]) -> Result<Plain<'a>, ImageError> {
        let plain = match bytes {
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => png(bytes),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => webp(bytes),
            [0xFF, 0xD8, ..] => jpeg(bytes)?.map(upright),
            [b'G', b'I', b'F', b'8', ..] => gif(bytes)?.map(|()| upright(Cow::Borrowed(bytes))),
            [b'B', b'M', ..] => bmp(bytes)?.map(upright),
            _ => Some(upright(Cow::Borrowed(bytes))),
        };
        plain.ok_or(ImageError::CutShort { n_bytes: bytes.len() })
    }
}

fn upright(bytes: Cow<'_, [u8]>) -> Plain<'_> {
    Plain { bytes, orientation: Orientation::NoTransforms }
}

impl Pixels {
    /// The picture as it is to be shown.
    pub fn turned(self, orientation: Orientation) -> Pixels {
        if orientation == Orientation::NoTransforms {
            return self;
        }
        let Pixels { width, height, rgb, background } = self;
        let Some(mut image) = RgbImage::from_raw(width as u32, height as u32, rgb) else {
            // Cannot be: `rgb` holds three bytes a pixel.
            return Pixels { width, height, rgb: vec![0; width * height * 3], background };
        };
        match orientation {
            Orientation::Rotate90 | Orientation::Rotate90FlipH => image = imageops::rotate90(&image),
            Orientation::Rotate270 | Orientation::Rotate270FlipH => image = imageops::rotate270(&image),
            Orientation::Rotate180 => imageops::rotate180_in_place(&mut image),
            Orientation::FlipVertical => imageops::flip_vertical_in_place(&mut image),
            Orientation::NoTransforms | Orientation::FlipHorizontal => {}
        }
        if matches!(
            orientation,
            Orientation::FlipHorizontal | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH
        ) {
            imageops::flip_horizontal_in_place(&mut image);
        }
        let (width, height) = (image.width() as usize, image.height() as usize);
        Pixels { width, height, rgb: image.into_raw(), background }
    }
}

/// The chunks that make a still picture. Without the others there is no animation whose first picture would be another
/// one, no profile that one decoder applies and another does not, and no metadata to follow twice.
fn png(bytes: &[u8]) -> Option<Plain<'_>> {
    let (signature, mut rest) = bytes.split_at_checked(8)?;
    let mut kept = Vec::with_capacity(bytes.len());
    kept.extend_from_slice(signature);
    let (mut of_exif, mut of_xmp) = (None, None);
    loop {
        let n_bytes = u32::from_be_bytes(*rest.first_chunk()?) as usize;
        // Length and name before the data, a checksum behind it.
        let (chunk, behind) = rest.split_at_checked(n_bytes.checked_add(12)?)?;
        let (kind, data) = (chunk.get(4..8)?, chunk.get(8..8 + n_bytes)?);
        match kind {
            b"IHDR" | b"PLTE" | b"tRNS" | b"IDAT" | b"IEND" => kept.extend_from_slice(chunk),
            b"eXIf" => of_exif = exif_orientation(data),
            b"iTXt" if data.starts_with(b"XML:com.adobe.xmp\0") => of_xmp = xmp_orientation(data),
            _ => {}
        }
        rest = behind;
        if kind == b"IEND" {
            break;
        }
    }
    let orientation = of_exif.or(of_xmp).unwrap_or(Orientation::NoTransforms);
    Some(Plain { bytes: Cow::Owned(kept), orientation })
}

/// Of an EXIF block, with or without the six bytes that stand before it in a JPEG.
fn exif_orientation(block: &[u8]) -> Option<Orientation> {
    Orientation::from_exif_chunk(block.strip_prefix(b"Exif\0\0").unwrap_or(block))
}

/// `tiff:Orientation="6"`, or the same as an element.
fn xmp_orientation(packet: &[u8]) -> Option<Orientation> {
    const NAME: &[u8] = b"tiff:Orientation";
    let at = packet.windows(NAME.len()).position(|part| part == NAME)?;
    let ([b'>', digit, ..] | [b'=', b'"' | b'\'', digit, ..]) = packet.get(at + NAME.len()..)? else {
        return None;
    };
    Orientation::from_exif(digit.checked_sub(b'0')?)
}

/// Without metadata and colour profile, which browsers follow as they please.
fn webp(bytes: &[u8]) -> Option<Plain<'_>> {
    let n_bytes = u32::from_le_bytes(*bytes.get(4..)?.first_chunk()?) as usize;
    let file = bytes.get(..n_bytes.checked_add(8)?)?;
    let mut kept = file.get(..12)?.to_vec();
    let mut rest = file.get(12..)?;
    let mut orientation = None;
    while rest.len() >= 8 {
        let n_bytes = u32::from_le_bytes(*rest.get(4..)?.first_chunk()?) as usize;
        let data = rest.get(8..n_bytes.checked_add(8)?)?;
        // Padded to an even length; at the end of a file, many leave that out.
        let (chunk, behind) = rest.split_at_checked(8 + n_bytes + n_bytes % 2).unwrap_or((rest, &[]));
        match rest.get(..4)? {
            b"EXIF" => orientation = orientation.or(exif_orientation(data)),
            b"XMP " | b"ICCP" => {}
            b"VP8X" => {
                kept.extend_from_slice(chunk);
                const HAS_PROFILE_EXIF_OR_XMP: u8 = 0x2C;
                let flags = kept.len() - chunk.len() + 8;
                *kept.get_mut(flags)? &= !HAS_PROFILE_EXIF_OR_XMP;
            }
            _ => kept.extend_from_slice(chunk),
        }
        rest = behind;
    }
    let n_kept = u32::try_from(kept.len() - 8).ok()?;
    kept.get_mut(4..8)?.copy_from_slice(&n_kept.to_le_bytes());
    Some(Plain { bytes: Cow::Owned(kept), orientation: orientation.unwrap_or(Orientation::NoTransforms) })
}

/// What the markers of a JPEG tell, to the one that ends it.
#[derive(Default)]
struct JpegMarkers {
    n_colours: u8,
    /// Adobe's own, which says how four inks are stored.
    is_adobes: bool,
    /// The colour profile, which some browsers apply whatever they are told, and markers of Adobe's that are too short to say
    /// anything.
    to_drop: Vec<Range<usize>>,
}

impl JpegMarkers {
    /// `None`: the file ends early.
    fn read(bytes: &[u8]) -> Option<JpegMarkers> {
        const MIN_ADOBE_BYTES: usize = 14;
        let mut markers = JpegMarkers::default();
        let mut at = 2;
        loop {
            // What is no marker is data between two, or what an editor left behind; `FF 00` is data, and so is `FF FF`.
            at += bytes.get(at..)?.iter().position(|byte| *byte == 0xFF)?;
            let marker = *bytes.get(at + 1)?;
            match marker {
                0xFF => at += 1,
                0xD9 => return Some(markers),
                0x00 | 0x01 | 0xD0..=0xD8 => at += 2,
                _ => {
                    let n_bytes =
                        usize::from(u16::from_be_bytes(*bytes.get(at + 2..)?.first_chunk()?)).max(2);
                    let segment = at..at + 2 + n_bytes;
                    let data = bytes.get(segment.clone())?.get(4..).unwrap_or_default();
                    at = segment.end;
                    match marker {
                        0xE2 if data.starts_with(b"ICC_PROFILE\0") => markers.to_drop.push(segment),
                        0xEE if n_bytes < MIN_ADOBE_BYTES => markers.to_drop.push(segment),
                        0xEE => markers.is_adobes |= data.starts_with(b"Adobe"),
                        // Tables share the numbers of the frame headers.
                        0xC4 | 0xC8 | 0xCC => {}
                        0xC0..=0xCF => markers.n_colours = data.get(5).copied().unwrap_or(0),
                        _ => {}
                    }
                }
            }
        }
    }
}

/// Without a colour profile. Four inks are refused where nothing says how they are stored: Adobe stores them inverted and
/// leaves a marker, decoders take all of them to be inverted, so that others would come out as negatives.
fn jpeg(bytes: &[u8]) -> Result<Option<Cow<'_, [u8]>>, ImageError> {
    let Some(JpegMarkers { n_colours, is_adobes, to_drop }) = JpegMarkers::read(bytes) else {
        return Ok(None);
    };
    if n_colours == 4 && !is_adobes {
        return Err(ImageError::UnsupportedFormat("CMYK (without Adobe's marker)"));
    }
    if to_drop.is_empty() {
        return Ok(Some(Cow::Borrowed(bytes)));
    }
    let mut kept = Vec::with_capacity(bytes.len());
    let mut at = 0;
    for segment in to_drop {
        kept.extend_from_slice(bytes.get(at..segment.start).unwrap_or_default());
        at = segment.end;
    }
    kept.extend_from_slice(bytes.get(at..).unwrap_or_default());
    Ok(Some(Cow::Owned(kept)))
}

/// To the end of the first picture, which must have colours and no longer codes than the format allows.
fn gif(bytes: &[u8]) -> Result<Option<()>, ImageError> {
    let n_table_bytes = |flags: u8| if flags & 0x80 == 0 { 0 } else { 6 << (flags & 7) };
    let first_picture = || {
        let mut rest = bytes.get(13 + n_table_bytes(*bytes.get(10)?)..)?;
        while let [0x21, _, behind @ ..] = rest {
            rest = behind_blocks(behind)?;
        }
        Some(rest)
    };
    let Some([0x2C, picture @ ..]) = first_picture() else {
        // It ends before a picture starts, or no decoder knows what comes instead.
        return Ok(first_picture().filter(|rest| !rest.is_empty()).map(drop));
    };
    let Some(flags) = picture.get(8) else { return Ok(None) };
    if (flags | bytes[10]) & 0x80 == 0 {
        return Err(ImageError::Malformed("a GIF without colours".to_owned()));
    }
    match picture.get(9 + n_table_bytes(*flags)..) {
        Some([..=8, blocks @ ..]) => Ok(behind_blocks(blocks).map(drop)),
        Some([n_bits, ..]) => Err(ImageError::Malformed(format!("a GIF with codes of {n_bits} bits"))),
        _ => Ok(None),
    }
}

/// What follows a GIF's blocks of up to 255 bytes, of which the last is empty.
fn behind_blocks(mut blocks: &[u8]) -> Option<&[u8]> {
    loop {
        let (n_bytes, behind) = blocks.split_first()?;
        blocks = behind.get(usize::from(*n_bytes)..)?;
        if *n_bytes == 0 {
            return Some(blocks);
        }
    }
}

/// With a header that all decoders know, and a start of the pixels that does not lie within the palette.
fn bmp(bytes: &[u8]) -> Result<Option<Cow<'_, [u8]>>, ImageError> {
    let Some(header) = BmpHeader::read(bytes) else { return Ok(None) };
    check_size(header.width.into(), header.height.into())?;
    let mended = header.mended(bytes);
    if let (RUNS_OF_8_BITS | RUNS_OF_4_BITS, Some(mended)) = (header.compression, &mended) {
        let pixels_at = u32_at(mended, 10).map_or(0, |at| at as usize);
        let is_whole = mended.get(pixels_at..).is_some_and(|runs| header.holds(runs));
        if header.is_from_the_top || !is_whole {
            return Err(ImageError::Malformed("runs of pixels that lead out of a BMP".to_owned()));
        }
    }
    Ok(mended)
}

/// What a BMP's header says of where its pixels lie.
struct BmpHeader {
    n_header_bytes: u32,
    width: u32,
    height: u32,
    /// The first row in the file is the highest.
    is_from_the_top: bool,
    n_bits: u16,
    compression: u32,
    n_colours: u32,
    pixels_at: u32,
}

const FILE_HEADER_BYTES: u32 = 14;
/// OS/2's first header: its sizes have two bytes, its colours three.
const CORE_HEADER_BYTES: u32 = 12;
const INFO_HEADER_BYTES: u32 = 40;
/// The same with four masks behind it.
const MASKED_HEADER_BYTES: u32 = 56;
/// Pixels as they are, each in so many bits.
const UNCOMPRESSED: u32 = 0;
/// In runs of the same colour.
const RUNS_OF_8_BITS: u32 = 1;
const RUNS_OF_4_BITS: u32 = 2;
/// With a mask for each colour, and with one for transparency, too.
const MASKED: u32 = 3;
const MASKED_WITH_ALPHA: u32 = 6;

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

impl BmpHeader {
    fn read(bytes: &[u8]) -> Option<BmpHeader> {
        let (pixels_at, n_header_bytes) = (u32_at(bytes, 10)?, u32_at(bytes, 14)?);
        if n_header_bytes == CORE_HEADER_BYTES {
            let (width, height) = (u16_at(bytes, 18)?.into(), u16_at(bytes, 20)?.into());
            let (n_bits, compression, n_colours) = (u16_at(bytes, 24)?, UNCOMPRESSED, 0);
            let is_from_the_top = false;
            return Some(BmpHeader {
                n_header_bytes,
                width,
                height,
                is_from_the_top,
                n_bits,
                compression,
                n_colours,
                pixels_at,
            });
        }
        let height = u32_at(bytes, 22)?.cast_signed();
        // OS/2's second header may end early: what is not there is 0.
        let field = |at: usize| if at < 14 + n_header_bytes as usize { u32_at(bytes, at) } else { Some(0) };
        Some(BmpHeader {
            n_header_bytes,
            width: u32_at(bytes, 18)?,
            height: height.unsigned_abs(),
            is_from_the_top: height < 0,
            n_bits: u16_at(bytes, 28)?,
            compression: field(30)?,
            n_colours: field(46)?,
            pixels_at,
        })
    }

    /// Whether runs stay within the picture, to the mark that ends them or to the last row.
    fn holds(&self, mut runs: &[u8]) -> bool {
        let (mut x, mut y) = (0, 0);
        while x <= self.width && y < self.height {
            runs = match runs {
                [0, 0, behind @ ..] => {
                    (x, y) = (0, y + 1);
                    behind
                }
                [0, 1, ..] => return true,
                [0, 2, right, up, behind @ ..] => {
                    (x, y) = (x + u32::from(*right), y + u32::from(*up));
                    behind
                }
                [0, n_pixels, behind @ ..] => {
                    x += u32::from(*n_pixels);
                    let n_pixels = usize::from(*n_pixels);
                    let n_bytes =
                        if self.compression == RUNS_OF_4_BITS { n_pixels.div_ceil(2) } else { n_pixels };
                    behind.get(n_bytes.next_multiple_of(2)..).unwrap_or_default()
                }
                [n_pixels, _, behind @ ..] => {
                    x += u32::from(*n_pixels);
                    // Some programs write the last run of a row longer than the row.
                    if self.compression == RUNS_OF_8_BITS {
                        x = x.min(self.width);
                    }
                    behind
                }
                _ => return false,
            };
        }
        x <= self.width
    }

    /// `None`: the file ends before the pixels do.
    fn mended<'a>(&self, bytes: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        let is_core = self.n_header_bytes == CORE_HEADER_BYTES;
        let n_masks = match self.compression {
            MASKED if self.n_header_bytes == INFO_HEADER_BYTES => 3,
            MASKED_WITH_ALPHA if self.n_header_bytes == INFO_HEADER_BYTES => 4,
            _ => 0,
        };
        let max_colours = if self.n_bits <= 8 { 1 << self.n_bits } else { 0 };
        let n_colours = match self.n_colours.min(max_colours) {
            0 => max_colours,
            n_colours => n_colours,
        };
        let palette_at = FILE_HEADER_BYTES.checked_add(self.n_header_bytes)?.checked_add(4 * n_masks)?;
        let palette_end = palette_at.checked_add(n_colours * if is_core { 3 } else { 4 })?;
        // A file whose pixels start before its palette ends is believed as to the palette, but for OS/2's, which may
        // hold fewer colours than there could be.
        let pixels_at = if is_core { self.pixels_at } else { self.pixels_at.max(palette_end) };
        let mut mended = bytes.to_vec();
        if self.compression == UNCOMPRESSED {
            let row_bits = u64::from(self.width) * u64::from(self.n_bits);
            let row_bytes = row_bits.div_ceil(32) * 4;
            let end = u64::from(pixels_at).checked_add(row_bytes.checked_mul(self.height.into())?)?;
            let n_missing = end.saturating_sub(bytes.len() as u64);
            // The padding of the last row, which some programs leave out.
            if n_missing > row_bytes - row_bits.div_ceil(8) {
                return None;
            }
            mended.extend((0..n_missing).map(|_| 0));
        }
        if is_core {
            return Some(Cow::Owned(mended));
        }
        let mut set = |at: usize, value: &[u8]| {
            mended.get_mut(at..at + value.len()).map(|to| to.copy_from_slice(value))
        };
        set(10, &pixels_at.to_le_bytes())?;
        set(26, &1_u16.to_le_bytes())?;
        if n_masks == 4 {
            set(14, &MASKED_HEADER_BYTES.to_le_bytes())?;
            set(30, &MASKED.to_le_bytes())?;
        }
        if self.n_header_bytes >= INFO_HEADER_BYTES && max_colours > 0 {
            set(46, &self.n_colours.min(max_colours).to_le_bytes())?;
        }
        // OS/2's second header is the usual one and more, or less.
        if matches!(self.n_header_bytes, 16..INFO_HEADER_BYTES | 64) {
            let n_common = self.n_header_bytes.min(INFO_HEADER_BYTES) as usize;
            let mut header = [0; INFO_HEADER_BYTES as usize];
            header.get_mut(..n_common)?.copy_from_slice(mended.get(14..14 + n_common)?);
            header.get_mut(..4)?.copy_from_slice(&INFO_HEADER_BYTES.to_le_bytes());
            mended.splice(14..14 + self.n_header_bytes as usize, header);
            let pixels_at = pixels_at + INFO_HEADER_BYTES - self.n_header_bytes;
            mended.get_mut(10..14)?.copy_from_slice(&pixels_at.to_le_bytes());
        }
        Some(Cow::Owned(mended))
    }
}
