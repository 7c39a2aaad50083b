//! Draws pictures and runs the project's own towers over pictures and texts, on the CPU.
//!
//! Invariant: a picture goes through the preprocessing that the finished model asks for.

use super::sources::Drawing;
use super::{Result, build};
use cliplet::cpu::CpuModel;
use cliplet::graph::Graph;
use cliplet::image::{Pixels, Preprocess, decode};
use cliplet::models::{Checkpoint, DualEncoder, Taps};
use cliplet::text::Tokenizer;
use resvg::{tiny_skia, usvg};

/// Longer side of a drawn SVG: a little more than the model sees.
const SIDE: f32 = 320.0;

/// A picture on white.
pub fn draw(drawing: &Drawing) -> Result<Pixels> {
    match drawing {
        Drawing::Svg(svg) => draw_svg(svg.as_bytes()),
        Drawing::SvgFile(path) => draw_svg(&std::fs::read(path)?),
        Drawing::Bytes(bytes) => Ok(decode(bytes)?),
        Drawing::File(path) => Ok(decode(&std::fs::read(path)?)?),
    }
}

fn draw_svg(svg: &[u8]) -> Result<Pixels> {
    let tree = usvg::Tree::from_data(svg, &usvg::Options::default())?;
    let size = tree.size();
    let scale = SIDE / size.width().max(size.height());
    let side = |length: f32| ((length * scale).round() as u32).max(1);
    let pixmap = tiny_skia::Pixmap::new(side(size.width()), side(size.height()));
    let mut pixmap = pixmap.ok_or("a picture without a size")?;
    pixmap.fill(tiny_skia::Color::WHITE);
    resvg::render(&tree, tiny_skia::Transform::from_scale(scale, scale), &mut pixmap.as_mut());
    Ok(Pixels::from_rgba(pixmap.width() as usize, pixmap.height() as usize, pixmap.data())?)
}

/// Blocks whose maps' means go to the head too: the last of each of the last three stages.
pub const SHORTCUTS: [usize; 3] = [10, 14, 15];

/// The image tower up to what the head sees: its pooled features, then the means of the blocks of [`SHORTCUTS`].
pub struct ImageTower {
    preprocess: Preprocess,
    cpu: CpuModel,
    graph: Graph,
}

impl ImageTower {
    pub fn new(towers: &Checkpoint) -> Result<Self> {
        let mut half = towers.clone();
        half.config.text = None;
        let (model, params) = DualEncoder::new(half)?;
        let mut graph = model.image_graph(1, Taps::All)?;
        let names = SHORTCUTS.map(|block| format!("blocks.{block}.mean"));
        let wanted = ["image_features"].into_iter().chain(names.iter().map(String::as_str));
        let found = wanted.filter_map(|name| graph.outputs.iter().find(|output| output.name == name));
        graph.outputs = found.cloned().collect();
        Ok(Self { preprocess: towers.config.preprocess.clone(), cpu: CpuModel::new(&params), graph })
    }

    pub fn features(&self, pixels: &Pixels) -> Result<Vec<f32>> {
        let pixels = self.preprocess.tensor(pixels);
        Ok(self.cpu.run(&self.graph, &[&pixels.values])?.concat())
    }

    /// Features of many pictures, in rows; `None` where a picture cannot be drawn.
    pub fn all<'a>(&self, drawings: impl Iterator<Item = &'a Drawing>) -> Result<Vec<Option<Vec<f32>>>> {
        let mut rows = Vec::new();
        for drawing in drawings {
            rows.push(match draw(drawing) {
                Ok(pixels) => Some(self.features(&pixels)?),
                Err(_) => None,
            });
            if rows.len() % 1000 == 0 {
                println!("{} pictures", rows.len());
            }
        }
        Ok(rows)
    }
}

/// The text tower: texts to unit vectors.
pub struct TextTower {
    tokenizer: Tokenizer,
    model: DualEncoder,
    cpu: CpuModel,
}

impl TextTower {
    pub fn new(towers: &Checkpoint) -> Result<Self> {
        let mut half = towers.clone();
        half.config.vision = None;
        let json = half.config.tokenizer.take().unwrap_or_default().json;
        let tokenizer = Tokenizer::from_json(json.as_bytes(), build::CONTEXT_LEN)?;
        let (model, params) = DualEncoder::new(half)?;
        Ok(Self { tokenizer, model, cpu: CpuModel::new(&params) })
    }

    /// One row a text.
    pub fn vectors(&self, texts: &[String]) -> Result<Vec<Vec<f32>>> {
        let width = self.model.text_width()?;
        let mut rows = Vec::with_capacity(texts.len());
        for texts in texts.chunks(128) {
            let ids = texts.iter().map(|text| Ok(self.tokenizer.encode(text)?.ids));
            let batch = self.model.text_batch(&ids.collect::<Result<Vec<_>>>()?)?;
            let inputs = self.model.text_inputs(&batch)?;
            let outputs = self.cpu.run(&self.model.text_graph(&batch, Taps::None)?, &[&inputs])?;
            rows.extend(outputs[0].chunks_exact(width).map(<[f32]>::to_vec));
        }
        Ok(rows)
    }
}
