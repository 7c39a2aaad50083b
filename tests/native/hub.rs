//! Models by hub id and by address, from a hub on this machine that can misbehave.

use crate::check::check;
use crate::cli::{Scratch, assert_refused, fixture, stdout};
use crate::convert::clip_folder;
use crate::test_hub::repositories::{self as repos, put_catalogue};
use crate::test_hub::{Access, Fault, Hub, Ranges, Request, names};
use cliplet::weights::sha256_hex;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The fixture as a model of the hub.
pub const ID: &str = "owner/clip-tiny";
const WEIGHTS: &str = "/model.safetensors";

/// Puts the fixture on a hub; its commit.
pub fn put_small(hub: &Hub) -> String {
    let golden = fs::read(fixture("models/clip-vit-quickgelu/golden.safetensors")).unwrap();
    hub.put(ID, "main", [repos::small(), vec![("golden.safetensors", golden.into())]].concat())
}

/// A hub with the fixture on it.
fn small_hub() -> Hub {
    let hub = Hub::start();
    put_small(&hub);
    hub
}

fn weights() -> Vec<u8> {
    repos::clip_weights().bytes()
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

fn run(hub: &Hub, home: &Scratch, args: &[&str]) -> Output {
    command(&hub.url(""), &home.0, args).output().unwrap()
}

/// The SHA-256 of the first file that `inspect` opened.
fn inspected(output: &Output) -> String {
    let report: Value = serde_json::from_str(stdout(output)).unwrap();
    report["files"][0]["sha256"].as_str().unwrap().to_owned()
}

fn paths(requests: &[Request]) -> Vec<&str> {
    requests.iter().map(|request| request.path.as_str()).collect()
}

/// Names of the files that were asked of the storage.
fn stored_files(requests: &[Request]) -> Vec<&str> {
    requests.iter().map(|request| request.file().splitn(6, '/').last().unwrap()).collect()
}

fn repo_of(home: &Scratch, id: &str) -> PathBuf {
    home.0.join("hub").join(format!("models--{}", id.replace('/', "--")))
}

fn repo(home: &Scratch) -> PathBuf {
    repo_of(home, ID)
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
    let hub = Hub::start();
    let commit = put_small(&hub);
    let (by_id, by_path) = (home.path("id.gguf"), home.path("path.gguf"));
    stdout(&run(&hub, &home, &["convert", ID, "--quant", "f32", "-o", &by_id]));
    let (asked, stored) = (hub.site.take_requests(), hub.storage.take_requests());
    assert_eq!(stored_files(&stored).iter().filter(|file| **file == "model.safetensors").count(), 1);
    let all = [paths(&asked), paths(&stored)].concat();
    assert!(!all.iter().any(|path| path.contains("README") || path.contains("pytorch")), "{all:?}");

    // The same tensors and settings; name and source alone are the id instead of the folder's name.
    stdout(&run(&hub, &home, &["convert", folder.0.to_str().unwrap(), "--quant", "f32", "-o", &by_path]));
    assert_eq!(hub.site.take_requests().len(), 0, "a path asks nobody");
    let load = |path: &str| cliplet::models::load_gguf(&fs::read(path).unwrap()).unwrap();
    let (mut ours, theirs) = (load(&by_id), load(&by_path));
    assert_eq!(std::mem::replace(&mut ours.config.about.name, theirs.config.about.name.clone()), ID);
    assert_eq!(std::mem::take(&mut ours.config.about.sources), [ID]);
    assert!(ours == theirs);

    // Hugging Face's own layout, which its programs find.
    let snapshot = repo(&home).join("snapshots").join(&commit);
    assert_eq!(fs::read_to_string(repo(&home).join("refs/main")).unwrap(), commit);
    let link = fs::read_link(snapshot.join("model.safetensors")).unwrap();
    assert_eq!(link, Path::new("../../blobs").join(sha256_hex(&weights())));

    // Once more: asked whether the branch moved, and for no file; a commit, or no network: nothing at all.
    stdout(&run(&hub, &home, &["verify", ID, "--backend", "cpu"]));
    let asked = hub.site.take_requests();
    assert!(!asked.is_empty());
    assert!(
        asked.iter().all(|request| request.path.starts_with("/api/models/owner/clip-tiny/")),
        "{asked:?}"
    );
    stdout(&run(&hub, &home, &["inspect", &format!("{ID}@{commit}")]));
    let offline =
        command(&hub.url(""), &home.0, &["inspect", ID]).env("HF_HUB_OFFLINE", "1").output().unwrap();
    stdout(&offline);
    assert_eq!((hub.site.take_requests().len(), hub.storage.take_requests().len()), (0, 0));
    let address = hub.url("");
    drop(hub);
    let unreachable = command(&address, &home.0, &["inspect", ID]).output().unwrap();
    stdout(&unreachable);
    assert!(String::from_utf8_lossy(&unreachable.stderr).contains("cannot be reached"));
}

#[test]
fn a_branch_that_moved_is_fetched_anew() {
    let (home, hub) = (Scratch::new("hub-moved"), small_hub());
    assert_eq!(inspected(&run(&hub, &home, &["inspect", ID, "--json"])), sha256_hex(&weights()));
    let later = repos::retouched(&weights());
    let mut files = repos::small();
    files
        .iter_mut()
        .filter(|(name, _)| *name == "model.safetensors")
        .for_each(|file| file.1 = later.clone().into());
    hub.put(ID, "main", files);
    assert_eq!(inspected(&run(&hub, &home, &["inspect", ID, "--json"])), sha256_hex(&later));
    // And a model that was renamed is followed.
    hub.rename(ID, "owner/renamed");
    let home = Scratch::new("hub-renamed");
    assert_eq!(inspected(&run(&hub, &home, &["inspect", ID, "--json"])), sha256_hex(&later));
}

#[test]
fn a_path_that_exists_wins_over_an_id() {
    let (home, folder) = (Scratch::new("hub-path"), clip_folder("hub-path-folder"));
    let hub = small_hub();
    fs::create_dir(folder.0.join("owner")).unwrap();
    fs::create_dir(folder.0.join(ID)).unwrap();
    for file in ["config.json", "model.safetensors"] {
        fs::rename(folder.0.join(file), folder.0.join(ID).join(file)).unwrap();
    }
    stdout(&command(&hub.url(""), &home.0, &["inspect", ID]).current_dir(&folder.0).output().unwrap());
    assert_eq!(hub.site.take_requests().len(), 0);
}

/// Everything that people paste leads to the file that it names.
#[test]
fn each_name_leads_to_its_revision() {
    let (home, hub) = (Scratch::new("hub-names"), Hub::start());
    names::put(&hub);
    let mut wrong = Vec::new();
    for (name, revision) in names::NAMES {
        let output = run(&hub, &home, &["inspect", &names::typed(name, &hub), "--json"]);
        if !output.status.success() || inspected(&output) != names::sha256(&hub, revision) {
            wrong.push(format!("{name:?}: {}", String::from_utf8_lossy(&output.stderr)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // The hub knows revisions by their escaped names alone.
    let unescaped = hub.site.take_requests().into_iter().filter(|request| request.path.contains("/refs/pr/"));
    assert_eq!(unescaped.count(), 0);
}

/// Exactly the pinned file of the pinned commit, whatever else lies there, under its id alone.
#[test]
fn a_catalogue_entry_is_its_pinned_file() {
    let hub = Hub::start();
    let catalogue = put_catalogue(&hub);
    for entry in &catalogue.models {
        let home = Scratch::new(&format!("hub-pinned-{}", entry.id.replace('/', "-")));
        let [pinned] = &entry.weights[..] else { panic!("{entry:?}") };
        let sha256 = pinned.sha256.clone().unwrap();
        let is_left = || {
            let blob = repo_of(&home, &entry.id).join("blobs").join(&sha256);
            let names = files_below(&repo_of(&home, &entry.id));
            blob.exists()
                || names.iter().any(|name| name.ends_with(".safetensors") || name.ends_with(".part"))
        };
        let check_it = || {
            hub.storage.take_requests();
            let (_, report) = check(&hub, &home, &catalogue.models, &[&entry.id]);
            let checks = report["models"][0]["checks"].as_array().unwrap().clone();
            let what = |what: &str| {
                let check = checks.iter().find(|check| check["what"] == what);
                check.map(|check| check["found"].as_str().unwrap().to_owned())
            };
            (what("files"), what("finished"))
        };
        // One byte changed, while the hub states the right hash.
        hub.storage.misbehave(&format!("/{}", pinned.file), Fault::Corrupted);
        let (found, stopped) = check_it();
        assert!(found.is_none() && stopped.is_some_and(|why| why.contains("SHA-256")), "{}", entry.id);
        assert!(!is_left(), "{}: what is not as pinned stays", entry.id);
        hub.storage.behave();
        // The control.
        let (found, stopped) = check_it();
        assert_eq!(stopped, None, "{}", entry.id);
        assert!(found.is_some_and(|found| found.contains("SHA-256 as stated")), "{}", entry.id);
        let stored = hub.storage.take_requests();
        assert_eq!(stored_files(&stored), [pinned.file.as_str()], "{}", entry.id);
        let resolved = hub.site.take_requests();
        let of_entry =
            resolved.iter().filter(|request| request.path.starts_with(&format!("/{}/resolve/", entry.id)));
        let at_pin = format!("/{}/resolve/{}/", entry.id, entry.revision);
        assert!(of_entry.clone().count() > 0, "{resolved:?}");
        assert!(of_entry.clone().all(|request| request.path.starts_with(&at_pin)), "{resolved:?}");
        // On the disk, too.
        let blob = repo_of(&home, &entry.id).join("blobs").join(&sha256);
        let mut bytes = fs::read(&blob).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&blob, bytes).unwrap();
        // Nobody is there to heal it.
        hub.site.misbehave("/", Fault::Status(503, ""));
        hub.storage.misbehave("/", Fault::Status(503, ""));
        let (found, stopped) = check_it();
        assert!(found.is_none() && stopped.is_some(), "{}: damaged on the disk, and used", entry.id);
        hub.site.behave();
        hub.storage.behave();
    }
}

/// The command itself has the real list: what the tests' hub has under those ids is not what is pinned.
#[test]
fn no_entry_of_the_real_catalogue_takes_another_file() {
    let hub = Hub::start();
    put_catalogue(&hub);
    for entry in &repos::shipped().models {
        let home = Scratch::new(&format!("hub-real-{}", entry.id.replace('/', "-")));
        let output = home.path("out.gguf");
        for given in [entry.id.clone(), entry.source()] {
            let refused = run(&hub, &home, &["convert", &given, "--quant", "q8_0", "-o", &output]);
            assert_refused(&refused, entry.weights[0].sha256.as_deref().unwrap());
            assert!(!Path::new(&output).exists());
        }
        let names = files_below(&repo_of(&home, &entry.id));
        assert!(!names.iter().any(|name| name.ends_with(".safetensors")), "{}: {names:?}", entry.id);
        let asked = hub.site.take_requests();
        let other = asked.iter().find(|request| request.path.contains("/main"));
        assert!(other.is_none(), "without a revision the pinned commit is meant: {other:?}");
    }
}

#[test]
fn broken_connections_go_on_where_they_stopped() {
    let (home, hub) = (Scratch::new("hub-broken"), small_hub());
    let n_all = weights().len();
    // Each answer brings a third of what is missing, five times, under another tag each time.
    hub.change_tags();
    hub.storage.misbehave_times(5, WEIGHTS, Fault::Cut(1.0 / 3.0));
    let report = run(&hub, &home, &["inspect", ID, "--json"]);
    assert_eq!(inspected(&report), sha256_hex(&weights()));
    let starts: Vec<u64> = (hub.storage.take_requests().iter())
        .filter(|request| request.file().ends_with(WEIGHTS))
        .map(|request| request.range_start().unwrap_or(0))
        .collect();
    let mut expected = vec![0];
    for i in 0..5 {
        let n_rest = n_all as u64 - expected[i];
        expected.push(expected[i] + (n_rest as f64 * (1.0 / 3.0)) as u64);
    }
    assert_eq!(starts, expected);
    assert!(!files_below(&repo(&home)).iter().any(|name| name.ends_with(".part")), "nothing half-made stays");
}

#[test]
fn where_no_part_is_to_be_had_the_whole_file_is_fetched_again() {
    for ranges in [Ranges::Ignored, Ranges::Refused] {
        let (home, hub) = (Scratch::new("hub-ranges"), small_hub());
        hub.serve_ranges(ranges);
        hub.storage.misbehave_times(1, WEIGHTS, Fault::Cut(0.5));
        let report = run(&hub, &home, &["inspect", ID, "--json"]);
        assert_eq!(inspected(&report), sha256_hex(&weights()), "{ranges:?}");
    }
}

#[test]
fn a_killed_download_goes_on_and_only_one_process_writes_it() {
    let (home, hub) = (Scratch::new("hub-killed"), small_hub());
    let n_sent = weights().len() as u64 / 2;
    hub.storage.misbehave(WEIGHTS, Fault::Stalled(0.5));
    let part = || {
        let names = fs::read_dir(repo(&home).join("blobs")).into_iter().flatten();
        let mut parts =
            names.map(|entry| entry.unwrap().path()).filter(|path| path.to_string_lossy().ends_with(".part"));
        parts.next().map_or(0, |path| fs::metadata(path).map_or(0, |file| file.len()))
    };
    let mut child = command(&hub.url(""), &home.0, &["inspect", ID])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while part() < n_sent {
        assert!(child.try_wait().unwrap().is_none(), "it waits for bytes");
        std::thread::yield_now();
    }
    // A second one waits for the first, which dies, and goes on with what that left.
    hub.storage.take_requests();
    let mut second = command(&hub.url(""), &home.0, &["inspect", ID])
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
    child.kill().unwrap();
    child.wait().unwrap();
    hub.storage.behave();
    let second = second.wait_with_output().unwrap();
    stdout(&second);
    let asked = hub.storage.take_requests();
    let weights: Vec<_> = asked.iter().filter(|request| request.file().ends_with(WEIGHTS)).collect();
    assert_eq!(weights.len(), 1, "{asked:?}");
    assert_eq!(weights[0].header("range"), Some(format!("bytes={n_sent}-").as_str()));
}

#[test]
fn every_refusal_is_told_apart_and_leaves_nothing() {
    type Trouble = fn(&Hub);
    let cases: [(&str, Trouble, &str); 8] = [
        ("busy", |hub| hub.site.misbehave("/", Fault::Status(503, "")), "try again later"),
        ("proxy", |hub| hub.site.misbehave("/", Fault::Html(403)), "accept the model's terms"),
        ("html", |hub| hub.site.misbehave("/", Fault::Html(200)), "holds no model: looked for"),
        ("private", |hub| hub.restrict(ID, Access::Private), "HF_TOKEN"),
        ("gated", |hub| hub.restrict(ID, Access::Gated), "accept the model's terms"),
        (
            "weights as html",
            |hub| hub.storage.misbehave(WEIGHTS, Fault::Html(200)),
            "a web page instead of the file",
        ),
        (
            "gone",
            |hub| hub.storage.misbehave(WEIGHTS, Fault::Status(404, "")),
            "/model.safetensors is not there (404",
        ),
        (
            "entry",
            |hub| hub.site.misbehave("/model.safetensors", Fault::Status(404, "EntryNotFound")),
            "EntryNotFound",
        ),
    ];
    for (name, trouble, message) in cases {
        let (home, hub) = (Scratch::new("hub-refused"), small_hub());
        trouble(&hub);
        let output = home.path("out.gguf");
        assert_refused(&run(&hub, &home, &["convert", ID, "--quant", "q8_0", "-o", &output]), message);
        let left = files_below(&home.0);
        assert!(
            !left.iter().any(|file| file.ends_with(".part") || file.ends_with(".gguf")),
            "{name}: {left:?}"
        );
        assert!(!repo(&home).join("refs/main").exists(), "{name}");
    }
    let (home, nobody) = (Scratch::new("hub-offline"), Hub::start().url(""));
    let output = command(&nobody, &home.0, &["inspect", ID]).output().unwrap();
    assert_refused(&output, "cannot be reached");
    assert_refused(
        &command("ftp://host", &home.0, &["inspect", ID]).output().unwrap(),
        "HF_ENDPOINT is \"ftp://host\"",
    );
    let hub = small_hub();
    let output =
        command(&hub.url(""), &home.0, &["inspect", ID]).env("HF_HUB_OFFLINE", "1").output().unwrap();
    assert_refused(&output, "HF_HUB_OFFLINE is set");
    assert_refused(&run(&hub, &home, &["inspect", &format!("{ID}@v2")]), "RevisionNotFound");
    assert_refused(&run(&hub, &home, &["inspect", "no-such/model"]), "misspelled");
}

/// A hub whose listing cannot be had is asked for each file by its name, and that nobody vouches for them is said.
#[test]
fn a_hub_that_lists_nothing_is_gone_on_without() {
    type Trouble = fn(&Hub);
    let cases: [(&str, Trouble); 5] = [
        ("busy", |hub| hub.site.misbehave("/api/models/", Fault::Status(503, ""))),
        ("odd", |hub| hub.site.misbehave("/api/models/", Fault::Status(418, ""))),
        ("html", |hub| hub.site.misbehave("/api/models/", Fault::Html(200))),
        ("no json", |hub| hub.site.misbehave("/api/models/", Fault::Other(b"{]".to_vec()))),
        ("no tree", |hub| hub.site.misbehave("/tree/", Fault::Status(500, ""))),
    ];
    for (name, trouble) in cases {
        let (home, hub) = (Scratch::new("hub-unlisted"), small_hub());
        trouble(&hub);
        let output = run(&hub, &home, &["inspect", ID, "--json"]);
        assert_eq!(inspected(&output), sha256_hex(&weights()), "{name}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("no hash of the files is known"), "{name}: {said}");
    }
    // A pinned hash is held to all the same, and the pinned file is taken.
    let hub = Hub::start();
    let catalogue = put_catalogue(&hub);
    hub.site.misbehave("/api/models/", Fault::Status(500, ""));
    for entry in &catalogue.models {
        let home = Scratch::new("hub-unlisted-pinned");
        let checks = || {
            let (_, report) = check(&hub, &home, &catalogue.models, &[&entry.id]);
            report["models"][0]["checks"].to_string()
        };
        hub.storage.misbehave("/repos/", Fault::Corrupted);
        let refused = checks();
        assert!(refused.contains("finished") && refused.contains("SHA-256"), "{}: {refused}", entry.id);
        hub.storage.behave();
        let taken = checks();
        assert!(taken.contains("SHA-256 as stated") && !taken.contains("finished"), "{}: {taken}", entry.id);
    }
}

/// The same to whoever signed in: the hub says it otherwise, and lets in whoever may.
#[test]
fn a_token_is_told_what_it_lacks() {
    let (home, hub) = (Scratch::new("hub-signed-in"), small_hub());
    hub.admit("hf_good");
    let with = |token: &str| {
        command(&hub.url(""), &home.0, &["inspect", ID, "--json"]).env("HF_TOKEN", token).output().unwrap()
    };
    hub.restrict(ID, Access::Private);
    assert_refused(&with("hf_other"), "RepoNotFound");
    hub.restrict(ID, Access::Gated);
    assert_refused(&with("hf_other"), "accept the model's terms");
    assert_eq!(inspected(&with("hf_good")), sha256_hex(&weights()));
}

/// A hub that is asked too often says for how long to wait.
#[test]
fn too_many_requests_are_waited_out() {
    for part in ["/api/models/", "/resolve/"] {
        let (home, hub) = (Scratch::new("hub-too-many"), small_hub());
        hub.site.misbehave(part, Fault::TooMany { seconds: 2 });
        let start = Instant::now();
        assert_eq!(
            inspected(&run(&hub, &home, &["inspect", ID, "--json"])),
            sha256_hex(&weights()),
            "{part}"
        );
        assert!(start.elapsed() >= Duration::from_secs(2), "{part}: {:?}", start.elapsed());
        let n_refused =
            hub.site.take_requests().iter().filter(|request| request.file().contains(part)).count();
        assert!(n_refused < 20, "{part}: it waits instead of asking {n_refused} times");
    }
}

#[test]
fn a_listing_of_thousands_of_files_is_read_to_its_end() {
    let (home, hub) = (Scratch::new("hub-thousands"), Hub::start());
    let names: Vec<String> = (0..3000).map(|i| format!("checkpoints/{i:04}/state.json")).collect();
    let others = names.iter().map(|name| (name.as_str(), "{}".into()));
    hub.page_listings(1000);
    hub.put(ID, "main", others.chain(repos::small()).collect());
    assert_eq!(inspected(&run(&hub, &home, &["inspect", ID, "--json"])), sha256_hex(&weights()));
}

/// What a model without readable weights holds, and where readable ones may be.
#[test]
fn a_model_without_readable_weights_is_told_as_that() {
    let (home, hub) = (Scratch::new("hub-unreadable"), Hub::start());
    hub.put("owner/pickles", "main", repos::pickles_only());
    hub.put("owner/pickles", "refs/pr/3", repos::small());
    hub.put("owner/onnx", "main", repos::onnx_only());
    for (id, holds, helps) in [
        ("owner/pickles", "pytorch_model.bin", "refs/pr/"),
        ("owner/onnx", "onnx/model.onnx", "exported from"),
    ] {
        let refused = run(&hub, &home, &["inspect", id]);
        for what in [holds, helps] {
            assert_refused(&refused, what);
        }
    }
    assert_eq!(hub.storage.take_requests().len(), 0, "nothing of it is fetched");
    let converted = run(&hub, &home, &["inspect", "owner/pickles@refs/pr/3", "--json"]);
    assert_eq!(inspected(&converted), sha256_hex(&weights()));
}

#[test]
fn a_host_that_goes_silent_or_breaks_off_each_time_is_given_up_on() {
    let few = 1000.5 / weights().len() as f64;
    for stalls in [true, false] {
        let (home, hub) = (Scratch::new("hub-silent"), small_hub());
        let fault = |share| if stalls { Fault::Stalled(share) } else { Fault::Cut(share) };
        hub.storage.misbehave_times(1, WEIGHTS, fault(few));
        hub.storage.misbehave(WEIGHTS, fault(0.0));
        let output = command(&hub.url(""), &home.0, &["inspect", ID])
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
    let (home, hub) = (Scratch::new("hub-changed"), small_hub());
    hub.storage.misbehave(WEIGHTS, Fault::Corrupted);
    assert_refused(&run(&hub, &home, &["inspect", ID]), "is damaged or not the file that was meant");
    let sha256 = sha256_hex(&weights());
    let blob = repo(&home).join("blobs").join(&sha256);
    assert!(!blob.exists() && !files_below(&repo(&home)).iter().any(|name| name.ends_with(".part")));
    hub.storage.behave();
    stdout(&run(&hub, &home, &["inspect", ID]));

    let mut bytes = fs::read(&blob).unwrap();
    bytes[1000] ^= 1;
    fs::write(&blob, bytes).unwrap();
    let healed = run(&hub, &home, &["inspect", ID]);
    stdout(&healed);
    assert!(String::from_utf8_lossy(&healed.stderr).contains("damaged on this disk"));
    assert_eq!(sha256_hex(&fs::read(&blob).unwrap()), sha256);

    // Another length is refused before a byte of it is read.
    let (home, hub) = (Scratch::new("hub-length"), small_hub());
    hub.storage.misbehave(WEIGHTS, Fault::Other(b"short".to_vec()));
    assert_refused(&run(&hub, &home, &["inspect", ID]), "has 5 bytes, 1139804 were stated");
}

#[test]
fn the_token_goes_to_the_hub_alone() {
    let (home, hub) = (Scratch::new("hub-token"), small_hub());
    let run = command(&hub.url(""), &home.0, &["inspect", ID]).env("HF_TOKEN", "hf_secret").output().unwrap();
    stdout(&run);
    let asked = hub.site.take_requests();
    assert!(asked.iter().all(|request| request.header("authorization") == Some("Bearer hf_secret")));
    let asked = hub.storage.take_requests();
    assert!(
        asked.len() == 2 && asked.iter().all(|request| request.header("authorization").is_none()),
        "{asked:?}"
    );
}

#[test]
fn an_address_is_a_file_or_a_folder_and_is_sent_again_only_if_it_changed() {
    let (home, hub) = (Scratch::new("hub-address"), Hub::start());
    for (name, content) in repos::small() {
        hub.host(&format!("/models/tiny/{name}"), content);
    }
    hub.host_pages();
    let at = |path: &str| hub.storage.url(path);
    let run = |args: &[&str]| command("http://127.0.0.1:9", &home.0, args).output().unwrap();
    let report = |path: &str| -> Value {
        serde_json::from_str(stdout(&run(&["inspect", &at(path), "--json"]))).unwrap()
    };
    let sha256 = sha256_hex(&weights());
    assert_eq!(report("/models/tiny/")["files"][0]["sha256"], sha256);
    let first = hub.storage.take_requests();
    for path in
        ["/models/tiny", "/models/tiny/model.safetensors", "/models/tiny/model.safetensors?download=true"]
    {
        assert_eq!(report(path)["files"][0]["sha256"], sha256);
    }
    let again = hub.storage.take_requests();
    assert!(first.iter().all(|request| request.header("if-none-match").is_none()));
    let tags: Vec<_> = again
        .iter()
        .filter(|request| request.file().ends_with(WEIGHTS))
        .map(|request| request.header("if-none-match"))
        .collect();
    assert!(tags.len() == 3 && tags.iter().all(Option::is_some), "{again:?}");

    // A GGUF needs nothing beside it; another file at the same address is taken.
    let gguf = fs::read(fixture("gguf/blocks.gguf")).unwrap();
    hub.host("/models/tiny/blocks.gguf", gguf);
    assert_eq!(report("/models/tiny/blocks.gguf")["n_values"], 7 * 1024);
    let other = fs::read(fixture("models/siglip/model.safetensors")).unwrap();
    let expected = sha256_hex(&other);
    hub.host("/models/tiny/model.safetensors", other);
    assert_eq!(report("/models/tiny")["files"][0]["sha256"], expected);

    assert_refused(
        &run(&["inspect", &at("/nothing/")]),
        "holds no model: looked for open_clip_model.safetensors",
    );
    assert_refused(&run(&["inspect", &at("/nothing/a.gguf")]), "a web page instead of the file");
    let address = at("/models/tiny");
    drop(hub);
    let output = run(&["inspect", &address, "--json"]);
    assert!(stdout(&output).contains(&expected), "as it was fetched before");
}

#[test]
fn shards_are_fetched_by_their_index() {
    let (home, hub) = (Scratch::new("hub-shards"), Hub::start());
    let golden = fs::read(fixture("models/clip-vit-quickgelu/golden.safetensors")).unwrap();
    hub.put(ID, "main", [repos::sharded(), vec![("golden.safetensors", golden.into())]].concat());
    let verified = run(&hub, &home, &["verify", ID, "--backend", "cpu"]);
    assert!(stdout(&verified).contains("all tensors agree"));
}

#[test]
fn one_file_of_several_is_named_by_its_page() {
    let (home, hub) = (Scratch::new("hub-one-of-several"), Hub::start());
    let gguf = fs::read(fixture("gguf/blocks.gguf")).unwrap();
    hub.put(ID, "main", vec![("a.gguf", gguf.clone()), ("b.gguf", gguf.clone()), ("more/b.gguf", gguf)]);
    assert_refused(&run(&hub, &home, &["inspect", ID]), "several models, a.gguf, b.gguf");
    let page = hub.url(&format!("/{ID}/blob/main/more/b.gguf"));
    stdout(&run(&hub, &home, &["inspect", &page]));
    assert_eq!(stored_files(&hub.storage.take_requests()), ["more/b.gguf"]);
    let offline =
        command(&hub.url(""), &home.0, &["inspect", &page]).env("HF_HUB_OFFLINE", "1").output().unwrap();
    stdout(&offline);
}

/// The tests' hub itself: what the others rely on.
#[test]
fn the_tests_hub_answers_as_the_real_one() {
    let hub = small_hub();
    let commit = hub.put(ID, "refs/pr/15", repos::small());
    let config = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0);
    let agent: ureq::Agent = config.max_redirects_will_error(false).build().into();
    let ask = |address: &str| {
        let mut response = agent.get(address).header("Origin", "https://page.example").call().unwrap();
        let header =
            |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let names =
            ["location", "etag", "link", "x-error-code", "x-repo-commit", "x-linked-etag", "x-linked-size"];
        let mut headers = names.map(|name| (name, header(name))).to_vec();
        headers.push(("allowed", header("access-control-allow-origin")));
        headers.push(("exposed", header("access-control-expose-headers")));
        let headers: std::collections::HashMap<_, _> =
            headers.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        (response.status().as_u16(), headers, response.body_mut().read_to_vec().unwrap())
    };
    let sha256 = sha256_hex(&weights());
    // A large file: what the hub says of it stands on the first hop alone.
    let (status, first, _) = ask(&hub.url(&format!("/{ID}/resolve/refs%2Fpr%2F15/model.safetensors")));
    assert_eq!((status, &first["x-repo-commit"]), (302, &commit));
    assert_eq!(first["x-linked-etag"], format!("\"{sha256}\""));
    assert_eq!(first["x-linked-size"], weights().len().to_string());
    assert!(first["location"].starts_with(&hub.storage.url("/")) && !first.contains_key("etag"));
    let (status, second, body) = ask(&first["location"]);
    assert!(status == 200 && body == weights());
    assert!(!second.keys().any(|name| name.starts_with("x-")) && !second["etag"].contains(&sha256));
    assert_eq!((second["allowed"].as_str(), second["exposed"].as_str()), ("*", "*"));
    let unsigned = first["location"].split('?').next().unwrap();
    assert_eq!(ask(unsigned).0, 403, "an address of the storage is signed");
    // A small one: on the same host, by Git's hash.
    let (status, first, _) = ask(&hub.url(&format!("/{ID}/resolve/main/config.json")));
    assert_eq!((status, first["allowed"].as_str()), (307, "https://page.example"));
    let (status, second, body) = ask(&hub.url(&first["location"]));
    assert!(status == 200 && body == repos::clip_config().bytes() && second["etag"].len() == 42);
    // Names, absence and refusals.
    for (path, expected) in [
        (format!("/{ID}/resolve/refs/pr/15/config.json"), (404, Some("RevisionNotFound"))),
        (format!("/{ID}/resolve/main/none.json"), (404, Some("EntryNotFound"))),
        (format!("/api/models/{ID}/tree/v9"), (404, Some("RevisionNotFound"))),
        ("/api/models/no/such/revision/main".to_owned(), (401, None)),
        ("/no/such/resolve/main/config.json".to_owned(), (401, Some("RepoNotFound"))),
        (format!("/{ID}/discussions/15"), (200, None)),
    ] {
        let (status, headers, _) = ask(&hub.url(&path));
        assert_eq!((status, headers.get("x-error-code").map(String::as_str)), expected, "{path}");
        assert_eq!(headers.contains_key("allowed"), !path.contains("/discussions/"), "{path}");
    }
    // The listing, page by page.
    let mut next = Some(hub.url(&format!("/api/models/{ID}/tree/main?recursive=true")));
    let (mut listed, mut n_pages) = (Vec::new(), 0);
    while let Some(page) = next {
        let (status, headers, body) = ask(&page);
        assert_eq!(status, 200);
        listed.extend(serde_json::from_slice::<Vec<Value>>(&body).unwrap());
        next = headers.get("link").map(|link| link[1..link.find('>').unwrap()].to_owned());
        n_pages += 1;
    }
    assert!(n_pages > 1 && listed.len() == repos::small().len() + 1, "{listed:?}");
    let entry = |name: &str| listed.iter().find(|entry| entry["path"] == name).unwrap().clone();
    assert_eq!(entry("model.safetensors")["lfs"]["oid"], sha256);
    assert!(
        entry("config.json").get("lfs").is_none()
            && entry("config.json")["oid"].as_str().unwrap().len() == 40
    );
    let (_, _, body) = ask(&hub.url(&format!("/api/models/{ID}/revision/refs%2Fpr%2F15")));
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["sha"], commit);
}
