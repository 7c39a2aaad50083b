//! What a person has made and chosen. Kept in the browser; labels and how they are compared travel by a share link too.
//!
//! Invariant: labels are clean (`text::labels`) and differ from each other; every edit keeps that.
//! Invariant: a template or a hub's address that is being typed may be wrong: it is kept as typed, and left out of use.

use super::language::{Language, Text};
use crate::convert::source::{self, DEFAULT_HUB};
use crate::facts::{BackendChoice, Mode};
use crate::text::labels::{self, MAX_LABELS};
use crate::text::{Template, TextError};
use crate::worker::protocol::{StoredFormat, Vouched};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::{HashMap, HashSet};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    pub labels: Vec<String>,
    /// As typed; none means the model's own. See [`Settings::prompts`].
    pub templates: Vec<String>,
    pub mode: Mode,
    pub has_none: bool,
    pub is_mirrored: bool,
    pub has_shortcuts: bool,
    /// The last pictures and their results stay on the device.
    pub keeps_recent: bool,
    /// Which processor computes.
    pub backend: BackendChoice,
    /// The graphics processor failed, and is left alone for a while.
    pub gpu_trouble: Option<GpuTrouble>,
    /// The stored model to load; none means the page's own.
    pub model: Option<Chosen>,
    /// Where models are looked up, as typed. See [`Settings::hub`].
    pub hub: String,
    pub format: StoredFormat,
    /// Models are stored here, so that it is worth looking which.
    pub has_stored: bool,
    /// The reader's own, to begin with.
    pub sets: Vec<LabelSet>,
    /// Facts about the device that were told, by their codes: none is told twice.
    pub told: Vec<String>,
    /// In which language the page speaks; none means the first of the browser's that it knows.
    pub language: Option<Language>,
    /// What a preset or a link took the place of; kept as well, so that it can come back after a reload too.
    pub earlier: Option<Earlier>,
}

/// When the graphics processor failed or the browser broke down over it, in milliseconds of the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GpuTrouble {
    at_millis: f64,
}

impl GpuTrouble {
    /// Browsers and drivers are updated about that often.
    const DAYS: f64 = 7.0;

    pub fn at(millis: f64) -> Self {
        Self { at_millis: millis }
    }

    /// Whether it is to be left alone still; a clock that was turned back does not make that longer.
    pub fn is_recent(self, now_millis: f64) -> bool {
        (0.0..Self::DAYS * 86_400_000.0).contains(&(now_millis - self.at_millis))
    }
}

/// A model of the store's, by its key, and what it was called, should it be gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chosen {
    pub key: String,
    pub name: String,
    #[serde(default)]
    pub vouched: Vouched,
}

/// Labels under a name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LabelSet {
    pub name: String,
    pub labels: Vec<String>,
}

/// So many replaced lists of labels come back by undo.
const MAX_EARLIER: usize = 5;

/// What comes back by undo.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Earlier {
    pub labels: Vec<String>,
    /// How they were compared, which a link brings too.
    pub comparison: Option<Comparison>,
    /// What comes back by the undo after this one.
    pub before: Option<Box<Earlier>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Comparison {
    pub templates: Vec<String>,
    pub mode: Mode,
    pub has_none: bool,
}

/// Labels that could not be taken, as a text that can be edited, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub text: String,
    pub n_labels: usize,
    pub error: TextError,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            labels: PRESETS[0].labels.iter().map(|label| label.to_string()).collect(),
            templates: Vec::new(),
            mode: Mode::Softmax,
            has_none: true,
            is_mirrored: false,
            has_shortcuts: true,
            keeps_recent: true,
            backend: BackendChoice::Auto,
            gpu_trouble: None,
            model: None,
            hub: DEFAULT_HUB.to_owned(),
            format: StoredFormat::default(),
            has_stored: false,
            sets: Vec::new(),
            told: Vec::new(),
            language: None,
            earlier: None,
        }
    }
}

impl Default for Comparison {
    fn default() -> Self {
        Settings::default().comparison()
    }
}

/// What a reader begins a sentence with.
pub const NEW_TEMPLATE: &str = "a photo of a {label}";
/// Averaging more gains nothing and costs a text pass a label each.
pub const MAX_TEMPLATES: usize = 8;

/// Labels to begin with.
pub struct Preset {
    pub name: Text,
    pub labels: &'static [&'static str],
}

