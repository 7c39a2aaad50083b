//! Weight files: what is valid is read whole, and any other bytes give a typed error, quickly and in bounded memory.

use crate::allocation::peak_of;
use cliplet::models::load_gguf;
use cliplet::tensor::{Format, Tensor, TensorError};
use cliplet::weights::gguf::{self, GgufError, GgufFile, Header, Value};
use cliplet::weights::safetensors::{self, Kind, SafetensorsError};
use cliplet::weights::{Weights, WeightsError, sha256_hex};
use proptest::prelude::*;
use std::time::{Duration, Instant};

const BLOCKS: &[u8] = include_bytes!("../fixtures/gguf/blocks.gguf");

/// Reads hostile bytes as both kinds of file and holds the readers to their promise.
fn read_within_bounds(bytes: &[u8]) -> (Result<GgufFile, GgufError>, Result<Weights, WeightsError>) {
    let start = Instant::now();
    let (as_gguf, gguf_peak) = peak_of(|| gguf::read(bytes));
    let (as_any, any_peak) = peak_of(|| Weights::read(bytes));
    let (_, safetensors_peak) = peak_of(|| safetensors::read(bytes));
    let allowed = 2 * bytes.len() + (1 << 20);
    let peak = gguf_peak.max(any_peak).max(safetensors_peak);
    assert!(peak <= allowed, "{peak} bytes allocated for {} of input, {allowed} allowed", bytes.len());
    assert!(start.elapsed() <= Duration::from_secs(3), "three reads took {:?}", start.elapsed());
    (as_gguf, as_any)
}

