//! Every golden tensor of every fixture folder, recomputed.

use cliplet::engine::{BackendChoice, GoldenFiles, Report, verify};

struct Folder {
    config: Vec<u8>,
    weights: Vec<u8>,
    golden: Vec<u8>,
}

fn folder(name: &str) -> Folder {
    let read = |file: &str| {
        let path = format!("{}/tests/fixtures/models/{name}/{file}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    Folder {
        config: read("config.json"),
        weights: read("model.safetensors"),
        golden: read("golden.safetensors"),
    }
}

fn run(folder: &Folder, choice: BackendChoice) -> Report {
    let files = GoldenFiles { config: &folder.config, weights: &folder.weights, golden: &folder.golden };
    pollster::block_on(verify(files, choice)).expect("the folder can be verified")
}

/// Recomputes the folder's goldens; `n_tensors` guards against a check that compares nothing.
fn check(name: &str, choice: BackendChoice, n_tensors: usize) {
    let report = run(&folder(name), choice);
    for tensor in &report.tensors {
        println!(
            "{choice:?} {name} {}: cosine {:.9}, error {:.2e}",
            tensor.name, tensor.cosine, tensor.max_error
        );
    }
    assert_eq!(report.tensors.len(), n_tensors, "{name}: golden tensors");
    let failed: Vec<_> = report.tensors.iter().filter(|tensor| !tensor.passed).collect();
    assert!(report.passed && failed.is_empty(), "{name}: {failed:?}");
}

/// Every folder on both backends: folder, backend, number of golden tensors.
macro_rules! goldens {
    ($($test:ident: $folder:literal, $choice:ident, $n_tensors:literal;)*) => {$(
        #[test]
        fn $test() {
            check($folder, BackendChoice::$choice, $n_tensors);
        }
    )*};
}

goldens! {
    clip_vit_quickgelu_on_the_cpu: "clip-vit-quickgelu", Cpu, 13;
    clip_vit_quickgelu_on_the_gpu: "clip-vit-quickgelu", Gpu, 13;
    clip_vit_gelu_with_odd_shapes_on_the_cpu: "clip-vit-gelu-odd", Cpu, 11;
    clip_vit_gelu_with_odd_shapes_on_the_gpu: "clip-vit-gelu-odd", Gpu, 11;
    clip_vit_with_heads_of_64_on_the_cpu: "clip-vit-headdim64", Cpu, 11;
    clip_vit_with_heads_of_64_on_the_gpu: "clip-vit-headdim64", Gpu, 11;
    siglip_on_the_cpu: "siglip", Cpu, 3;
    siglip_on_the_gpu: "siglip", Gpu, 3;
    modified_resnet_on_the_cpu: "clip-resnet", Cpu, 2;
    modified_resnet_on_the_gpu: "clip-resnet", Gpu, 2;
    bert_with_padding_on_the_cpu: "bert-text", Cpu, 3;
    bert_with_padding_on_the_gpu: "bert-text", Gpu, 3;
    distilbert_on_the_cpu: "distilbert-text", Cpu, 2;
    distilbert_on_the_gpu: "distilbert-text", Gpu, 2;
    efficientnet_lite_with_odd_sizes_on_the_cpu: "efficientnet-lite", Cpu, 3;
    efficientnet_lite_with_odd_sizes_on_the_gpu: "efficientnet-lite", Gpu, 3;
}

/// clip.cpp's files, whose goldens are PyTorch's on the dequantized weights: each block format must decode to the bit.
#[test]
fn clip_cpp_files_of_every_type_on_both_backends() {
    for format in ["q8_0", "q5_1", "q5_0", "q4_1", "q4_0"] {
        let read = |suffix: &str| {
            let root = env!("CARGO_MANIFEST_DIR");
            let path = format!("{root}/tests/fixtures/gguf-clipcpp/{format}.{suffix}");
            std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
        };
        let weights = read("gguf");
        let folder = Folder { config: Vec::new(), weights, golden: read("golden.safetensors") };
        for choice in [BackendChoice::Cpu, BackendChoice::Gpu] {
            let report = run(&folder, choice);
            assert_eq!(report.tensors.len(), 3, "image_embeds, text_embeds, logits_per_image");
            assert!(report.passed, "{format} on {choice:?}: {:?}", report.tensors);
        }
    }
}

/// The negative control: one weight off by a tenth of its matrix's range must show.
#[test]
fn a_perturbed_weight_fails() {
    for (name, weight) in [
        ("clip-vit-quickgelu", "vision_model.encoder.layers.1.mlp.fc1.weight"),
        ("clip-vit-quickgelu", "text_model.embeddings.position_embedding.weight"),
        ("efficientnet-lite", "_blocks.2._bn1.running_mean"),
        ("siglip", "vision_model.head.probe"),
        ("siglip", "logit_bias"),
        ("clip-resnet", "layer2.1.bn3.running_mean"),
        ("clip-resnet", "attnpool.positional_embedding"),
        ("bert-text", "encoder.layer.2.attention.self.value.bias"),
    ] {
        let mut folder = folder(name);
        perturb(&mut folder.weights, weight);
        for choice in [BackendChoice::Cpu, BackendChoice::Gpu] {
            let passed = run(&folder, choice).passed;
            assert!(!passed, "{name} on {choice:?}: {weight} was changed and nothing noticed");
        }
    }
}

/// Adds 1 to the first value of a tensor inside a safetensors file.
fn perturb(file: &mut [u8], name: &str) {
    let header_len = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&file[8..8 + header_len]).unwrap();
    let at = 8 + header_len + header[name]["data_offsets"][0].as_u64().unwrap() as usize;
    let value = f32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    file[at..at + 4].copy_from_slice(&(value + 1.0).to_le_bytes());
}

