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
    // Another model sees something else.
    let siglip = fixture("models/siglip");
    let args =
        ["preprocess", image.to_str().unwrap(), "-o", &crop, "--model", siglip.to_str().unwrap(), "--json"];
    let report: serde_json::Value = serde_json::from_str(stdout(&cliplet(&args, ""))).unwrap();
    assert_eq!(
        (&report["size"], &report["fit"], &report["filter"]),
        (&48.into(), &"squash".into(), &"bicubic".into())
    );
    assert_eq!(decoded(Path::new(&crop)).width, 48);
    assert!(stdout(&cliplet(&args[..6], "")).contains("48 × 48 (squashed, bicubic)"));
    assert_eq!(cliplet(&[&args[..6], &["--size", "9"]].concat(), "").status.code(), Some(2));
    let texts = fixture("models/bert-text");
    let args = ["preprocess", image.to_str().unwrap(), "-o", &crop, "--model", texts.to_str().unwrap()];
    assert_refused(&cliplet(&args, ""), "no image tower");
    let output = cliplet(&["preprocess", image.to_str().unwrap(), "-o", &crop, "--size", "33"], "");
    assert!(stdout(&output).contains("33 × 33"));
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

/// White on transparent: over white nothing would remain.
#[test]
fn a_white_logo_is_seen_and_said() {
    let scratch = Scratch::new("white-logo");
    let (logo, crop) = (scratch.path("logo.png"), scratch.path("crop.png"));
    let rgba: Vec<u8> =
        (0..64 * 64).flat_map(|i| if i % 64 > 20 { [255, 255, 255, 255] } else { [0, 0, 0, 0] }).collect();
    image::save_buffer(&logo, &rgba, 64, 64, image::ExtendedColorType::Rgba8).unwrap();
    let output = cliplet(&["preprocess", &logo, "-o", &crop, "--json"], "");
    assert!(String::from_utf8_lossy(&output.stderr).contains("laid over black"));
    let report: serde_json::Value = serde_json::from_str(stdout(&output)).unwrap();
    assert_eq!(report["background"], "black");
    let seen = cliplet::image::decode(&std::fs::read(&crop).unwrap()).unwrap();
    assert_eq!((seen.rgb[0], seen.rgb[223 * 3]), (0, 255));
}

