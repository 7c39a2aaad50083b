//! Makes a machine able to build, serve and test Cliplet, and installs nothing that is already there.
//!
//! The ordinary ways come first: tools on PATH, `rustup target add`. Where rustup's servers cannot be reached but
//! Debian's packages can, Debian's compiler builds the page and its source package yields the standard library.
//!
//! Invariant: running it again does nothing and takes no more than a second or two.
//! Invariant: outside the cache folder it only ever calls rustup, to add the wasm target, rustfmt and clippy to the
//! toolchain in use, and the system's package manager, the latter only as root; anyone else is told the command.
//! Invariant: nothing half-made stays: what is built for the cache gets its name when it is whole.

use crate::process::{Result, command, on_path, output, repository, run, run_within};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const WASM: &str = "wasm32-unknown-unknown";
const CARGO_FUZZ_VERSION: &str = "0.13.2";
/// Trunk's releases after this one need a compiler newer than `rust-version` in Cargo.toml.
const TRUNK_VERSION: &str = "0.21.14";
/// As in Trunk.toml, which downloads it by itself where it can.
const BINARYEN_VERSION: &str = "132";
const AXE_VERSION: &str = "4.14.1";
const GECKODRIVER_VERSION: &str = "0.37.1";
/// Oldest compiler that builds the page, as in Cargo.toml.
const MIN_RUST_MINOR: u32 = 95;

/// Debian's own toolchain stands here; one from rustup is found on PATH.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";

/// What builds the page: the environment in which `trunk` and `cargo` find a compiler with the wasm32 target.
pub struct WebTools {
    /// Folders that go before the user's PATH.
    folders: Vec<PathBuf>,
    /// Set where the active toolchain can't have the target: the folder that holds its standard library.
    debian_sysroot: Option<PathBuf>,
}

/// What the browser tests need besides the page.
pub struct BrowserTools {
    pub chromium: PathBuf,
    pub chromedriver: PathBuf,
    pub axe: PathBuf,
    /// `None` where WebKitGTK is not to be had.
    others: Option<OtherBrowsers>,
}

/// Firefox, and WebKitGTK on a screen that nobody sees; each with its driver.
struct OtherBrowsers {
    firefox: PathBuf,
    geckodriver: PathBuf,
    webkitdriver: PathBuf,
    xvfb: PathBuf,
}

impl BrowserTools {
    /// The variables by which the tests find everything.
    pub fn variables(&self) -> Vec<(&'static str, &Path)> {
        let mut variables: Vec<(&'static str, &Path)> = vec![
            ("CHROMIUM", &self.chromium),
            ("CHROMEDRIVER", &self.chromedriver),
            ("CLIPLET_AXE", &self.axe),
        ];
        if let Some(OtherBrowsers { firefox, geckodriver, webkitdriver, xvfb }) = &self.others {
            variables.extend([("FIREFOX", &**firefox), ("GECKODRIVER", geckodriver)]);
            variables.extend([("WEBKITDRIVER", &**webkitdriver), ("XVFB", xvfb)]);
        }
        variables
    }

    /// The tests that cannot run here, as arguments of the test binary.
    pub fn left_out(&self) -> &'static [&'static str] {
        if self.others.is_some() { &[] } else { &["--skip", "browsers::"] }
    }
}

pub fn everything() -> Result<(WebTools, BrowserTools)> {
    native()?;
    let web = web()?;
    if web.debian_sysroot.is_some() && !Path::new("/usr/bin/cargo-clippy").exists() {
        packages(&[("lints the page's code", "rust-web-clippy")])?;
    }
    Ok((web, browser()?))
}

/// What native tests need besides Rust: an adapter, if only one in software.
fn native() -> Result<()> {
    let has = |tool: &str| output(command("cargo").args([tool, "--version"])).is_some();
    if !has("fmt") || !has("clippy") {
        if on_path(&["rustup"]).is_none() {
            return Err("format and lints are checked with rustfmt and clippy; on Debian:\n    \
                        sudo apt-get install rust-web-clippy rustfmt-web"
                .to_owned());
        }
        say("rustfmt and clippy check format and lints");
        run_within(
            command("rustup").args(["component", "add", "rustfmt", "clippy"]),
            Duration::from_secs(300),
        )?;
    }
    if cfg!(target_os = "linux") {
        let has_driver =
            ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d", "/run/opengl-driver/share/vulkan/icd.d"]
                .iter()
                .any(|folder| std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()));
        if !has_driver {
            packages(&[
                ("loads Vulkan drivers for the native tests of the kernels", "libvulkan1"),
                ("runs Vulkan on the CPU, so that no GPU is needed", "mesa-vulkan-drivers"),
            ])?;
        }
    }
    Ok(())
}

