//! What each command does, step by step.
//!
//! Invariant: a step that fails doesn't hide the ones behind it, unless they need what it makes; the table at the end
//! shows all of them.
//! Invariant: a test step in which no test ran has failed.

use crate::hosting;
use crate::own_model;
use crate::process::{Result, command, output, repository, run, run_tests};
use crate::setup::{self, BrowserTools, WebTools};
use crate::size;
use crate::widget;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// One set of features for lints and tests, so that the package's own code compiles once for all of them.
const ALL_NATIVE: [&str; 3] = ["--release", "--features", "browser-test,xtask,starter"];
const ALL_WEB: [&str; 7] =
    ["--profile", "web", "--target", "wasm32-unknown-unknown", "--no-default-features", "--features", "web"];

pub fn serve(args: &[String]) -> Result<()> {
    let (model, args) = own_model::wanted(args)?;
    let web = setup::web()?;
    let page = model.map(|model| model.page()).transpose()?;
    run(web.command("trunk")?.arg("serve").args(page).args(args))
}

pub fn build(args: &[String]) -> Result<()> {
    let (model, args) = own_model::wanted(args)?;
    let web = setup::web()?;
    let page = model.map(|model| model.page()).transpose()?;
    trunk_build(&web, page, &args)
}

/// A page with a small CLIP of its own, as anyone would build it, for the browser tests.
fn build_with_own_model() -> Result<()> {
    let dist = own_model::tests_page();
    let dist = dist.to_string_lossy();
    let model = own_model::tests_model()?;
    build(&["--model", &model.to_string_lossy(), "--dist", &dist].map(str::to_owned))
}

pub fn bench(args: &[String]) -> Result<()> {
    run(command("cargo").args(["run", "--release", "--bin", "cliplet", "--", "bench"]).args(args))
}

pub fn env() -> Result<()> {
    for (name, value) in setup::web()?.variables()? {
        println!("export {name}='{}'", value.to_string_lossy());
    }
    Ok(())
}

pub fn browser(args: &[String]) -> Result<()> {
    test_programs(&setup::web()?)?;
    if !own_model::tests_page().join("index.html").is_file() {
        build_with_own_model()?;
    }
    browser_tests(&setup::browser()?, args).map(drop)
}

/// Every check that fits a coffee break; with `--all` those after it that do not.
pub fn test(args: &[String]) -> Result<()> {
    let is_all = match args {
        [] => false,
        [all] if all == "--all" => true,
        _ => return Err("cargo xtask test takes `--all` and nothing else".to_owned()),
    };
    let start = Instant::now();
    let mut report = Report::default();
    let Some((web, browser)) = report.step("set-up", setup::everything) else {
        return report.close(start);
    };
    report.step("format", || run(cargo("fmt").arg("--check")));
    report.step("lints, native", || {
        run(cargo("clippy").args(ALL_NATIVE).arg("--all-targets").args(DENY_WARNINGS))
    });
    report.step("lints, web", || {
        run(web.clippy()?.args(ALL_WEB).args(["--lib", "--bins"]).args(DENY_WARNINGS))
    });
    report.tests("native tests", || {
        run_tests(cargo("test").args(ALL_NATIVE).args([
            "--no-fail-fast",
            "--lib",
            "--bins",
            "--test",
            "native",
            "--",
            "--skip",
            HEAVY,
        ]))
    });
    report.tests("golden tests", || run_tests(cargo("test").args(ALL_NATIVE).args(["--test", "golden"])));
    report.step("documentation tests", || run(cargo("test").args(ALL_NATIVE).arg("--doc")));
    let is_built = report.step("page, release build", || trunk_build(&web, None, &[])).is_some()
        & report.step("page of another model", build_with_own_model).is_some();
    if is_built {
        report.step("page's size", size::check);
        report.tests("browser tests", || {
            test_programs(&web)?;
            browser_tests(&browser, &["--skip", HEAVY])
        });
    } else {
        report.left_out("page's size", "no page");
        report.left_out("browser tests", "no page");
    }
    if is_all {
        report.step("Pillow's pictures", setup::pillow);
        report.step("nginx", setup::nginx);
        let is_packed = is_built && report.step("widget in other tools", widget::packages).is_some();
        report.tests("heavy, native", || {
            run_tests(
                cargo("test")
                    .args(ALL_NATIVE)
                    .args(["--test", "native", "--", HEAVY, "--nocapture"])
                    .env("CLIPLET_PILLOW", setup::pillow_folder()?),
            )
        });
        if is_built {
            let left_out: &[&str] = if is_packed { &[] } else { &["--skip", "of_other_tools"] };
            let args = [&[HEAVY, "--nocapture"], left_out].concat();
            report.tests("heavy, browser", || browser_tests(&browser, &args));
        } else {
            report.left_out("heavy, browser", "no page");
        }
        report.step("fuzzing", || fuzz(&["120".to_owned()]));
    }
    report.close(start)
}

