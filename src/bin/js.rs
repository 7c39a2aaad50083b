//! The four steps for JavaScript: an ES module with typed definitions (`cargo xtask js`).
//!
//! ```js
//! import init, { Cliplet } from "./cliplet.js";
//!
//! await init();
//! const model = await (await fetch("models/starter.gguf")).arrayBuffer();
//! const clip = await Cliplet.load(new Uint8Array(model));
//! const pixels = await clip.preprocess(await (await fetch("samples/cat.jpg")).blob());
//! const image = await clip.encodeImage(pixels);
//! const [cat, dog] = await clip.encodeTexts(["a photo of a cat", "a photo of a dog"]);
//! console.log(Cliplet.similarity(image, cat) > Cliplet.similarity(image, dog));
//! ```
//!
//! Invariant: a thin layer: names and units are those of [`cliplet::engine`], embeddings are unit vectors, and errors
//! are `Error`s with the engine's own words.

use cliplet::engine::{BackendChoice, EmbeddedLabels, Engine};
use cliplet::image::PixelTensor;
use cliplet::tasks::classify::{self, Mode};
use cliplet::tasks::{ImageEmbedding, LabelEmbedding, TextEmbedding};
use cliplet::worker::engine::pictures;
use js_sys::{Float32Array, JSON, Reflect};
use wasm_bindgen::prelude::{JsError, JsValue, wasm_bindgen};

/// Shapes of what goes in and out, which Rust's types do not tell TypeScript.
#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** A label's place in a ranking; `label` is null for "none of these". */
export interface RankedLabel { label: string | null; probability: number; similarity: number; }

/** The readable labels, the most probable first, and what there is to know of them. */
export interface Ranking extends Array<RankedLabel> {
    /** How far the first can be relied on. */
    confidence: "clear" | "likely" | "unsure" | "none_of_these" | "not_calibrated";
    /** Labels whose end was left out, labels that the model cannot read, and labels that are the same to it. */
    cut: string[];
    unreadable: string[];
    same: string[][];
}

export interface RankOptions {
    /** With `{label}` once in each; the embeddings of all are averaged. Default: the model's own. */
    templates?: string[];
    /** "softmax" (labels compete, the default) or "independent" (each is right or wrong by itself). */
    mode?: "softmax" | "independent";
    /** Adds the line "none of these", where the model is calibrated. Default: false. */
    none?: boolean;
}

/** What is loaded: name, licence, sources and accuracy in `about`, sizes, backend, the self-test's figures. */
export interface ModelInfo {
    about: { name: string; license: string; description: string; accuracy: string; sources: string[] };
    image_size: number;
    context_len: number;
    embedding_width: number;
    is_calibrated: boolean;
    knows_none: boolean;
    file_bytes: number;
    load_millis: number;
    [more: string]: unknown;
}
"#;

/// Token ids of a text, start and end included.
#[wasm_bindgen(getter_with_clone)]
pub struct Tokens {
    pub ids: Vec<u32>,
    /// Whether the text was longer than the model reads.
    #[wasm_bindgen(js_name = isCut)]
    pub is_cut: bool,
}

/// A loaded model.
#[wasm_bindgen]
pub struct Cliplet(Engine);

#[derive(Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RankOptions {
    templates: Option<Vec<String>>,
    mode: Mode,
    none: bool,
}

#[wasm_bindgen]
impl Cliplet {
    /// Loads a GGUF of this project, starts a backend ("auto", the default: the GPU where there is one; "gpu"; "cpu") and
    /// tests it against the embeddings stored in the file.
    pub async fn load(
        gguf: Vec<u8>,
        #[wasm_bindgen(unchecked_optional_param_type = "\"auto\" | \"gpu\" | \"cpu\"")] backend: Option<
            String,
        >,
    ) -> Result<Cliplet, JsError> {
        console_error_panic_hook::set_once();
        let choice = match backend.as_deref() {
            None | Some("auto") => BackendChoice::Auto,
            Some("gpu") => BackendChoice::Gpu,
            Some("cpu") => BackendChoice::Cpu,
            Some(other) => {
                return Err(JsError::new(&format!("there is no backend \"{other}\": auto, gpu or cpu")));
            }
        };
        Ok(Cliplet(Engine::load(&gguf, choice, |_| {}).await?))
    }

