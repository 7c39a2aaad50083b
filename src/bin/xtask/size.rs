//! Holds the page's program (wasm and JavaScript together) to its size limits.
//!
//! Invariant: only code counts, since weights and pictures are loaded after the page shows.

use crate::process::{Result, command, repository};
use std::path::{Path, PathBuf};
use std::process::Stdio;

const MAX_BYTES: u64 = 1_500_000;
const MAX_GZIPPED_BYTES: u64 = 600_000;

pub fn check() -> Result<()> {
    let dist = repository().join("dist");
    let mut files = Vec::new();
    collect(&dist, &mut files)?;
    if files.is_empty() {
        return Err(format!("{} holds no wasm or JavaScript; build it: cargo xtask build", dist.display()));
    }
    let (mut bytes, mut gzipped_bytes) = (0, 0);
    for file in &files {
        let (file_bytes, file_gzipped) = (length(file)?, gzipped_length(file)?);
        let name = file.strip_prefix(&dist).unwrap_or(file).display();
        println!("  {file_bytes:>9} bytes  {file_gzipped:>9} gzipped  {name}");
        bytes += file_bytes;
        gzipped_bytes += file_gzipped;
    }
    println!("  {bytes:>9} bytes  {gzipped_bytes:>9} gzipped  in all");
    println!("  {MAX_BYTES:>9} bytes  {MAX_GZIPPED_BYTES:>9} gzipped  allowed");
    if bytes <= MAX_BYTES && gzipped_bytes <= MAX_GZIPPED_BYTES {
        Ok(())
    } else {
        Err("the page's program is over its size limits: see which file grew with `git stash; cargo xtask build; \
             cargo xtask size`, or where its bytes go with `twiggy top`"
            .to_owned())
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = std::fs::read_dir(folder)
        .map_err(|error| format!("{}: {error}; build it: cargo xtask build", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "wasm" || extension == "js") {
            files.push(path);
        }
    }
    Ok(())
}

fn length(file: &Path) -> Result<u64> {
    std::fs::metadata(file).map(|data| data.len()).map_err(|error| format!("{}: {error}", file.display()))
}

fn gzipped_length(file: &Path) -> Result<u64> {
    let output = command("gzip")
        .args(["-9", "-c"])
        .arg(file)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("could not start gzip, which measures the sizes: {error}"))?;
    if output.status.success() {
        Ok(output.stdout.len() as u64)
    } else {
        Err(format!("gzip -9 -c {} failed ({})", file.display(), output.status))
    }
}
