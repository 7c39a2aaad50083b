//! What a file is that did not become a picture, by its first bytes: so that a refusal can name it.
//!
//! Invariant: decides nothing about what is read: decoders do that, and a browser's read more than ours.

use super::ImageError;
use super::limits::unreadable;
use serde::{Deserialize, Serialize};

/// What people call a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    Empty,
    Jpeg,
    Png,
    WebP,
    Gif,
    Bmp,
    Avif,
    JpegXl,
    Heic,
    Tiff,
    Svg,
    Pdf,
    Video,
    WebPage,
}

/// As far as a drawing's first tag or a PDF's mark is looked for.
const MAX_START: usize = 4096;

impl FileKind {
    /// `None`: nothing that has a name here.
    pub fn of(bytes: &[u8]) -> Option<FileKind> {
        match unreadable(bytes) {
            ImageError::UnsupportedFormat("HEIC") => return Some(FileKind::Heic),
            ImageError::UnsupportedFormat("AVIF") => return Some(FileKind::Avif),
            ImageError::UnsupportedFormat("TIFF") => return Some(FileKind::Tiff),
            _ => {}
        }
        let starts = |marks: &[&[u8]]| marks.iter().any(|mark| bytes.starts_with(mark));
        let kind = match bytes {
            [] => FileKind::Empty,
            _ if starts(&[b"\xff\xd8\xff"]) => FileKind::Jpeg,
            _ if starts(&[b"\x89PNG"]) => FileKind::Png,
            _ if starts(&[b"GIF8"]) => FileKind::Gif,
            _ if starts(&[b"\xff\x0a", b"\0\0\0\x0cJXL "]) => FileKind::JpegXl,
            _ if starts(&[b"RIFF"]) && bytes.get(8..12) == Some(b"WEBP") => FileKind::WebP,
            // BigTIFF.
            _ if starts(&[b"II+\0", b"MM\0+"]) => FileKind::Tiff,
            // MP4 and QuickTime; AVI; Matroska and WebM; Ogg; MPEG; Flash; Windows Media.
            _ if bytes.get(4..8) == Some(b"ftyp") => FileKind::Video,
            _ if matches!(bytes.get(4..8), Some(b"moov" | b"mdat" | b"wide")) => FileKind::Video,
            _ if starts(&[b"RIFF"]) && bytes.get(8..12) == Some(b"AVI ") => FileKind::Video,
            _ if starts(&[
                b"\x1a\x45\xdf\xa3",
                b"OggS",
                b"\0\0\x01\xba",
                b"\0\0\x01\xb3",
                b"FLV",
                b"\x30\x26\xb2\x75",
            ]) =>
            {
                FileKind::Video
            }
            _ if starts(&[b"BM"]) && bytes.len() > 26 => FileKind::Bmp,
            _ => return FileKind::of_text(&bytes[..bytes.len().min(MAX_START)]),
        };
        Some(kind)
    }

    fn of_text(start: &[u8]) -> Option<FileKind> {
        let start = String::from_utf8_lossy(start).to_ascii_lowercase();
        let text = start.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
        let is_markup = text.starts_with('<');
        match text {
            _ if start.contains("%pdf-") => Some(FileKind::Pdf),
            _ if is_markup && (text.contains("<html") || text.starts_with("<!doctype html")) => {
                Some(FileKind::WebPage)
            }
            _ if is_markup && text.contains("<svg") => Some(FileKind::Svg),
            _ => None,
        }
    }
}
