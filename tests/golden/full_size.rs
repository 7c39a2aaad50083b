//! CLIPs of real shapes: the GPU against the CPU backend, with weights made by a formula, since published files can't be
//! had everywhere.
//!
//! Invariant: one model at a time: ViT-L/14 in f32 is 1.7 GB, and each backend holds a copy.

use cliplet::engine::{Backend, BackendChoice, MIN_COSINE, cosine};
use cliplet::graph::Graph;
use cliplet::models::{ClipShape, DualEncoder, Taps};
use cliplet::tensor::Format;

/// Even numbers in ±2, the same on every machine.
fn noise(n: usize) -> Vec<f32> {
    let mut state = 7u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 22) as f32 - 2.0
    };
    (0..n).map(|_| next()).collect()
}

async fn run(backend: &Backend, graph: &Graph, input: &[f32]) -> Vec<f32> {
    let prepared = backend.prepare(graph.clone()).expect("a plan");
    backend.run(&prepared, &[input]).await.expect("a result").remove(0)
}

#[test]
fn clips_of_real_shapes_agree_on_both_backends() {
    let shapes = [
        ("ViT-B/32", ClipShape::VIT_B32),
        ("ViT-B/16", ClipShape::VIT_B16),
        ("ViT-L/14", ClipShape::VIT_L14),
        ("RN50", ClipShape::RN50),
    ];
    for (name, shape) in shapes {
        for format in [Format::F32, Format::Q8_0] {
            let checkpoint = shape.checkpoint(format).expect("weights");
            let (model, params) = DualEncoder::new(checkpoint).expect("a model");
            let batch = model.text_batch(&[vec![49_406, 320, 1125, 539, 320, 2368, 49_407]]).expect("tokens");
            let passes = [
                ("picture", model.image_graph(1, Taps::None).expect("a graph"), noise(224 * 224 * 3)),
                (
                    "text",
                    model.text_graph(&batch, Taps::None).expect("a graph"),
                    model.text_inputs(&batch).expect("token vectors"),
                ),
            ];
            pollster::block_on(async {
                let gpu = Backend::start(BackendChoice::Gpu, &params).await.expect("an adapter");
                let cpu = Backend::cpu(&params, None);
                drop(params);
                for (what, graph, input) in &passes {
                    let (found, expected) = (run(&gpu, graph, input).await, run(&cpu, graph, input).await);
                    let cosine = cosine(&found, &expected);
                    println!("{name} {format}, {what}: {} numbers, cosine {cosine:.9}", found.len());
                    assert_eq!(found.len(), shape.embedding_width, "{name} {format}, {what}");
                    assert!(cosine >= MIN_COSINE, "{name} {format}, {what}: cosine {cosine}");
                }
                if shape == ClipShape::VIT_B32 {
                    // The negative control: another picture is no neighbour.
                    let (_, graph, input) = &passes[0];
                    let other: Vec<f32> = input.iter().map(|value| value.abs()).collect();
                    let (one, two) = (run(&gpu, graph, input).await, run(&gpu, graph, &other).await);
                    assert!(cosine(&one, &two) < MIN_COSINE, "{name} {format}: every picture looks the same");
                }
            });
        }
    }
}
