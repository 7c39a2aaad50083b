//! Cliplet: CLIP in the browser.
//!
//! A picture and labels go in; the labels come out ranked. The path is one way, with a type per stage:
//!
//! ```text
//! file → bytes → Pixels → PixelTensor → ImageEmbedding ─┐
//!                                                       ├→ Scores → RankedLabels → view
//! label → template → Tokens → TextEmbedding ────────────┘
//! ```
//!
//! # Code map, in the order in which data passes
//!
//! | module | holds | must not |
//! |---|---|---|
//! | [`tensor`] | shapes, quantized blocks: the one definition of each format | IO, GPU |
//! | [`image`] | bytes to pixels (in the page `worker::engine::pictures` does that), pixels to model input | know the DOM |
//! | [`facts`] | what is asked and what is told: rankings, the model's card, where it runs | compute |
//! | [`text`] | tokenizers, prompt templates, label clean-up | know the model |
//! | [`files`] | what a file's name tells | open one |
//! | [`graph`] | a forward pass as data: slots, operations, the weights that they name | compute |
//! | [`weights`] | GGUF and safetensors bytes to named tensors, checksums | fetch |
//! | [`models`] | config, vision and text towers: weights to graphs | name WGSL |
//! | [`mod@reference`] | CPU twins of the shaders, plain and slow | be called by anything that ships |
//! | [`kernels`] | one file a shader: params, bindings, launch | know a model |
//! | [`gpu`] | device, buffers, pipelines: the only maker of wgpu objects | know a model |
//! | [`cpu`] | the SIMD backend: the same graphs, library GEMM | know the DOM |
//! | [`tasks`] | classify …: pure functions over embeddings | touch a device |
//! | [`engine`] | the façade: load, embed, self-test | know the DOM |
//! | [`convert`] | where a model comes from: names, layouts, the converter | ask a host, touch a file |
//! | [`worker`] | what both threads of the page share: messages, problems, storage, files that arrive | |
//! | `worker::engine` | the thread that computes, a program of its own: decodes pictures, loads the model, answers | talk to other hosts, know the page |
//! | `worker::downloader` | the thread that fetches, converts and stores models | see a picture or a label |
//! | [`app`] | pages, components, hooks, services, state of the yew app | hold a model: it knows what the workers are asked and tell |
//! | `cli` | the native command, one file a subcommand: fetches, opens, converts, measures | be used by anything |
//!
//! The allowed arrows between them are the table in `tests/native/tidy.rs`, which holds the code to it.

#[cfg(feature = "engine")]
pub mod app;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "engine")]
pub mod convert;
#[cfg(feature = "engine")]
pub mod cpu;
#[cfg(feature = "engine")]
pub mod engine;
#[cfg(feature = "engine")]
pub mod facts;
#[cfg(feature = "engine")]
pub mod files;
#[cfg(feature = "gpu")]
pub mod gpu;
#[cfg(feature = "engine")]
pub mod graph;
#[cfg(feature = "engine")]
pub mod image;
#[cfg(feature = "gpu")]
pub mod kernels;
#[cfg(feature = "engine")]
pub mod models;
#[cfg(feature = "engine")]
pub mod reference;
#[cfg(feature = "engine")]
pub mod tasks;
#[cfg(feature = "engine")]
pub mod tensor;
#[cfg(feature = "engine")]
pub mod text;
#[cfg(feature = "engine")]
pub mod weights;
#[cfg(feature = "engine")]
pub mod worker;