/// What the golden run computes in full, the real run skips: rows behind the end token, and all but one row of the last
/// layer. Both must give the same embeddings.
#[test]
fn doing_less_changes_nothing() {
    use cliplet::cpu::CpuModel;
    use cliplet::models::{DualEncoder, ModelFolder, Taps, import};
    use cliplet::weights::{Weights, safetensors};
    for name in ["clip-vit-gelu-odd", "clip-vit-headdim64", "bert-text", "siglip"] {
        let folder = folder(name);
        let weights = Weights::read(&folder.weights).unwrap();
        let golden = safetensors::read(&folder.golden).unwrap();
        let source = ModelFolder { config: &folder.config, ..Default::default() };
        let (model, params) = DualEncoder::new(import(source, &weights).unwrap()).unwrap();
        let cpu = CpuModel::new(&params);

        let ids = &golden.tensors["input_ids"];
        let width = ids.shape[1];
        let ids: Vec<u32> = ids.to_i64("input_ids").unwrap().iter().map(|&id| id as u32).collect();
        let mut sequences: Vec<Vec<u32>> = ids.chunks_exact(width).map(<[u32]>::to_vec).collect();
        if let Some(mask) = golden.tensors.get("attention_mask") {
            let mask = mask.to_i64("attention_mask").unwrap();
            for (ids, mask) in sequences.iter_mut().zip(mask.chunks_exact(width)) {
                ids.truncate(mask.iter().sum::<i64>() as usize);
            }
        }
        if name == "siglip" {
            sequences.iter_mut().for_each(|ids| ids.retain(|&id| id != 1)); // the model pads again
        }
        let batch = model.text_batch(&sequences).unwrap();
        let n_all = sequences.len() * width;
        assert_eq!(batch.n_rows() < n_all, name != "siglip", "{name}: {} of {n_all} rows", batch.n_rows());
        let graph = model.text_graph(&batch, Taps::None).unwrap();
        assert_eq!(graph.outputs.len(), 1);
        let embeds = cpu.run(&graph, &[&model.text_inputs(&batch).unwrap()]).unwrap();
        let key = if name == "bert-text" { "normalised" } else { "text_embeds" };
        let expected = golden.tensors[key].clone().into_tensor(key).unwrap().to_f32();
        let comparison = cliplet::engine::Comparison::new(name, &embeds[0], &expected);
        assert!(comparison.passed, "{comparison:?}");

        let Ok(size) = model.image_size() else { continue };
        let planes = golden.tensors["pixel_values"].clone().into_tensor("pixel_values").unwrap().to_f32();
        let n_images = planes.len() / (size * size * 3);
        let pixels: Vec<f32> = (0..planes.len())
            .map(|i| {
                let (image, pixel, channel) = (i / (size * size * 3), i / 3 % (size * size), i % 3);
                planes[(image * 3 + channel) * size * size + pixel]
            })
            .collect();
        let embeds = cpu.run(&model.image_graph(n_images, Taps::None).unwrap(), &[&pixels]).unwrap();
        let expected = golden.tensors["image_embeds"].clone().into_tensor("image_embeds").unwrap().to_f32();
        let comparison = cliplet::engine::Comparison::new(name, &embeds[0], &expected);
        assert!(comparison.passed, "{comparison:?}");
    }
}
