//! Quantized blocks: the same bytes as ggml's own tools write, and the same values back.
//!
//! `tests/fixtures/gguf/blocks.gguf` holds 8 rows of 128 weights, once for each format, cut out of files that
//! the `gguf` Python package quantized.

use cliplet::tensor::{Format, Tensor, TensorError};
use cliplet::weights::gguf;
use proptest::prelude::*;

const QUANTIZED: [Format; 5] = [Format::Q8_0, Format::Q5_1, Format::Q5_0, Format::Q4_1, Format::Q4_0];

fn fixture() -> gguf::GgufFile {
    gguf::read(include_bytes!("../fixtures/gguf/blocks.gguf")).unwrap()
}

#[test]
fn quantizing_gives_ggmls_bytes() {
    let file = fixture();
    let weights = &file.tensors["f32"];
    for format in QUANTIZED.into_iter().chain([Format::F16]) {
        let ours = Tensor::from_f32(&weights.shape, &weights.to_f32(), format).unwrap();
        assert!(ours == file.tensors[format.name()], "{format} differs from ggml's bytes");
    }
    // The comparison sees one quant of one block.
    let mut other = weights.to_f32();
    other[77] += 0.1;
    let other = Tensor::from_f32(&weights.shape, &other, Format::Q4_0).unwrap();
    assert_ne!(other, file.tensors["q4_0"]);
}

#[test]
fn dequantized_values_lie_within_half_a_step() {
    let file = fixture();
    let exact = file.tensors["f32"].to_f32();
    for format in QUANTIZED {
        let values = file.tensors[format.name()].to_f32();
        let steps = match format {
            Format::Q8_0 => 254.0,
            Format::Q5_1 | Format::Q5_0 => 31.0,
            _ => 15.0,
        };
        for (block_idx, (exact, values)) in exact.chunks(32).zip(values.chunks(32)).enumerate() {
            let reach = exact.iter().fold(0.0f32, |reach, v| reach.max(v.abs()));
            // Half a step of the widest range, a whole one where the top level is clipped, and the scale's rounding.
            let allowed =
                2.0 * reach / steps * if format == Format::Q8_0 { 0.51 } else { 1.1 } + reach / 1024.0;
            for (a, b) in exact.iter().zip(values) {
                assert!(
                    (a - b).abs() <= allowed,
                    "{format} block {block_idx}: {a} became {b}, allowed {allowed}"
                );
            }
        }
    }
}

/// Squared distance of each block's values.
fn errors(exact: &[f32], values: &[f32]) -> Vec<f64> {
    let error = |(exact, values): (&[f32], &[f32])| {
        exact.iter().zip(values).map(|(a, b)| f64::from(a - b).powi(2)).sum()
    };
    exact.chunks(32).zip(values.chunks(32)).map(error).collect()
}

#[test]
fn a_searched_scale_is_closer_than_ggmls() {
    let file = fixture();
    let weights = &file.tensors["f32"];
    let exact = weights.to_f32();
    for (format, most) in [(Format::Q4_0, 0.9), (Format::Q5_0, 0.95)] {
        let theirs = errors(&exact, &file.tensors[format.name()].to_f32());
        let ours = errors(&exact, &weights.requantize(format).unwrap().to_f32());
        // The same up to the rounding of their scale at the worst.
        assert!(ours.iter().zip(&theirs).all(|(ours, theirs)| *ours <= theirs * 1.001), "{format}");
        let ratio = ours.iter().sum::<f64>() / theirs.iter().sum::<f64>();
        println!("{format}: {ratio:.3} of ggml's squared error");
        assert!(ratio <= most, "{format}: {ratio}");
    }
    // What 4 bits hold exactly is found again.
    for sign in [-1.0, 1.0] {
        let levels: Vec<f32> = (0..32).map(|i| sign * 0.25 * ((i % 16) as f32 - 8.0)).collect();
        let tensor = Tensor::from_f32(&[32], &levels, Format::F32).unwrap();
        assert_eq!(tensor.requantize(Format::Q4_0).unwrap().to_f32(), levels);
    }
    // Five bits in eight are the same values.
    let five = &file.tensors["q5_0"];
    let eight = Tensor::new(&five.shape, Format::Q8_0, cliplet::tensor::q8_0_from_q5_0(&five.bytes)).unwrap();
    assert_eq!(eight.to_f32(), five.to_f32());
    let zeros = Tensor::from_f32(&[32], &[0.0; 32], Format::F32).unwrap();
    assert_eq!(zeros.requantize(Format::Q4_0).unwrap().to_f32(), [0.0; 32]);
}

