//! Pictures' files as awkward as those that people have, small, and made here: turned by metadata, animated, cut short,
//! with headers of other times.
//!
//! Invariant: what each must give is worked out from the pixels that went in, not by the code under test.

use cliplet::image::Pixels;
use image::codecs::png::PngEncoder;
use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, ImageEncoder};

/// A file and the picture that it shows; `None`: it must be refused.
pub struct Awkward {
    pub name: String,
    pub bytes: Vec<u8>,
    pub picture: Option<Pixels>,
}

const WIDTH: usize = 21;
const HEIGHT: usize = 14;
/// A turn or a mirror image of it is another picture.
fn pixel(x: usize, y: usize) -> [u8; 3] {
    [(x * 12) as u8, (y * 18) as u8, if x > y { 200 } else { 20 }]
}

fn picture(pixel: impl Fn(usize, usize) -> [u8; 3], width: usize, height: usize) -> Pixels {
    let rows = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    Pixels::opaque(width, height, rows.flat_map(|(x, y)| pixel(x, y)).collect())
}

fn upright() -> Pixels {
    picture(pixel, WIDTH, HEIGHT)
}

/// What the picture is by the EXIF specification, where the stored one has this orientation.
fn turned(orientation: u8) -> Pixels {
    let (right, bottom) = (WIDTH - 1, HEIGHT - 1);
    let stored = |x: usize, y: usize| match orientation {
        2 => pixel(right - x, y),
        3 => pixel(right - x, bottom - y),
        4 => pixel(x, bottom - y),
        5 => pixel(y, x),
        6 => pixel(y, bottom - x),
        7 => pixel(right - y, bottom - x),
        8 => pixel(right - y, x),
        _ => pixel(x, y),
    };
    if orientation < 5 { picture(stored, WIDTH, HEIGHT) } else { picture(stored, HEIGHT, WIDTH) }
}

/// Every one of them.
pub fn all() -> Vec<Awkward> {
    let mut all = Vec::new();
    let mut add = |name: &str, bytes: Vec<u8>, picture: Option<Pixels>| {
        all.push(Awkward { name: name.to_owned(), bytes, picture });
    };
    for orientation in 1..=8 {
        let shown = || Some(turned(orientation));
        add(&format!("exif-{orientation}.png"), png(&[(b"eXIf", exif(orientation))]), shown());
        add(&format!("xmp-{orientation}.png"), png(&[(b"iTXt", xmp(orientation))]), shown());
        add(&format!("exif-{orientation}.webp"), webp(&exif(orientation)), shown());
        let with_prefix = [b"Exif\0\0".to_vec(), exif(orientation)].concat();
        add(&format!("exif-prefix-{orientation}.webp"), webp(&with_prefix), shown());
    }
    let xmp_element = b"XML:com.adobe.xmp\0\0\0\0\0<tiff:Orientation>3</tiff:Orientation>".to_vec();
    add("xmp-element.png", png(&[(b"iTXt", xmp_element)]), Some(turned(3)));
    add("exif-over-xmp.png", png(&[(b"iTXt", xmp(3)), (b"eXIf", exif(6))]), Some(turned(6)));
    add("exif-of-nothing.png", png(&[(b"eXIf", exif(9))]), Some(upright()));
    add(
        "other-text.png",
        png(&[(b"iTXt", b"Comment\0\0\0\0\0tiff:Orientation=\"6\"".to_vec())]),
        Some(upright()),
    );
    add("animated.png", animated_png(), Some(upright()));
    add("plain.webp", webp(&[]), Some(upright()));

    add("offset-in-palette.bmp", Bmp { pixels_at: 0x36, ..Bmp::default() }.bytes(), Some(in_eight_colours()));
    add("gap.bmp", Bmp { n_gap_bytes: 34, ..Bmp::default() }.bytes(), Some(in_eight_colours()));
    add("no-planes.bmp", Bmp { n_planes: 0, ..Bmp::default() }.bytes(), Some(in_eight_colours()));
    add("many-colours.bmp", Bmp { n_colours: 300, ..Bmp::default() }.bytes(), Some(in_eight_colours()));
    add(
        "from-the-top.bmp",
        Bmp { is_from_the_top: true, ..Bmp::default() }.bytes(),
        Some(in_eight_colours()),
    );
    for n_header_bytes in [16, 64, 108] {
        let bytes = Bmp { n_header_bytes, ..Bmp::default() }.bytes();
        add(&format!("header-{n_header_bytes}.bmp"), bytes, Some(in_eight_colours()));
    }
    let mut unpadded = Bmp::default().bytes();
    unpadded.truncate(unpadded.len() - 3);
    add("unpadded.bmp", unpadded.clone(), Some(in_eight_colours()));
    unpadded.pop();
    add("a-pixel-less.bmp", unpadded, None);

    let mut unmarked = fixture("jpeg_cmyk.jpg");
    let at = unmarked.windows(5).position(|bytes| bytes == b"Adobe").expect("a marker");
    unmarked[at] = b'X';
    add("four-inks.jpg", unmarked, None);
    add("no-colours.gif", gif(false, 2), None);
    add("long-codes.gif", gif(true, 11), None);
    all.extend(cut_short());
    all
}

