//! Pictures: the crop that the model sees equals Pillow's and torchvision's, whatever the upload.
//!
//! `tests/fixtures/preprocess/NAME.EXT` is an upload, `NAME.expect.png` the crop that Pillow makes of it (EXIF
//! applied, alpha over white, bicubic, torchvision's centre crop).

use cliplet::image::{Background, Filter, Fit, ImageError, Pixels, Preprocess, decode};
use proptest::prelude::*;
use std::path::{Path, PathBuf};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/preprocess")
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Largest and mean difference of two pictures' bytes.
fn difference(a: &Pixels, b: &Pixels) -> (u8, f64) {
    assert_eq!((a.width, a.height), (b.width, b.height));
    let differences = || a.rgb.iter().zip(&b.rgb).map(|(a, b)| a.abs_diff(*b));
    let sum: f64 = differences().map(f64::from).sum();
    (differences().max().unwrap_or(0), sum / a.rgb.len() as f64)
}

/// Lossless formats give the same pixels in every decoder, and the resampling is Pillow's bit for bit. JPEG
/// decoders round differently in the inverse transform, the chroma upsampling and the colour conversion.
fn is_within_tolerance(is_jpeg: bool, (max, mean): (u8, f64)) -> bool {
    if is_jpeg { max <= 12 && mean <= 1.0 } else { max == 0 }
}

#[test]
fn every_upload_gives_pillows_crop() {
    let mut n_cases = 0;
    for entry in std::fs::read_dir(fixtures()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.ends_with(".expect.png") || name.ends_with(".md") {
            continue;
        }
        let expected = decode(&read(&path.with_extension("expect.png"))).unwrap();
        let crop = Preprocess::CLIP.crop(&decode(&read(&path)).unwrap());
        let found = difference(&crop, &expected);
        assert!(
            is_within_tolerance(name.ends_with(".jpg"), found),
            "{name}: max {}, mean {:.3}",
            found.0,
            found.1
        );
        n_cases += 1;
    }
    assert!(n_cases >= 20, "only {n_cases} uploads found");
}

#[test]
fn the_comparison_sees_a_wrong_crop() {
    let read = |name: &str| decode(&read(&fixtures().join(name))).unwrap();
    let expected = read("png_223x300.expect.png");
    let pixels = read("png_223x300.png");
    let bilinear = Preprocess { filter: Filter::Bilinear, ..Preprocess::CLIP }.crop(&pixels);
    assert!(!is_within_tolerance(true, difference(&bilinear, &expected)));
    let squashed = Preprocess { fit: Fit::Squash, ..Preprocess::CLIP }.crop(&pixels);
    assert!(!is_within_tolerance(true, difference(&squashed, &expected)));
    let mut mirrored = expected.clone();
    mirrored.rgb.reverse();
    assert!(!is_within_tolerance(true, difference(&mirrored, &expected)));
}

#[test]
fn sizes_are_refused_on_the_header() {
    // A BMP's header, with no pixels behind it.
    let bmp = |width: i32, height: i32| {
        let mut header = b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
        header.extend(width.to_le_bytes());
        header.extend(height.to_le_bytes());
        header.extend([1, 0, 24, 0]);
        header.extend([0; 24]);
        header
    };
    for (width, height) in [(10_001, 10_000), (60_000, 2_000)] {
        let refused = decode(&bmp(width, height)).unwrap_err();
        assert!(
            matches!(refused, ImageError::TooLarge { max_megapixels: 100, max_side: 65_535, .. }),
            "{refused}"
        );
        assert!(refused.to_string().contains(&width.to_string()), "{refused}");
    }
    assert!(matches!(decode(&bmp(100, 100)), Err(ImageError::CutShort { n_bytes: 54 })));
}

#[test]
fn other_files_are_named() {
    assert!(matches!(decode(b""), Err(ImageError::UnknownFormat { n_bytes: 0 })));
    assert!(matches!(decode(b"<svg/>"), Err(ImageError::UnknownFormat { .. })));
    assert!(matches!(decode(b"\0\0\0\x18ftypheic\0\0"), Err(ImageError::UnsupportedFormat("HEIC"))));
    assert!(matches!(decode(b"\0\0\0\x18ftypmif1\0\0"), Err(ImageError::UnsupportedFormat("HEIC"))));
    for video in [&b"\0\0\0\x18ftypisom\0\0"[..], b"\0\0\0\x18ftypqt  \0\0", b"\0\0\0\x18ftyp"] {
        assert!(matches!(decode(video), Err(ImageError::UnknownFormat { .. })));
    }
    assert!(matches!(decode(b"\0\0\0\x18ftypavif\0\0"), Err(ImageError::UnsupportedFormat("AVIF"))));
    assert!(matches!(decode(b"II*\0\0\0\0\0"), Err(ImageError::UnsupportedFormat("TIFF"))));
}

