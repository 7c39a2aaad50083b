//! Models by hub id and by address, from a host on this machine that can misbehave.

use crate::cli::{Scratch, assert_refused, fixture, stdout};
use crate::convert::{TOKENIZER, clip_folder};
use crate::host::{Answer, COMMIT, Host, Model, Request, file};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

const ID: &str = "owner/clip-tiny";

/// The fixture as a model of the hub.
pub fn model() -> Model {
    let read = |name: &str| fs::read(fixture("models/clip-vit-quickgelu").join(name)).unwrap();
    let files = [
        ("README.md", b"a model".to_vec()),
        ("config.json", read("config.json")),
        ("golden.safetensors", read("golden.safetensors")),
        ("model.safetensors", read("model.safetensors")),
        ("pytorch_model.bin", b"a pickle".to_vec()),
        ("tokenizer.json", TOKENIZER.into()),
    ];
    Model { id: ID, files: files.map(|(name, bytes)| (name.to_owned(), bytes)).into() }
}

/// A command whose hub is `endpoint` and whose files are kept in `home`.
pub fn command(endpoint: &str, home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cliplet"));
    command.args(args).env("HF_ENDPOINT", endpoint).env("HF_HOME", home).env("HF_HUB_DOWNLOAD_TIMEOUT", "20");
    for variable in
        ["HF_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]
    {
        command.env_remove(variable);
    }
    command
}

fn run(host: &Host, home: &Scratch, args: &[&str]) -> Output {
    command(&host.url(""), &home.0, args).output().unwrap()
}

fn paths(requests: &[Request]) -> Vec<&str> {
    requests.iter().map(|request| request.path.as_str()).collect()
}

fn repo(home: &Scratch) -> PathBuf {
    home.0.join("hub/models--owner--clip-tiny")
}

/// Names in a folder and below, of files alone.
fn files_below(dir: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => names.extend(files_below(&path)),
            false => names.push(path.file_name().unwrap().to_str().unwrap().to_owned()),
        }
    }
    names.sort();
    names
}

#[test]
fn an_id_is_fetched_once_and_gives_what_its_folder_gives() {
    let (home, folder) = (Scratch::new("hub-once"), clip_folder("hub-once-folder"));
    let host = Host::start(|request| model().answer(request));
    let (by_id, by_path) = (home.path("id.gguf"), home.path("path.gguf"));
    stdout(&run(&host, &home, &["convert", ID, "--quant", "f32", "-o", &by_id]));
    let asked = host.take_requests();
    assert_eq!(asked.iter().filter(|request| request.path == "/storage/model.safetensors").count(), 1);
    assert!(
        !paths(&asked).iter().any(|path| path.contains("README") || path.contains("pytorch")),
        "{asked:?}"
    );

    // The same tensors and settings; the name alone is the id instead of the folder's.
    stdout(&run(&host, &home, &["convert", folder.0.to_str().unwrap(), "--quant", "f32", "-o", &by_path]));
    assert_eq!(host.take_requests().len(), 0, "a path asks nobody");
    let load = |path: &str| cliplet::models::load_gguf(&fs::read(path).unwrap()).unwrap();
    let (mut ours, theirs) = (load(&by_id), load(&by_path));
    assert_eq!(std::mem::replace(&mut ours.config.about.name, theirs.config.about.name.clone()), ID);
    assert!(ours == theirs);

    // Hugging Face's own layout, which its programs find.
    let snapshot = repo(&home).join("snapshots").join(COMMIT);
    assert_eq!(fs::read_to_string(repo(&home).join("refs/main")).unwrap(), COMMIT);
    let link = fs::read_link(snapshot.join("model.safetensors")).unwrap();
    let sha256 = cliplet::weights::sha256_hex(&model().files["model.safetensors"]);
    assert_eq!(link, Path::new("../../blobs").join(sha256));

    // Once more: asked whether the branch moved, and nothing else; a commit, or no network: nothing at all.
    stdout(&run(&host, &home, &["verify", ID, "--backend", "cpu"]));
    assert_eq!(paths(&host.take_requests()), ["/api/models/owner/clip-tiny/revision/main?blobs=true"]);
    stdout(&run(&host, &home, &["inspect", &format!("{ID}@{COMMIT}")]));
    let offline =
        command(&host.url(""), &home.0, &["inspect", ID]).env("HF_HUB_OFFLINE", "1").output().unwrap();
    stdout(&offline);
    assert_eq!(host.take_requests().len(), 0);
    let address = host.url("");
    drop(host);
    let unreachable = command(&address, &home.0, &["inspect", ID]).output().unwrap();
    stdout(&unreachable);
    assert!(String::from_utf8_lossy(&unreachable.stderr).contains("cannot be reached"));
}

