//! The architecture as a table, and the code held to it.
//!
//! Each check is a function from text to violations, so that a test can also show it text that it must refuse.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The modules in the order in which data passes them, and which others each may use: only ones that stand above
/// it, so that there is no cycle.
const ARROWS: &[(&str, &[&str])] = &[
    ("tensor", &[]),
    ("image", &[]),
    ("facts", &["image"]),
    ("text", &[]),
    ("files", &[]),
    ("graph", &["tensor"]),
    ("weights", &["tensor"]),
    ("models", &["tensor", "image", "facts", "text", "graph", "weights"]),
    ("reference", &["tensor", "graph"]),
    ("kernels", &["tensor", "graph"]),
    ("gpu", &["tensor", "graph", "kernels"]),
    ("cpu", &["tensor", "graph"]),
    ("tasks", &["facts", "models"]),
    ("engine", &["tensor", "image", "facts", "text", "graph", "weights", "models", "gpu", "cpu", "tasks"]),
    ("convert", &["tensor", "text", "files", "weights", "models", "engine"]),
    ("worker", &["tensor", "image", "facts", "weights", "convert"]),
    ("worker/engine", &["image", "facts", "text", "weights", "models", "tasks", "engine", "worker"]),
    ("worker/downloader", &["tensor", "weights", "models", "engine", "convert", "worker"]),
    ("app", &["image", "facts", "text", "files", "convert", "worker"]),
    (
        "cli",
        &[
            "tensor", "image", "facts", "text", "files", "graph", "weights", "models", "kernels", "gpu",
            "cpu", "tasks", "engine", "convert",
        ],
    ),
];

/// Libraries that are one part's affair.
const OWNERS: &[(&str, &[&str])] = &[
    ("wgpu", &["gpu"]),
    ("tokenizers", &["text"]),
    ("matrixmultiply", &["cpu"]),
    ("web_sys", &["worker", "app"]),
    ("yew", &["app"]),
    ("clap", &["cli"]),
    ("ureq", &["cli"]),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below `dir` that ends with `.extension`: its path from the root, and its text.
fn files(dir: &str, extension: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut dirs = vec![root().join(dir)];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
                found.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// `src/gpu/mod.rs` → `gpu`, and `worker/engine` of a part that has its own row; nothing for `src/lib.rs` and binaries,
/// which tie the parts together.
fn module_of(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("src/")?;
    let module = rest.split_once('/').map_or(rest, |(module, _)| module).trim_end_matches(".rs");
    let part = ARROWS.iter().map(|(name, _)| *name).find(|name| {
        name.contains('/') && rest.strip_prefix(name).is_some_and(|rest| rest.starts_with(['/', '.']))
    });
    part.or((!["lib", "bin"].contains(&module)).then_some(module))
}

/// The code that ships: without comments, and without the tests at a file's end.
fn shipped(text: &str) -> String {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("{line}\n")).collect()
}

/// `code` with `super::` written out as `crate::…`, so that no path is looked at from where it stands.
fn absolute(path: &str, code: &str) -> String {
    let module = path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    let parts: Vec<&str> = module.split('/').collect();
    let mut code = code.to_owned();
    for n_up in (1..=parts.len()).rev() {
        let parents = parts[..parts.len() - n_up].iter().map(|part| format!("{part}::"));
        code = code.replace(&"super::".repeat(n_up), &format!("crate::{}", parents.collect::<String>()));
    }
    code
}

/// Rows of the table named as `crate::x` or in `crate::{x::…, y::…}`; of a part that has its own row, the part.
fn used_modules(code: &str) -> BTreeSet<String> {
    let ident =
        |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let row = |text: &str| {
        let module = ident(text);
        let rest = text[module.len()..].strip_prefix("::").map(ident).unwrap_or_default();
        let part = format!("{module}/{rest}");
        if ARROWS.iter().any(|(name, _)| *name == part) { part } else { module }
    };
    let mut used = BTreeSet::new();
    for after in code.split("crate::").skip(1) {
        let Some(group) = after.strip_prefix('{') else {
            used.insert(row(after));
            continue;
        };
        let mut depth = 0;
        let mut part_starts = vec![0];
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => part_starts.push(at + 1),
                _ => (),
            }
        }
        used.extend(
            part_starts.iter().map(|&at| row(group[at..].trim_start())).filter(|name| !name.is_empty()),
        );
    }
    used
}

