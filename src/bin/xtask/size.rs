//! Holds the page's programs (wasm and JavaScript) and its style sheet to their size limits: what a first visit fetches
//! until it ranks, each program by itself, and everything.
//!
//! Invariant: only code counts, since weights and pictures are loaded after the page shows.
//! Invariant: each program has a limit of its own, so that none grows at the cost of another.

use crate::hosting::collect;
use crate::process::{Result, command, repository};
use crate::widget;
use std::path::Path;
use std::process::Stdio;

/// Files whose names begin with one of these, held to so many bytes together, as gzip -9 makes them.
struct Limit {
    what: &'static str,
    /// None: every file but those of the widget's builder, a page of its own.
    names: &'static [&'static str],
    gzipped_bytes: u64,
}

/// The downloader is fetched only when somebody looks for another model.
const LIMITS: [Limit; 4] = [
    // Its goal, and that of a first visit, are 300 kB and 600 kB: both were met until the page got its tray, history, exports
    // and long lists, and are to be met again.
    Limit { what: "the page", names: &["app-"], gzipped_bytes: 360_000 },
    // A widget loads it alone.
    Limit { what: "the engine", names: &["engine"], gzipped_bytes: 320_000 },
    Limit {
        what: "on a first visit",
        names: &["app-", "boot", "engine", "worker-boot", "style-", "sw"],
        gzipped_bytes: 672_000,
    },
    // The goal is 900 kB. The downloader carries towers, tokenizer and CPU backend a second time, for the record that a
    // device is checked with.
    Limit { what: "everything", names: &[], gzipped_bytes: 1_010_000 },
];

/// What a page of somebody else's loads for a widget, and what comes once a visitor wants it.
const WIDGETS_LIMITS: [Limit; 2] = [
    Limit { what: "the widget in a page", names: &["cliplet-rank.js"], gzipped_bytes: 5_000 },
    Limit { what: "the widget's engine", names: &["engine"], gzipped_bytes: 320_000 },
];

pub fn check() -> Result<()> {
    let dist = repository().join("dist");
    let widget = widget::tests_folder();
    widget::write(&dist, &widget)?;
    if hold(&dist, &LIMITS)? & hold(&widget, &WIDGETS_LIMITS)? {
        Ok(())
    } else {
        Err("the programs are over their size limits: see which file grew with `git stash; cargo xtask build; \
             cargo xtask size`, or where its bytes go with `twiggy top`"
            .to_owned())
    }
}

/// Whether a folder's programs are within their limits; prints what each takes.
fn hold(folder: &Path, limits: &[Limit]) -> Result<bool> {
    let mut files = Vec::new();
    collect(folder, &mut files)?;
    files.retain(|file| {
        file.extension().is_some_and(|kind| ["wasm", "js", "css"].iter().any(|code| kind == *code))
    });
    if files.is_empty() {
        return Err(format!("{} holds no program; build it: cargo xtask build", folder.display()));
    }
    let mut sizes = Vec::new();
    for file in &files {
        let (bytes, gzipped_bytes) = (length(file)?, gzipped_length(file)?);
        let name = file.strip_prefix(folder).unwrap_or(file).display().to_string();
        println!("  {bytes:>9} bytes  {gzipped_bytes:>9} gzipped  {name}");
        sizes.push((name, bytes, gzipped_bytes));
    }
    let mut is_within = true;
    for Limit { what, names, gzipped_bytes: allowed } in limits {
        let is_counted = |name: &str| {
            (names.is_empty() && !name.starts_with("embed/"))
                || names.iter().any(|start| name.starts_with(start))
        };
        let counted: Vec<_> = sizes.iter().filter(|(name, ..)| is_counted(name)).collect();
        let bytes: u64 = counted.iter().map(|(_, bytes, _)| bytes).sum();
        let gzipped_bytes: u64 = counted.iter().map(|(.., gzipped_bytes)| gzipped_bytes).sum();
        println!("  {bytes:>9} bytes  {gzipped_bytes:>9} gzipped  {what}, of {allowed} allowed");
        // A name that fits nothing any more would hold nothing.
        is_within &= gzipped_bytes <= *allowed && !counted.is_empty();
    }
    Ok(is_within)
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
