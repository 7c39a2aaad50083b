//! `cliplet pack` and `cliplet eval`: a model made ready to host, and measured.

use crate::cli::{Scratch, assert_refused, cliplet, fixture, stdout};
use cliplet::weights::sha256_hex;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn a_packed_folder_is_what_the_page_loads() {
    let folder = Scratch::new("pack");
    let (starter, out) = (root("static/models/starter.gguf"), folder.path("site/models"));
    let args = ["pack", starter.to_str().unwrap(), "-o", &out, "--json"];
    let report: Value = serde_json::from_str(stdout(&cliplet(&args, ""))).unwrap();
    let bytes = fs::read(folder.path("site/models/starter.gguf")).unwrap();
    assert!(bytes == fs::read(&starter).unwrap());
    assert_eq!(report["sha256"], sha256_hex(&bytes));
    let read = |path: PathBuf| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    let manifest = read(folder.0.join("site/models/manifest.json"));
    assert_eq!(manifest, read(root("static/models/manifest.json")), "the same as the page's own");
    // Again, and in place: nothing but the manifest is written.
    stdout(&cliplet(&args, ""));
    fs::remove_file(folder.path("site/models/manifest.json")).unwrap();
    stdout(&cliplet(&["pack", &folder.path("site/models/starter.gguf"), "-o", &out], ""));
    assert_eq!(read(folder.0.join("site/models/manifest.json")), manifest);
    assert!(fs::read(folder.path("site/models/starter.gguf")).unwrap() == bytes);
    assert_eq!(fs::read_dir(&out).unwrap().count(), 2);
}

#[test]
fn what_the_page_could_not_load_is_not_packed() {
    let folder = Scratch::new("pack-bad");
    let out = folder.path("out");
    let pack = |path: &str| cliplet(&["pack", path, "-o", &out], "");
    let no_tokenizer = fixture("gguf-clipcpp/q8_0.gguf");
    assert_refused(&pack(no_tokenizer.to_str().unwrap()), "no tokenizer");
    let starter = fs::read(root("static/models/starter.gguf")).unwrap();
    let bad = folder.path("bad.gguf");
    let cases: [(&[u8], &str); 4] = [
        (&starter[..starter.len() - 1], "incomplete or damaged"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"GGUF\x03\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", "18446744073709551615 tensors"),
        (b"", "an empty file"),
    ];
    for (bytes, what) in cases {
        fs::write(&bad, bytes).unwrap();
        let refused = pack(&bad);
        assert_refused(&refused, what);
        assert_refused(&refused, &bad);
    }
    for name in ["a model.gguf", "ü.gguf", ".hidden.gguf", "manifest.json"] {
        let path = folder.path(name);
        fs::write(&path, &starter).unwrap();
        assert_refused(&pack(&path), "web address");
    }
    assert_refused(&pack(&folder.path("none.gguf")), "none.gguf");
    assert!(!Path::new(&out).exists(), "nothing was written");
    // A folder cannot be made where a file stands.
    fs::write(&out, "").unwrap();
    assert_refused(&pack(root("static/models/starter.gguf").to_str().unwrap()), &out);
}

/// The page's sample pictures, a folder a label.
fn labelled(name: &str, pictures: &[(&str, &str)]) -> Scratch {
    let folder = Scratch::new(name);
    for (label, file) in pictures {
        fs::create_dir_all(folder.0.join(label)).unwrap();
        let name = file.rsplit('/').next().unwrap();
        fs::copy(root(file), folder.0.join(label).join(name)).unwrap();
    }
    folder
}

const SAMPLES: [(&str, &str); 4] = [
    ("cat", "static/samples/cat.jpg"),
    ("cup_of_coffee", "static/samples/coffee.jpg"),
    ("rocket", "static/samples/rocket.jpg"),
    ("guitar", "static/samples/guitar.png"),
];

fn eval(folder: &Scratch, more: &[&str]) -> std::process::Output {
    let args = [&["eval", folder.0.to_str().unwrap(), "--backend", "cpu"], more].concat();
    cliplet(&args, "")
}

fn json(output: &std::process::Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
    })
}

#[test]
fn accuracy_counts_each_picture_once() {
    let folder = labelled("eval", &SAMPLES);
    // A wrong label, a file that is no picture, one that is cut, one that is hidden, a label without pictures.
    fs::copy(root("static/samples/rocket.jpg"), folder.0.join("guitar/rocket.jpg")).unwrap();
    fs::write(folder.0.join("cat/notes.txt"), "no picture").unwrap();
    let cat = fs::read(root("static/samples/cat.jpg")).unwrap();
    fs::write(folder.0.join("cat/cut.jpg"), &cat[..20]).unwrap();
    fs::write(folder.0.join("cat/.hidden"), "").unwrap();
    for label in ["volcano", "violin", ".git"] {
        fs::create_dir(folder.0.join(label)).unwrap();
    }
    fs::write(folder.0.join("readme.md"), "beside the labels").unwrap();
    let output = eval(&folder, &["--json"]);
    assert_eq!(output.status.code(), Some(1), "two files could not be read");
    let report = json(&output);
    assert_eq!(report["n_pictures"], 5);
    assert_eq!((report["top1"].as_f64(), report["top5"].as_f64()), (Some(0.8), Some(1.0)), "{report}");
    let labels: Vec<_> = report["labels"].as_array().unwrap().iter().map(|line| &line["label"]).collect();
    assert_eq!(labels, ["cat", "cup of coffee", "guitar", "rocket", "violin", "volcano"]);
    let guitar = &report["labels"][2];
    assert_eq!((&guitar["n_pictures"], &guitar["n_top1"]), (&2.into(), &1.into()));
    let confusion = serde_json::json!([{"label": "guitar", "taken_for": "rocket", "n_pictures": 1}]);
    assert_eq!(report["confusions"], confusion);
    let unreadable: Vec<_> = report["unreadable"].as_array().unwrap().iter().collect();
    assert_eq!(unreadable.len(), 2);
    assert!(unreadable[0]["file"].as_str().unwrap().ends_with("cat/cut.jpg"));
    assert!(unreadable[1]["error"].as_str().unwrap().contains("notes.txt"));

    // As text, with templates of its own; all is well without the two.
    assert!(String::from_utf8_lossy(&eval(&folder, &[]).stdout).contains("could not be read: 2"));
    for name in ["notes.txt", "cut.jpg"] {
        fs::remove_file(folder.0.join("cat").join(name)).unwrap();
    }
    let text = eval(&folder, &["--template", "a photo of a {label}", "--template", "a drawing of a {label}"]);
    let text = stdout(&text);
    assert!(!text.contains("could not be read") && text.contains("a drawing of a {label}"), "{text}");
    assert!(text.contains("all ") && text.contains("guitar → rocket"), "{text}");
}