/// Uses that the table does not allow.
fn wrong_arrows(path: &str, text: &str) -> Vec<String> {
    let Some(module) = module_of(path) else { return Vec::new() };
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == module) else {
        return vec![format!("{path}: module `{module}` has no row in the table")];
    };
    let used = used_modules(&absolute(path, &shipped(text)));
    let wrong = used.iter().filter(|used| *used != module && !allowed.contains(&used.as_str()));
    // Constants and macros of the crate's root are no modules.
    let known = wrong.filter(|used| ARROWS.iter().any(|(name, _)| name == used));
    known.map(|used| format!("{path}: `{module}` must not use `{used}`")).collect()
}

/// Libraries outside the part that owns them.
fn wrong_libraries(path: &str, text: &str) -> Vec<String> {
    let Some(module) = module_of(path) else { return Vec::new() };
    let code = shipped(text);
    let is_ident = |c: char| c.is_alphanumeric() || c == '_';
    let is_used = |library: &str| {
        code.match_indices(&format!("{library}::")).any(|(at, _)| !code[..at].ends_with(is_ident))
    };
    let is_owner = |owners: &[&str]| owners.iter().any(|owner| module.split('/').next() == Some(owner));
    let wrong = OWNERS.iter().filter(|(library, owners)| !is_owner(owners) && is_used(library));
    wrong.map(|(library, owners)| format!("{path}: `{library}` belongs to {owners:?}")).collect()
}

/// Code that panics where it should return an error, or that was left for later.
fn panics(path: &str, text: &str) -> Vec<String> {
    let code = shipped(text);
    let found = |line: &str| {
        let expects = line
            .split(".expect(\"")
            .skip(1)
            .any(|rest| rest.split_once('"').is_some_and(|(_, end)| end.starts_with(')')));
        expects || [".unwrap()", "todo!(", "unimplemented!("].iter().any(|pattern| line.contains(pattern))
    };
    code.lines().filter(|line| found(line)).map(|line| format!("{path}: {}", line.trim())).collect()
}

/// A file that does not say what it is for.
fn without_purpose(path: &str, text: &str) -> Vec<String> {
    if text.starts_with("//! ") { Vec::new() } else { vec![format!("{path}: does not open with `//!`")] }
}

/// What a shader lacks: its name, its entry point, its host, its twin.
fn incomplete_shader(path: &str, text: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let stem = path.trim_start_matches("shaders/").trim_end_matches(".wgsl");
    let host = format!("src/kernels/{stem}.rs");
    let twin = text.lines().find_map(|line| line.strip_prefix("// Twin")).map_or("", str::trim);
    let checks = [
        (text.starts_with(&format!("// {stem}: ")), format!("opens with `// {stem}: ` and what it computes")),
        (text.contains(&format!("fn {stem}(")), format!("has the entry point `{stem}`")),
        (exists(&host), format!("has the host {host}")),
        (twin.starts_with("src/reference/") && exists(twin), format!("names its twin (found `{twin}`)")),
    ];
    checks
        .into_iter()
        .filter(|(holds, _)| !holds)
        .map(|(_, what)| format!("{path}: no shader that {what}"))
        .collect()
}

