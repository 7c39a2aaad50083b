//! What makes a built page ready for a host: names that change with the content, and compressed copies.
//!
//! Invariant: the page works without this step, too: `trunk serve` and `trunk build` know nothing of it.
//! Invariant: the same files come out of the same files, byte for byte, whatever their dates.

use crate::process::{Result, command, run};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// What Trunk leaves without a hash. index.html alone names them.
const PROGRAMS: [&str; 4] = ["engine.js", "engine_bg.wasm", "downloader.js", "downloader_bg.wasm"];
/// Files of these kinds are compressed; pictures and weights are as small as they get.
const COMPRESSED: [&str; 8] = ["html", "js", "css", "wasm", "json", "svg", "webmanifest", "ico"];
/// Below this many bytes the headers outweigh what is won.
const MIN_BYTES: u64 = 1000;

/// Names the programs by their content, and puts compressed copies beside all files that gain by it.
pub fn finish(dist: &Path) -> Result<()> {
    name_by_content(dist)?;
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

fn name_by_content(dist: &Path) -> Result<()> {
    let page = dist.join("index.html");
    let mut html = read(&page).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())?;
    for name in PROGRAMS {
        let from = dist.join(name);
        let named = with_hash(name, hash(&read(&from)?));
        if !html.contains(name) {
            return Err(format!("{} does not name {name}", page.display()));
        }
        html = html.replace(name, &named);
        std::fs::rename(&from, dist.join(&named)).map_err(|error| format!("{}: {error}", from.display()))?;
    }
    std::fs::write(&page, html).map_err(|error| format!("{}: {error}", page.display()))
}

/// `engine_bg.wasm` as `engine-0123456789abcdef_bg.wasm`, like Trunk's own names.
fn with_hash(name: &str, hash: u64) -> String {
    let end = name.find(['_', '.']).unwrap_or(name.len());
    format!("{}-{hash:016x}{}", &name[..end], &name[end..])
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
        assert_eq!(with_hash("engine_bg.wasm", 0x1f), "engine-000000000000001f_bg.wasm");
        assert_eq!(with_hash("engine.js", 0x1f), "engine-000000000000001f.js");
    }

    #[test]
    fn the_page_names_every_program_and_no_other_program_is_renamed() {
        let dist = std::env::temp_dir().join(format!("cliplet-hosting-{}", std::process::id()));
        std::fs::create_dir_all(&dist).unwrap();
        for name in PROGRAMS {
            std::fs::write(dist.join(name), name).unwrap();
        }
        std::fs::write(dist.join("boot.js"), "").unwrap();
        std::fs::write(dist.join("index.html"), PROGRAMS.join(" ")).unwrap();
        name_by_content(&dist).unwrap();
        let html = std::fs::read_to_string(dist.join("index.html")).unwrap();
        assert!(html.split(' ').all(|name| dist.join(name).is_file()), "{html}");
        assert!(PROGRAMS.iter().all(|name| !dist.join(name).exists()) && dist.join("boot.js").is_file());
        std::fs::write(dist.join("index.html"), "").unwrap();
        PROGRAMS.iter().for_each(|name| std::fs::write(dist.join(name), name).unwrap());
        assert!(name_by_content(&dist).is_err(), "a page that names no program cannot run it");
        std::fs::remove_dir_all(&dist).unwrap();
    }
}
