//! The folder of the embeddable widget, `cargo xtask widget DIR`, and the page that builds its lines, `embed/` of a built page.
//!
//! Its engine is the page's, byte for byte; the worker's script is that program's JavaScript and static/worker-boot.js in one
//! file, so that a policy has one address to allow. The other files are those of static/widget, with what stands elsewhere
//! written into them: the version, the page's colours, and what the manifest says of the model.
//!
//! Invariant: nothing that is in the folder already is deleted.
//! Invariant: what is to be written into a file and has no place there is an error, and so is a file that is missing.

use crate::hosting::collect;
use crate::process::{Result, command, repository, run};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Where the tests find the widget.
pub fn tests_folder() -> PathBuf {
    repository().join("target/widget")
}

/// Writes the folder from a built page.
pub fn write(dist: &Path, folder: &Path) -> Result<()> {
    let root = repository();
    std::fs::create_dir_all(folder.join("models")).map_err(|error| failed(folder, &error))?;
    copy(&program(dist, "engine", "_bg.wasm")?, &folder.join("engine_bg.wasm"))?;
    for name in ["manifest.json", "starter.gguf", "README.md"] {
        copy(&root.join("static/models").join(name), &folder.join("models").join(name))?;
    }
    copy(&root.join("LICENSE"), &folder.join("LICENSE"))?;
    scripts(dist, folder, |_| true)
}

/// Writes the builder (`static/builder`) and what its preview runs into a built page's `embed/`; engine and model are the
/// page's own.
pub fn write_builder(dist: &Path) -> Result<()> {
    let folder = dist.join("embed");
    std::fs::create_dir_all(&folder).map_err(|error| failed(&folder, &error))?;
    scripts(dist, &folder, |name| ["cliplet-rank.js", "client.js", "look.js", "strings.js"].contains(&name))?;
    let builder = repository().join("static/builder");
    for name in ["builder.js", "builder.css"] {
        copy(&builder.join(name), &folder.join(name))?;
    }
    let mut html = text(&builder.join("index.html"))?;
    for (placeholder, name, end) in
        [("../style.css", "style", ".css"), ("../engine_bg.wasm", "engine", "_bg.wasm")]
    {
        let file = program(dist, name, end)?;
        let file = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !html.contains(placeholder) {
            return Err(format!("static/builder/index.html does not name {placeholder}"));
        }
        html = html.replace(placeholder, &format!("../{file}"));
    }
    put(&folder.join("index.html"), html.as_bytes())
}

/// Writes the engine's script and those of `static/widget` that are wanted.
fn scripts(dist: &Path, folder: &Path, is_wanted: impl Fn(&str) -> bool) -> Result<()> {
    let root = repository();
    let boot = text(&root.join("static/worker-boot.js"))?;
    let engine = format!("{};\n{boot}", text(&program(dist, "engine", ".js")?)?);
    put(&folder.join("engine.js"), engine.as_bytes())?;
    let manifest = text(&root.join("static/models/manifest.json"))?;
    let colours = colours(&text(&root.join("static/style.css"))?)?;
    let mut sources = Vec::new();
    collect(&root.join("static/widget"), &mut sources)?;
    for source in sources {
        let Some(name) = source.file_name().and_then(|name| name.to_str()) else { continue };
        if !is_wanted(name) {
            continue;
        }
        let mut code = text(&source)?;
        let version = env!("CARGO_PKG_VERSION");
        let written: &[(&str, String)] = match name {
            "cliplet-rank.js" => &[
                ("version = \"0.0.0\"", format!("version = \"{version}\"")),
                ("COLOURS = \"\"", format!("COLOURS = `{colours}`")),
            ],
            "client.js" => &[("STARTER = null", format!("STARTER = {}", manifest.trim()))],
            "package.json" => &[("\"version\": \"0.0.0\"", format!("\"version\": \"{version}\""))],
            _ => &[],
        };
        for (from, to) in written {
            if !code.contains(from) {
                return Err(format!("static/widget/{name} holds no `{from}`"));
            }
            code = code.replacen(from, to, 1);
        }
        put(&folder.join(name), code.as_bytes())?;
    }
    Ok(())
}

/// The widget as packages have it: held to what package checkers say, and built into a page by each tool of tests/embed, for
/// the browser tests. Wants npm and its registry.
pub fn packages() -> Result<()> {
    let folder = repository().join("target/embed");
    std::fs::create_dir_all(&folder).map_err(|error| failed(&folder, &error))?;
    let package = format!("cliplet-rank-{}.tgz", env!("CARGO_PKG_VERSION"));
    let npm = |folder: &Path, args: &[&str]| {
        let mut npm = command("npm");
        run(npm.args(args).args(["--loglevel=error"]).current_dir(folder).env("NEXT_TELEMETRY_DISABLED", "1"))
    };
    let install = ["install", "--no-save", "--no-audit", "--no-fund"];
    npm(&tests_folder(), &["pack", "--pack-destination", &folder.to_string_lossy()])?;
    run(command("tar").args(["--extract", "--gzip", "--file", &package]).current_dir(&folder))?;
    npm(&folder.join("package"), &install)?;
    npm(&folder.join("package"), &["run", "check"])?;
    for example in EXAMPLES {
        let (from, to) = (repository().join("tests/embed").join(example), folder.join(example));
        let mut files = Vec::new();
        collect(&from, &mut files)?;
        for file in files {
            let place = to.join(file.strip_prefix(&from).unwrap_or(&file));
            let parent = place.parent().unwrap_or(&to);
            std::fs::create_dir_all(parent).map_err(|error| failed(parent, &error))?;
            copy(&file, &place)?;
        }
        npm(&to, &[&install[..], &[".", &format!("../{package}")]].concat())?;
        npm(&to, &["run", "build"])?;
    }
    Ok(())
}