#[test]
fn a_path_that_exists_wins_over_an_id() {
    let (home, folder) = (Scratch::new("hub-path"), clip_folder("hub-path-folder"));
    let host = Host::start(|request| model().answer(request));
    fs::create_dir(folder.0.join("owner")).unwrap();
    fs::create_dir(folder.0.join(ID)).unwrap();
    for file in ["config.json", "model.safetensors"] {
        fs::rename(folder.0.join(file), folder.0.join(ID).join(file)).unwrap();
    }
    stdout(&command(&host.url(""), &home.0, &["inspect", ID]).current_dir(&folder.0).output().unwrap());
    assert_eq!(host.take_requests().len(), 0);
}

#[test]
fn broken_connections_go_on_where_they_stopped() {
    let home = Scratch::new("hub-broken");
    let weights = model().files["model.safetensors"].clone();
    let (n_all, n_cuts) = (weights.len(), Arc::new(AtomicUsize::new(0)));
    let host = Host::start(move |request| {
        let mut answer = model().answer(request);
        // Each answer brings a third of what is missing, five times.
        if request.path == "/storage/model.safetensors" && n_cuts.fetch_add(1, Ordering::SeqCst) < 5 {
            answer.cut_at = Some(answer.body.len() / 3);
        }
        answer
    });
    let report = run(&host, &home, &["inspect", ID, "--json"]);
    let report: Value = serde_json::from_str(stdout(&report)).unwrap();
    assert_eq!(report["files"][0]["sha256"], cliplet::weights::sha256_hex(&weights));
    let starts: Vec<usize> = (host.take_requests().iter())
        .filter(|request| request.path == "/storage/model.safetensors")
        .map(|request| request.header("range").map_or(0, |range| range[6..range.len() - 1].parse().unwrap()))
        .collect();
    let mut expected = vec![0];
    for i in 0..5 {
        expected.push(expected[i] + (n_all - expected[i]) / 3);
    }
    assert_eq!(starts, expected);
    assert!(!files_below(&repo(&home)).iter().any(|name| name.ends_with(".part")), "nothing half-made stays");
}

#[test]
fn a_killed_download_goes_on_and_only_one_process_writes_it() {
    let home = Scratch::new("hub-killed");
    let stalls = Arc::new(Mutex::new(true));
    let host = Host::start({
        let stalls = stalls.clone();
        move |request| {
            let mut answer = model().answer(request);
            if request.path == "/storage/model.safetensors" && *stalls.lock().unwrap() {
                (answer.cut_at, answer.stalls) = (Some(600_000), true);
            }
            answer
        }
    });
    let part = || {
        let names = fs::read_dir(repo(&home).join("blobs")).into_iter().flatten();
        let mut parts =
            names.map(|entry| entry.unwrap().path()).filter(|path| path.to_string_lossy().ends_with(".part"));
        parts.next().map_or(0, |path| fs::metadata(path).map_or(0, |file| file.len()))
    };
    let mut child = command(&host.url(""), &home.0, &["inspect", ID])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while part() < 600_000 {
        assert!(child.try_wait().unwrap().is_none(), "it waits for bytes");
        std::thread::yield_now();
    }
    // A second one waits for the first, which dies, and goes on with what that left.
    host.take_requests();
    let mut second = command(&host.url(""), &home.0, &["inspect", ID])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = std::io::BufReader::new(second.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("another cliplet fetches it") {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut said, &mut line).unwrap() > 0, "it says that it waits");
    }
    *stalls.lock().unwrap() = false;
    child.kill().unwrap();
    child.wait().unwrap();
    let second = second.wait_with_output().unwrap();
    stdout(&second);
    let asked = host.take_requests();
    let weights: Vec<_> =
        asked.iter().filter(|request| request.path == "/storage/model.safetensors").collect();
    assert_eq!(weights.len(), 1, "{asked:?}");
    assert_eq!(weights[0].header("range"), Some("bytes=600000-"));
}

