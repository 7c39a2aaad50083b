//! The command line as its users meet it: what it prints where, and how it exits.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

pub fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(path)
}

/// Runs `cliplet` with `input` on standard input.
pub fn cliplet(args: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_cliplet"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that fails at once does not read its input.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

pub fn stdout(output: &Output) -> &str {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::str::from_utf8(&output.stdout).unwrap()
}

/// Fails with status 1, nothing on standard output, and `what` in its message.
pub fn assert_refused(output: &Output, what: &str) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains(what) && !message.contains("panicked"), "{message}");
}

/// A folder of this test's own, removed with it.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Scratch {
        let dir = std::env::temp_dir().join(format!("cliplet-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Scratch(dir)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn tokenizer_json(scratch: &Scratch) -> String {
    let path = scratch.path("tokenizer.json");
    let packed = std::fs::read(fixture("tokenizer/tokenizer.json.gz")).unwrap();
    let mut json = std::fs::File::create(&path).unwrap();
    std::io::copy(&mut flate2::read::GzDecoder::new(packed.as_slice()), &mut json).unwrap();
    path
}

#[test]
fn tokenize_answers_each_line() {
    let scratch = Scratch::new("tokenize");
    let tokenizer = tokenizer_json(&scratch);
    let output = cliplet(&["tokenize", "--tokenizer", &tokenizer], "\"a\"\n\"\"\n\"<|endoftext|>\"\n");
    let expected = "[49406,320,49407]\n[49406,49407]\n[49406,27,347,40786,4160,91,285,49407]\n";
    assert_eq!(stdout(&output), expected);
    let output = cliplet(&["tokenize", "--tokenizer", &tokenizer], "\"a\"\nnot json\n");
    assert_refused(&output, "line 2");
    assert_eq!(output.stdout, b"[49406,320,49407]\n");
}

#[test]
fn preprocess_writes_the_models_crop() {
    let scratch = Scratch::new("preprocess");
    let (image, crop) = (fixture("preprocess/png_97x31.png"), scratch.path("crop.png"));
    let output = cliplet(&["preprocess", image.to_str().unwrap(), "-o", &crop, "--json"], "");
    let report: serde_json::Value = serde_json::from_str(stdout(&output)).unwrap();
    assert_eq!((report["width"].as_u64(), report["size"].as_u64()), (Some(97), Some(224)));
    let decoded = |path: &Path| cliplet::image::decode(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(decoded(Path::new(&crop)), decoded(&fixture("preprocess/png_97x31.expect.png")));
    let output = cliplet(&["preprocess", image.to_str().unwrap(), "-o", &crop, "--size", "33"], "");
    assert!(stdout(&output).contains("33 × 33"));
    assert_eq!(decoded(Path::new(&crop)).width, 33);
    let output = cliplet(&["preprocess", fixture("README.md").to_str().unwrap(), "-o", &crop], "");
    assert_refused(&output, "no picture");
    assert_refused(&cliplet(&["preprocess", "/nowhere.png", "-o", &crop], ""), "/nowhere.png");
    // Its own input, under any name, is left as it is; so is the folder where nothing can be written.
    let before = std::fs::read(&crop).unwrap();
    let other_name = scratch.0.join("../").join(scratch.0.file_name().unwrap()).join("crop.png");
    for output in [crop.as_str(), other_name.to_str().unwrap()] {
        assert_refused(&cliplet(&["preprocess", &crop, "-o", output], ""), "being read");
    }
    assert_eq!(std::fs::read(&crop).unwrap(), before);
    let nowhere = scratch.path("no/such/crop.png");
    assert_refused(&cliplet(&["preprocess", &crop, "-o", &nowhere], ""), "no/such/crop.png");
    assert_eq!(std::fs::read_dir(&scratch.0).unwrap().count(), 1, "nothing half-made stays");
}

#[test]
fn inspect_says_what_a_file_holds() {
    let gguf = fixture("gguf/blocks.gguf");
    let output = cliplet(&["inspect", gguf.to_str().unwrap(), "--json"], "");
    let report: serde_json::Value = serde_json::from_str(stdout(&output)).unwrap();
    assert_eq!((&report["format"], report["n_values"].as_u64()), (&"GGUF".into(), Some(7 * 1024)));
    assert_eq!(report["metadata"]["cliplet.mean"], serde_json::json!([0.25, 0.5, 0.75]));
    assert_eq!(report["tensors"][2]["name"], "q4_0");
    let text = cliplet(&["inspect", gguf.to_str().unwrap()], "");
    assert!(stdout(&text).contains("q4_0"));
    let output = cliplet(&["inspect", fixture("README.md").to_str().unwrap()], "");
    assert_refused(&output, "not a weight file");
}

#[test]
fn usage_errors_have_their_own_status() {
    assert_eq!(cliplet(&["unknown"], "").status.code(), Some(2));
    assert_eq!(cliplet(&["rank", "picture.png"], "").status.code(), Some(2));
}

#[test]
fn a_reader_that_leaves_early_is_no_panic() {
    let scratch = Scratch::new("pipe");
    let tokenizer = tokenizer_json(&scratch);
    let mut child = Command::new(env!("CARGO_BIN_EXE_cliplet"))
        .args(["tokenize", "--tokenizer", &tokenizer])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let _ = child.stdin.take().unwrap().write_all("\"a\"\n".repeat(1000).as_bytes());
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// `cliplet verify BAD | true` fails as `cliplet verify BAD` does.
#[test]
fn a_reader_that_leaves_early_hides_no_failure() {
    let folder = Scratch::new("pipe-verify");
    let model = fixture("models/clip-vit-quickgelu");
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(model.join(file), folder.0.join(file)).unwrap();
    }
    // No tensors: nothing agrees.
    let golden = [&2u64.to_le_bytes()[..], b"{}"].concat();
    std::fs::write(folder.path("golden.safetensors"), golden).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_cliplet"))
        .args(["verify", folder.0.to_str().unwrap(), "--backend", "cpu"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}
