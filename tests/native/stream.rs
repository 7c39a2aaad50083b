//! Weight files and models that arrive in pieces: however they are cut, the same as whole.

use crate::allocation::peak_of;
use crate::cli::{Scratch, cliplet, fixture, stdout};
use cliplet::models::{ClipShape, Importer, ModelError, ModelFolder, Origin, import, load_gguf};
use cliplet::tensor::Format;
use cliplet::weights::gguf::{GgufFile, Table};
use cliplet::weights::{Header, Item, Stream, Weights, WeightsError};
use proptest::prelude::*;
use std::fs;
use std::process::Command;
use std::sync::LazyLock;

const BLOCKS: &[u8] = include_bytes!("../fixtures/gguf/blocks.gguf");
static CLIP: LazyLock<Vec<u8>> =
    LazyLock::new(|| fs::read(fixture("models/clip-vit-quickgelu/model.safetensors")).unwrap());

/// Pushes `bytes` in pieces as long as `lens` say, again and again.
fn read(bytes: &[u8], lens: &[usize]) -> Result<(Header, Weights), WeightsError> {
    let mut stream = Stream::new(bytes.len() as u64);
    let (mut header, mut weights) = (None, Weights::default());
    let (mut rest, mut lens) = (bytes, lens.iter().cycle());
    loop {
        let n_next = (*lens.next().unwrap()).clamp(1, rest.len().max(1)).min(rest.len());
        let mut piece = rest.split_off(..n_next).unwrap();
        while let Some(item) = stream.push(&mut piece)? {
            match item {
                Item::Header(found) => header = Some(found),
                Item::Tensor(name, tensor) => weights.insert(name, tensor),
            }
        }
        assert!(piece.is_empty(), "what is not used up would be lost");
        if rest.is_empty() {
            stream.finish()?;
            return Ok((header.expect("a header comes first"), weights));
        }
    }
}