#[test]
fn every_refusal_is_told_apart_and_leaves_nothing() {
    type Trouble = fn(&Request) -> Option<Answer>;
    let cases: [(&str, Trouble, &str); 9] = [
        ("401", |_| Some(Answer::new(401, "")), "HF_TOKEN"),
        ("403", |_| Some(Answer::html(403)), "accept the model's terms"),
        ("404", |_| Some(Answer::new(404, "")), "look at the name and the revision"),
        ("503", |_| Some(Answer::new(503, "")), "try again later"),
        ("418", |_| Some(Answer::new(418, "")), "status 418"),
        ("html", |_| Some(Answer::html(200)), "a web page instead of the file"),
        ("no json", |_| Some(Answer::new(200, "{]")), "cannot be understood"),
        (
            "weights as html",
            |request| (request.path == "/storage/model.safetensors").then(|| Answer::html(200)),
            "a web page instead of the file",
        ),
        (
            "gone",
            |request| (request.path == "/storage/model.safetensors").then(|| Answer::new(404, "")),
            "/model.safetensors is not there (404",
        ),
    ];
    for (name, trouble, message) in cases {
        let home = Scratch::new("hub-refused");
        let host = Host::start(move |request| trouble(request).unwrap_or_else(|| model().answer(request)));
        let output = home.path("out.gguf");
        assert_refused(&run(&host, &home, &["convert", ID, "--quant", "q8_0", "-o", &output]), message);
        let left = files_below(&home.0);
        assert!(
            !left.iter().any(|file| file.ends_with(".part") || file.ends_with(".gguf")),
            "{name}: {left:?}"
        );
        assert!(!repo(&home).join("refs/main").exists(), "{name}");
    }
    let (home, nobody) = (Scratch::new("hub-offline"), Host::start(|_| Answer::new(500, "")).url(""));
    let output = command(&nobody, &home.0, &["inspect", ID]).output().unwrap();
    assert_refused(&output, "cannot be reached");
    assert_refused(
        &command("ftp://host", &home.0, &["inspect", ID]).output().unwrap(),
        "HF_ENDPOINT is \"ftp://host\"",
    );
    let host = Host::start(|request| model().answer(request));
    let output =
        command(&host.url(""), &home.0, &["inspect", ID]).env("HF_HUB_OFFLINE", "1").output().unwrap();
    assert_refused(&output, "HF_HUB_OFFLINE is set");
    assert_refused(&run(&host, &home, &["inspect", &format!("{ID}@v2")]), "RevisionNotFound");
    let pickles = Host::start(|request| {
        let mut model = model();
        model.files.retain(|name, _| !name.ends_with(".safetensors"));
        model.answer(request)
    });
    assert_refused(
        &run(&pickles, &home, &["inspect", ID]),
        "(pytorch_model.bin); conversions to safetensors",
    );
}