/// What a Mac and Windows leave in every folder is nobody's picture, and pictures in folders of their own are found.
#[test]
fn a_folder_from_any_system_is_evaluated_as_its_owner_sees_it() {
    let folder = labelled("eval-systems", &SAMPLES);
    fs::create_dir_all(folder.0.join("cat/2024/June")).unwrap();
    fs::copy(root("static/samples/cat.jpg"), folder.0.join("cat/2024/June/another.jpg")).unwrap();
    let own = [".DS_Store", "Thumbs.db", "ehthumbs.db", "Desktop.ini", "._cat.jpg", "Icon\r"];
    for dir in ["", "cat", "rocket", "cat/2024", "cat/2024/June"] {
        for name in own {
            fs::write(folder.0.join(dir).join(name), "of the system").unwrap();
        }
    }
    for dir in ["__MACOSX", "cat/__MACOSX", "$RECYCLE.BIN", ".Trashes"] {
        fs::create_dir_all(folder.0.join(dir)).unwrap();
        fs::write(folder.0.join(dir).join("cat.jpg"), "of the system").unwrap();
    }
    let output = eval(&folder, &["--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report = json(&output);
    assert_eq!(
        (&report["n_pictures"], report["labels"].as_array().unwrap().len()),
        (&5.into(), 4),
        "{report}"
    );
    assert_eq!((&report["labels"][0]["n_pictures"], &report["top1"]), (&2.into(), &1.0.into()));
    // A link back to where it came from ends nowhere.
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(folder.0.join("cat"), folder.0.join("cat/2024/again")).unwrap();
        assert_eq!(json(&eval(&folder, &["--json"]))["n_pictures"], 5);
    }
}

#[test]
fn one_rule_names_what_is_a_systems_own() {
    for own in ["__MACOSX/a/cat.jpg", "a\\Thumbs.db", "A/THUMBS.DB", "._model.safetensors", "a/.git/config"] {
        assert!(cliplet::files::is_systems_own(own), "{own}");
    }
    for persons in
        ["cat.jpg", "a.b/cat", "./cat.jpg", "../cat.jpg", "thumbs.db.jpg", "my desktop.ini.png", ""]
    {
        assert!(!cliplet::files::is_systems_own(persons), "{persons}");
    }
    // A copy by a Mac holds two files for each: a model is found all the same.
    use cliplet::convert::layout::{Layout, LayoutError};
    let layout = Layout::choose(&["._mine.gguf", ".DS_Store", "mine.gguf"], &[]).unwrap();
    assert_eq!(layout.weights, ["mine.gguf"]);
    let refused = Layout::choose(&["._mine.gguf", ".DS_Store"], &[]).unwrap_err();
    assert_eq!(refused, LayoutError::NoWeights(Vec::new()));
}

#[test]
fn nothing_to_measure_is_a_failure() {
    // No picture could be read: the table is printed, the status is 1.
    let folder = Scratch::new("eval-unreadable");
    for label in ["cat", "dog"] {
        fs::create_dir(folder.0.join(label)).unwrap();
    }
    fs::write(folder.0.join("cat/a.jpg"), "<html>").unwrap();
    fs::write(folder.0.join("dog/b.png"), b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xff\xff\xff\xff\xff\xff\xff\xff")
        .unwrap();
    let output = eval(&folder, &["--json"]);
    assert_eq!(output.status.code(), Some(1));
    let report = json(&output);
    assert_eq!((&report["n_pictures"], report["unreadable"].as_array().unwrap().len()), (&0.into(), 2));
    assert_eq!(report["top1"], 0.0);
    let text = eval(&folder, &[]);
    assert_eq!(text.status.code(), Some(1));
    assert!(!String::from_utf8_lossy(&text.stdout).contains("NaN"));
    // Folders that are none.
    fs::remove_dir_all(folder.0.join("dog")).unwrap();
    assert_refused(&eval(&folder, &[]), "1 folders, at least 2");
    for label in ["hot_dog", "hot dog"] {
        fs::create_dir(folder.0.join(label)).unwrap();
    }
    assert_refused(&eval(&folder, &[]), "\"hot dog\"");
    assert_refused(&cliplet(&["eval", "/nowhere"], ""), "/nowhere");
    let twice = labelled("eval-template", &SAMPLES[..2]);
    assert_refused(&eval(&twice, &["--template", "no place"]), "no place");
}
