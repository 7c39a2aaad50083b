//! `cliplet check` on a model that answers well (the starter), one that does not (random weights), and a damaged one.

use crate::cli::{Scratch, assert_refused, stdout};
use crate::hub::{ID, command, put_small};
use crate::test_hub::Hub;
use cliplet::convert::catalogue::{Accuracy, Catalogue, Entry, License, Memory, WeightFile};
use cliplet::weights::sha256_hex;
use serde_json::Value;
use std::fs;
use std::path::Path;

const STARTER: &str = "owner/starter";

/// The starter model on a hub; its commit.
fn put_starter(hub: &Hub) -> String {
    hub.put(STARTER, "main", vec![("model.gguf", starter())])
}

fn starter() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("static/models/starter.gguf");
    fs::read(path).unwrap()
}

fn entry(hub: &Hub, (id, commit): (&str, &str), file: &str, figures: (u64, usize, usize)) -> Entry {
    let bytes = hub.file(id, commit, file);
    let source = "https://127.0.0.1".to_owned();
    Entry {
        name: "a model".to_owned(),
        id: id.to_owned(),
        revision: commit.to_owned(),
        weights: vec![WeightFile {
            file: file.to_owned(),
            bytes: bytes.len() as u64,
            sha256: Some(sha256_hex(&bytes)),
        }],
        n_parameters: figures.0,
        memory: Memory { q8_0: 2, q4_0: 1 },
        imagenet: Accuracy { top1: 1.0, source: source.clone() },
        license: License { name: "MIT".to_owned(), source },
        languages: vec!["en".to_owned()],
        about: "For this test.".to_owned(),
        image_size: figures.1,
        embedding_width: figures.2,
    }
}

fn starter_entry(hub: &Hub) -> Entry {
    entry(hub, (STARTER, &put_starter(hub)), "model.gguf", (30_311_384, 224, 1384))
}

/// Runs it on a catalogue of these; whether it passed, and what it found.
pub fn check(hub: &Hub, home: &Scratch, entries: &[Entry], args: &[&str]) -> (bool, Value) {
    let catalogue = home.path("catalogue.json");
    let list = Catalogue { models: entries.to_vec() };
    fs::write(&catalogue, serde_json::to_vec(&list).unwrap()).unwrap();
    let all = [&["check", "--catalogue", &catalogue, "--backend", "cpu", "--json"], args].concat();
    let output = command(&hub.url(""), &home.0, &all).output().unwrap();
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.success(), report)
}

/// The names of a model's checks that failed.
fn failed(line: &Value) -> Vec<&str> {
    let checks = line["checks"].as_array().unwrap();
    let failed = checks.iter().filter(|check| check["passed"] == false);
    failed.map(|check| check["what"].as_str().unwrap()).collect()
}

#[test]
fn a_good_model_passes_and_is_held_to_what_was_recorded() {
    let home = Scratch::new("check-good");
    let hub = Hub::start();
    let entry = starter_entry(&hub);
    let expected = home.path("expected.json");
    let (passed, report) = check(
        &hub,
        &home,
        std::slice::from_ref(&entry),
        &["owner/starter", "--expected", &expected, "--record"],
    );
    assert!(passed, "{report:#}");
    let checks = report["models"][0]["checks"].as_array().unwrap();
    let found =
        |what: &str| checks.iter().find(|check| check["what"] == what).unwrap()["found"].as_str().unwrap();
    assert!(
        found("cat.jpg").starts_with("cat, ") && found("rocket.jpg").starts_with("rocket, "),
        "{report:#}"
    );
    assert_eq!(found("files"), "23.9 MB, SHA-256 as stated");

    let args = ["--all", "--expected", &expected];
    let (passed, report) = check(&hub, &home, std::slice::from_ref(&entry), &args);
    assert!(passed && report.to_string().contains("recorded labels"), "{report:#}");

    // One number of one embedding turned around.
    let mut recorded: Value = serde_json::from_slice(&fs::read(&expected).unwrap()).unwrap();
    let row = &mut recorded[&entry.source()]["pictures"]["coffee.jpg"];
    let row = row.as_array_mut().unwrap();
    let largest = (0..row.len()).max_by(|a, b| {
        let size = |i: &usize| row[*i].as_f64().unwrap().abs();
        size(a).total_cmp(&size(b))
    });
    let largest = &mut row[largest.unwrap()];
    *largest = (-largest.as_f64().unwrap()).into();
    fs::write(&expected, recorded.to_string()).unwrap();
    let (passed, report) = check(&hub, &home, std::slice::from_ref(&entry), &args);
    assert!(!passed);
    assert_eq!(failed(&report["models"][0]), ["recorded pictures"]);
}

