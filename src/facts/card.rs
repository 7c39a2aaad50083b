//! What is loaded, where it runs, and how that was checked.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::image::Fit;

/// What a person wants to know about the model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct About {
    pub name: String,
    /// The licence of the weights: an SPDX expression.
    pub license: String,
    pub description: String,
    /// What was measured, in words.
    pub accuracy: String,
    /// Where each part came from.
    pub sources: Vec<String>,
    /// Whether it is the small model that a page starts with until somebody takes a real CLIP.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_starter: bool,
}

/// Which backend the caller wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendChoice {
    /// The GPU where there is one, else the CPU.
    #[default]
    Auto,
    Gpu,
    Cpu,
}

/// What runs the graphs, for people.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BackendInfo {
    pub kind: BackendKind,
    /// The GPU's name and driver.
    pub adapter: Option<String>,
    /// Whether the "GPU" is a program (SwiftShader, lavapipe): right, but slow.
    pub is_software: bool,
    /// Why it is the CPU although [`BackendChoice::Auto`] would rather have the GPU.
    pub fallback: Option<Fallback>,
}

/// Why a model left the GPU, or never got there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fallback {
    pub cause: FallbackCause,
    /// The figures, for a report.
    pub detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FallbackCause {
    /// There is none, or it failed.
    NoGpu,
    /// It did not answer in time.
    Silent,
    /// Its results differ from those that the file holds.
    WrongResults,
}

impl fmt::Display for BackendInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            BackendKind::Cpu => write!(f, "CPU")?,
            BackendKind::Gpu => write!(f, "GPU {}", self.adapter.as_deref().unwrap_or("without a name"))?,
        }
        if self.is_software {
            write!(f, " (software, slow)")?;
        }
        self.fallback.iter().try_for_each(|fallback| write!(f, " (not the GPU: {})", fallback.detail))
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendKind {
    Gpu,
    #[default]
    Cpu,
}

/// What the check found on this device.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SelfTest {
    /// The cosine between what this device computed and what the file holds.
    pub cosine_image: f64,
    pub cosine_text: f64,
    /// Time of both encodings together.
    pub millis: f64,
    pub passed: bool,
}

/// What is loaded, for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    pub about: About,
    pub backend: BackendInfo,
    /// `None`: the file holds nothing to test with.
    pub self_test: Option<SelfTest>,
    pub file_bytes: usize,
    /// Height and width of the picture that the model sees.
    pub image_size: usize,
    /// How a picture fills that square.
    #[serde(default)]
    pub fit: Fit,
    /// The part of a square picture's side that is inside: less than 1 where its middle is cut out.
    #[serde(default = "whole")]
    pub inside: f32,
    /// Tokens of a text that the model reads at most.
    pub context_len: usize,
    /// Numbers in an embedding.
    pub embedding_width: usize,
    /// Whether its probabilities were fitted on labelled pictures.
    #[serde(default)]
    pub is_calibrated: bool,
    /// Whether that showed it to know when no label fits: without it there is no "none of these".
    #[serde(default)]
    pub knows_none: bool,
    /// From bytes to ready.
    pub load_millis: f64,
}

fn whole() -> f32 {
    1.0
}

impl fmt::Display for ModelInfo {
    /// One line, for messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.about.name.is_empty() { "model" } else { &self.about.name };
        write!(f, "{name} on {}", self.backend)?;
        match &self.self_test {
            Some(test) => write!(
                f,
                ", verified on this device (cosine {:.6} picture, {:.6} label)",
                test.cosine_image, test.cosine_text
            )?,
            None => write!(f, ", not verified: the file holds no embeddings to compare with")?,
        }
        write!(f, ", loaded in {:.0} ms", self.load_millis)
    }
}