/// Every fuzz target of tests/fuzz for its share of so many seconds (300). A target that finds something does not keep
/// the others from running.
pub fn fuzz(args: &[String]) -> Result<()> {
    let seconds = match args {
        [] => 300,
        [seconds] => seconds.parse().map_err(|_| format!("`{seconds}` is no number of seconds"))?,
        _ => return Err("cargo xtask fuzz takes one number: seconds in all".to_owned()),
    };
    let cargo_fuzz = setup::fuzzer()?;
    let folder = ["--fuzz-dir", "tests/fuzz"];
    let targets = output(command(&cargo_fuzz).arg("list").args(folder)).unwrap_or_default();
    let targets: Vec<&str> = targets.lines().collect();
    if targets.is_empty() {
        return Err("tests/fuzz lists no targets".to_owned());
    }
    let build = ["--target-dir", "target/fuzz"];
    run(cargo("run")
        .args(["--quiet", "--release", "--manifest-path", "tests/fuzz/Cargo.toml", "--example", "seeds"])
        .args(build)
        .args(["--", "tests/fuzz/corpus"]))?;
    let share = format!("-max_total_time={}", (seconds / targets.len() as u64).max(1));
    let fuzz = |target: &&str| {
        // Without a sanitizer: this is safe Rust, and any toolchain will do.
        let mut fuzz = command(&cargo_fuzz);
        fuzz.arg("run").args(folder).args(build).args(["--sanitizer", "none", target, "--"]);
        // The targets count time and memory themselves; these limits end what hangs.
        fuzz.args([&share, "-timeout=10", "-rss_limit_mb=1024", "-max_len=32768", "-print_final_stats=1"]);
        run(fuzz.arg("-dict=tests/fuzz/words.dict")).err()
    };
    let findings: Vec<String> = targets.iter().filter_map(fuzz).collect();
    if findings.is_empty() { Ok(()) } else { Err(findings.join("\n\n")) }
}

/// What the modules of tests are called that take too long, or too much from the network, for every run.
const HEAVY: &str = "heavy::";
const DENY_WARNINGS: [&str; 3] = ["--", "--deny", "warnings"];

fn cargo(subcommand: &str) -> Command {
    let mut cargo = command("cargo");
    // Without a desktop Mesa would complain once an adapter that it cannot ask one which GPU it prefers.
    cargo.arg(subcommand).env("NODEVICE_SELECT", "1");
    cargo
}

fn trunk_build(web: &WebTools, page: Option<PathBuf>, args: &[String]) -> Result<()> {
    setup::optimizer()?;
    // A page that stays from an earlier build must not pass for this one.
    let named = args.iter().position(|arg| arg == "--dist").and_then(|place| args.get(place + 1));
    let dist = repository().join(named.map_or("dist", String::as_str));
    if dist.exists() {
        std::fs::remove_dir_all(&dist).map_err(|error| format!("{}: {error}", dist.display()))?;
    }
    // The page first: Trunk would take what follows `--release` for its value.
    run(web.command("trunk")?.arg("build").args(page).arg("--release").args(args))?;
    hosting::finish(&dist)
}

