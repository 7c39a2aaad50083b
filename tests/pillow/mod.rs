//! Pillow's own test pictures, what Pillow makes of them, and where Cliplet differs by intent: tests/fixtures/pillow.
//!
//! Invariant: a difference that is not in the table is a failure, and so is a row of the table that is none any more.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// A picture of the set.
pub struct Case {
    pub name: &'static str,
    pub bytes: Vec<u8>,
    pillows: Pillows,
    /// The row in the table of differences.
    difference: Option<Difference>,
}

/// What Pillow makes of it.
enum Pillows {
    Refused,
    /// The start of the SHA-256 of the crop's pixels.
    Exactly(&'static str),
    /// The means of 4 × 4 squares of the crop, for lossy formats.
    About(Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Difference {
    Pixels,
    /// The page gives other pixels, too.
    PixelsAndSides,
    Read,
    Refused,
}

const SIDE: usize = 224;
/// Squares a side, and pixels a square's side.
const N_SQUARES: usize = 4;
const SQUARE: usize = SIDE / N_SQUARES;
/// How far the means of lossy pictures may be apart: decoders round differently by 1 on average at most.
const MAX_MEAN_DIFFERENCE: u8 = 2;

/// All of them, from the folder that `cargo xtask test --all` fetches.
pub fn cases() -> Vec<Case> {
    let folder = std::env::var_os("CLIPLET_PILLOW").map(PathBuf::from);
    let folder = folder.expect(
        "CLIPLET_PILLOW names the folder of the pictures; run these tests by: cargo xtask test --all",
    );
    let mut differences: BTreeMap<&str, Difference> = BTreeMap::new();
    for row in include_str!("../fixtures/pillow/differences.tsv").lines() {
        let [name, difference, reason] = row.split('\t').collect::<Vec<_>>()[..] else { panic!("{row}") };
        assert!(reason.len() > 10, "{name} has no reason");
        let difference = match difference {
            "pixels" => Difference::Pixels,
            "pixels, sides" => Difference::PixelsAndSides,
            "read" => Difference::Read,
            "refused" => Difference::Refused,
            other => panic!("{name}: {other}"),
        };
        assert!(differences.insert(name, difference).is_none(), "{name} stands there twice");
    }
    let case = |row: &'static str| {
        let (name, signature) = row.split_once('\t').expect("a tab");
        let path = folder.join(name);
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let pillows = match signature.len() {
            16 => Pillows::Exactly(signature),
            7 => Pillows::Refused,
            _ => {
                let digits = signature.as_bytes().as_chunks::<2>().0;
                let byte = |digits: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
                Pillows::About(digits.iter().map(|digits| byte(digits).expect("a byte")).collect())
            }
        };
        Case { name, bytes, pillows, difference: differences.remove(name) }
    };
    let cases: Vec<Case> = include_str!("../fixtures/pillow/crops.tsv").lines().map(case).collect();
    assert!(differences.is_empty(), "not in the set: {differences:?}");
    cases
}

impl Case {
    /// What is wrong with this outcome: the crop that the model sees, or that the file is refused.
    pub fn complaint(&self, crop: Option<&[u8]>) -> Option<String> {
        let found = match (crop, &self.pillows) {
            (None, Pillows::Refused) => None,
            (None, _) => Some(Difference::Refused),
            (Some(_), Pillows::Refused) => Some(Difference::Read),
            (Some(crop), Pillows::Exactly(hash)) => {
                (!cliplet::weights::sha256_hex(crop).starts_with(hash)).then_some(Difference::Pixels)
            }
            (Some(crop), Pillows::About(means)) => {
                let is_near = |(a, b): (&u8, &u8)| a.abs_diff(*b) <= MAX_MEAN_DIFFERENCE;
                (!squares(crop).iter().zip(means).all(is_near)).then_some(Difference::Pixels)
            }
        };
        let expected = match self.difference {
            Some(Difference::PixelsAndSides) => Some(Difference::Pixels),
            expected => expected,
        };
        (found != expected).then(|| format!("{}: {found:?}, the table says {expected:?}", self.name))
    }

    /// Whether the page may give other pixels than the command.
    pub fn may_sides_differ(&self) -> bool {
        self.difference == Some(Difference::PixelsAndSides)
    }

    pub fn is_lossy(&self) -> bool {
        matches!(self.pillows, Pillows::About(_))
    }
}

/// The mean red, green and blue of each square.
fn squares(crop: &[u8]) -> Vec<u8> {
    let mut sums = [0_u32; N_SQUARES * N_SQUARES * 3];
    for (idx, value) in crop.iter().enumerate() {
        let (x, y) = (idx / 3 % SIDE, idx / 3 / SIDE);
        sums[(y / SQUARE * N_SQUARES + x / SQUARE) * 3 + idx % 3] += u32::from(*value);
    }
    let n_pixels = (SQUARE * SQUARE) as u32;
    sums.iter().map(|sum| ((sum + n_pixels / 2) / n_pixels) as u8).collect()
}