/// Both files, as they are and damaged in a byte or cut.
fn files() -> impl Strategy<Value = Vec<u8>> {
    let whole = prop_oneof![Just(BLOCKS.to_vec()), (0..1usize).prop_map(|_| CLIP.clone())];
    (whole, any::<prop::sample::Index>(), any::<u8>(), 0..3u8).prop_map(|(mut file, at, byte, kind)| {
        // Most of a file is weights: half of the damage goes to the header.
        let at = at.index(if byte % 2 == 0 { file.len() } else { file.len().min(2000) });
        match kind {
            0 => {}
            1 => file[at] = byte,
            _ => file.truncate(at),
        }
        file
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn pieces_give_what_the_whole_file_gives(file in files(), lens in prop::collection::vec(1..200_000usize, 1..5)) {
        match (Weights::read(&file), read(&file, &lens)) {
            (Ok(whole), Ok((header, pieces))) => {
                prop_assert_eq!(header.names.len(), pieces.names().count());
                prop_assert!(whole == pieces);
            }
            (Err(_), Err(_)) => {}
            (whole, pieces) => prop_assert!(false, "{:?}, in pieces {:?}", whole.map(drop), pieces.map(drop)),
        }
    }
}

#[test]
fn single_bytes_are_pieces_too() {
    let (header, weights) = read(BLOCKS, &[1]).unwrap();
    assert!(weights == Weights::read(BLOCKS).unwrap());
    assert!(header.gguf.is_some());
    assert!(BLOCKS.starts_with(&header.bytes));
}

/// A header that claims much costs nothing before its bytes are there.
#[test]
fn hostile_bytes_allocate_no_more_than_a_tensor() {
    let claim = |n_bytes: u64, bytes: &[u8]| {
        let (result, peak) = peak_of(|| {
            let mut rest = bytes;
            Stream::new(n_bytes).push(&mut rest).map(drop)
        });
        (result, peak)
    };
    let mut keys = b"GGUF\x03\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0".to_vec();
    keys.extend(u64::MAX.to_le_bytes());
    keys.resize(200, 0);
    let (result, peak) = claim(1 << 40, &keys);
    assert!(result.is_err() && peak < 1 << 16, "{result:?}, {peak} bytes");
    let mut header = (1u64 << 39).to_le_bytes().to_vec();
    header.push(b'{');
    let (result, peak) = claim(1 << 40, &header);
    assert!(peak < 1 << 16, "{result:?}, {peak} bytes");
    for (bytes, what) in
        [(&b"<!doctype html>"[..], "a web page"), (b"PK\x03\x04 and more", "a Python pickle")]
    {
        let error = claim(1 << 30, bytes).0.unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
    // More, or fewer, than was announced.
    let error = Stream::new(100).finish().unwrap_err().to_string();
    assert!(error.contains("0 bytes, 100 were announced"), "{error}");
}

/// From every place where nothing is held, another importer makes the rest.
#[test]
fn an_import_can_be_gone_on_with() {
    let config = fs::read(fixture("models/clip-vit-quickgelu/config.json")).unwrap();
    let source = ModelFolder { config: &config, ..Default::default() };
    let whole = import(source, &Weights::read(&CLIP).unwrap()).unwrap();
    let origin = Origin::Folder(source);
    let start = || {
        let (mut stream, mut bytes) = (Stream::new(CLIP.len() as u64), &CLIP[..]);
        let Some(Item::Header(header)) = stream.push(&mut bytes).unwrap() else { panic!("a header") };
        (stream, bytes, header)
    };
    let (mut stream, mut bytes, header) = start();
    let mut importer = Importer::new(origin, header.names.clone()).unwrap();
    let (mut made, mut places) = (Weights::default(), Vec::new());
    let push = |importer: &mut Importer, item: Item, made: &mut Weights| {
        let Item::Tensor(name, tensor) = item else { panic!("one header") };
        let sink = &mut |name: &str, tensor| {
            made.insert(name, tensor);
            Ok::<_, ModelError>(())
        };
        importer.push(&name, tensor, sink).unwrap();
    };
    while let Some(item) = stream.push(&mut bytes).unwrap() {
        push(&mut importer, item, &mut made);
        if importer.is_idle() {
            places.push((stream.position().unwrap(), importer.scalars().clone(), made.clone()));
        }
    }
    assert_eq!(importer.finish().unwrap(), whole.config, "the temperature came with the weights");
    assert!(made == whole.weights);
    assert!(places.len() > 20, "{} places to go on from", places.len());

    for (at, scalars, mut made) in places {
        let (mut stream, again) = Stream::resume(&header.bytes, CLIP.len() as u64, at).unwrap();
        assert_eq!(again.names, header.names);
        assert_eq!(stream.position(), Some(at));
        let mut importer = Importer::new(origin, again.names).unwrap();
        let so_far: Vec<String> = made.names().map(str::to_owned).collect();
        importer.resume(scalars, |name| so_far.iter().any(|made| made == name));
        let mut bytes = &CLIP[at as usize..];
        while let Some(item) = stream.push(&mut bytes).unwrap() {
            push(&mut importer, item, &mut made);
        }
        stream.finish().unwrap();
        assert_eq!(importer.finish().unwrap(), whole.config, "from byte {at}");
        assert!(made == whole.weights, "from byte {at}");
    }
}

#[test]
fn what_a_header_lacks_is_told_before_the_weights() {
    let config = fs::read(fixture("models/clip-vit-quickgelu/config.json")).unwrap();
    let origin = Origin::Folder(ModelFolder { config: &config, ..Default::default() });
    let mut names: Vec<String> = Weights::read(&CLIP).unwrap().names().map(str::to_owned).collect();
    names.retain(|name| name != "visual_projection.weight");
    let error = Importer::new(origin, names.clone()).map(drop).unwrap_err().to_string();
    assert!(error.contains("visual_projection.weight"), "{error}");
    // Named, but it never came.
    names.push("visual_projection.weight".to_owned());
    let importer = Importer::new(origin, names).unwrap();
    assert!(importer.finish().unwrap_err().to_string().contains("hold no tensor"));
}

/// Tensors in any order, the header last, give a file that reads back.
#[test]
fn a_file_that_is_written_tensor_by_tensor_reads_back() {
    let whole = Weights::read(BLOCKS).unwrap();
    let mut names: Vec<&str> = whole.names().collect();
    names.reverse();
    let (mut table, mut data) = (Table::default(), Vec::new());
    for name in &names {
        let tensor = whole.tensor(name).unwrap();
        let place = table.push(name, tensor).unwrap();
        data.resize(place.start as usize, 0);
        data.extend(&tensor.bytes);
    }
    assert!(table.push(names[0], whole.tensor(names[0]).unwrap()).is_err(), "a name twice");
    let mut file = GgufFile::default();
    file.set("general.name", "later");
    let bytes = [table.header(&file.metadata), data].concat();
    assert!(Weights::read(&bytes).unwrap() == whole);
    assert_eq!(read(&bytes, &[7]).unwrap().0.gguf.unwrap().string("general.name").unwrap(), "later");
}

/// A ViT-B/32 of 605 MB in f32, converted by a process that may not have half of that.
#[test]
fn converting_a_real_size_takes_little_memory() {
    const MAX_KIB: u64 = 400 << 10;
    let folder = Scratch::new("full-size");
    crate::synthetic::write_hugging_face(ClipShape::VIT_B32.checkpoint(Format::F32).unwrap(), &folder.0);
    let n_bytes = fs::metadata(folder.0.join("model.safetensors")).unwrap().len();
    assert!((600_000_000..610_000_000).contains(&n_bytes), "{n_bytes} bytes");
    let (src, output) = (folder.0.to_str().unwrap(), folder.path("clip.gguf"));
    for limit in [MAX_KIB, 64 << 10] {
        let script = format!(
            "ulimit -v {limit}; exec {} convert {src} --quant q8_0 -o {output}",
            env!("CARGO_BIN_EXE_cliplet")
        );
        // Address space counts here: one arena of the allocator, not one a thread.
        let converted =
            Command::new("sh").args(["-c", &script]).env("MALLOC_ARENA_MAX", "1").output().unwrap();
        let message = String::from_utf8_lossy(&converted.stderr);
        assert_eq!(converted.status.success(), limit == MAX_KIB, "{limit} KiB: {message}");
    }
    let bytes = fs::read(&output).unwrap();
    let checkpoint = load_gguf(&bytes).unwrap();
    assert!(checkpoint.config.selftest.is_some());
    let again = stdout(&cliplet(&["inspect", &output], "")).to_owned();
    assert!(again.contains("q8_0"), "{again}");
}