fn fixture(name: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/preprocess").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Whole files of every format, without their ends.
fn cut_short() -> Vec<Awkward> {
    let names = [
        "jpeg_q90.jpg",
        "jpeg_progressive_444.jpg",
        "png_97x31.png",
        "gif_palette.gif",
        "webp_lossy.webp",
        "webp_lossless.webp",
        "bmp.bmp",
    ];
    let mut all = Vec::new();
    for name in names {
        let whole = fixture(name);
        let n_bytes = whole.len();
        for (what, n_left) in [
            ("a-half", n_bytes / 2),
            ("most", n_bytes * 95 / 100),
            // A GIF's last byte comes after its picture; of the others', a decoder may know nothing.
            ("all-but-four-bytes", n_bytes - 4),
        ] {
            let name = format!("{what}-of-{name}");
            all.push(Awkward { name, bytes: whole[..n_left].to_vec(), picture: None });
        }
    }
    all
}

fn encoded(encode: impl FnOnce(&mut Vec<u8>, &[u8], u32, u32)) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(&mut bytes, &upright().rgb, WIDTH as u32, HEIGHT as u32);
    bytes
}

/// A PNG with more chunks, right behind its header.
fn png(chunks: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    const HEADER_END: usize = 33;
    let png = encoded(|bytes, rgb, width, height| {
        PngEncoder::new(bytes).write_image(rgb, width, height, ExtendedColorType::Rgb8).expect("a PNG");
    });
    let chunks: Vec<u8> = chunks.iter().flat_map(|(kind, data)| chunk(kind, data)).collect();
    [&png[..HEADER_END], &chunks, &png[HEADER_END..]].concat()
}

fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let checked = [kind, data].concat();
    let checksum = checked.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(
            sum ^ u32::from(*byte),
            |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xEDB8_8320 } else { sum >> 1 },
        )
    });
    [&(data.len() as u32).to_be_bytes()[..], &checked, &(!checksum).to_be_bytes()].concat()
}

/// A still picture for those who know no animation, and an animation that starts with another.
fn animated_png() -> Vec<u8> {
    let control = [&1_u32.to_be_bytes()[..], &0_u32.to_be_bytes()].concat();
    let still = png(&[(b"acTL", control)]);
    let frame: Vec<u8> =
        [0, WIDTH as u32, HEIGHT as u32, 0, 0].into_iter().flat_map(u32::to_be_bytes).collect();
    let frame = [&frame[..], &[0, 1, 0, 1, 0, 0]].concat();
    let mut other = Vec::new();
    let black = vec![0; WIDTH * HEIGHT * 3];
    let encoder = PngEncoder::new(&mut other);
    encoder.write_image(&black, WIDTH as u32, HEIGHT as u32, ExtendedColorType::Rgb8).expect("a PNG");
    // Signature and header, then its data, then the end.
    let data = &other[33 + 8..other.len() - 12 - 4];
    let data = [&1_u32.to_be_bytes()[..], data].concat();
    let (still, end) = still.split_at(still.len() - 12);
    [still, &chunk(b"fcTL", &frame), &chunk(b"fdAT", &data), end].concat()
}

