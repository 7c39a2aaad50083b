//! Which model of the curated list suits a device: the offer under an answer, the badge and the picker's order all ask here.
//!
//! Invariant: pure: the same list and the same facts give the same order, wherever it is shown.
//! Invariant: what costs much on a phone, a slow or a metered line, or where little room is left, is never recommended
//! there.

use crate::convert::catalogue::{Catalogue, Entry};
use crate::worker::protocol::StoredFormat;

/// What a phone, a slow or a metered line is asked to download at most.
const LIGHT_BYTES: u64 = 150_000_000;
/// What any other device without a graphics processor is asked to download at most: larger models would rank slowly.
const MIDDLE_BYTES: u64 = 650_000_000;
/// What a desktop with a graphics processor is asked to download at most.
const HEAVY_BYTES: u64 = 1_000_000_000;
/// Classes of lines as the Network Information API names them, all but the fastest.
const SLOW_LINES: [&str; 3] = ["slow-2g", "2g", "3g"];
/// Below what Chromium tells of a line before it has measured anything; a fresh one said 1.6.
const SLOW_MBIT_PER_SECOND: f32 = 1.2;
/// Devices with less memory get a small model.
const LITTLE_MEMORY_GIB: f32 = 4.0;
/// The shorter side of a larger screen is no phone's.
const PHONE_SIDE_PIXELS: u32 = 600;
/// A model is asked for only where this many times its stored size is free: the browser and others need room too.
const ROOM_FACTOR: u64 = 2;

/// What is known of the device; browsers tell only part of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Device {
    /// The main pointer is a finger.
    pub is_coarse: bool,
    /// The shorter side of the screen, in CSS pixels; 0 where it is not known.
    pub screen_side: u32,
    /// The reader asked the browser to save data, or the line is a cellular one.
    pub is_metered: bool,
    /// As the browser classes the line: `4g`, `3g`, `2g`, `slow-2g`.
    pub line: Option<String>,
    pub mbit_per_second: Option<f32>,
    pub memory_gib: Option<f32>,
    /// Bytes that the browser still lets this page store.
    pub room_bytes: Option<u64>,
    /// A graphics processor ranks, and none that is emulated in software.
    pub has_gpu: bool,
}

impl Device {
    /// Bytes that it is asked to download at most.
    fn max_download_bytes(&self) -> u64 {
        let is_phone = self.is_coarse && (1..PHONE_SIDE_PIXELS).contains(&self.screen_side);
        let is_slow = self.line.as_deref().is_some_and(|line| SLOW_LINES.contains(&line))
            || self.mbit_per_second.is_some_and(|rate| rate < SLOW_MBIT_PER_SECOND);
        let has_little_memory = self.memory_gib.is_some_and(|memory| memory < LITTLE_MEMORY_GIB);
        match is_phone || is_slow || self.is_metered || has_little_memory {
            true => LIGHT_BYTES,
            false if self.has_gpu => HEAVY_BYTES,
            false => MIDDLE_BYTES,
        }
    }

    /// Whether the model may be recommended here.
    fn suits(&self, entry: &Entry, format: StoredFormat) -> bool {
        let needed = ROOM_FACTOR * kept_bytes(entry, format);
        entry.n_bytes() <= self.max_download_bytes() && self.room_bytes.is_none_or(|room| needed <= room)
    }
}

/// What a model of the list takes once it is stored.
pub fn kept_bytes(entry: &Entry, format: StoredFormat) -> u64 {
    match format {
        StoredFormat::Q8_0 => entry.memory.q8_0,
        StoredFormat::Q4_0 => entry.memory.q4_0,
        StoredFormat::F16 => 2 * entry.n_parameters,
    }
}

/// The curated list as this device should see it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OrderedCatalogue<'a> {
    /// What is stored, then what is recommended, then what else suits, then the rest from the smallest download on.
    pub entries: Vec<&'a Entry>,
    pub recommended: Option<&'a Entry>,
}

/// Orders the list for `device`. The recommended model is the most accurate that suits, the smaller download of two
/// equals; a stored one that is as accurate takes its place, since it costs nothing more.
pub fn ordered<'a>(
    catalogue: &'a Catalogue,
    device: &Device,
    format: StoredFormat,
    is_stored: impl Fn(&Entry) -> bool,
) -> OrderedCatalogue<'a> {
    let mut entries: Vec<&Entry> = catalogue.models.iter().collect();
    entries.sort_by(|a, b| b.imagenet.top1.total_cmp(&a.imagenet.top1).then(a.n_bytes().cmp(&b.n_bytes())));
    let suited = entries.iter().copied().find(|entry| device.suits(entry, format));
    // The most accurate of them stands first.
    let stored = entries.iter().copied().find(|entry| is_stored(entry));
    let is_as_accurate =
        |stored: &&Entry| suited.is_none_or(|suited| stored.imagenet.top1 >= suited.imagenet.top1);
    let recommended = stored.filter(is_as_accurate).or(suited);
    let place = |entry: &Entry| match entry {
        entry if is_stored(entry) => (0, 0),
        entry if suited.is_some_and(|suited| suited.id == entry.id) => (1, 0),
        entry if device.suits(entry, format) => (2, 0),
        entry => (3, entry.n_bytes()),
    };
    entries.sort_by_key(|entry| place(entry));
    OrderedCatalogue { entries, recommended }
}