fn violations(dir: &str, extension: &str, check: impl Fn(&str, &str) -> Vec<String>) -> String {
    let found = files(dir, extension);
    found.iter().flat_map(|(path, text)| check(path, text)).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_table_has_no_cycle() {
    for (row_idx, (module, allowed)) in ARROWS.iter().enumerate() {
        for used in *allowed {
            let is_above = ARROWS[..row_idx].iter().any(|(above, _)| above == used);
            assert!(is_above, "`{module}` may use `{used}`, which does not stand above it");
        }
    }
}

#[test]
fn the_code_map_has_the_tables_rows() {
    let map = |text: &str| -> Vec<String> {
        let rows = text.lines().filter_map(|line| line.strip_prefix("//! | "));
        let names = rows.filter_map(|row| row.split('`').nth(1));
        names.map(|name| name.trim_start_matches("mod@").replace("::", "/")).collect()
    };
    let names: Vec<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    assert_eq!(map(&std::fs::read_to_string(root().join("src/lib.rs")).unwrap()), names);
    assert_eq!(map("//! | [`mod@a`] | x |\n//! | `b::c` | y |\n//! |---|"), ["a", "b/c"]);
}

#[test]
fn the_code_follows_the_table() {
    assert_eq!(violations("src", "rs", wrong_arrows), "");
    assert_eq!(violations("src", "rs", wrong_libraries), "");
    assert_eq!(
        wrong_arrows("src/image/x.rs", "use crate::gpu::Gpu;"),
        ["src/image/x.rs: `image` must not use `gpu`"]
    );
    let group = "use crate::{tensor::{Format, Tensor}, engine::Engine};";
    assert_eq!(
        wrong_arrows("src/weights/x.rs", group),
        ["src/weights/x.rs: `weights` must not use `engine`"]
    );
    assert_eq!(wrong_arrows("src/weights/x.rs", "// crate::engine\nuse crate::tensor;"), [""; 0]);
    for line in
        ["use crate::worker::engine::pictures;", "use super::engine::pictures;", "use crate::image::Pixels;"]
    {
        assert_eq!(wrong_arrows("src/worker/downloader/mod.rs", line).len(), 1, "{line}");
    }
    assert_eq!(
        wrong_arrows("src/worker/downloader/x.rs", "use super::super::tasks;").len(),
        0,
        "no such path"
    );
    assert_eq!(wrong_arrows("src/worker/downloader/x.rs", "use super::super::engine::x;").len(), 1);
    assert_eq!(wrong_arrows("src/new/x.rs", "").len(), 1);
    assert_eq!(wrong_libraries("src/models/x.rs", "use wgpu::Buffer;").len(), 1);
    assert_eq!(wrong_libraries("src/gpu/x.rs", "use wgpu::Buffer; my_tokenizers::f()"), [""; 0]);
}

#[test]
fn nothing_that_ships_panics_by_choice() {
    assert_eq!(violations("src", "rs", panics), "");
    for line in ["x.unwrap()", "x.expect(\"never\")", "todo!()"] {
        assert_eq!(panics("src/x.rs", line).len(), 1, "{line}");
    }
    assert_eq!(
        panics("src/x.rs", "memory.expect(\"the output\", 1, 2)?;\n#[cfg(test)]\nx.unwrap()"),
        [""; 0]
    );
}

#[test]
fn every_file_says_what_it_is_for() {
    assert_eq!(violations("src", "rs", without_purpose), "");
    assert_eq!(violations("tests", "rs", without_purpose), "");
    assert_eq!(without_purpose("src/x.rs", "use std::fmt;").len(), 1);
}

#[test]
fn every_shader_has_its_host_and_its_twin() {
    let exists = |path: &str| root().join(path).is_file();
    let shaders = files("shaders", "wgsl");
    // `shared/` holds what several shaders are put together from.
    let kernels = shaders.iter().filter(|(path, _)| Path::new(path).parent() == Some(Path::new("shaders")));
    let lacking: Vec<String> =
        kernels.flat_map(|(path, text)| incomplete_shader(path, text, exists)).collect();
    assert_eq!(lacking.join("\n"), "");
    // And each file that a host builds in is a shader that was just checked.
    let in_host = |text: &str| -> usize {
        let lists = text.split("source: wgsl!(").skip(1).filter_map(|rest| rest.split(')').next());
        lists.map(|list| list.split(',').count()).sum()
    };
    let built_in: usize = files("src/kernels", "rs").iter().map(|(_, text)| in_host(text)).sum();
    assert!(built_in >= shaders.len(), "{} shaders, {built_in} of them built in", shaders.len());
    let good = "// add: y = a + b\n// Twin    src/reference/add.rs\nfn add() {}";
    assert_eq!(incomplete_shader("shaders/add.wgsl", good, |_| true), [""; 0]);
    assert_eq!(incomplete_shader("shaders/add.wgsl", good, |_| false).len(), 2);
    assert_eq!(incomplete_shader("shaders/sum.wgsl", good, |_| true).len(), 2);
}

/// The policy in the page's own `<meta>`, which holds on every host.
fn pages_policy() -> String {
    let html = std::fs::read_to_string(root().join("index.html")).expect("a page");
    let policy = html.split("content=\"").find(|text| text.starts_with("default-src")).expect("a policy");
    policy.split('"').next().expect("an end").to_owned()
}

#[test]
fn every_host_sends_the_pages_policy() {
    let own = pages_policy();
    // A worker is held to the policy of its own file, and the downloader is one.
    let hosts = "connect-src 'self' https: http://localhost:* http://127.0.0.1:*";
    let sent = own.replace("connect-src 'self'", hosts);
    assert!(own.contains("connect-src 'self';") && sent != own, "{own}");
    let framed = "; frame-ancestors 'none'";
    for (path, wanted) in [
        ("Trunk.toml", format!("\"{sent}\"")),
        ("static/hosting/_headers", format!("Content-Security-Policy: {sent}{framed}\n")),
        (
            "static/hosting/nginx.conf",
            format!("\"{}{framed}\"", own.replace("connect-src 'self'", "connect-src 'self'$cliplet_hosts")),
        ),
        ("static/hosting/nginx.conf", format!("\"{}\"", hosts.trim_start_matches("connect-src 'self'"))),
    ] {
        let text = std::fs::read_to_string(root().join(path)).expect(path);
        assert!(text.contains(&wanted), "{path} does not send {wanted}");
    }
}