#[test]
fn a_host_that_goes_silent_or_breaks_off_each_time_is_given_up_on() {
    for stalls in [true, false] {
        let home = Scratch::new("hub-silent");
        let host = Host::start(move |request| {
            let mut answer = model().answer(request);
            if request.path == "/storage/model.safetensors" && answer.status == 206 {
                (answer.cut_at, answer.stalls) = (Some(0), stalls);
            } else if request.path == "/storage/model.safetensors" {
                (answer.cut_at, answer.stalls) = (Some(1000), stalls);
            }
            answer
        });
        let output = command(&host.url(""), &home.0, &["inspect", ID])
            .env("HF_HUB_DOWNLOAD_TIMEOUT", "1")
            .output()
            .unwrap();
        assert_refused(&output, "run the command again to go on");
        let blobs = repo(&home).join("blobs");
        let left = files_below(&blobs);
        let part = left.iter().find(|name| name.ends_with(".part")).expect("what arrived is kept");
        assert_eq!(fs::metadata(blobs.join(part)).unwrap().len(), 1000);
    }
}

#[test]
fn a_changed_byte_is_found_on_the_way_in_and_on_the_disk() {
    let home = Scratch::new("hub-changed");
    let is_bad = Arc::new(Mutex::new(true));
    let host = Host::start({
        let is_bad = is_bad.clone();
        move |request| {
            let mut answer = model().answer(request);
            if request.path == "/storage/model.safetensors" && *is_bad.lock().unwrap() {
                let middle = answer.body.len() / 2;
                answer.body[middle] ^= 1;
            }
            answer
        }
    });
    assert_refused(&run(&host, &home, &["inspect", ID]), "is damaged or not the file that was meant");
    let sha256 = cliplet::weights::sha256_hex(&model().files["model.safetensors"]);
    let blob = repo(&home).join("blobs").join(&sha256);
    assert!(!blob.exists() && !files_below(&repo(&home)).iter().any(|name| name.ends_with(".part")));
    *is_bad.lock().unwrap() = false;
    stdout(&run(&host, &home, &["inspect", ID]));

    let mut bytes = fs::read(&blob).unwrap();
    bytes[1000] ^= 1;
    fs::write(&blob, bytes).unwrap();
    let healed = run(&host, &home, &["inspect", ID]);
    stdout(&healed);
    assert!(String::from_utf8_lossy(&healed.stderr).contains("damaged on this disk"));
    assert_eq!(cliplet::weights::sha256_hex(&fs::read(&blob).unwrap()), sha256);

    // Another length is refused before a byte of it is read.
    let home = Scratch::new("hub-length");
    let host = Host::start(|request| match request.path.as_str() {
        "/storage/model.safetensors" => Answer::new(200, "short"),
        _ => model().answer(request),
    });
    assert_refused(&run(&host, &home, &["inspect", ID]), "has 5 bytes, 1139804 were stated");
}

#[test]
fn the_token_goes_to_the_hub_alone() {
    let home = Scratch::new("hub-token");
    let storage = Host::start(|request| model().answer(request));
    let elsewhere = storage.url("");
    let host = Host::start(move |request| {
        let mut answer = model().answer(request);
        for (name, value) in &mut answer.headers {
            if *name == "Location" {
                *value = format!("{elsewhere}{value}");
            }
        }
        answer
    });
    let run =
        command(&host.url(""), &home.0, &["inspect", ID]).env("HF_TOKEN", "hf_secret").output().unwrap();
    stdout(&run);
    assert!(
        host.take_requests()
            .iter()
            .all(|request| request.header("authorization") == Some("Bearer hf_secret"))
    );
    let asked = storage.take_requests();
    assert!(
        asked.len() == 2 && asked.iter().all(|request| request.header("authorization").is_none()),
        "{asked:?}"
    );
}