/// Pages of other tools in tests/embed, and one that only has to compile.
const EXAMPLES: [&str; 4] = ["next", "types", "vite-react", "webpack-vue"];

/// Whether the page was built, for release, after everything that its engine is made of.
pub fn is_current(dist: &Path) -> bool {
    let changed = |path: &Path| path.metadata().and_then(|data| data.modified()).ok();
    let Some(built) = changed(&dist.join("index.html")) else { return false };
    let is_release = program(dist, "engine", ".js").is_ok_and(|file| !file.ends_with("engine.js"));
    let mut sources = Vec::new();
    let found = ["src", "shaders"].iter().all(|part| collect(&repository().join(part), &mut sources).is_ok());
    sources
        .extend(["Cargo.toml", "Cargo.lock", "index.html", "Trunk.toml"].map(|name| repository().join(name)));
    // What xtask and the tests are made of is in no program.
    sources.retain(|file| !file.starts_with(repository().join("src/bin/xtask")));
    is_release && found && sources.iter().all(|file| changed(file).unwrap_or(SystemTime::UNIX_EPOCH) <= built)
}

/// A file of one of the page's programs, whose name may tell its content.
fn program(dist: &Path, name: &str, end: &str) -> Result<PathBuf> {
    let mut files = Vec::new();
    collect(dist, &mut files)?;
    // Not the builder's, which has files of the same names.
    files.retain(|file| file.parent() == Some(dist));
    let is_it = |file: &PathBuf| {
        let middle = file.file_name().and_then(|file| file.to_str()?.strip_prefix(name)?.strip_suffix(end));
        middle.is_some_and(|hash| hash.chars().all(|c| c == '-' || c.is_ascii_hexdigit()))
    };
    files
        .into_iter()
        .find(is_it)
        .ok_or_else(|| format!("{} holds no {name}{end}; build it: cargo xtask build", dist.display()))
}

/// The custom properties of the page's two themes as the widget's own. A page sets each from outside by the same name with
/// `cliplet` before it.
fn colours(css: &str) -> Result<String> {
    let block = |css: &str| -> Option<String> {
        let (_, rest) = css.split_once(":root {")?;
        let (block, _) = rest.split_once('}')?;
        let names = block.split(';').filter_map(|line| line.trim().strip_prefix("--")?.split_once(':'));
        let lines = names.map(|(name, value)| format!("--{name}: var(--cliplet-{name}, {});", value.trim()));
        Some(lines.collect::<Vec<_>>().join(" "))
    };
    let themes = css.split_once("@media (prefers-color-scheme: dark)");
    let themes = themes.and_then(|(light, dark)| Some((block(light)?, block(dark)?)));
    let (light, dark) = themes.ok_or("static/style.css has no colours for two themes in :root")?;
    Ok(format!(
        "\n  :host {{ {light} }}\n  @media (prefers-color-scheme: dark) {{ :host {{ {dark} }} }}\n  \
         :host([theme=\"light\"]) {{ {light} }}\n  :host([theme=\"dark\"]) {{ {dark} }}"
    ))
}

fn text(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).map_err(|error| failed(file, &error))
}

fn put(file: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(file, bytes).map_err(|error| failed(file, &error))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::copy(from, to).map(drop).map_err(|error| failed(from, &error))
}

fn failed(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_themes_of_the_page_are_the_widgets() {
        let css = ":root {\n color-scheme: light dark;\n --ink: #111;\n --soft: rgb(1 2 3 / 4%);\n}\n\
                   @media (prefers-color-scheme: dark) {\n :root {\n --ink: #eee;\n }\n}\n";
        let colours = colours(css).unwrap();
        assert!(colours.contains(
            ":host { --ink: var(--cliplet-ink, #111); --soft: var(--cliplet-soft, rgb(1 2 3 / 4%)); }"
        ));
        assert!(
            colours.contains(":host([theme=\"dark\"]) { --ink: var(--cliplet-ink, #eee); }"),
            "{colours}"
        );
        assert!(super::colours(":root { --ink: #111; }").is_err());
        let own = super::colours(include_str!("../../../static/style.css")).unwrap();
        assert!(own.contains("--accent: var(--cliplet-accent, ") && own.matches("--paper:").count() == 4);
    }
}
