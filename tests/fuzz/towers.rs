//! A model that loads runs: both towers are built, and small ones asked.

use crate::bounds::within;
use cliplet::cpu::CpuModel;
use cliplet::graph::Graph;
use cliplet::models::{Checkpoint, DualEncoder, Taps};

/// Weights are widened to f32 (4-bit ones to seven times their bytes), and up to three such copies live at once.
pub const WIDENED: usize = 24;
/// Larger activations take the fuzzer's time and say nothing more.
const MAX_SLOTS: usize = 1 << 16;

/// Builds what `n_bytes` of files gave. Errors are answers; panics are findings.
pub fn ask(checkpoint: Checkpoint, n_bytes: usize) {
    let allowed = WIDENED * n_bytes + (1 << 20);
    let Ok((model, params)) = within(allowed, "build", || DualEncoder::new(checkpoint)) else { return };
    let cpu = CpuModel::new(&params);
    let run = |graph: &Graph, input: &[f32]| {
        if graph.slots.iter().sum::<usize>() <= MAX_SLOTS {
            cpu.run(graph, &[input]).expect("a model that loads runs");
        }
    };
    if let Ok(size) = model.image_size()
        && size <= 64
    {
        for taps in [Taps::None, Taps::All] {
            let graph = model.image_graph(1, taps).expect("there is an image tower");
            run(&graph, &vec![0.5; 3 * size * size]);
        }
    }
    for ids in [vec![0], vec![0, 1, 0]] {
        let Ok(batch) = model.text_batch(&[ids]) else { continue };
        let inputs = model.text_inputs(&batch).expect("there is a text tower");
        run(&model.text_graph(&batch, Taps::None).expect("there is a text tower"), &inputs);
    }
}