#[test]
fn ranking_names_labels_that_cannot_be_read_and_claims_no_certainty() {
    let picture = fixture("preprocess/jpeg_q90.jpg");
    let rank = |labels: &[&str], more: &[&str]| {
        cliplet(&[&["rank", picture.to_str().unwrap()], labels, more, &["--backend", "cpu"]].concat(), "")
    };
    let json = |output: &Output| serde_json::from_str::<serde_json::Value>(stdout(output)).unwrap();
    let output = rank(&["cat", "dog", "\u{1F9A9}\u{1FAE0}", "Dög"], &["--json"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = json(&output);
    let names: Vec<&str> =
        report["labels"].as_array().unwrap().iter().filter_map(|line| line["label"].as_str()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert_eq!(report["unreadable"], serde_json::json!(["\u{1F9A9}\u{1FAE0}"]));
    assert_eq!(report["same"], serde_json::json!([["dog", "Dög"]]));
    assert!(said.contains("cannot read") && said.contains("cannot tell these apart"), "{said}");
    // A single label has its own score.
    let report = json(&rank(&["cat"], &["--json"]));
    assert_eq!(report["mode"], "independent");
    assert!(report["labels"][0]["probability"].as_f64().unwrap() < 0.999_999_5, "{report}");
    let alone = rank(&["cat"], &[]);
    assert!(!stdout(&alone).contains("100.00 %"));
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said(&alone).contains("judged by itself: add labels"), "{}", said(&alone));
    assert!(!said(&rank(&["cat", "dog"], &[])).contains("by itself"));
}

/// Mesa asks a desktop which GPU it prefers, and complained where there is none.
#[test]
fn without_a_desktop_nothing_is_said_of_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in [None, Some("not/absolute")] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cliplet"));
        command.current_dir(root).args(["rank", "static/samples/cat.jpg", "cat", "dog"]);
        command.env_remove("NODEVICE_SELECT").env_remove("XDG_RUNTIME_DIR");
        command.envs(folder.map(|folder| ("XDG_RUNTIME_DIR", folder)));
        let output = command.output().unwrap();
        assert!(stdout(&output).contains("cat"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("loaded in") && !said.contains("XDG_RUNTIME_DIR"), "{said}");
    }
}

/// Discs and squares in two colours, which the starter can tell apart well enough to fit on.
fn labelled_pictures(scratch: &Scratch, n_each: u32) -> String {
    for (label, colour) in
        [("red_apple", [200u8, 30, 30]), ("blue_sky", [90, 150, 230]), ("green_leaf", [40, 160, 50])]
    {
        let dir = scratch.0.join("photos").join(label);
        std::fs::create_dir_all(&dir).unwrap();
        for idx in 0..n_each {
            let picture = image::RgbImage::from_fn(48, 48, |x, y| {
                let is_in = (x as i32 - 24).pow(2) + (y as i32 - 24).pow(2) < (60 + 10 * idx as i32);
                let shade = ((x * (idx + 3) + y * 7) % 40) as u8;
                image::Rgb(if is_in {
                    colour.map(|value| value.saturating_sub(shade))
                } else {
                    [230 - shade; 3]
                })
            });
            picture.save(dir.join(format!("{idx:02}.png"))).unwrap();
        }
    }
    scratch.path("photos")
}

#[test]
fn calibrate_writes_a_file_that_is_the_same_but_for_its_calibration() {
    let scratch = Scratch::new("calibrate");
    let photos = labelled_pictures(&scratch, 12);
    // The starter as an import would be: nothing is known of its probabilities.
    let starter = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/static/models/starter.gguf")).unwrap();
    let (model, output) = (scratch.path("model.gguf"), scratch.path("model-calibrated.gguf"));
    let bare = cliplet::models::recalibrated(&starter, &cliplet::models::Calibration::default()).unwrap();
    std::fs::write(&model, &bare).unwrap();
    let said = cliplet(&["calibrate", &model, &photos, "--backend", "cpu"], "");
    let said = stdout(&said);
    for part in [
        "fitted on 18 photos",
        "measured on 18 other photos",
        "calibration error",
        "before",
        "after",
        &output,
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let calibrated = std::fs::read(&output).unwrap();
    let read = |bytes: &[u8]| cliplet::models::load_gguf(bytes).unwrap();
    let (before, after) = (read(&bare), read(&calibrated));
    assert!(!before.config.calibration.is_fitted() && after.config.calibration.is_fitted());
    assert_eq!(before.weights, after.weights);
    let data = |bytes: &[u8]| {
        let header = cliplet::weights::gguf::Header::parse(bytes, bytes.len() as u64).unwrap();
        bytes[header.len as usize..].to_vec()
    };
    assert!(data(&starter) == data(&calibrated), "tensors are untouched");
    let mut same = after.config.clone();
    same.calibration = before.config.calibration;
    assert_eq!(same, before.config);
    // `rank` takes it, and has "none of these" now.
    let picture = scratch.path("photos/blue_sky/03.png");
    let rank = |model: &str| {
        let args = [
            "rank",
            &picture,
            "blue sky",
            "red apple",
            "--none",
            "--json",
            "--backend",
            "cpu",
            "--model",
            model,
        ];
        serde_json::from_str::<serde_json::Value>(stdout(&cliplet(&args, ""))).unwrap()
    };
    let (bare, calibrated) = (rank(&model), rank(&output));
    assert_eq!(
        (&bare["confidence"], bare["labels"].as_array().unwrap().len()),
        (&"not_calibrated".into(), 2)
    );
    assert_ne!(calibrated["confidence"], "not_calibrated");
    assert_eq!(calibrated["labels"].as_array().unwrap().len(), 3);
    assert_eq!(
        (&bare["model"]["is_calibrated"], &calibrated["model"]["is_calibrated"]),
        (&false.into(), &true.into())
    );
}

#[test]
fn calibrate_takes_label_sets_and_refuses_what_it_cannot_use() {
    let scratch = Scratch::new("calibrate-sets");
    let photos = labelled_pictures(&scratch, 8);
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/static/models/starter.gguf");
    let (sets, output) = (scratch.path("sets.json"), scratch.path("out.gguf"));
    let calibrate = |more: &[&str]| {
        cliplet(
            &[&["calibrate", model, &photos, "--backend", "cpu", "-o", &output, "--json"], more].concat(),
            "",
        )
    };
    let labels = ["red apple", "blue sky", "green leaf", "a train"];
    let photo = |(idx, label): (usize, &str)| {
        let file = format!("{}/{:02}.png", label.replace(' ', "_"), idx);
        let right = labels.iter().position(|other| *other == label).unwrap();
        serde_json::json!({"file": file, "sets": [{"labels": labels, "right": [right]}, {"labels": ["a train", "a dog"], "right": []}]})
    };
    let all = |n: usize| {
        let files = (0..n).flat_map(|idx| labels[..3].iter().map(move |label| (idx, *label)));
        serde_json::json!({"photos": files.map(photo).collect::<Vec<_>>()})
    };
    std::fs::write(&sets, all(8).to_string()).unwrap();
    let report: serde_json::Value = serde_json::from_str(stdout(&calibrate(&["--sets", &sets]))).unwrap();
    assert_eq!((report["n_fitted_photos"].as_u64(), report["n_fitted_sets"].as_u64()), (Some(12), Some(24)));
    assert_eq!(
        (report["after"]["n_sets"].as_u64(), report["after"]["n_without"].as_u64()),
        (Some(24), Some(12))
    );
    std::fs::remove_file(&output).unwrap();
    std::fs::write(&sets, all(2).to_string()).unwrap();
    assert_refused(&calibrate(&["--sets", &sets]), "3 photos with 3 label sets");
    std::fs::write(&sets, r#"{"photos": [{"file": "a.png", "sets": [{"labels": ["a"], "right": [1]}]}]}"#)
        .unwrap();
    assert_refused(&calibrate(&["--sets", &sets]), "number 1 is said to be right");
    std::fs::write(&sets, r#"{"photos": 3}"#).unwrap();
    assert_refused(&calibrate(&["--sets", &sets]), "it must be {\"photos\"");
    let other = fixture("gguf-clipcpp/q8_0.gguf");
    assert_refused(&cliplet(&["calibrate", other.to_str().unwrap(), &photos], ""), "cliplet convert");
    let folder = fixture("models/siglip/config.json");
    assert_refused(&cliplet(&["calibrate", folder.to_str().unwrap(), &photos], ""), "is no GGUF");
    assert!(!Path::new(&output).exists());
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
