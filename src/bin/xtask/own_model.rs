//! A page whose own model is another than the starter: `serve --model SRC` and `build --model SRC`.
//!
//! `cliplet pack` fetches, converts and hashes it; the page is built from an `index.html` beside the result that differs from
//! the repository's in where its files are. So the page loads it from its own origin, verified, and works offline, as it
//! does with the starter.
//!
//! Invariant: nothing in the repository changes; everything lies in target/own-model.

use crate::process::{Result, command, repository, run};
use std::path::{Path, PathBuf};

const FORMATS: [&str; 3] = ["q8_0", "q4_0", "f16"];

/// What `--model` and `--quant` ask for.
#[derive(Debug, PartialEq)]
pub struct Wanted {
    source: String,
    quant: String,
}

/// Takes `--model SRC` and `--quant FORMAT` out of the arguments; the rest is Trunk's.
pub fn wanted(args: &[String]) -> Result<(Option<Wanted>, Vec<String>)> {
    let (mut source, mut quant, mut rest) = (None, None, Vec::new());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let (name, value) =
            arg.split_once('=').map_or((arg.as_str(), None), |(name, value)| (name, Some(value)));
        let place = match name {
            "--model" => &mut source,
            "--quant" => &mut quant,
            _ => {
                rest.push(arg.clone());
                continue;
            }
        };
        let value = value.map(str::to_owned).or_else(|| args.next().cloned());
        *place = Some(value.ok_or_else(|| format!("{name} wants a value"))?);
    }
    let quant = match (&source, quant) {
        (None, Some(_)) => return Err("--quant says how the model of --model SRC is stored".to_owned()),
        (_, Some(quant)) if !FORMATS.contains(&quant.as_str()) => {
            return Err(format!("--quant {quant} is none of {}", FORMATS.join(", ")));
        }
        (_, quant) => quant.unwrap_or_else(|| FORMATS[0].to_owned()),
    };
    Ok((source.map(|source| Wanted { source, quant }), rest))
}

/// Where the browser tests find a page with a model of its own.
pub fn tests_page() -> PathBuf {
    repository().join("target/own-model-page")
}

/// A small CLIP of the tests' fixtures as a folder in which anyone may have one.
pub fn tests_model() -> Result<PathBuf> {
    let fixtures = repository().join("tests/fixtures");
    let folder = repository().join("target/small-clip");
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    std::fs::create_dir_all(&folder).map_err(failed)?;
    for (from, name) in [
        ("models/clip-vit-quickgelu/config.json", "config.json"),
        ("models/clip-vit-quickgelu/model.safetensors", "model.safetensors"),
        ("tokenizer/words.json", "tokenizer.json"),
    ] {
        std::fs::copy(fixtures.join(from), folder.join(name)).map_err(failed)?;
    }
    Ok(folder)
}

impl Wanted {
    /// Packs the model; the page to build with it.
    pub fn page(&self) -> Result<PathBuf> {
        let folder = repository().join("target/own-model");
        let models = folder.join("models");
        let stamp = folder.join("source.txt");
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error: std::io::Error| format!("{}: {error}", path.display())
        };
        // Where the user stands, who may have named a file from there.
        let local = Path::new(&self.source).canonicalize().ok();
        let source = local.as_ref().map_or(self.source.clone().into(), |path| path.clone().into_os_string());
        let written = format!("{}\n{}\n", source.to_string_lossy(), self.quant);
        // Files here may have changed; what a name on the network means was converted once.
        let is_done = local.is_none() && std::fs::read_to_string(&stamp).is_ok_and(|found| found == written);
        if is_done {
            eprintln!("{} holds {} already; remove it to convert anew", models.display(), self.source);
        } else {
            if folder.exists() {
                std::fs::remove_dir_all(&folder).map_err(failed(&folder))?;
            }
            std::fs::create_dir_all(&folder).map_err(failed(&folder))?;
            let mut pack = command("cargo");
            pack.args(["run", "--release", "--quiet", "--bin", "cliplet", "--", "pack"]).arg(&source);
            run(pack.args(["--quant", &self.quant, "--output"]).arg(&models))?;
        }
        let catalogue = models.join("catalogue.json");
        std::fs::copy(repository().join("static/models/catalogue.json"), &catalogue)
            .map_err(failed(&catalogue))?;
        let (from, to) = (repository().join("index.html"), folder.join("index.html"));
        let html = std::fs::read_to_string(&from).map_err(failed(&from))?;
        std::fs::write(&to, moved(&html)?).map_err(failed(&to))?;
        std::fs::write(&stamp, written).map_err(failed(&stamp))?;
        Ok(to)
    }
}

/// The page as it is to stand two folders deeper, with a folder of models beside it.
fn moved(html: &str) -> Result<String> {
    let mut moved = html.to_owned();
    for (from, to) in [
        ("href=\"static/models\"", "href=\"models\""),
        ("href=\"static/", "href=\"../../static/"),
        ("rel=\"rust\"", "rel=\"rust\"\n      href=\"../../Cargo.toml\""),
    ] {
        if !moved.contains(from) {
            return Err(format!("index.html holds no {from}"));
        }
        moved = moved.replace(from, to);
    }
    Ok(moved)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_model_is_told_from_trunks_arguments() {
        let wanted = |text: &str| super::wanted(&args(text));
        let model = |quant: &str| Some(Wanted { source: "o/n".to_owned(), quant: quant.to_owned() });
        assert_eq!(wanted("--open --port 9"), Ok((None, args("--open --port 9"))));
        assert_eq!(wanted("--open --model o/n --port 9"), Ok((model("q8_0"), args("--open --port 9"))));
        assert_eq!(wanted("--model=o/n --quant q4_0"), Ok((model("q4_0"), Vec::new())));
        for wrong in ["--model", "--quant q8_0", "--model o/n --quant q5_9"] {
            assert!(wanted(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_file_of_the_page_is_found_from_where_it_stands_then() {
        let html = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("index.html")).unwrap();
        let moved = moved(&html).unwrap();
        assert!(
            moved.contains("rel=\"copy-dir\" href=\"models\"") && moved.contains("href=\"../../Cargo.toml\"")
        );
        assert_eq!(moved.matches("href=\"static/").count(), 0);
        assert_eq!(moved.matches("href=\"../../static/").count(), html.matches("href=\"static/").count() - 1);
        assert!(super::moved("<html>").is_err());
    }
}