/// The engine as an ES module, for other pages; with a `package.json`, so that bundlers take the folder as it is.
pub fn js(args: &[String]) -> Result<()> {
    let folder = args.first().map_or_else(|| repository().join("target/js"), PathBuf::from);
    js_module(&setup::web()?, "js", "cliplet", &folder)?;
    let package = format!(
        "{{\n  \"name\": \"cliplet\",\n  \"version\": \"{}\",\n  \"license\": \"MIT OR Apache-2.0\",\n  \
         \"type\": \"module\",\n  \"main\": \"cliplet.js\",\n  \"types\": \"cliplet.d.ts\",\n  \"sideEffects\": false\n}}\n",
        env!("CARGO_PKG_VERSION")
    );
    let path = folder.join("package.json");
    std::fs::write(&path, package).map_err(|error| format!("{}: {error}", path.display()))?;
    eprintln!("{} holds the module", folder.display());
    Ok(())
}

/// The element for other people's pages. Its engine is that of `dist/`, which is built where it is not there or not of today.
pub fn widget(args: &[String]) -> Result<()> {
    let folder = args.first().map_or_else(widget::tests_folder, PathBuf::from);
    let dist = repository().join("dist");
    if !widget::is_current(&dist) {
        build(&[])?;
    }
    widget::write(&dist, &folder)?;
    eprintln!("{} holds the widget: static/docs/embed.md tells how to use it", folder.display());
    Ok(())
}

/// One of the package's programs as an ES module `NAME.js` with its wasm and typed definitions.
fn js_module(web: &WebTools, program: &str, name: &str, folder: &Path) -> Result<()> {
    let built =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from);
    run(web.command("cargo")?.arg("build").args(ALL_WEB).args(["--bin", program]))?;
    run(web
        .command("wasm-bindgen")?
        .args(["--target", "web", "--out-name", name, "--out-dir"])
        .arg(folder)
        .arg(built.join(format!("wasm32-unknown-unknown/web/{program}.wasm"))))
}

/// What the browser tests load besides the page.
fn test_programs(web: &WebTools) -> Result<()> {
    js_module(web, "golden_web", "golden_web", &repository().join("target/golden-web"))?;
    js_module(web, "js", "cliplet", &repository().join("target/js"))?;
    // Of the last build, whichever it is.
    widget::write(&repository().join("dist"), &widget::tests_folder())
}

fn browser_tests(browser: &BrowserTools, args: &[impl AsRef<OsStr>]) -> Result<usize> {
    run_tests(
        cargo("test")
            .args(ALL_NATIVE)
            .args(["--test", "browser", "--"])
            .args(args)
            .args(browser.left_out())
            .envs(browser.variables())
            .env("CLIPLET_PILLOW", setup::pillow_folder()?),
    )
}

/// The steps so far: name, time, and what went wrong.
#[derive(Default)]
struct Report {
    rows: Vec<(&'static str, Duration, String)>,
    failures: Vec<String>,
    n_tests: usize,
}

impl Report {
    fn step<T>(&mut self, name: &'static str, step: impl FnOnce() -> Result<T>) -> Option<T> {
        eprintln!("\n── {name}");
        let start = Instant::now();
        match step() {
            Ok(value) => {
                self.rows.push((name, start.elapsed(), "ok".to_owned()));
                Some(value)
            }
            Err(message) => {
                eprintln!("xtask: {name}: {message}");
                self.rows.push((name, start.elapsed(), "FAILED".to_owned()));
                self.failures.push(format!("{name}: {message}"));
                None
            }
        }
    }

    fn tests(&mut self, name: &'static str, step: impl FnOnce() -> Result<usize>) {
        let n_passed = self.step(name, || match step()? {
            0 => Err("no test ran".to_owned()),
            n_passed => Ok(n_passed),
        });
        if let (Some(n_passed), Some(row)) = (n_passed, self.rows.last_mut()) {
            row.2 = format!("ok, {n_passed} tests");
            self.n_tests += n_passed;
        }
    }

    fn left_out(&mut self, name: &'static str, why: &str) {
        self.rows.push((name, Duration::ZERO, format!("left out: {why}")));
    }

    fn close(self, start: Instant) -> Result<()> {
        println!("\n{:<22} {:>8}  outcome", "step", "seconds");
        for (name, time, outcome) in &self.rows {
            println!("{name:<22} {:>8.1}  {outcome}", time.as_secs_f64());
        }
        println!("{:<22} {:>8.1}  {} tests passed", "in all", start.elapsed().as_secs_f64(), self.n_tests);
        if self.failures.is_empty() { Ok(()) } else { Err(self.failures.join("\n\n")) }
    }
}