/// The compiler, trunk and wasm-bindgen.
pub fn web() -> Result<WebTools> {
    let mut folders =
        vec![cache()?.join("tools/bin"), npm_folder("binaryen", &binaryen_release())?.join(".bin")];
    let debian_sysroot = if has_wasm(&mut command("rustc")) { None } else { wasm_target()? };
    if debian_sysroot.is_some() {
        // Trunk takes the first `cargo` on PATH: this folder holds Debian's alone.
        let folder = cache()?.join("debian-cargo");
        link(Path::new(DEBIAN_CARGO), &folder.join("cargo"))?;
        folders.insert(0, folder);
    }
    let bindgen_version = locked_version("wasm-bindgen")?;
    tool("wasm-bindgen", "wasm-bindgen-cli", &bindgen_version, "writes the JavaScript around the wasm", &[])?;
    tool("trunk", "trunk", TRUNK_VERSION, "bundles and serves the page", &["--locked"])?;
    Ok(WebTools { folders, debian_sysroot })
}

impl WebTools {
    /// Variables over the user's own environment, PATH among them.
    pub fn variables(&self) -> Result<Vec<(&'static str, OsString)>> {
        let user_path = std::env::var_os("PATH").unwrap_or_default();
        let folders = self.folders.iter().cloned().chain(std::env::split_paths(&user_path));
        let path = std::env::join_paths(folders).map_err(|error| format!("PATH: {error}"))?;
        // Everything is installed by now: trunk has nothing to look up.
        let mut variables = vec![("PATH", path), ("TRUNK_SKIP_VERSION_CHECK", "true".into())];
        // Where the libraries' sources lie is nobody's business, and their paths are long.
        let mut flags = OsString::from("--remap-path-prefix=");
        flags.push(cargo_home()?.join("registry/src"));
        flags.push("=");
        if let Some(sysroot) = &self.debian_sysroot {
            flags.push(" --sysroot=");
            flags.push(sysroot);
            variables.push(("RUSTC", DEBIAN_RUSTC.into()));
        }
        variables.push(("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", flags));
        Ok(variables)
    }

    /// `program` where it finds these tools.
    pub fn command(&self, program: &str) -> Result<Command> {
        let variables = self.variables()?;
        // Looked up here, since a child's PATH doesn't count when the child itself is looked up on every system.
        let file = self.folders.iter().map(|folder| folder.join(program)).find(|file| file.is_file());
        let mut command = file.map_or_else(|| command(program), command);
        command.envs(variables);
        if self.debian_sysroot.is_some() {
            // It would replace the flags above.
            command.env_remove("RUSTFLAGS");
        }
        Ok(command)
    }

    /// `cargo clippy` by the toolchain that builds the page, or why there is none.
    pub fn clippy(&self) -> Result<Command> {
        if self.debian_sysroot.is_none() {
            let mut clippy = self.command("cargo")?;
            clippy.arg("clippy");
            return Ok(clippy);
        }
        // By its path: `cargo clippy` would take rustup's, which can't read what Debian's compiler wrote.
        let mut clippy = self.command("/usr/bin/cargo-clippy")?;
        clippy.env("CARGO", DEBIAN_CARGO).arg("clippy");
        Ok(clippy)
    }
}

/// A browser with WebGPU in software, its driver, and the accessibility checker that is injected into the page.
pub fn browser() -> Result<BrowserTools> {
    let find = || (chromium(), from_env("CHROMEDRIVER").or_else(|| on_path(&["chromedriver"])));
    let (mut chromium, mut chromedriver) = find();
    if chromium.is_none() || chromedriver.is_none() {
        if cfg!(target_os = "macos") {
            return Err("the browser tests need Chrome and its driver:\n    \
                        brew install --cask google-chrome chromedriver"
                .to_owned());
        }
        packages(&[
            ("the browser of the browser tests", "chromium"),
            ("drives it", "chromium-driver"),
            ("letters for the screenshots", "fonts-dejavu-core"),
        ])?;
        (chromium, chromedriver) = find();
    }
    let (Some(chromium), Some(chromedriver)) = (chromium, chromedriver) else {
        return Err("chromium and chromedriver are not on PATH; name them in the variables CHROMIUM and \
                    CHROMEDRIVER"
            .to_owned());
    };
    Ok(BrowserTools { chromium, chromedriver, axe: axe()?, others: other_browsers()? })
}

