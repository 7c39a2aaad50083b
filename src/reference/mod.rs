//! CPU twins of the shaders, one plain function an operation: tests compare the kernels with them.
//!
//! Invariant: written from the definitions in [`graph`](crate::graph), not from the shaders; sums are f64, only
//! what is stored is f32.
//! Invariant: nothing that ships calls this. A graph that does not fit its slots panics, which fails the test.

mod activation;
mod attention;
mod avg_pool;
mod conv2d;
mod copy_rows;
mod depthwise;
mod gather_rows;
mod layer_norm;
mod linear;
mod mean_rows;
mod normalize;
mod patch_embed;
mod similarity;

use crate::graph::ParamSet;
use crate::graph::{Graph, Op, Param, Slot};

pub use activation::{activate, erf};

/// What an operation reads.
struct Memory {
    slots: Vec<Vec<f32>>,
    params: Vec<Vec<f32>>,
}

impl Memory {
    fn slot(&self, slot: Slot) -> &[f32] {
        &self.slots[slot.0]
    }

    fn param(&self, param: Param) -> &[f32] {
        &self.params[param.0]
    }

    fn optional(&self, param: Option<Param>) -> Option<&[f32]> {
        param.map(|param| self.param(param))
    }
}

/// Runs `graph`; inputs and outputs in its order. What nothing writes reads as NaN.
pub fn run(graph: &Graph, params: &ParamSet, inputs: &[&[f32]]) -> Vec<Vec<f32>> {
    let slots = graph.slots.iter().map(|&len| vec![f32::NAN; len]).collect();
    let params = params.tensors.iter().map(|tensor| tensor.to_f32()).collect();
    let mut memory = Memory { slots, params };
    assert_eq!(inputs.len(), graph.inputs.len(), "number of inputs");
    for (slot, values) in graph.inputs.iter().zip(inputs) {
        assert_eq!(values.len(), graph.len(*slot), "length of an input");
        memory.slots[slot.0] = values.to_vec();
    }
    for op in &graph.ops {
        let mut y = std::mem::take(&mut memory.slots[op.writes().0]);
        run_op(op, &memory, &mut y);
        memory.slots[op.writes().0] = y;
    }
    graph.outputs.iter().map(|output| memory.slot(output.slot).to_vec()).collect()
}

fn run_op(op: &Op, memory: &Memory, y: &mut [f32]) {
    match op {
        Op::Linear { .. } => linear::run(op, memory, y),
        Op::Attention { .. } => attention::run(op, memory, y),
        Op::LayerNorm { .. } => layer_norm::run(op, memory, y),
        Op::PatchEmbed { .. } => patch_embed::run(op, memory, y),
        Op::Conv2d { .. } => conv2d::run(op, memory, y),
        Op::Depthwise { .. } => depthwise::run(op, memory, y),
        Op::AvgPool { .. } => avg_pool::run(op, memory, y),
        Op::MeanRows { .. } => mean_rows::run(op, memory, y),
        Op::GatherRows { .. } => gather_rows::run(op, memory, y),
        Op::CopyRows { .. } => copy_rows::run(op, memory, y),
        Op::Normalize { .. } => normalize::run(op, memory, y),
        Op::Similarity { .. } => similarity::run(op, memory, y),
    }
}

/// Values of a row as f64.
fn wide(row: &[f32]) -> impl Iterator<Item = f64> + Clone + '_ {
    row.iter().map(|&value| f64::from(value))
}

/// Inner product of two rows.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    wide(a).zip(wide(b)).map(|(a, b)| a * b).sum()
}