/// The first is what a newcomer finds: it names what the sample pictures show. English in every language of the page: the
/// starter reads no other.
pub const PRESETS: [Preset; 5] = [
    Preset {
        name: Text("preset-samples"),
        labels: &["cat", "dog", "cup of coffee", "flower", "rocket", "astronaut", "guitar"],
    },
    Preset {
        name: Text("preset-animals"),
        labels: &["cat", "dog", "bird", "fish", "horse", "rabbit", "elephant", "butterfly", "snake", "frog"],
    },
    Preset {
        name: Text("preset-food"),
        labels: &[
            "pizza",
            "bread",
            "apple",
            "banana",
            "cake",
            "salad",
            "soup",
            "ice cream",
            "coffee",
            "burger",
        ],
    },
    Preset {
        name: Text("preset-home"),
        labels: &["chair", "table", "lamp", "bed", "sofa", "book", "cup", "keyboard", "phone", "plant"],
    },
    Preset {
        name: Text("preset-outdoors"),
        labels: &[
            "car", "bicycle", "bus", "train", "boat", "airplane", "tree", "house", "bridge", "mountain",
        ],
    },
];

impl Settings {
    /// Of what was stored, everything that can be read: one value that this version does not know takes no other with it.
    pub fn read(stored: &str) -> Settings {
        let read = |text: &str| serde_json::from_str::<Settings>(text).ok();
        let known = || read(&known_part(stored, &|text| read(text).is_some()));
        read(stored).or_else(known).unwrap_or_default().cleaned()
    }

    /// Adds what was typed or pasted, as much of it as there is room for; labels that are there already are left out.
    /// Returns how many are new.
    pub fn add(&mut self, text: &str) -> Result<usize, Refused> {
        let n_before = self.labels.len();
        self.insert(n_before, labels::split(text))?;
        Ok(self.labels.len() - n_before)
    }

    /// Puts what was typed in place of one label; nothing typed removes it, several labels take its place. What is refused
    /// changes nothing.
    pub fn rename(&mut self, idx: usize, text: &str) -> Result<(), Refused> {
        let before = self.labels.clone();
        self.remove(idx);
        self.insert(idx.min(self.labels.len()), labels::split(text)).map_err(|refused| {
            self.labels = before;
            Refused { text: text.to_owned(), ..refused }
        })
    }

    /// Puts in those of `new` that are not there yet and that can be taken.
    fn insert(&mut self, idx: usize, mut new: Vec<String>) -> Result<(), Refused> {
        let known: HashSet<String> = self.labels.iter().map(|label| labels::key(label)).collect();
        new.retain(|label| !known.contains(&labels::key(label)));
        let too_long = new.iter().find_map(|label| labels::check_length(label).err());
        let (mut taken, mut left_out): (Vec<String>, Vec<String>) =
            new.into_iter().partition(|label| labels::check_length(label).is_ok());
        let room = MAX_LABELS.saturating_sub(self.labels.len()).min(taken.len());
        let is_full = room < taken.len();
        left_out.extend(taken.split_off(room));
        self.labels.splice(idx..idx, taken);
        let error = too_long.or(is_full.then_some(TextError::ManyLabels { max: MAX_LABELS }));
        error.map_or(Ok(()), |error| {
            Err(Refused { text: labels::joined(&left_out), n_labels: left_out.len(), error })
        })
    }

    pub fn remove(&mut self, idx: usize) {
        if idx < self.labels.len() {
            self.labels.remove(idx);
        }
    }

    pub fn reorder(&mut self, from: usize, to: usize) {
        if from < self.labels.len() && to < self.labels.len() {
            let label = self.labels.remove(from);
            self.labels.insert(to, label);
        }
    }

    /// Keeps the labels under a name, in place of those that had it; without a name, under their first one's.
    pub fn keep_set(&mut self, name: &str) {
        let Some(first) = self.labels.first() else { return };
        let name =
            Some(labels::cleaned(name)).filter(|name| !name.is_empty()).unwrap_or_else(|| first.clone());
        let set = LabelSet { name, labels: self.labels.clone() };
        match self.sets.iter_mut().find(|known| known.name == set.name) {
            Some(known) => *known = set,
            None => self.sets.push(set),
        }
    }

    pub fn remove_set(&mut self, idx: usize) {
        if idx < self.sets.len() {
            self.sets.remove(idx);
        }
    }

    /// The templates that can be filled; none means the model's own.
    pub fn prompts(&self) -> Vec<String> {
        let mut prompts: Vec<String> = Vec::new();
        for template in self.templates.iter().filter_map(|text| Template::parse(text).ok()) {
            let text = template.to_string();
            if !prompts.contains(&text) {
                prompts.push(text);
            }
        }
        prompts
    }