fn other_browsers() -> Result<Option<OtherBrowsers>> {
    if cfg!(target_os = "macos") {
        say("WebKitGTK is not to be had here: the page is tried in Chrome alone");
        return Ok(None);
    }
    let find = || {
        Some((
            from_env("FIREFOX").or_else(|| on_path(&["firefox-esr", "firefox"]))?,
            from_env("WEBKITDRIVER").or_else(|| on_path(&["WebKitWebDriver"]))?,
            from_env("XVFB").or_else(|| on_path(&["Xvfb"]))?,
        ))
    };
    if find().is_none() {
        packages(&[
            ("a second browser for the browser tests", "firefox-esr"),
            ("a third, with Safari's engine, and what drives it", "webkit2gtk-driver"),
            ("the screen that it wants", "xvfb"),
        ])?;
    }
    let (firefox, webkitdriver, xvfb) = find().ok_or(
        "firefox, WebKitWebDriver and Xvfb are not on PATH; name them in the variables FIREFOX, WEBKITDRIVER and XVFB",
    )?;
    let on_machine = from_env("GECKODRIVER").or_else(|| on_path(&["geckodriver"]));
    let geckodriver = match on_machine {
        Some(geckodriver) => geckodriver,
        None => {
            tool("geckodriver", "geckodriver", GECKODRIVER_VERSION, "drives Firefox", &["--locked"])?;
            cache()?.join("tools/bin/geckodriver")
        }
    };
    Ok(Some(OtherBrowsers { firefox, geckodriver, webkitdriver, xvfb }))
}

