//! GGUF from any bytes, whole and header alone.
#![no_main]

mod bounds;

use bounds::{twice, within};
use cliplet::weights::gguf::{self, Header};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let n_bytes = bytes.len() as u64;
    // A download: the file is longer than what has come.
    for file_len in [n_bytes, 2 * n_bytes, u64::MAX] {
        let _ = within(twice(bytes.len()), "header", || Header::parse(bytes, file_len));
    }
    let Ok(file) = within(twice(bytes.len()), "read", || gguf::read(bytes)) else { return };
    for tensor in file.tensors.values() {
        assert_eq!(tensor.to_f32().len(), tensor.n_values());
    }
    // What was read is written and read again without a change.
    let written = file.to_bytes().expect("a file that was read has a valid alignment");
    // (As bytes: a NaN in the metadata equals nothing.)
    let again = gguf::read(&written).expect("what was written is read").to_bytes();
    assert_eq!(again.expect("the same alignment"), written);
});
