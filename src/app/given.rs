//! What was given to the page, by paste, drop or a file picker, and what is taken of it: one answer for all of them.
//!
//! Invariant: of what was given nothing is left out without a word: what is not taken is named. A system's own files
//! ([`is_systems_own`]) were not given by anybody: they are neither taken nor named.
//! Invariant: text never takes a picture's place, nor a picture a text's: where both came, the place and the kind of text
//! say which was meant.

use crate::files::is_systems_own;
use crate::text::labels;

/// What came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given {
    pub files: Vec<GivenFile>,
    /// As plain text; empty where there is none.
    pub text: String,
    /// The same text came as a table too: from a spreadsheet, which adds a picture of its cells.
    pub is_table: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GivenFile {
    pub name: String,
    /// As the browser tells it; often empty.
    pub media_type: String,
}

/// Where it came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    LabelField,
    /// Another field, which takes text by itself.
    OtherField,
    Page,
}

/// What is taken, by the files' places in [`Given::files`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// The first takes the stage. `left_out` are the names of files that are neither picture nor model.
    Pictures {
        pictures: Vec<usize>,
        left_out: Vec<String>,
    },
    /// All files together are to be a model.
    Model {
        files: Vec<usize>,
        left_out: Vec<String>,
    },
    /// Text with labels.
    Labels(String),
    /// A file whose text is labels.
    LabelFile(usize),
    /// The field does by itself what is to be done.
    LeftToField,
    /// The address of a picture, which this page may not fetch.
    Address,
    Nothing,
}

/// What a file is good for, by its name and what the browser says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Picture,
    Weights,
    Json,
    Labels,
    /// What a system left beside what was meant.
    SystemsOwn,
    /// No known kind: a decoder may know it.
    Unknown,
}

impl GivenFile {
    fn usage(&self) -> Use {
        let name = self.name.to_ascii_lowercase();
        let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
        if is_systems_own(&self.name) {
            Use::SystemsOwn
        } else if ends(&[".gguf", ".safetensors"]) {
            Use::Weights
        } else if ends(&[".json"]) || self.media_type == "application/json" {
            Use::Json
        } else if self.media_type.starts_with("image/") {
            Use::Picture
        } else if ends(&[".txt", ".csv", ".tsv"]) || matches!(&self.media_type[..], "text/plain" | "text/csv")
        {
            Use::Labels
        } else {
            Use::Unknown
        }
    }
}

impl Given {
    pub fn taken(&self, place: Place) -> Taken {
        let text = self.text.trim();
        let has_text = !text.is_empty() && !self.is_name_of_file(text);
        if has_text && (self.files.is_empty() || self.is_table || place == Place::LabelField) {
            return match place {
                Place::OtherField if self.files.is_empty() || self.is_table => Taken::LeftToField,
                // One label is typed by the browser, where the caret stands.
                Place::LabelField if !labels::has_separator(text) && labels::split(text) == [text] => {
                    Taken::LeftToField
                }
                _ if is_address(text) && place == Place::Page => Taken::Address,
                _ => Taken::Labels(self.text.clone()),
            };
        }
        self.taken_of_files()
    }

    /// Files copied from a folder bring their names or addresses as text.
    fn is_name_of_file(&self, text: &str) -> bool {
        let is_name = |line: &str| {
            self.files.iter().any(|file| line == file.name || line.ends_with(&format!("/{}", file.name)))
        };
        !self.files.is_empty() && text.lines().all(|line| is_name(line.trim()))
    }

    fn taken_of_files(&self) -> Taken {
        let usages: Vec<Use> = self.files.iter().map(GivenFile::usage).collect();
        let which = |wanted: &[Use]| -> Vec<usize> {
            (0..usages.len()).filter(|idx| wanted.contains(&usages[*idx])).collect()
        };
        let left_out = |taken: &[usize]| -> Vec<String> {
            let is_named = |idx: &usize| !taken.contains(idx) && usages[*idx] != Use::SystemsOwn;
            let others = (0..self.files.len()).filter(is_named);
            others.map(|idx| self.files[idx].name.clone()).collect()
        };
        let has = |usage: Use| usages.contains(&usage);
        let has_pictures = has(Use::Picture) || (has(Use::Unknown) && !has(Use::Json));
        if has(Use::Weights) || (has(Use::Json) && !has_pictures) {
            // What lies beside a model, as a README or a tokenizer's merges, does no harm to it.
            let files = which(&[Use::Weights, Use::Json, Use::Labels, Use::Unknown]);
            return Taken::Model { left_out: left_out(&files), files };
        }
        // A file without a known type may still be a picture; one that is known to be one comes first.
        let mut pictures = which(&[Use::Picture]);
        pictures.extend(which(&[Use::Unknown]));
        match (&pictures[..], &which(&[Use::Labels])[..]) {
            ([], []) => Taken::Nothing,
            ([], [first, ..]) => Taken::LabelFile(*first),
            _ => Taken::Pictures { left_out: left_out(&pictures), pictures },
        }
    }
}

/// Whether the text is nothing but addresses, as a picture that was dragged from another page leaves.
fn is_address(text: &str) -> bool {
    let is_one = |line: &str| {
        ["http://", "https://", "data:", "file:", "blob:"].iter().any(|start| line.starts_with(start))
            && !line.contains(char::is_whitespace)
    };
    text.lines().all(|line| is_one(line.trim()))
}