fn chromium() -> Option<PathBuf> {
    let for_mac = PathBuf::from("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome");
    from_env("CHROMIUM")
        .or_else(|| on_path(&["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]))
        .or_else(|| for_mac.is_file().then_some(for_mac))
}

fn from_env(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_file())
}

fn axe() -> Result<PathBuf> {
    let script = npm_folder("axe-core", AXE_VERSION)?.join("axe-core/axe.min.js");
    if !script.is_file() {
        npm("axe-core", AXE_VERSION, "the browser tests check the page's accessibility with it")?;
    }
    Ok(script)
}

/// `wasm-opt`, which makes the page's release build 6 % smaller. Debian's is too old.
pub fn optimizer() -> Result<()> {
    let wanted = format!("version {BINARYEN_VERSION}");
    let is_ours = npm_folder("binaryen", &binaryen_release())?.join(".bin/wasm-opt").is_file();
    if is_ours || output(command("wasm-opt").arg("--version")).is_some_and(|found| found.contains(&wanted)) {
        return Ok(());
    }
    npm("binaryen", &binaryen_release(), "its wasm-opt makes the page's program smaller")
}

fn binaryen_release() -> String {
    format!("{BINARYEN_VERSION}.0.0")
}

/// Where a package of npm's and what it needs lie.
fn npm_folder(package: &str, version: &str) -> Result<PathBuf> {
    Ok(cache()?.join(format!("{package}-{version}/node_modules")))
}

fn npm(package: &str, version: &str, why: &str) -> Result<()> {
    if on_path(&["npm"]).is_none() {
        packages(&[(why, "npm")])?;
    }
    say(&format!("{package}: {why}"));
    let folder = cache()?.join(format!("{package}-{version}"));
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    run(command("npm")
        .args(["install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"])
        .arg("--prefix")
        .arg(&folder)
        .arg(format!("{package}@{version}")))
}

/// `cargo-fuzz`, and the C++ compiler that its libFuzzer is built with.
pub fn fuzzer() -> Result<PathBuf> {
    if on_path(&["c++", "g++", "clang++"]).is_none() {
        packages(&[("compiles libFuzzer", "g++")])?;
    }
    tool("cargo-fuzz", "cargo-fuzz", CARGO_FUZZ_VERSION, "runs the fuzz targets", &["--locked"])?;
    let in_cache = cache()?.join("tools/bin/cargo-fuzz");
    Ok(if in_cache.is_file() { in_cache } else { PathBuf::from("cargo-fuzz") })
}

/// A host's program, for the page behind it.
pub fn nginx() -> Result<()> {
    if on_path(&["nginx"]).is_some() {
        return Ok(());
    }
    packages(&[("serves the page as a host does", "nginx-light")])
}

/// Pillow's source, whose own test pictures are the awkward ones of twenty years.
const PILLOW: &str = "Pillow-9.4.0";
const PILLOW_SHA256: &str = "a1c2d7780448eb93fbcc3789bf3916aa5720d942e37945f4056680317f1cd23e";

/// Where Pillow's pictures lie once they are fetched.
pub fn pillow_folder() -> Result<PathBuf> {
    Ok(cache()?.join("pillow-9.4.0/Tests/images"))
}

/// Fetches Pillow's test pictures (50 MB, once), which are not shipped.
pub fn pillow() -> Result<()> {
    let folder = pillow_folder()?;
    if folder.is_dir() {
        return Ok(());
    }
    for (program, package) in [("pip", "python3-pip"), ("sha256sum", "coreutils"), ("tar", "tar")] {
        if on_path(&[program]).is_none() {
            packages(&[("fetches, checks and unpacks Pillow's test pictures", package)])?;
        }
    }
    say(&format!("{PILLOW}: decoders are compared on its test pictures"));
    let unpacked = cache()?.join("pillow-unpacked");
    let _ = std::fs::remove_dir_all(&unpacked);
    create(&unpacked)?;
    let archive = unpacked.join(format!("{PILLOW}.tar.gz"));
    let wanted = PILLOW.replace('-', "==");
    let mut pip = command("pip");
    pip.args(["download", "--quiet", "--no-deps", "--no-binary", ":all:", "--dest"])
        .arg(&unpacked)
        .arg(wanted);
    if let Err(error) = run_within(&mut pip, Duration::from_secs(600)) {
        return Err(format!("{error}\nPut the Tests/images of {PILLOW}'s source at {}", folder.display()));
    }
    let hash = output(command("sha256sum").arg(&archive)).unwrap_or_default();
    if !hash.starts_with(PILLOW_SHA256) {
        return Err(format!("{PILLOW} is not what was released: its SHA-256 is {hash}, not {PILLOW_SHA256}"));
    }
    run(command("tar")
        .args(["--extract", "--strip-components=1", "--file"])
        .arg(&archive)
        .arg("--directory")
        .arg(&unpacked)
        .arg(format!("{PILLOW}/Tests/images")))?;
    std::fs::remove_file(&archive).map_err(|error| format!("{}: {error}", archive.display()))?;
    let place = cache()?.join("pillow-9.4.0");
    std::fs::rename(&unpacked, &place).map_err(|error| format!("{}: {error}", place.display()))
}

/// The wasm32 target by rustup, or else by Debian's packages: then the folder of its standard library.
fn wasm_target() -> Result<Option<PathBuf>> {
    if let Some(sysroot) = debian_sysroot()?.filter(|sysroot| sysroot.is_dir()) {
        return Ok(Some(sysroot));
    }
    if on_path(&["rustup"]).is_some() {
        say("the page is wasm: rustup adds that target to your toolchain");
        let added = run_within(
            command("rustup").args(["target", "add", WASM]).env("RUST_BACKTRACE", "0"),
            Duration::from_secs(300),
        );
        match added {
            Ok(()) if has_wasm(&mut command("rustc")) => return Ok(None),
            Ok(()) => eprintln!("  rustup added it, but to another toolchain than the rustc on PATH"),
            Err(error) => eprintln!("  {error}"),
        }
    }
    if on_path(&["apt-get"]).is_none() {
        return Err(format!(
            "the compiler has no {WASM} target, which the page needs:\n    rustup target add {WASM}"
        ));
    }
    say("rustup can't: Debian's compiler and standard library build the page instead");
    debian_packages()?;
    debian_std().map(Some)
}

fn has_wasm(rustc: &mut Command) -> bool {
    output(rustc.args(["--print", "target-libdir", "--target", WASM]))
        .is_some_and(|folder| has_core(Path::new(&folder)))
}

fn has_core(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|entries| {
        entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"))
    })
}

fn debian_packages() -> Result<()> {
    let is_missing = |file: &str| !Path::new(file).exists();
    if is_missing(DEBIAN_RUSTC) || is_missing(DEBIAN_CARGO) || is_missing("/usr/lib/rustlib/src/rust/library")
    {
        packages(&[
            ("a compiler with the wasm32 target", "rustc-web"),
            ("builds with it", "cargo-web"),
            ("the standard library's source", "rust-web-src"),
        ])?;
    }
    let version = debian_version("release: ").unwrap_or_default();
    let minor: u32 = version.split('.').nth(1).and_then(|minor| minor.parse().ok()).unwrap_or(0);
    if minor < MIN_RUST_MINOR {
        return Err(format!(
            "{DEBIAN_RUSTC} is {version:?}, the page needs 1.{MIN_RUST_MINOR}; install Rust by rustup, \
                            then:\n    rustup target add {WASM}"
        ));
    }
    // The linker must be of the compiler's own LLVM.
    let lld = lld()?;
    if is_missing(&format!("/usr/bin/{lld}")) {
        packages(&[("links wasm", &lld)])?;
    }
    Ok(())
}

/// `lld-22` for a compiler built on LLVM 22.1.8.
fn lld() -> Result<String> {
    let llvm = debian_version("LLVM version: ").ok_or(format!("{DEBIAN_RUSTC} -vV names no LLVM version"))?;
    Ok(format!("lld-{}", llvm.split('.').next().unwrap_or_default()))
}

fn debian_version(key: &str) -> Option<String> {
    let text = output(command(DEBIAN_RUSTC).arg("-vV"))?;
    text.lines().find_map(|line| line.strip_prefix(key)).map(str::to_owned)
}

/// Where Debian's compiler of this very version finds its wasm32 standard library once it is built.
fn debian_sysroot() -> Result<Option<PathBuf>> {
    let Some(release) = debian_version("release: ") else { return Ok(None) };
    let commit = debian_version("commit-hash: ").unwrap_or_default();
    Ok(Some(cache()?.join(format!("sysroot-{release}-{}", commit.get(..8).unwrap_or("debian")))))
}

/// Builds the standard library for wasm32 from Debian's source package into a sysroot of its own, so that nothing
/// under /usr is touched: an empty crate with `-Z build-std`, whose libraries are then moved to their place.
fn debian_std() -> Result<PathBuf> {
    let sysroot = debian_sysroot()?.ok_or(format!("{DEBIAN_RUSTC} -vV names no version"))?;
    if sysroot.is_dir() {
        return Ok(sysroot);
    }
    say("the standard library is built for wasm32 (about a minute, once for each compiler version)");
    let build = cache()?.join("std-build");
    let _ = std::fs::remove_dir_all(&build);
    write(
        &build.join("Cargo.toml"),
        "[package]\nname = \"std-only\"\nedition = \"2021\"\n[lib]\npath = \"lib.rs\"\n[workspace]\n",
    )?;
    write(&build.join("lib.rs"), "")?;
    run(command(DEBIAN_CARGO)
        .current_dir(&build)
        .args(["build", "--release", "--target", WASM])
        .args(["-Z", "build-std=std,panic_abort,panic_unwind,proc_macro,test"])
        .env("RUSTC_BOOTSTRAP", "1") // allows -Z here, in this crate only
        .env("RUSTC", DEBIAN_RUSTC)
        .env("RUSTFLAGS", "-Cembed-bitcode=yes") // without it no build with LTO can use these libraries
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("CARGO_BUILD_TARGET"))?;

    let unfinished = build.join("sysroot");
    let libraries = unfinished.join("lib/rustlib").join(WASM).join("lib");
    create(&libraries)?;
    let built = build.join("target").join(WASM).join("release/deps");
    for entry in std::fs::read_dir(&built).map_err(|error| format!("{}: {error}", built.display()))?.flatten()
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".rlib") && !name.starts_with("libstd_only") {
            std::fs::copy(entry.path(), libraries.join(&name)).map_err(|error| format!("{name}: {error}"))?;
        }
    }
    let host = debian_version("host: ").unwrap_or_default();
    link(
        &Path::new("/usr/bin").join(lld()?),
        &unfinished.join("lib/rustlib").join(host).join("bin/rust-lld"),
    )?;
    if !has_core(&libraries) {
        return Err(format!("no core library came out of the build in {}", build.display()));
    }
    std::fs::rename(&unfinished, &sysroot).map_err(|error| format!("{}: {error}", sysroot.display()))?;
    let _ = std::fs::remove_dir_all(&build);
    Ok(sysroot)
}

