//! The set of ordinary photos that the starter's answers are measured on, with label sets as a person would type them.
//!
//! `photos.json` names each package with its licence, and each photo with its hash, the words that are true of it, and five
//! sets of labels: everyday words, near neighbours, a person's own kinds of words, free ones, and one in which nothing is
//! right. They were written by eye, before any model had seen the photos.
//!
//! Invariant: a photo's half follows from its group's name alone, so that photos of one scene stay together.
//! Invariant: weights are trained on neither half; thresholds, temperatures and choices are fitted on [`Half::Fit`] alone.

use super::fetch::{self, Package};
use super::{Cache, Result};
use cliplet::image::{Pixels, decode};
use cliplet::weights::sha256_hex;
use serde::Deserialize;

const SET: &str = include_str!("photos.json");

/// The packages and the photos in them.
#[derive(Deserialize)]
pub struct PhotoSet {
    pub packages: Vec<PhotoSource>,
    pub photos: Vec<Photo>,
}

/// A package, and what may be done with the photos in it.
#[derive(Deserialize)]
pub struct PhotoSource {
    #[serde(flatten)]
    pub package: Package,
    pub licence: String,
    /// Where that is stated.
    pub licence_source: String,
}

#[derive(Deserialize)]
pub struct Photo {
    package: String,
    /// Inside the package.
    path: String,
    sha256: String,
    /// Photos of one scene share it: from its name follows the half.
    #[cfg(test)]
    group: String,
    pub half: Half,
    /// What is true of it.
    #[cfg(test)]
    words: Vec<String>,
    /// One of each of [`KINDS`], in that order.
    pub sets: Vec<LabelSet>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Half {
    /// It may fit thresholds, temperatures and choices.
    Fit,
    /// It fits nothing, and gives the accuracy that is told.
    Test,
}

/// What a photo's sets are like. In the last, nothing is right.
pub const KINDS: [&str; 5] = ["everyday", "near", "natural", "free", "miss"];

/// Labels as a person would type them.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelSet {
    pub labels: Vec<String>,
    /// Which of them are true of the photo.
    pub right: Vec<usize>,
}

impl PhotoSet {
    pub fn load() -> Result<Self> {
        Ok(serde_json::from_str(SET)?)
    }
}

impl Photo {
    /// The picture, if it is the one that was looked at.
    pub fn pixels(&self, cache: &Cache) -> Result<Pixels> {
        let path = fetch::photo_source(cache, &self.package, &self.path);
        let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let found = sha256_hex(&bytes);
        if found != self.sha256 {
            return Err(format!("{}: SHA-256 is {found}, not {}", path.display(), self.sha256).into());
        }
        Ok(decode(&bytes)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn rule(group: &str) -> Half {
        let is_even = |digit: char| digit.to_digit(16).is_some_and(|digit| digit % 2 == 0);
        if sha256_hex(group.as_bytes()).chars().nth(1).is_some_and(is_even) { Half::Fit } else { Half::Test }
    }

    #[test]
    fn the_halves_follow_from_the_groups_and_are_about_equal() {
        let photos = PhotoSet::load().unwrap().photos;
        photos.iter().for_each(|photo| assert_eq!(photo.half, rule(&photo.group), "{}", photo.path));
        let n_fit = photos.iter().filter(|photo| photo.half == Half::Fit).count();
        assert!(photos.len() >= 200 && n_fit.abs_diff(photos.len() - n_fit) < 20, "{n_fit}");
    }

    #[test]
    fn each_photo_has_one_set_of_each_kind() {
        for photo in PhotoSet::load().unwrap().photos {
            assert_eq!(photo.sets.len(), KINDS.len(), "{}", photo.path);
            assert!(photo.words.len() >= 4, "{}", photo.path);
            for (kind, LabelSet { labels, right }) in KINDS.iter().zip(&photo.sets) {
                let distinct: BTreeSet<String> = labels.iter().map(|label| label.to_lowercase()).collect();
                assert_eq!(distinct.len(), labels.len(), "{} {labels:?}", photo.path);
                assert!(right.iter().all(|right| *right < labels.len()) && right.len() < labels.len());
                let allowed = match *kind {
                    "miss" => 0..=0,
                    "free" => 1..=2,
                    _ => 1..=1,
                };
                assert!(allowed.contains(&right.len()), "{} {labels:?}", photo.path);
            }
        }
    }

    #[test]
    fn each_photo_is_another_file_of_a_package_whose_licence_is_named() {
        let PhotoSet { packages, photos } = PhotoSet::load().unwrap();
        let names: BTreeSet<&str> = packages.iter().map(|source| source.package.name.as_str()).collect();
        let used: BTreeSet<&str> = photos.iter().map(|photo| photo.package.as_str()).collect();
        assert_eq!(names, used);
        assert!(used.len() >= 5);
        for source in &packages {
            assert!(
                !source.licence.is_empty() && !source.licence_source.is_empty(),
                "{}",
                source.package.name
            );
        }
        let files: BTreeSet<&str> = photos.iter().map(|photo| photo.sha256.as_str()).collect();
        assert_eq!(files.len(), photos.len());
    }
}