    /// The model's card and the device that it runs on.
    #[wasm_bindgen(getter, unchecked_return_type = "ModelInfo")]
    pub fn info(&self) -> Result<JsValue, JsError> {
        to_js(self.0.info())
    }

    /// A picture's file to the model's input: `size · size · 3` numbers, row by row.
    pub async fn preprocess(&self, file: web_sys::Blob) -> Result<Vec<f32>, JsError> {
        Ok(self.0.preprocess(&pictures::decode(&file).await?).values)
    }

    /// A text to token ids.
    pub fn tokenize(&self, text: &str) -> Result<Tokens, JsError> {
        let tokens = self.0.tokenize(text)?;
        Ok(Tokens { ids: tokens.ids, is_cut: tokens.is_cut })
    }

    /// What [`Cliplet::preprocess`] gave to a unit vector.
    #[wasm_bindgen(js_name = encodeImage)]
    pub async fn encode_image(&self, pixels: Vec<f32>) -> Result<Vec<f32>, JsError> {
        let size = self.0.info().image_size;
        if pixels.len() != size * size * 3 {
            let found = pixels.len();
            return Err(JsError::new(&format!("the model sees {size} × {size} × 3 numbers, found {found}")));
        }
        let embeddings = self.0.encode_images(&[PixelTensor { size, values: pixels }]).await?;
        Ok(embeddings.first().map(|embedding| embedding.values().to_vec()).unwrap_or_default())
    }

    /// Texts to unit vectors, in their order.
    #[wasm_bindgen(js_name = encodeTexts)]
    pub async fn encode_texts(&self, texts: Vec<String>) -> Result<Vec<Float32Array>, JsError> {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let embeddings = self.0.encode_texts(&texts).await?;
        Ok(embeddings.iter().map(|embedding| Float32Array::from(embedding.values())).collect())
    }

    /// The cosine of two embeddings, −1 to 1.
    pub fn similarity(a: Vec<f32>, b: Vec<f32>) -> Result<f32, JsError> {
        if a.len() != b.len() {
            return Err(JsError::new(&format!("embeddings of {} and {} numbers", a.len(), b.len())));
        }
        let text = LabelEmbedding::new("", &[TextEmbedding::new(b)]);
        Ok(text.similarity(&ImageEmbedding::new(a)))
    }

    /// Labels for an image embedding, the most probable first, with the model's own temperature.
    #[wasm_bindgen(unchecked_return_type = "Ranking")]
    pub async fn rank(
        &self,
        image: Vec<f32>,
        labels: Vec<String>,
        #[wasm_bindgen(unchecked_optional_param_type = "RankOptions")] options: JsValue,
    ) -> Result<JsValue, JsError> {
        let options: RankOptions = match JSON::stringify(&options).ok().and_then(|text| text.as_string()) {
            Some(text) => serde_json::from_str(&text)?,
            None => RankOptions::default(),
        };
        let prompts = self.0.prompts(options.templates.as_deref().unwrap_or_default())?;
        let EmbeddedLabels { readable, notes } = self.0.embed_labels(&labels, &prompts).await?;
        let image = ImageEmbedding::new(image);
        let ranked = classify::rank(&image, &readable, &self.0.calibration(), options.mode, options.none);
        let list = to_js(&ranked.labels)?;
        let set = |name: &str, value: JsValue| {
            // A list takes every property.
            let _ = Reflect::set(&list, &name.into(), &value);
        };
        set("confidence", to_js(&ranked.confidence)?);
        set("cut", to_js(&notes.cut)?);
        set("unreadable", to_js(&notes.unreadable)?);
        set("same", to_js(&notes.same)?);
        Ok(list)
    }
}

fn to_js(value: &impl serde::Serialize) -> Result<JsValue, JsError> {
    JSON::parse(&serde_json::to_string(value)?).map_err(|error| JsError::new(&format!("{error:?}")))
}

fn main() {}