    /// The hub in use: a half-typed address is none.
    pub fn hub(&self) -> String {
        source::parse_hub(&self.hub).unwrap_or_else(|_| DEFAULT_HUB.to_owned())
    }

    /// Where the model is to run: a graphics processor that failed lately is left alone, whatever was chosen before.
    pub fn backend_in_use(&self) -> BackendChoice {
        if self.gpu_trouble.is_some() { BackendChoice::Cpu } else { self.backend }
    }

    /// What a person has made, which a link brings too: labels, and how they are compared.
    pub fn made(&self) -> (Vec<String>, Comparison) {
        (self.labels.clone(), self.comparison())
    }

    pub fn set_made(
        &mut self,
        (labels, Comparison { templates, mode, has_none }): (Vec<String>, Comparison),
    ) {
        self.labels = labels;
        (self.templates, self.mode, self.has_none) = (templates, mode, has_none);
    }

    pub fn comparison(&self) -> Comparison {
        Comparison { templates: self.templates.clone(), mode: self.mode, has_none: self.has_none }
    }

    /// Keeps labels, and how they were compared, at hand for [`Settings::restore`]; those that were there before come after.
    pub fn keep_earlier(&mut self, labels: Vec<String>, comparison: Option<Comparison>) {
        let before = self.earlier.take().map(Box::new);
        let earlier = self.earlier.insert(Earlier { labels, comparison, before });
        let mut last = Some(earlier);
        for _ in 1..MAX_EARLIER {
            last = last.and_then(|earlier| earlier.before.as_deref_mut());
        }
        last.into_iter().for_each(|last| last.before = None);
    }

    /// Lets go of what would come back and is there already.
    pub fn forget_same(&mut self) {
        let (labels, comparison) = self.made();
        let is_same = |earlier: &mut Earlier| {
            earlier.labels == labels
                && earlier.comparison.as_ref().is_none_or(|earlier| *earlier == comparison)
        };
        while let Some(same) = self.earlier.take_if(is_same) {
            self.earlier = same.before.map(|before| *before);
        }
    }

    /// Puts back what a preset or a link took the place of, and nothing else.
    pub fn restore(&mut self) {
        let Some(Earlier { labels, comparison, before }) = self.earlier.take() else { return };
        self.earlier = before.map(|before| *before);
        self.labels = labels;
        if let Some(Comparison { templates, mode, has_none }) = comparison {
            (self.templates, self.mode, self.has_none) = (templates, mode, has_none);
        }
    }

    /// Made whole after it came from storage or from a link: nothing there can be trusted to be clean.
    pub fn cleaned(mut self) -> Self {
        self.labels = labels::whole(&self.labels);
        self.earlier.iter_mut().for_each(|earlier| earlier.labels = labels::whole(&earlier.labels));
        self.earlier.take_if(|earlier| *earlier == Earlier::default());
        self.sets.iter_mut().for_each(|set| {
            *set = LabelSet { name: labels::cleaned(&set.name), labels: labels::whole(&set.labels) };
        });
        self.sets.retain(|LabelSet { name, labels }| !name.is_empty() && !labels.is_empty());
        self.templates.truncate(MAX_TEMPLATES);
        self
    }
}

/// A JSON object or array without what keeps it from being known. Each part is judged by itself; of one that is not known,
/// its own parts are.
fn known_part(text: &str, is_known: &dyn Fn(&str) -> bool) -> String {
    let with_known = |part: &RawValue, alone: &dyn Fn(&str) -> String| {
        let is_known = |part: &str| is_known(&alone(part));
        let part = part.get();
        let part = if is_known(part) { part.to_owned() } else { known_part(part, &is_known) };
        is_known(&part).then_some(part)
    };
    if let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(text) {
        let known = items.into_iter().filter_map(|item| with_known(item, &|item| format!("[{item}]")));
        return format!("[{}]", known.collect::<Vec<_>>().join(","));
    }
    let Ok(fields) = serde_json::from_str::<HashMap<String, &RawValue>>(text) else { return text.to_owned() };
    let known = fields.into_iter().filter_map(|(name, value)| {
        let name = serde_json::to_string(&name).ok()?;
        let value = with_known(value, &|value| format!("{{{name}:{value}}}"))?;
        Some(format!("{name}:{value}"))
    });
    format!("{{{}}}", known.collect::<Vec<_>>().join(","))
}