#[test]
fn what_is_not_as_stated_fails_and_the_others_are_checked_all_the_same() {
    let home = Scratch::new("check-bad");
    let hub = Hub::start();
    let tiny = put_small(&hub);
    // Random weights: all but the temperature and the answers is right.
    let random = entry(&hub, (ID, &tiny), "model.safetensors", (281_905, 32, 32));
    let mut wrong = starter_entry(&hub);
    (wrong.n_parameters, wrong.image_size, wrong.embedding_width) = (28_111_855, 225, 385);
    let (passed, report) = check(&hub, &home, &[random.clone(), wrong], &["--all"]);
    assert!(!passed);
    let [random_line, wrong_line] = &report["models"].as_array().unwrap()[..] else { panic!("{report:#}") };
    let wrong_answers = failed(random_line);
    let is_answer = |what: &&str| *what == "temperature" || what.ends_with(".jpg");
    assert!(wrong_answers.len() > 1 && wrong_answers.iter().all(is_answer), "{report:#}");
    assert_eq!(failed(wrong_line), ["values", "pixels a side", "embedding width"], "{report:#}");

    // The hub states another hash than the catalogue, and the file on this disk has another.
    let mut other = starter_entry(&hub);
    other.weights[0].sha256 = Some("0".repeat(64));
    let expected = home.path("expected.json");
    let args = ["--all", "--expected", &expected, "--record"];
    let (passed, report) = check(&hub, &home, &[other.clone()], &args);
    assert!(!passed);
    assert_eq!(failed(&report["models"][0]), ["finished"]);
    assert!(report.to_string().contains("SHA-256"), "{report:#}");
    assert_eq!(
        fs::read_to_string(&expected).unwrap().trim(),
        "{}",
        "of a model with a fault nothing is recorded"
    );

    let catalogue = home.path("catalogue.json");
    let run = |args: &[&str]| command(&hub.url(""), &home.0, args).output().unwrap();
    assert_refused(&run(&["check", "no/such", "--catalogue", &catalogue]), "there are: owner/starter");
    assert_eq!(run(&["check"]).status.code(), Some(2), "nothing named");
    assert_eq!(run(&["check", "--all", "owner/starter"]).status.code(), Some(2), "both");
    fs::write(&expected, "<html>").unwrap();
    assert_refused(
        &run(&["check", "--all", "--catalogue", &catalogue, "--expected", &expected]),
        "--record writes",
    );
    fs::write(&catalogue, "{}").unwrap();
    assert_refused(&run(&["check", "--all", "--catalogue", &catalogue]), "the catalogue cannot be read");
}

/// The commands that take a whole model take it by id.
#[test]
fn a_model_by_id_ranks_is_evaluated_and_is_packed() {
    let home = Scratch::new("check-by-id");
    let hub = Hub::start();
    put_starter(&hub);
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("static/samples");
    for (label, file) in [("cat", "cat.jpg"), ("rocket", "rocket.jpg")] {
        fs::create_dir_all(home.0.join("pictures").join(label)).unwrap();
        fs::copy(samples.join(file), home.0.join("pictures").join(label).join(file)).unwrap();
    }
    let run = |args: &[&str]| command(&hub.url(""), &home.0, args).output().unwrap();
    let model = ["--model", "owner/starter", "--backend", "cpu", "--json"];
    let cat = samples.join("cat.jpg");
    let ranked = run(&[&["rank", cat.to_str().unwrap(), "cat", "dog"], &model[..]].concat());
    let ranked: Value = serde_json::from_str(stdout(&ranked)).unwrap();
    assert_eq!(ranked["labels"][0]["label"], "cat");
    let evaluated: Value =
        serde_json::from_str(stdout(&run(&[&["eval", &home.path("pictures")], &model[..]].concat())))
            .unwrap();
    assert_eq!((evaluated["n_pictures"].as_u64(), evaluated["top1"].as_f64()), (Some(2), Some(1.0)));
    stdout(&run(&["pack", "owner/starter", "-o", &home.path("packed")]));
    assert!(fs::read(home.0.join("packed/model.gguf")).unwrap() == starter());
}