#[test]
fn a_block_is_read_as_written_down() {
    // Scale 0.5; byte j holds value j low and value j + 16 high.
    let mut bytes = vec![0x00, 0x38];
    bytes.extend([0x8F; 16]);
    let tensor = Tensor::new(&[32], Format::Q4_0, bytes).unwrap();
    let values = tensor.to_f32();
    assert_eq!((values[0], values[15], values[16], values[31]), (3.5, 3.5, 0.0, 0.0));
    // Scale 1, minimum −2, fifth bit of value 31 alone.
    let mut bytes = vec![0x00, 0x3C, 0x00, 0xC0, 0, 0, 0, 0x80];
    bytes.extend([0x10; 16]);
    let values = Tensor::new(&[32], Format::Q5_1, bytes).unwrap().to_f32();
    assert_eq!((values[0], values[16], values[31]), (-2.0, -1.0, 15.0));
}

#[test]
fn shapes_and_bytes_must_fit() {
    let ragged = Tensor::from_f32(&[2, 33], &[0.0; 66], Format::Q8_0);
    assert_eq!(ragged, Err(TensorError::RaggedRows { format: Format::Q8_0, n_cols: 33, block_len: 32 }));
    assert!(Tensor::from_f32(&[2, 33], &[0.0; 66], Format::F16).is_ok());
    assert!(matches!(Tensor::from_f32(&[2, 2], &[0.0; 3], Format::F32), Err(TensorError::ValueCount { .. })));
    assert!(matches!(Tensor::new(&[32], Format::Q8_0, vec![0; 33]), Err(TensorError::ByteCount { .. })));
    let huge = [usize::MAX, 32];
    assert!(matches!(Tensor::new(&huge, Format::F32, vec![]), Err(TensorError::TooLarge { .. })));
}

#[test]
fn a_scale_that_is_not_finite_is_found() {
    for format in Format::ALL {
        let mut tensor = Tensor::from_f32(&[2, 32], &[0.25; 64], format).unwrap();
        assert_eq!(tensor.check_finite(), Ok(()));
        let last = tensor.bytes.len() - format.block_bytes();
        let n_bytes = if format == Format::F32 { 4 } else { 2 };
        tensor.bytes[last..last + n_bytes].fill(0xFF);
        let block_idx = 64 / format.block_len() - 1;
        assert_eq!(tensor.check_finite(), Err(TensorError::NotFinite { format, block_idx }));
    }
}

#[test]
fn a_row_is_the_row_of_the_whole() {
    let file = fixture();
    for tensor in file.tensors.values() {
        assert_eq!((tensor.rows(), tensor.n_cols(), tensor.n_values()), (8, 128, 1024));
        assert_eq!(tensor.row_f32(5), tensor.to_f32()[5 * 128..6 * 128]);
    }
}

proptest! {
    #[test]
    fn quantizing_any_values_keeps_them_near(values in proptest::collection::vec(-1e4f32..1e4, 32 * 3)) {
        for format in QUANTIZED {
            let tensor = Tensor::from_f32(&[3, 32], &values, Format::F32).unwrap();
            let reference = Tensor::from_f32(&[3, 32], &values, format).unwrap().to_f32();
            for (exact, back) in values.chunks(32).zip(reference.chunks(32)) {
                let reach = exact.iter().fold(0.0f32, |reach, v| reach.max(v.abs()));
                for (a, b) in exact.iter().zip(back) {
                    prop_assert!((a - b).abs() <= reach * 0.15, "{} became {} in {}", a, b, format);
                }
            }
            let closest = errors(&values, &tensor.requantize(format).unwrap().to_f32());
            for (closest, reference) in closest.iter().zip(errors(&values, &reference)) {
                prop_assert!(*closest <= reference * 1.001, "{}: {} > {}", format, closest, reference);
            }
        }
    }
}