/// An extended WebP with an EXIF chunk, where that has bytes.
fn webp(exif: &[u8]) -> Vec<u8> {
    let webp = encoded(|bytes, rgb, width, height| {
        WebPEncoder::new_lossless(bytes).encode(rgb, width, height, ExtendedColorType::Rgb8).expect("a WebP");
    });
    let size = |side: usize| (side as u32 - 1).to_le_bytes()[..3].to_vec();
    let flags = if exif.is_empty() { 0 } else { 8 };
    let extended = [&[flags, 0, 0, 0][..], &size(WIDTH), &size(HEIGHT)].concat();
    let mut chunks = [b"VP8X", &10_u32.to_le_bytes()[..], &extended, &webp[12..]].concat();
    if !exif.is_empty() {
        chunks.extend([b"EXIF", &(exif.len() as u32).to_le_bytes()[..], exif].concat());
        chunks.extend(vec![0; exif.len() % 2]);
    }
    [b"RIFF", &(chunks.len() as u32 + 4).to_le_bytes()[..], b"WEBP", &chunks].concat()
}

/// One directory with one entry: tag 0x112, one number of two bytes.
fn exif(orientation: u8) -> Vec<u8> {
    let mut exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    exif
}

fn xmp(orientation: u8) -> Vec<u8> {
    format!("XML:com.adobe.xmp\0\0\0\0\0<x:xmpmeta><rdf:Description tiff:Orientation=\"{orientation}\"/></x:xmpmeta>")
        .into_bytes()
}

/// The colours of the BMPs' palette, in the order of its indices.
fn in_eight_colours() -> Pixels {
    picture(|x, y| Bmp::colour((x + 2 * y) % 8), WIDTH, HEIGHT)
}

/// A BMP of 8 bits a pixel and 8 colours.
struct Bmp {
    n_header_bytes: usize,
    n_planes: u16,
    /// What the header says that there are.
    n_colours: u32,
    /// 0: where they are.
    pixels_at: u32,
    /// Bytes between palette and pixels.
    n_gap_bytes: usize,
    is_from_the_top: bool,
}

impl Default for Bmp {
    fn default() -> Bmp {
        Bmp {
            n_header_bytes: 40,
            n_planes: 1,
            n_colours: 8,
            pixels_at: 0,
            n_gap_bytes: 0,
            is_from_the_top: false,
        }
    }
}

impl Bmp {
    fn colour(idx: usize) -> [u8; 3] {
        [idx as u8 * 30, 255 - idx as u8 * 20, if idx.is_multiple_of(2) { 0 } else { 99 }]
    }

    fn bytes(&self) -> Vec<u8> {
        let height = if self.is_from_the_top { -(HEIGHT as i32) } else { HEIGHT as i32 };
        let mut header = (self.n_header_bytes as u32).to_le_bytes().to_vec();
        header.extend((WIDTH as u32).to_le_bytes());
        header.extend(height.to_le_bytes());
        header.extend(self.n_planes.to_le_bytes());
        header.extend(8_u16.to_le_bytes());
        header.extend([0; 16]);
        header.extend(self.n_colours.to_le_bytes());
        header.resize(self.n_header_bytes.max(40), 0);
        // A header that ends early says nothing of colours: there are as many as there can be.
        header.truncate(self.n_header_bytes);
        let n_colours = if self.n_header_bytes < 40 { 256 } else { self.n_colours as usize };
        let palette = (0..n_colours).flat_map(|idx| {
            let [r, g, b] = if idx < 8 { Bmp::colour(idx) } else { [0; 3] };
            [b, g, r, 0]
        });
        let mut behind: Vec<u8> = header.into_iter().chain(palette).collect();
        behind.extend(vec![0xAA; self.n_gap_bytes]);
        let pixels_at = if self.pixels_at == 0 { 14 + behind.len() as u32 } else { self.pixels_at };
        for row in 0..HEIGHT {
            let y = if self.is_from_the_top { row } else { HEIGHT - 1 - row };
            behind.extend((0..WIDTH).map(|x| ((x + 2 * y) % 8) as u8));
            behind.extend([0; (4 - WIDTH % 4) % 4]);
        }
        let mut file = b"BM".to_vec();
        file.extend((14 + behind.len() as u32).to_le_bytes());
        file.extend([0; 4]);
        file.extend(pixels_at.to_le_bytes());
        [file, behind].concat()
    }
}

/// One pixel.
fn gif(has_colours: bool, n_code_bits: u8) -> Vec<u8> {
    let mut gif = b"GIF89a\x01\0\x01\0".to_vec();
    gif.push(if has_colours { 0x80 } else { 0 });
    gif.extend([0, 0]);
    if has_colours {
        gif.extend([1, 2, 3, 4, 5, 6]);
    }
    gif.extend(b"\x2C\0\0\0\0\x01\0\x01\0\0");
    gif.extend([n_code_bits, 2, 0x44, 0x01, 0, 0x3B]);
    gif
}