/// A cargo-installed tool: the one on PATH if its version is right, else one in the cache.
fn tool(program: &str, package: &str, version: &str, why: &str, options: &[&str]) -> Result<()> {
    let root = cache()?.join("tools");
    let is_right = |program: &mut Command| {
        output(program.arg("--version")).is_some_and(|text| text.split_whitespace().nth(1) == Some(version))
    };
    if is_right(&mut command(root.join("bin").join(program))) || is_right(&mut command(program)) {
        return Ok(());
    }
    say(&format!("{program} {version} {why}; it is compiled once (a few minutes)"));
    run(command("cargo")
        .args(["install", "--force", "--root"])
        .arg(&root)
        .args([package, "--version", version])
        .args(options)
        .current_dir(cache()?) // away from this repository's own cargo settings
        .env("CARGO_TARGET_DIR", cache()?.join("tools-build"))
        // A tool that runs for a second needn't be fast: this makes it in a third of the time.
        .envs(
            [("OPT_LEVEL", "0"), ("LTO", "off"), ("CODEGEN_UNITS", "16"), ("DEBUG", "0")]
                .map(|(name, value)| (format!("CARGO_PROFILE_RELEASE_{name}"), value)),
        ))?;
    let _ = std::fs::remove_dir_all(cache()?.join("tools-build"));
    Ok(())
}