/// The main brand, a version, and what the file is compatible with.
#[test]
fn phones_pictures_are_named_by_all_their_brands() {
    let file = |brands: &[&[u8; 4]]| {
        let (main, others) = brands.split_first().unwrap();
        let n_bytes = (16 + 4 * others.len() as u32).to_be_bytes();
        let others: Vec<u8> = others.iter().copied().flatten().copied().collect();
        [&n_bytes[..], b"ftyp", *main, &[0; 4], &others, b"\0\0\0\x20metaavifheic"].concat()
    };
    for brand in [b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"] {
        for brands in [vec![brand], vec![brand, b"mif1"], vec![b"mif1", b"miaf", brand], vec![b"msf1", brand]]
        {
            let refused = decode(&file(&brands)).unwrap_err();
            assert!(matches!(refused, ImageError::UnsupportedFormat("HEIC")), "{brands:?}: {refused}");
        }
    }
    for brands in
        [&[b"avif"][..], &[b"avis", b"msf1"], &[b"mif1", b"avif"], &[b"mif1", b"miaf", b"MA1B", b"avif"]]
    {
        let refused = decode(&file(brands)).unwrap_err();
        assert!(matches!(refused, ImageError::UnsupportedFormat("AVIF")), "{brands:?}: {refused}");
    }
    // What stands behind the box says nothing, and a film is no picture.
    for brands in [&[b"isom"][..], &[b"qt  "], &[b"mp42", b"isom"], &[b"jpeg"]] {
        assert!(matches!(decode(&file(brands)), Err(ImageError::UnknownFormat { .. })), "{brands:?}");
    }
}

#[test]
fn awkward_files_are_right_or_refused() {
    let all = crate::awkward::all();
    assert!(all.len() >= 70, "only {}", all.len());
    for crate::awkward::Awkward { name, bytes, picture } in all {
        match (decode(&bytes), picture) {
            (Ok(found), Some(expected)) => assert!(found == expected, "{name} gives another picture"),
            (Err(error), None) if name.contains("-of-") || name.contains("-less") => {
                assert!(matches!(error, ImageError::CutShort { .. }), "{name}: {error}");
            }
            (Err(error), None) => {
                let is_named = matches!(error, ImageError::Malformed(_) | ImageError::UnsupportedFormat(_));
                assert!(is_named, "{name}: {error}");
            }
            (Err(error), Some(_)) => panic!("{name} is refused: {error}"),
            (Ok(_), None) => panic!("{name} is read"),
        }
    }
}

/// libjpeg passes over Adobe's marker where it is too short to say anything.
#[test]
fn a_jpeg_with_half_a_marker_is_read() {
    let whole = read(&fixtures().join("jpeg_q90.jpg"));
    let marked = [&whole[..2], b"\xFF\xEE\0\x0DAdobe\0d\0\0\0\0", &whole[2..]].concat();
    assert_eq!(decode(&marked).unwrap(), decode(&whole).unwrap());
}

#[test]
fn cmyk_is_right_or_refused_never_a_negative() {
    let jpeg = read(&fixtures().join("jpeg_cmyk.jpg"));
    assert!(decode(&jpeg).is_ok());
    let at = jpeg.windows(5).position(|bytes| bytes == b"Adobe").unwrap();
    let mut unmarked = jpeg;
    unmarked[at] = b'X';
    assert!(matches!(decode(&unmarked), Err(ImageError::UnsupportedFormat(name)) if name.contains("CMYK")));
}

#[test]
fn alpha_lies_over_white() {
    let pixels = Pixels::from_rgba(3, 1, &[9, 9, 9, 0, 9, 9, 9, 255, 0, 255, 100, 128]).unwrap();
    assert_eq!(pixels.rgb, [255, 255, 255, 9, 9, 9, 127, 255, 177]);
    assert!(matches!(Pixels::from_rgba(2, 2, &[0; 15]), Err(ImageError::ByteCount { expected: 16, .. })));
    assert!(Pixels::from_rgba(0, 0, &[]).is_err());
}

