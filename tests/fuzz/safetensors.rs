//! Safetensors from any bytes, whole and header alone.
#![no_main]

mod bounds;

use bounds::{twice, within};
use cliplet::weights::Weights;
use cliplet::weights::safetensors::{self, Header};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let n_bytes = bytes.len() as u64;
    // A download: the file is longer than what has come. What it may take is measured by the whole file.
    for file_len in [n_bytes, 4 * n_bytes, 1 << 20] {
        let allowed = twice(file_len.max(n_bytes) as usize);
        let header = within(allowed, "header", || Header::parse(bytes, file_len));
        for tensor in header.into_iter().flat_map(|header| header.tensors) {
            assert!(tensor.range.start <= tensor.range.end && tensor.range.end <= file_len);
        }
    }
    let Ok(file) = within(twice(bytes.len()), "read", || safetensors::read(bytes)) else { return };
    for (name, tensor) in &file.tensors {
        let n_values: usize = tensor.shape.iter().product();
        match tensor.kind.is_float() {
            true => assert_eq!(tensor.clone().into_tensor(name).expect("floats").n_values(), n_values),
            false => assert_eq!(tensor.to_i64(name).expect("integers").len(), n_values),
        }
    }
    if let Ok(weights) = within(twice(bytes.len()), "weights", || Weights::read(bytes)) {
        assert!(weights.names().all(|name| weights.tensor(name).is_ok()));
    }
});