/// A dependency's version in Cargo.lock.
fn locked_version(package: &str) -> Result<String> {
    let lock = std::fs::read_to_string(repository().join("Cargo.lock"))
        .map_err(|error| format!("Cargo.lock: {error}"))?;
    version_in(&lock, package)
        .ok_or(format!("Cargo.lock names no {package}; restore it: git checkout Cargo.lock"))
}

fn version_in(lock: &str, package: &str) -> Option<String> {
    let mut lines = lock.lines().skip_while(|line| *line != format!("name = \"{package}\""));
    let version = lines.nth(1)?.strip_prefix("version = \"")?;
    Some(version.trim_end_matches('"').to_owned())
}

/// Installs Debian packages (reason, name), or says how.
fn packages(wanted: &[(&str, &str)]) -> Result<()> {
    let names: Vec<&str> = wanted.iter().map(|(_, name)| *name).collect();
    for (why, name) in wanted {
        say(&format!("package {name}: {why}"));
    }
    let install = format!("apt-get install --yes --no-install-recommends --no-remove {}", names.join(" "));
    if on_path(&["apt-get"]).is_none() {
        return Err(format!(
            "missing here (by their names in Debian): {}. Install them with your package manager, \
                            then run this again.",
            names.join(" ")
        ));
    }
    if output(command("id").arg("-u")).as_deref() != Some("0") {
        return Err(format!(
            "these packages are missing, and only root may install them:\n    sudo apt-get update && \
                            sudo {install}"
        ));
    }
    let apt = |args: &[&str]| {
        run(command("apt-get")
            .args(args)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(std::process::Stdio::null()))
    };
    apt(&["update", "--quiet"])?;
    let args: Vec<&str> = install.split(' ').skip(1).chain(["--quiet"]).collect();
    apt(&args)
}

/// The one folder for everything that set-up makes.
/// Where cargo keeps what it downloads.
fn cargo_home() -> Result<PathBuf> {
    let folder = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let folder = folder.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    folder.ok_or_else(|| "cargo's folder is not known: set CARGO_HOME".to_owned())
}

fn cache() -> Result<PathBuf> {
    let folder = std::env::var_os("CLIPLET_CACHE").map(PathBuf::from);
    let folder = folder.or_else(|| Some(PathBuf::from(std::env::var_os("XDG_CACHE_HOME")?).join("cliplet")));
    let folder = folder.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/cliplet")));
    let folder = folder.ok_or("no place for tools: set CLIPLET_CACHE to a folder")?;
    create(&folder)?;
    std::path::absolute(&folder).map_err(|error| format!("{}: {error}", folder.display()))
}

fn create(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))
}

fn write(file: &Path, text: &str) -> Result<()> {
    create(file.parent().unwrap_or(Path::new(".")))?;
    std::fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
}

/// A symbolic link, made anew if it is there.
fn link(target: &Path, place: &Path) -> Result<()> {
    create(place.parent().unwrap_or(Path::new(".")))?;
    let _ = std::fs::remove_file(place);
    #[cfg(unix)]
    return std::os::unix::fs::symlink(target, place)
        .map_err(|error| format!("{}: {error}", place.display()));
    #[cfg(not(unix))]
    return Err(format!(
        "{} should link to {}, on a system without apt-get",
        place.display(),
        target.display()
    ));
}

fn say(text: &str) {
    eprintln!("set-up: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_the_lock_file_of_exactly_that_package() {
        let lock = "[[package]]\nname = \"wasm-bindgen-futures\"\nversion = \"0.4.9\"\n\n[[package]]\nname = \
                    \"wasm-bindgen\"\nversion = \"0.2.130\"\n";
        assert_eq!(version_in(lock, "wasm-bindgen").as_deref(), Some("0.2.130"));
        assert_eq!(version_in(lock, "trunk"), None);
    }
}
