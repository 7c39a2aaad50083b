//! Holds the page's programs (wasm and JavaScript together) to their size limits: what a first visit fetches until it ranks,
//! and everything.
//!
//! Invariant: only code counts, since weights and pictures are loaded after the page shows.

use crate::process::{Result, command, repository};
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// What is fetched only when somebody looks for another model.
const LATER: &str = "downloader";

struct Limit {
    what: &'static str,
    bytes: u64,
    gzipped_bytes: u64,
}

const FIRST_VISIT: Limit = Limit { what: "on a first visit", bytes: 1_500_000, gzipped_bytes: 600_000 };
const EVERYTHING: Limit = Limit { what: "in all", bytes: 2_400_000, gzipped_bytes: 950_000 };

pub fn check() -> Result<()> {
    let dist = repository().join("dist");
    let mut files = Vec::new();
    collect(&dist, &mut files)?;
    if files.is_empty() {
        return Err(format!("{} holds no wasm or JavaScript; build it: cargo xtask build", dist.display()));
    }
    let (mut first, mut all) = ((0, 0), (0, 0));
    for file in &files {
        let (bytes, gzipped_bytes) = (length(file)?, gzipped_length(file)?);
        let name = file.strip_prefix(&dist).unwrap_or(file).display().to_string();
        println!("  {bytes:>9} bytes  {gzipped_bytes:>9} gzipped  {name}");
        let is_later = name.starts_with(LATER);
        let sums = [Some(&mut all), (!is_later).then_some(&mut first)];
        for (sum, gzipped_sum) in sums.into_iter().flatten() {
            *sum += bytes;
            *gzipped_sum += gzipped_bytes;
        }
    }
    let mut is_within = true;
    for ((bytes, gzipped_bytes), limit) in [(first, FIRST_VISIT), (all, EVERYTHING)] {
        println!("  {bytes:>9} bytes  {gzipped_bytes:>9} gzipped  {}", limit.what);
        println!("  {:>9} bytes  {:>9} gzipped  allowed", limit.bytes, limit.gzipped_bytes);
        is_within &= bytes <= limit.bytes && gzipped_bytes <= limit.gzipped_bytes;
    }
    if is_within {
        Ok(())
    } else {
        Err("the page's programs are over their size limits: see which file grew with `git stash; cargo xtask build; \
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
