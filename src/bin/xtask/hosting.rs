//! What makes a built page ready for a host: the widget's builder beside it, short names inside its programs, names of files that change with their content,
//! and compressed copies.
//!
//! Invariant: the page works without this step, too: `trunk serve` and `trunk build` know nothing of it.
//! Invariant: the same files come out of the same files, byte for byte, whatever their dates.

use crate::process::{Result, command, run};
use crate::shorten;
use crate::widget;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The programs: the page's, whose name Trunk gives a hash, and two that it leaves without.
const PROGRAMS: [&str; 3] = ["app", "engine", "downloader"];
/// Files of these kinds are compressed; pictures and weights are as small as they get.
const COMPRESSED: [&str; 8] = ["html", "js", "css", "wasm", "json", "svg", "webmanifest", "ico"];
/// Below this many bytes the headers outweigh what is won.
const MIN_BYTES: u64 = 1000;

/// Names the programs by their content, and puts compressed copies beside all files that gain by it.
pub fn finish(dist: &Path) -> Result<()> {
    name_by_content(dist)?;
    add_builder(dist)?;
    let mut files = Vec::new();
    collect(dist, &mut files)?;
    files.retain(|file| {
        let extension = file.extension().and_then(OsStr::to_str).unwrap_or_default();
        COMPRESSED.contains(&extension) && file.metadata().is_ok_and(|data| data.len() >= MIN_BYTES)
    });
    // Without the name and the date, which would differ from build to build.
    run(command("gzip").args(["--keep", "--force", "--best", "--no-name"]).args(&files))?;
    // Node is here wherever the optimizer came from npm; a build without it has no copies for Brotli, which no host needs.
    let brotli = "const { brotliCompressSync } = require('zlib'), fs = require('fs');
        for (const file of process.argv.slice(1)) fs.writeFileSync(file + '.br', brotliCompressSync(fs.readFileSync(file)));";
    if command("node").arg("--version").output().is_ok_and(|output| output.status.success()) {
        run(command("node").args(["--eval", brotli, "--"]).args(&files))?;
    }
    Ok(())
}

/// Gives each program's two files short names for each other's, and to them a name that tells their content. index.html
/// alone names them.
fn name_by_content(dist: &Path) -> Result<()> {
    let page = dist.join("index.html");
    let mut html = text(&page)?;
    for program in PROGRAMS {
        let mut files = Vec::new();
        collect(dist, &mut files)?;
        let file = |end: &str| {
            let is_it = |name: &str| {
                name.strip_prefix(program).and_then(|name| name.strip_suffix(end)).is_some_and(is_hash)
            };
            let mut names = files.iter().filter_map(|file| file.file_name()?.to_str());
            names
                .find(|name| is_it(name))
                .ok_or_else(|| format!("{} holds no {program}{end}", dist.display()))
        };
        let (js, wasm) = (file(".js")?, file("_bg.wasm")?);
        let (wasm_bytes, js_text) = shorten::names(&read(&dist.join(wasm))?, &text(&dist.join(js))?)
            .map_err(|error| format!("{program}: {error}"))?;
        for (name, end, bytes) in [(js, ".js", js_text.into_bytes()), (wasm, "_bg.wasm", wasm_bytes)] {
            if !html.contains(name) {
                return Err(format!("{} does not name {name}", page.display()));
            }
            let named = format!("{program}-{:016x}{end}", hash(&bytes));
            html = html.replace(name, &named);
            let failed = |error: std::io::Error| format!("{named}: {error}");
            std::fs::remove_file(dist.join(name)).map_err(failed)?;
            std::fs::write(dist.join(&named), bytes).map_err(failed)?;
        }
    }
    std::fs::write(&page, html).map_err(|error| format!("{}: {error}", page.display()))
}

/// Puts the widget's builder beside the page, and says so in index.html: the page links to it where it is.
fn add_builder(dist: &Path) -> Result<()> {
    widget::write_builder(dist)?;
    let page = dist.join("index.html");
    let html = text(&page)?;
    let with_builder = html.replacen("data-wasm=", "data-builder=\"embed/\" data-wasm=", 1);
    if html == with_builder {
        return Err(format!("{} has no script with data-wasm", page.display()));
    }
    std::fs::write(&page, with_builder).map_err(|error| format!("{}: {error}", page.display()))
}

/// Nothing, or what Trunk puts between a program's name and its end.
fn is_hash(text: &str) -> bool {
    text.is_empty() || text.strip_prefix('-').is_some_and(|hash| hash.chars().all(|c| c.is_ascii_hexdigit()))
}

/// FNV-1a: enough to tell a file from its successor; nothing is trusted for its name.
fn hash(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn read(file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))
}

fn text(file: &Path) -> Result<String> {
    String::from_utf8(read(file)?).map_err(|error| format!("{}: {error}", file.display()))
}

/// Every file below a folder, in order of names.
pub fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = std::fs::read_dir(folder)
        .map_err(|error| format!("{}: {error}; build it: cargo xtask build", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_change_with_the_content_alone() {
        assert_eq!(hash(b"a"), 0xaf63_dc4c_8601_ec8c, "FNV-1a's published value");
        assert_ne!(hash(b"a"), hash(b"b"));
        assert!(is_hash("") && is_hash("-0123456789abcdef") && !is_hash("-boot") && !is_hash("1"));
    }

    #[test]
    fn the_page_names_every_program_and_no_other_file_is_renamed() {
        let dist = std::env::temp_dir().join(format!("cliplet-hosting-{}", std::process::id()));
        std::fs::create_dir_all(&dist).unwrap();
        let programs = ["app-12ab", "engine", "downloader"];
        let names: Vec<String> =
            programs.iter().flat_map(|name| [format!("{name}.js"), format!("{name}_bg.wasm")]).collect();
        for name in &names {
            std::fs::write(dist.join(name), if name.ends_with(".js") { "js" } else { "\0asm\x01\0\0\0" })
                .unwrap();
        }
        std::fs::write(dist.join("downloader-boot.js"), "").unwrap();
        std::fs::write(dist.join("index.html"), names.join(" ")).unwrap();
        name_by_content(&dist).unwrap();
        let html = std::fs::read_to_string(dist.join("index.html")).unwrap();
        assert!(html.split(' ').all(|name| dist.join(name).is_file()), "{html}");
        assert!(
            names.iter().all(|name| !dist.join(name).exists()) && dist.join("downloader-boot.js").is_file()
        );
        // The same files have the same names; a page that names no program cannot run it.
        name_by_content(&dist).unwrap();
        assert_eq!(std::fs::read_to_string(dist.join("index.html")).unwrap(), html);
        std::fs::write(dist.join("index.html"), "").unwrap();
        assert!(name_by_content(&dist).is_err());
        std::fs::remove_dir_all(&dist).unwrap();
    }
}