/// A GGUF file by hand: counts, then the bytes of keys and of the tensor table, padded.
fn gguf_bytes(n_tensors: u64, n_keys: u64, body: &[&[u8]]) -> Vec<u8> {
    let mut bytes =
        [b"GGUF".as_slice(), &3u32.to_le_bytes(), &n_tensors.to_le_bytes(), &n_keys.to_le_bytes()].concat();
    body.iter().for_each(|part| bytes.extend(*part));
    bytes.resize(bytes.len().next_multiple_of(32), 0);
    bytes
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

fn key(name: &str, type_id: u32, payload: &[u8]) -> Vec<u8> {
    [text(name).as_slice(), &type_id.to_le_bytes(), payload].concat()
}

fn tensor_row(name: &str, dims: &[u64], type_id: u32, offset: u64) -> Vec<u8> {
    let dims_bytes: Vec<u8> = dims.iter().flat_map(|dim| dim.to_le_bytes()).collect();
    let n_dims = (dims.len() as u32).to_le_bytes();
    [&text(name), n_dims.as_slice(), &dims_bytes, &type_id.to_le_bytes(), &offset.to_le_bytes()].concat()
}

/// Tensors over 64 bytes of data.
fn gguf_of_tensors(rows: &[Vec<u8>]) -> Result<GgufFile, GgufError> {
    let rows: Vec<&[u8]> = rows.iter().map(Vec::as_slice).collect();
    let bytes = [gguf_bytes(rows.len() as u64, 0, &rows), vec![0; 64]].concat();
    read_within_bounds(&bytes).0
}

fn gguf_of_keys(keys: &[Vec<u8>]) -> Result<GgufFile, GgufError> {
    let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    read_within_bounds(&gguf_bytes(0, keys.len() as u64, &keys)).0
}

fn safetensors_bytes(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

#[test]
fn a_file_of_other_tools_is_read() {
    let file = gguf::read(BLOCKS).unwrap();
    assert_eq!(file.string("general.architecture").unwrap(), "blocks");
    assert_eq!(file.usize("cliplet.count").unwrap(), file.tensors.len());
    assert_eq!(file.f32s("cliplet.mean").unwrap(), [0.25, 0.5, 0.75]);
    assert_eq!(file.strings("cliplet.words").unwrap(), ["a", "ü"]);
    for (name, tensor) in &file.tensors {
        assert_eq!((tensor.format.name(), tensor.shape.as_slice()), (name.as_str(), [8, 128].as_slice()));
    }
}

#[test]
fn errors_name_key_and_type() {
    let file = gguf::read(BLOCKS).unwrap();
    assert!(matches!(file.u32("none"), Err(GgufError::MissingKey { key }) if key == "none"));
    let wrong = file.f32("general.architecture").unwrap_err().to_string();
    assert_eq!(wrong, "GGUF: key `general.architecture` is a string, not a float");
    assert!(file.strings("cliplet.mean").is_err() && file.bool("cliplet.count").is_err());
}

#[test]
fn writing_and_reading_give_the_same_file() {
    let mut file = gguf::read(BLOCKS).unwrap();
    file.set("cliplet.width", 768u32);
    file.set("cliplet.flag", true);
    file.set("cliplet.words", vec!["a".to_owned(), String::new()]);
    file.metadata.insert("cliplet.signed".into(), Value::I16(-3));
    let bytes = file.to_bytes().unwrap();
    assert_eq!(gguf::read(&bytes).unwrap(), file);
    assert_eq!(file.to_bytes().unwrap(), bytes);
    file.set("general.alignment", 4096u32);
    assert_eq!(gguf::read(&file.to_bytes().unwrap()).unwrap(), file);
    file.set("general.alignment", 24u32);
    assert!(matches!(file.to_bytes(), Err(GgufError::Alignment(24))));
}

#[test]
fn the_header_can_be_read_while_the_file_arrives() {
    let n_bytes = BLOCKS.len() as u64;
    let header = Header::parse(BLOCKS, n_bytes).unwrap();
    assert_eq!(header.tensors.last().unwrap().range.end, n_bytes);
    let header_len = usize::try_from(header.len).unwrap();
    assert_eq!(Header::parse(&BLOCKS[..header_len], n_bytes).unwrap(), header);
    // Each shorter part says that more is needed (the last bytes are padding).
    for prefix_len in 4..header_len - 31 {
        match Header::parse(&BLOCKS[..prefix_len], n_bytes) {
            Err(GgufError::Truncated { needed, found, .. }) => {
                assert!(found == prefix_len as u64 && needed > found && needed <= header.len);
            }
            other => panic!("{prefix_len} bytes gave {other:?}"),
        }
    }
}

#[test]
fn hostile_headers_are_told_apart() {
    use GgufError as E;
    assert!(matches!(gguf::read(b"GGML"), Err(E::Magic)));
    assert!(matches!(gguf::read(b"GGUF\x01\0\0\0"), Err(E::Version(1))));
    assert!(matches!(gguf::read(b"GGUF\0\0\0\x03"), Err(E::Version(_))), "big-endian");
    assert!(matches!(gguf::read(b"GGUF\x03\0"), Err(E::Truncated { .. })));
    assert!(matches!(gguf::read(&gguf_bytes(u64::MAX, 0, &[])), Err(E::TooMany { what: "tensors", .. })));
    assert!(matches!(gguf::read(&gguf_bytes(0, u64::MAX, &[])), Err(E::TooMany { what: "keys", .. })));
    assert!(matches!(gguf::read(&gguf_bytes(0, 1, &[&u64::MAX.to_le_bytes()])), Err(E::Truncated { .. })));
}

#[test]
fn hostile_metadata_is_told_apart() {
    use GgufError as E;
    let count = |len: u64, type_id: u32| [type_id.to_le_bytes().as_slice(), &len.to_le_bytes()].concat();
    assert!(
        matches!(gguf_of_keys(&[key("a", 0, &[1]), key("a", 0, &[1])]), Err(E::Duplicate(name)) if name == "a")
    );
    assert!(matches!(gguf_of_keys(&[key("a", 13, &[])]), Err(E::ValueType { type_id: 13, .. })));
    assert!(matches!(gguf_of_keys(&[key("a", 7, &[2])]), Err(E::ValueType { type_id: 7, .. })));
    assert!(matches!(gguf_of_keys(&[key("a", 8, &text("\u{e9}")[..9])]), Err(E::NotUtf8 { .. })));
    assert!(matches!(gguf_of_keys(&[key("a", 9, &count(1, 9))]), Err(E::NestedArray { .. })));
    assert!(matches!(gguf_of_keys(&[key("a", 9, &count(u64::MAX, 12))]), Err(E::Truncated { .. })));
    assert!(matches!(gguf_of_keys(&[key("a", 9, &count(u64::MAX, 8))]), Err(E::Truncated { .. })));
    assert!(matches!(gguf_of_keys(&[key("a", 9, &count(1, 99))]), Err(E::ValueType { type_id: 99, .. })));
    for alignment in [0u64, 24, 1 << 63] {
        let odd = gguf_of_keys(&[key("general.alignment", 10, &alignment.to_le_bytes())]);
        assert!(matches!(odd, Err(E::Alignment(found)) if found == alignment));
    }
    assert!(matches!(gguf_of_keys(&[key("general.alignment", 8, &text("32"))]), Err(E::WrongType { .. })));
}

#[test]
fn hostile_tensors_are_told_apart() {
    use GgufError as E;
    assert!(gguf_of_tensors(&[tensor_row("a", &[8], 0, 0), tensor_row("b", &[8], 0, 32)]).is_ok());
    let same = gguf_of_tensors(&[tensor_row("a", &[8], 0, 0), tensor_row("a", &[8], 0, 32)]);
    assert!(matches!(same, Err(E::Duplicate(_))));
    let over = gguf_of_tensors(&[tensor_row("a", &[9], 0, 0), tensor_row("b", &[8], 0, 32)]);
    assert!(matches!(over, Err(E::Overlap { .. })));
    let beyond = gguf_of_tensors(&[tensor_row("a", &[17], 0, 0)]);
    assert!(matches!(beyond, Err(E::Truncated { what: "the tensor data", .. })));
    let far = gguf_of_tensors(&[tensor_row("a", &[8], 0, u64::MAX - 31)]);
    assert!(matches!(far, Err(E::Truncated { .. })));
    assert!(matches!(gguf_of_tensors(&[tensor_row("a", &[8], 0, 16)]), Err(E::Misaligned { .. })));
    assert!(matches!(gguf_of_tensors(&[tensor_row("a", &[0], 0, 0)]), Err(E::EmptyTensor { .. })));
    assert!(matches!(
        gguf_of_tensors(&[tensor_row("a", &[8], 12, 0)]),
        Err(E::TensorType { type_id: 12, .. })
    ));
    assert!(matches!(gguf_of_tensors(&[tensor_row("a", &[1; 5], 0, 0)]), Err(E::TooMany { .. })));
    let product = gguf_of_tensors(&[tensor_row("a", &[1 << 32, 1 << 32], 0, 0)]);
    assert!(matches!(product, Err(E::Tensor { source: TensorError::TooLarge { .. }, .. })));
    let ragged = gguf_of_tensors(&[tensor_row("a", &[33], 8, 0)]);
    assert!(matches!(ragged, Err(E::Tensor { source: TensorError::RaggedRows { .. }, .. })));
}

#[test]
fn damaged_values_are_refused() {
    let mut file = GgufFile::default();
    for format in Format::ALL {
        let mut tensor = Tensor::from_f32(&[64], &[0.5; 64], format).unwrap();
        file.tensors = [("w".to_owned(), tensor.clone())].into();
        assert!(gguf::read(&file.to_bytes().unwrap()).is_ok());
        tensor.bytes[..4].fill(0xFF);
        file.tensors = [("w".to_owned(), tensor)].into();
        let damaged = gguf::read(&file.to_bytes().unwrap());
        assert!(
            matches!(damaged, Err(GgufError::Tensor { source: TensorError::NotFinite { .. }, .. })),
            "{format}"
        );
    }
}

/// The inputs that cost a naive reader the most for each byte.
#[test]
fn costly_inputs_stay_within_bounds() {
    let n = 1usize << 20;
    // Many short strings: a `String` each would be 24 bytes for 8.
    let strings = [9u32.to_le_bytes().as_slice()].concat();
    let array = [8u32.to_le_bytes().as_slice(), &(n as u64).to_le_bytes(), &vec![0; 8 * n]].concat();
    let file = gguf_bytes(0, 1, &[&text("a"), &strings, &array]);
    assert!(read_within_bounds(&file).0.is_ok());
    // As many keys and tensors as are allowed.
    let keys: Vec<u8> = (0..1024).flat_map(|idx| key(&format!("{idx}"), 0, &[0])).collect();
    assert!(read_within_bounds(&gguf_bytes(0, 1024, &[&keys])).0.is_ok());
    let rows: Vec<u8> =
        (0..4096u64).flat_map(|idx| tensor_row(&format!("{idx}"), &[1], 0, idx * 32)).collect();
    let file = [gguf_bytes(4096, 0, &[&rows]), vec![0; 4096 * 32]].concat();
    assert!(read_within_bounds(&file).0.is_ok());
    // JSON: zeros in a shape, empty tensors, brackets, one long name, escapes.
    let zeros = format!(r#"{{"a":{{"dtype":"F32","shape":[{}0],"data_offsets":[0,0]}}}}"#, "0,".repeat(n));
    let empty: Vec<String> = (0..n / 64)
        .map(|idx| format!(r#""{idx}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#))
        .collect();
    let nested = format!(r#"{{"a":{}"#, "[".repeat(n));
    let name = format!(r#"{{"{}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}}}"#, "x".repeat(n));
    let escapes =
        format!(r#"{{"{}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}}}"#, "\\u0041".repeat(n / 6));
    for header in [zeros, format!("{{{}}}", empty.join(",")), nested, name, escapes] {
        // Alone, cut to what the header's own limit lets through, and in front of data that makes it plausible.
        for n_data in [0, 8 * header.len()] {
            assert!(read_within_bounds(&safetensors_bytes(&header, &vec![0; n_data])).1.is_err());
        }
        // At the header's own limit the JSON is parsed, and is wrong.
        for n_chars in [4 << 10, 8 << 10, 16 << 10, 200 << 10] {
            let cut: String = header.chars().take(n_chars).collect();
            assert!(read_within_bounds(&safetensors_bytes(&cut, &[])).1.is_err());
        }
    }
    let few: Vec<String> = (0..200)
        .map(|idx| format!(r#""{idx}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#))
        .collect();
    assert!(read_within_bounds(&safetensors_bytes(&format!("{{{}}}", few.join(",")), &[])).1.is_ok());
}

/// Metadata that would cost a model's reader many times their bytes: a key nests no deeper than a section, and lists are
/// as short as ours.
#[test]
fn costly_configurations_stay_within_bounds() {
    let load = |keys: &[Vec<u8>]| {
        let all = [&[key("general.architecture", 8, &text("cliplet"))], keys].concat();
        let all: Vec<&[u8]> = all.iter().map(Vec::as_slice).collect();
        let bytes = gguf_bytes(0, all.len() as u64, &all);
        let (loaded, peak) = peak_of(|| load_gguf(&bytes));
        let allowed = 2 * bytes.len() + (1 << 20);
        assert!(peak <= allowed, "{peak} bytes allocated for {} of input, {allowed} allowed", bytes.len());
        loaded.map(|checkpoint| checkpoint.config).map_err(|error| error.to_string())
    };
    let list = |n: u64| [0u32.to_le_bytes().as_slice(), &n.to_le_bytes(), &vec![1; n as usize]].concat();
    // A level a byte, whose tree could be neither held nor let go.
    let dots = key(&format!("cliplet.{}", ".".repeat(1 << 20)), 0, &[1]);
    assert_eq!(load(&[dots]).unwrap(), Default::default());
    let sections: Vec<Vec<u8>> = (0..1023).map(|idx| key(&format!("cliplet.{idx}.a.b.c"), 0, &[1])).collect();
    assert_eq!(load(&sections).unwrap(), Default::default());
    let few: Vec<Vec<u8>> = (0..8).map(|idx| key(&format!("cliplet.a.{idx}"), 9, &list(1024))).collect();
    assert_eq!(load(&few).unwrap(), Default::default());
    for (n_keys, n_items) in [(1, 1 << 20), (1000, 8192), (9, 1024)] {
        let lists: Vec<Vec<u8>> =
            (0..n_keys).map(|idx| key(&format!("cliplet.a.{idx}"), 9, &list(n_items))).collect();
        let error = load(&lists).unwrap_err();
        assert!(error.contains("more than 8192 items"), "{error}");
    }
    let error = load(&[key("cliplet.vision", 0, &[1]), key("cliplet.vision.width", 0, &[1])]).unwrap_err();
    assert!(error.contains("\"cliplet.vision.width\" stands beside another"), "{error}");
}

#[test]
fn safetensors_yield_floats_as_weights_and_integers_as_numbers() {
    let header = concat!(
        r#"{"__metadata__":{"format":"pt"},"w":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},"#,
        r#""ids":{"dtype":"I64","shape":[1],"data_offsets":[4,12]}}"#
    );
    let bytes = safetensors_bytes(header, &[0, 0x3C, 0, 0xC0, 7, 0, 0, 0, 0, 0, 0, 0]);
    let file = safetensors::read(&bytes).unwrap();
    assert_eq!(file.metadata["format"], "pt");
    assert_eq!(file.tensors["ids"].kind, Kind::I64);
    assert_eq!(file.tensors["ids"].to_i64("ids").unwrap(), [7]);
    assert!(matches!(file.tensors["w"].to_i64("w"), Err(SafetensorsError::WrongKind { .. })));
    let mut weights = Weights::read(&bytes).unwrap();
    assert_eq!(weights.names().collect::<Vec<_>>(), ["w"]);
    assert_eq!(weights.tensor("w").unwrap().to_f32(), [1.0, -2.0]);
    assert!(weights.take("w").is_ok());
    let missing = weights.take("w").unwrap_err().to_string();
    assert!(missing.contains("`w`"), "{missing}");
}

#[test]
fn hostile_safetensors_are_told_apart() {
    use SafetensorsError as E;
    let w = |dtype: &str, shape: &str, end: usize| {
        format!(r#"{{"w":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{end}]}}}}"#)
    };
    let read = |header: &str, n_data: usize| safetensors::read(&safetensors_bytes(header, &vec![0; n_data]));
    assert!(read(&w("F32", "[2]", 8), 8).is_ok());
    assert!(matches!(safetensors::read(b"1234567"), Err(E::Incomplete { .. })));
    assert!(matches!(safetensors::read(&u64::MAX.to_le_bytes()), Err(E::HeaderTooLarge { .. })));
    assert!(matches!(safetensors::read(&100u64.to_le_bytes()), Err(E::Incomplete { .. })));
    assert!(matches!(read("{", 0), Err(E::Malformed(_))));
    assert!(matches!(read(&w("F32", "[2]", 8), 7), Err(E::Malformed(_))), "data cut");
    assert!(matches!(read(&w("F32", "[2]", 8), 9), Err(E::Malformed(_))), "data left over");
    assert!(matches!(read(&w("F32", "[3]", 8), 8), Err(E::Malformed(_))), "shape against bytes");
    assert!(matches!(read(&w("F32", "[4294967296,4294967296]", 8), 8), Err(E::Malformed(_))), "overflow");
    assert!(matches!(read(&w("F64", "[1]", 8), 8), Err(E::UnsupportedDtype { .. })));
    let not_finite = safetensors_bytes(&w("F32", "[1]", 4), &f32::NAN.to_le_bytes());
    assert!(matches!(Weights::read(&not_finite), Err(WeightsError::BadTensor { .. })));
    for (bytes, what) in [
        (&b"<!DOCTYPE html>"[..], "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"PK\x03\x04 archive/data.pkl", "a Python pickle"),
        (b"", "an empty file"),
        (b"hello", "something else"),
    ] {
        let error = Weights::read(bytes).unwrap_err();
        let n_bytes = bytes.len() as u64;
        assert!(matches!(error, WeightsError::UnknownFormat { n_bytes: n, .. } if n == n_bytes));
        assert!(error.to_string().contains(what), "{error}");
    }
}

#[test]
fn a_safetensors_header_can_be_read_alone() {
    use safetensors::Header;
    let [_, file] = valid_files();
    let n_bytes = file.len() as u64;
    let header_len = Header::len_of(&file[..8], n_bytes).unwrap();
    assert_eq!(header_len, n_bytes - 16);
    let header = Header::parse(&file[..header_len as usize], n_bytes).unwrap();
    let places: Vec<_> = header.tensors.iter().map(|t| (t.name.as_str(), t.range.clone())).collect();
    assert_eq!(places, [("a", header_len..header_len + 8), ("b", header_len + 8..n_bytes)]);
    // Less than the header, and a file of another length.
    for prefix_len in 0..header_len as usize {
        let cut = Header::parse(&file[..prefix_len], n_bytes);
        assert!(matches!(cut, Err(SafetensorsError::Incomplete { .. })), "{prefix_len} bytes gave {cut:?}");
    }
    for file_len in [0, 8, header_len - 1] {
        assert!(matches!(Header::parse(&file, file_len), Err(SafetensorsError::Incomplete { .. })));
    }
    let shorter = Header::parse(&file, n_bytes - 1).unwrap_err().to_string();
    assert!(shorter.contains(&format!("end at byte {n_bytes}, the file at {}", n_bytes - 1)), "{shorter}");
    // A hostile length allocates nothing.
    assert!(matches!(Header::len_of(&[0xFF; 8], n_bytes), Err(SafetensorsError::HeaderTooLarge { .. })));
}

#[test]
fn checksums_are_sha256() {
    assert_eq!(sha256_hex(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

/// A small valid file of each kind.
fn valid_files() -> [Vec<u8>; 2] {
    let mut file = GgufFile::default();
    file.set("general.architecture", "cliplet");
    file.set("cliplet.words", vec!["a".to_owned(), "bc".to_owned()]);
    for format in [Format::F32, Format::Q4_0, Format::Q5_1] {
        let tensor = Tensor::from_f32(&[2, 32], &[0.5; 64], format).unwrap();
        file.tensors.insert(format.name().into(), tensor);
    }
    let header = concat!(
        r#"{"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},"#,
        r#""b":{"dtype":"BF16","shape":[4],"data_offsets":[8,16]}}"#
    );
    [file.to_bytes().unwrap(), safetensors_bytes(header, &[0; 16])]
}

/// A changed file.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), prop_oneof![any::<u8>(), Just(0), Just(0xFF)]);
    (0..2usize, prop::collection::vec(change, 1..6), any::<prop::sample::Index>(), prop::bool::weighted(0.2))
        .prop_map(|(which, changes, end, is_cut)| {
            let mut bytes = valid_files()[which].clone();
            for (at, value) in changes {
                // The header is where it hurts: data take any value.
                let n_bytes = bytes.len().min(420);
                bytes[at.index(n_bytes)] = value;
            }
            if is_cut {
                bytes.truncate(end.index(bytes.len()));
            }
            bytes
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn changed_files_never_panic(bytes in mutated()) {
        let (as_gguf, as_any) = read_within_bounds(&bytes);
        // What is read is whole: its bytes fit its shapes.
        if let Ok(file) = as_gguf {
            for tensor in file.tensors.values() {
                prop_assert_eq!(tensor.to_f32().len(), tensor.n_values());
            }
        }
        if let Ok(weights) = as_any {
            for name in weights.names() {
                let tensor = weights.tensor(name).unwrap();
                prop_assert_eq!(tensor.to_f32().len(), tensor.n_values());
            }
        }
    }

    #[test]
    fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..400), with_magic in any::<bool>()) {
        let bytes = if with_magic { [b"GGUF\x03\0\0\0".as_slice(), &noise].concat() } else { noise };
        prop_assert!(read_within_bounds(&bytes).1.is_err());
    }
}