#[test]
fn what_white_would_swallow_lies_over_black() {
    // A disc in a square: its colour, and what is around it.
    let disc = |colour: [u8; 4], around: [u8; 4]| {
        let is_in = |i: i32| (i % 32 - 16).pow(2) + (i / 32 - 16).pow(2) < 100;
        let rgba: Vec<u8> = (0..32 * 32).flat_map(|i| if is_in(i) { colour } else { around }).collect();
        Pixels::from_rgba(32, 32, &rgba).unwrap()
    };
    const CLEAR: [u8; 4] = [0; 4];
    let at = |pixels: &Pixels, i: usize| pixels.rgb[i * 3..][..3].to_vec();
    for near_white in [[255, 255, 255, 255], [240, 245, 250, 255], [255, 255, 255, 90]] {
        let pixels = disc(near_white, CLEAR);
        assert_eq!(pixels.background, Some(Background::Black), "{near_white:?}");
        assert_eq!(at(&pixels, 0), [0; 3], "{near_white:?}");
        assert!(at(&pixels, 16 * 32 + 16)[0] >= 85, "{near_white:?}");
        // What the model sees says so, too.
        assert_eq!(Preprocess::CLIP.crop(&pixels).background, Some(Background::Black));
    }
    for seen in [[0, 0, 0, 255], [255, 255, 0, 255], [200, 200, 200, 255], [0, 0, 0, 60]] {
        let pixels = disc(seen, CLEAR);
        assert_eq!(pixels.background, Some(Background::White), "{seen:?}");
        assert_eq!(at(&pixels, 0), [255; 3], "{seen:?}");
    }
    // White that hides nothing is white; a white picture without transparency stays as it is.
    assert_eq!(disc([0, 0, 0, 255], [255; 4]).background, None);
    assert_eq!(disc([255; 4], [255; 4]).background, None);
    assert_eq!(disc([255; 4], [255; 4]).rgb, [255; 32 * 32 * 3]);
}

#[test]
fn other_sizes_filters_and_fits_are_pillows() {
    #[derive(serde::Deserialize)]
    struct Case {
        file: String,
        size: usize,
        resize: Option<usize>,
        fit: Fit,
        fill: [u8; 3],
        filter: Filter,
        sha256: String,
    }
    let cases = include_str!("../fixtures/preprocess-variants/variants.json");
    let cases: Vec<Case> = serde_json::from_str(cases).unwrap();
    assert_eq!(cases.len(), 84);
    for case in cases {
        let pixels = decode(&read(&fixtures().join(&case.file))).unwrap();
        let Case { size, resize, fit, fill, filter, .. } = case;
        let crop = Preprocess { size, resize, fit, fill, filter, ..Preprocess::CLIP }.crop(&pixels);
        assert_eq!((crop.width, crop.height), (size, size));
        let what = format!("{} {fit:?} {filter:?} {resize:?} → {size}", case.file);
        assert_eq!(cliplet::weights::sha256_hex(&crop.rgb), case.sha256, "{what}");
    }
}

#[test]
fn numbers_are_normalised_a_channel() {
    let preprocess = Preprocess { size: 2, mean: [0.0, 0.5, 1.0], std: [1.0, 0.5, 2.0], ..Preprocess::CLIP };
    let pixels = Pixels::opaque(1, 1, vec![255, 255, 0]);
    assert_eq!(preprocess.tensor(&pixels).values, [1.0, 1.0, -0.5].repeat(4));
}

#[test]
fn extreme_shapes_cost_what_their_crop_costs() {
    for (width, height) in [(1, 60_000), (60_000, 1), (1, 1), (60_000, 2)] {
        let pixels = Pixels::opaque(width, height, vec![77; width * height * 3]);
        let filters = [Filter::Bicubic, Filter::Lanczos, Filter::Nearest];
        for (fit, filter) in
            [Fit::Crop, Fit::Squash, Fit::Pad].iter().flat_map(|fit| filters.map(|filter| (*fit, filter)))
        {
            let preprocess = Preprocess { fit, filter, fill: [77; 3], ..Preprocess::CLIP };
            let (crop, peak) = crate::allocation::peak_of(|| preprocess.crop(&pixels));
            assert!(crop.rgb.len() == 224 * 224 * 3 && crop.rgb.iter().all(|&byte| byte == 77));
            // Weights of the whole picture once in f64 and once rounded, or rows of the final width.
            assert!(peak <= 64 << 20, "{width} × {height}: {peak} bytes");
        }
    }
}

#[test]
fn cut_files_give_an_error_or_a_picture() {
    for name in ["png_97x31.png", "jpeg_gray.jpg", "gif_palette.gif", "webp_lossy.webp", "bmp.bmp"] {
        let bytes = read(&fixtures().join(name));
        for eighth in 0..8 {
            match decode(&bytes[..bytes.len() * eighth / 8]) {
                Ok(pixels) => assert_eq!(pixels.rgb.len(), pixels.width * pixels.height * 3),
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn changed_files_never_panic(
        name in prop::sample::select(vec!["png_97x31.png", "jpeg_gray.jpg", "exif_6.jpg", "gif_palette.gif", "webp_lossy.webp"]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        is_early in any::<bool>(),
    ) {
        let mut bytes = read(&fixtures().join(name));
        let reach = if is_early { 600 } else { bytes.len() };
        changes.iter().for_each(|(at, value)| bytes[at.index(reach)] = *value);
        if let Ok(pixels) = decode(&bytes) {
            prop_assert_eq!(pixels.rgb.len(), pixels.width * pixels.height * 3);
        }
    }
}