#[test]
fn an_address_is_a_file_or_a_folder_and_is_sent_again_only_if_it_changed() {
    let home = Scratch::new("hub-address");
    let files = Arc::new(Mutex::new(model().files));
    let host = Host::start({
        let files = files.clone();
        move |request| {
            let name = request.path.strip_prefix("/models/tiny/").unwrap_or_default();
            match files.lock().unwrap().get(name.split('?').next().unwrap()) {
                Some(body) => file(request, body),
                None => Answer::html(200), // as hosts of single pages do
            }
        }
    });
    // Below the hub's own address it would be an id.
    let run = |args: &[&str]| command("http://127.0.0.1:9", &home.0, args).output().unwrap();
    let report = |address: &str| -> Value {
        serde_json::from_str(stdout(&run(&["inspect", &host.url(address), "--json"]))).unwrap()
    };
    let sha256 = cliplet::weights::sha256_hex(&model().files["model.safetensors"]);
    assert_eq!(report("/models/tiny/")["files"][0]["sha256"], sha256);
    let first = host.take_requests();
    for address in
        ["/models/tiny", "/models/tiny/model.safetensors", "/models/tiny/model.safetensors?download=true"]
    {
        assert_eq!(report(address)["files"][0]["sha256"], sha256);
    }
    let again = host.take_requests();
    assert!(first.iter().all(|request| request.header("if-none-match").is_none()));
    let weights = again.iter().filter(|request| request.path.contains("/model.safetensors"));
    let tags: Vec<_> = weights
        .filter(|request| !request.path.contains("index"))
        .map(|r| r.header("if-none-match"))
        .collect();
    assert!(tags.len() == 3 && tags.iter().all(Option::is_some), "{again:?}");

    // A GGUF needs nothing beside it; another file at the same address is taken.
    let gguf = fs::read(fixture("gguf/blocks.gguf")).unwrap();
    files.lock().unwrap().insert("blocks.gguf".to_owned(), gguf.clone());
    assert_eq!(report("/models/tiny/blocks.gguf")["n_values"], 7 * 1024);
    let other = fs::read(fixture("models/siglip/model.safetensors")).unwrap();
    let expected = cliplet::weights::sha256_hex(&other);
    files.lock().unwrap().insert("model.safetensors".to_owned(), other);
    assert_eq!(report("/models/tiny")["files"][0]["sha256"], expected);

    assert_refused(&run(&["inspect", &host.url("/nothing/")]), "holds no model: looked for model.gguf");
    assert_refused(&run(&["inspect", &host.url("/nothing/a.gguf")]), "a web page instead of the file");
    let address = host.url("/models/tiny");
    drop(host);
    let output = run(&["inspect", &address, "--json"]);
    assert!(stdout(&output).contains(&expected), "as it was fetched before");
}

#[test]
fn shards_are_fetched_by_their_index() {
    let home = Scratch::new("hub-shards");
    let mut sharded = model();
    let weights = sharded.files.remove("model.safetensors").unwrap();
    let tensors = cliplet::weights::safetensors::read(&weights).unwrap().tensors;
    let index: serde_json::Map<String, Value> =
        tensors.keys().map(|name| (name.clone(), "model-00001-of-00001.safetensors".into())).collect();
    sharded.files.insert("model-00001-of-00001.safetensors".to_owned(), weights);
    let index = serde_json::json!({"metadata": {}, "weight_map": index}).to_string();
    sharded.files.insert("model.safetensors.index.json".to_owned(), index.into());
    let host = Host::start(move |request| sharded.answer(request));
    let verified = run(&host, &home, &["verify", ID, "--backend", "cpu"]);
    assert!(stdout(&verified).contains("all tensors agree"));
}

#[test]
fn one_file_of_several_is_named_by_its_page() {
    let home = Scratch::new("hub-one-of-several");
    let host = Host::start(|request| {
        let gguf = fs::read(fixture("gguf/blocks.gguf")).unwrap();
        let files = ["a.gguf", "more/b.gguf"].map(|name| (name.to_owned(), gguf.clone()));
        Model { id: ID, files: files.into() }.answer(request)
    });
    assert_refused(&run(&host, &home, &["inspect", ID]), "(a.gguf, more/b.gguf)");
    let page = host.url(&format!("/{ID}/blob/main/more/b.gguf"));
    stdout(&run(&host, &home, &["inspect", &page]));
    let asked = host.take_requests();
    assert!(
        !paths(&asked).contains(&"/storage/a.gguf") && paths(&asked).contains(&"/storage/more/b.gguf"),
        "{asked:?}"
    );
    let offline =
        command(&host.url(""), &home.0, &["inspect", &page]).env("HF_HUB_OFFLINE", "1").output().unwrap();
    stdout(&offline);
}
