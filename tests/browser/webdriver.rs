//! A WebDriver client: just enough of the protocol to drive Chromium, Firefox and WebKitGTK, each through its own driver.
//!
//! Why not a crate: WebDriver is JSON over HTTP on this machine; the crates for it bring an asynchronous runtime and an
//! HTTP stack (a hundred packages) to tests that do one thing after another.
//!
//! Invariant: a browser and its driver end with the value that owns them, also when a test panics.
//! Invariant: anything unexpected panics with what the driver said; only tests use this.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long anything may take, on a slow machine with everything in software.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// WebGPU on the CPU (SwiftShader), a fake camera that needs no permission, and no traffic of the browser's own.
const FLAGS: [&str; 20] = [
    "--headless",
    // A desktop's window: less wide than 900 pixels the page is a telephone's.
    "--window-size=1440,900",
    "--no-sandbox",
    "--enable-unsafe-webgpu",
    "--enable-features=Vulkan,WebGPU",
    "--use-webgpu-adapter=swiftshader",
    "--ignore-gpu-blocklist",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-sync",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-pings",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
];

/// What Firefox is told: a fake camera that needs no permission, and no traffic of its own.
const PREFERENCES: [(&str, bool); 7] = [
    ("media.navigator.streams.fake", true),
    ("media.navigator.permission.disabled", true),
    ("network.captive-portal-service.enabled", false),
    ("network.connectivity-service.enabled", false),
    ("browser.safebrowsing.downloads.remote.enabled", false),
    ("extensions.systemAddon.update.enabled", false),
    ("media.gmp-manager.updateEnabled", false),
];

/// Which browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Chromium,
    Firefox,
    /// WebKitGTK's MiniBrowser, on a screen that nobody sees. Its engine is Safari's, its pictures and its camera are not.
    WebKit,
}

/// A browser with one window and an empty profile.
pub struct Browser {
    kind: Kind,
    driver: Child,
    /// The screen that nobody sees.
    screen: Option<Child>,
    port: u16,
    session: String,
    /// What driver and browser keep for the time being: they leave hundreds of megabytes behind.
    folder: PathBuf,
    /// WebKitGTK's is held until the browser has ended.
    _turn: Option<MutexGuard<'static, ()>>,
}

/// Two of WebKitGTK's driven browsers at once stop answering now and then, so that they take turns.
static WEBKITS_TURN: Mutex<()> = Mutex::new(());

/// An element of the page, by the driver's reference.
#[derive(Clone, Debug)]
pub struct Element(String);

const ELEMENT_KEY: &str = "element-6066-11e4-a52e-4f735466cecf";

impl Browser {
    pub fn start() -> Browser {
        Browser::with_flags(&[])
    }

    pub fn with_flags(more: &[String]) -> Browser {
        begun(|| Browser::chromium(more))
    }

    fn chromium(more: &[String]) -> (Browser, Value) {
        let folder = own_folder();
        let mut driver = Command::new(program("CHROMEDRIVER", &["chromedriver"]));
        let (driver, port) = started(driver.env("TMPDIR", &folder).arg("--port=0"), |line| {
            line.split_once("started successfully on port ")?.1.trim_end_matches('.').parse().ok()
        });
        let chromium =
            program("CHROMIUM", &["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]);
        let args: Vec<&str> = FLAGS.into_iter().chain(more.iter().map(String::as_str)).collect();
        let wishes = json!({
            "browserName": "chrome",
            "goog:chromeOptions": {"binary": chromium, "args": args},
            "goog:loggingPrefs": {"browser": "ALL"},
        });
        let (kind, session) = (Kind::Chromium, String::new());
        (Browser { kind, driver, screen: None, port, session, folder, _turn: None }, wishes)
    }

    /// Another browser than Chromium, whose requests for other hosts go to the proxy on this port.
    pub fn of_kind(kind: Kind, proxy_port: u16) -> Browser {
        let proxy = format!("127.0.0.1:{proxy_port}");
        let proxy =
            json!({"proxyType": "manual", "httpProxy": proxy, "sslProxy": proxy, "noProxy": ["127.0.0.1"]});
        match kind {
            Kind::Chromium => Browser::with_flags(&[format!("--proxy-server=http://127.0.0.1:{proxy_port}")]),
            Kind::Firefox => begun(|| {
                let folder = own_folder();
                let mut driver = Command::new(program("GECKODRIVER", &["geckodriver"]));
                let driver = driver.env("TMPDIR", &folder).args(["--port", "0"]);
                let (driver, port) =
                    started(driver, |line| line.split_once("Listening on 127.0.0.1:")?.1.trim().parse().ok());
                let preferences = PREFERENCES.map(|(name, value)| (name.to_owned(), json!(value)));
                let preferences = serde_json::Map::from_iter(preferences);
                let firefox = program("FIREFOX", &["firefox-esr", "firefox"]);
                let wishes = json!({
                    "browserName": "firefox",
                    "proxy": proxy,
                    "moz:firefoxOptions": {"binary": firefox, "args": ["-headless"], "prefs": preferences},
                });
                let session = String::new();
                (Browser { kind, driver, screen: None, port, session, folder, _turn: None }, wishes)
            }),
            Kind::WebKit => begun(|| {
                // A test that failed has ended its browser all the same.
                let turn = WEBKITS_TURN.lock().unwrap_or_else(PoisonError::into_inner);
                let mut screen = Command::new(program("XVFB", &["Xvfb"]));
                let size = ["-screen", "0", "1440x900x24", "-nolisten", "tcp", "-displayfd", "1"];
                let (screen, display): (_, u32) = started(screen.args(size), |line| line.trim().parse().ok());
                // The driver takes no port of its own choice.
                let port = std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|free| free.local_addr());
                let port = port.expect("a free port").port();
                let folder = own_folder();
                let mut driver = Command::new(program("WEBKITDRIVER", &["WebKitWebDriver"]));
                driver.env("TMPDIR", &folder);
                driver.arg(format!("--port={port}")).env("DISPLAY", format!(":{display}"));
                // No desktop to report to, and nothing to draw with but the processor.
                driver.env("NO_AT_BRIDGE", "1").env("LIBGL_ALWAYS_SOFTWARE", "1");
                let driver = driver.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
                let driver = driver.expect("WebKitWebDriver starts");
                let start = Instant::now();
                while TcpStream::connect(("127.0.0.1", port)).is_err() {
                    assert!(start.elapsed() < PATIENCE, "WebKitWebDriver does not listen on port {port}");
                    std::thread::sleep(Duration::from_millis(20));
                }
                let wishes = json!({
                    "proxy": proxy,
                    "webkitgtk:browserOptions": {"binary": mini_browser(), "args": ["--automation"]},
                });
                let (screen, session) = (Some(screen), String::new());
                (Browser { kind, driver, screen, port, session, folder, _turn: Some(turn) }, wishes)
            }),
        }
    }

    /// Where driver and browser keep things until they end.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn open(&self, url: &str) {
        self.post("/url", &json!({ "url": url }));
    }

    /// To where the tab was before, by the browser itself.
    pub fn back(&self) {
        self.post("/back", &json!({}));
    }

    pub fn reload(&self) {
        self.post("/refresh", &json!({}));
    }

    /// Runs a function body in the page; `arguments` are the values of `args`.
    pub fn run(&self, script: &str, args: Value) -> Value {
        self.post("/execute/sync", &json!({"script": script, "args": args}))
    }

    /// Runs the body of an async function in the page and waits for what it returns.
    pub fn run_async(&self, script: &str, args: Value) -> Value {
        let script = format!(
            "const done = arguments[arguments.length - 1];
             (async function () {{ {script} }}).apply(null, arguments).then(
                 (value) => done({{ value }}), (error) => done({{ error: String(error) + '\\n' + error.stack }}));"
        );
        let outcome = self.post("/execute/async", &json!({"script": script, "args": args}));
        assert!(outcome.get("error").is_none(), "the script failed: {}", outcome["error"]);
        outcome["value"].clone()
    }

    /// The elements that a CSS selector matches now.
    pub fn all(&self, selector: &str) -> Vec<Element> {
        let found = self.post("/elements", &json!({"using": "css selector", "value": selector}));
        let found = found.as_array().expect("a list of elements");
        found
            .iter()
            .map(|item| Element(item[ELEMENT_KEY].as_str().expect("a reference").to_owned()))
            .collect()
    }

    /// The first element that matches, waited for.
    pub fn find(&self, selector: &str) -> Element {
        self.wait_for(&format!("an element {selector}"), || self.all(selector).into_iter().next())
    }

    pub fn click(&self, element: &Element) {
        // What the last step changed is drawn, and the page scrolled to where that leaves it: else the press can land
        // beside an element that moves.
        self.run_async(
            "await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))",
            json!([]),
        );
        self.post(&format!("/element/{}/click", element.0), &json!({}));
    }

    /// Types into an element; a path typed into a file input chooses that file.
    pub fn type_into(&self, element: &Element, text: &str) {
        self.post(&format!("/element/{}/value", element.0), &json!({ "text": text }));
    }

    /// Presses and releases keys at wherever the focus is. Special keys have their WebDriver code points ([`key`]).
    pub fn press(&self, keys: &str) {
        let actions: Vec<Value> = keys
            .chars()
            .flat_map(|key| {
                [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})]
            })
            .collect();
        self.act(actions);
    }

    /// Key actions as WebDriver has them, for keys that are held together.
    pub fn act(&self, actions: Vec<Value>) {
        self.post("/actions", &json!({"actions": [{"type": "key", "id": "keyboard", "actions": actions}]}));
    }

    pub fn resize(&self, width: u32, height: u32) {
        if self.kind != Kind::Chromium {
            self.post("/window/rect", &json!({"width": width, "height": height}));
            return;
        }
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            json!({
                "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600,
            }),
        );
    }

    /// `light` or `dark`, as the operating system would ask for.
    pub fn prefer_color_scheme(&self, scheme: &str) {
        self.prefer(&[("prefers-color-scheme", scheme)]);
    }

    /// What the operating system would ask for, as CSS media features; what is not named is as at the start.
    pub fn prefer(&self, features: &[(&str, &str)]) {
        let features: Vec<Value> =
            features.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// A script that every page runs before its own.
    pub fn before_each_page(&self, script: &str) {
        self.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script }));
    }

    /// A command of the Chrome DevTools protocol.
    pub fn devtools(&self, command: &str, params: Value) -> Value {
        self.post("/goog/cdp/execute", &json!({"cmd": command, "params": params}))
    }

    /// The whole page as PNG, kept under target/screenshots for people to look at.
    pub fn keep_screenshot(&self, name: &str) -> PathBuf {
        let shot = match self.kind {
            Kind::Chromium => {
                let whole = json!({"format": "png", "captureBeyondViewport": true});
                self.devtools("Page.captureScreenshot", whole)["data"].take()
            }
            _ => self.call("GET", &format!("/session/{}/screenshot", self.session), &Value::Null),
        };
        self.keep(name, shot.as_str().expect("a picture"))
    }

    /// A PNG in base64, kept in the same place.
    pub fn keep(&self, name: &str, png: &str) -> PathBuf {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/screenshots");
        std::fs::create_dir_all(&folder).expect("a folder for screenshots");
        let file = folder.join(format!("{name}.png"));
        std::fs::write(&file, from_base64(png)).expect("a screenshot is kept");
        file
    }

    /// What the page's console said since the last call, as `LEVEL message`. The other drivers than Chromium's keep it to
    /// themselves.
    pub fn console(&self) -> Vec<String> {
        if self.kind != Kind::Chromium {
            return Vec::new();
        }
        let entries = self.post("/se/log", &json!({"type": "browser"}));
        let entries = entries.as_array().expect("a log").iter();
        entries
            .map(|entry| format!("{} {}", entry["level"].as_str().unwrap_or("?"), entry["message"]))
            .collect()
    }

    /// Asks again and again until there is an answer; panics after [`PATIENCE`] with the console's words.
    pub fn wait_for<T>(&self, what: &str, ask: impl FnMut() -> Option<T>) -> T {
        self.wait_within(PATIENCE, what, ask)
    }

    /// The same with another patience, for what takes long without being stuck.
    pub fn wait_within<T>(&self, patience: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            if start.elapsed() > patience {
                let shot = self.keep_screenshot(&format!("failure-{}", std::process::id()));
                panic!(
                    "waited {} s for {what}; screenshot {}; console: {:#?}; page: {}",
                    patience.as_secs(),
                    shot.display(),
                    self.console(),
                    self.run("return document.body.innerText", json!([])),
                );
            }
            // Between two questions to the page, not instead of one.
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until a JavaScript expression is true.
    pub fn wait_until(&self, expression: &str) {
        self.wait_for(expression, || {
            self.run(&format!("return !!({expression})"), json!([])).as_bool()?.then_some(())
        });
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        self.call("POST", &format!("/session/{}{path}", self.session), body)
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        self.called(method, path, body, 2 * PATIENCE).expect("the driver answers")
    }

    /// What the driver answers, or that it does not within the time.
    fn called(&self, method: &str, path: &str, body: &Value, patience: Duration) -> std::io::Result<Value> {
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(patience))?;
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n{body}",
            self.port
        )?;
        let mut reader = BufReader::new(stream);
        let (mut status, mut n_bytes) = (String::new(), 0);
        reader.read_line(&mut status)?;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                n_bytes = value.trim().parse().expect("a length");
            }
        }
        let mut answer = vec![0; n_bytes];
        reader.read_exact(&mut answer)?;
        let mut answer: Value = serde_json::from_slice(&answer).expect("the driver answers in JSON");
        let value = answer["value"].take();
        if !status.contains(" 200 ") {
            panic!("{method} {path} {body:.300}: {}: {}", value["error"], value["message"]);
        }
        Ok(value)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            // Ends the browser; a driver that is gone already has nothing left to end.
            let close = std::panic::AssertUnwindSafe(|| {
                self.call("DELETE", &format!("/session/{}", self.session), &Value::Null)
            });
            let _ = std::panic::catch_unwind(close);
        }
        if self.session.is_empty() {
            // A driver that began no session leaves the browser that it started.
            let driver = self.driver.id();
            let browsers = std::fs::read_to_string(format!("/proc/{driver}/task/{driver}/children"));
            let kill = format!("kill -KILL {}", browsers.unwrap_or_default());
            let _ = Command::new("sh").args(["-c", &kill]).stderr(Stdio::null()).status();
        }
        for child in std::iter::once(&mut self.driver).chain(&mut self.screen) {
            let _ = child.kill();
            let _ = child.wait();
        }
        // The browser may still be writing while it ends.
        for _ in 0..50 {
            if !self.folder.exists() || std::fs::remove_dir_all(&self.folder).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// A new folder for one browser. Its path is short, since sockets are made in it.
fn own_folder() -> PathBuf {
    static N_MADE: AtomicUsize = AtomicUsize::new(0);
    let n_made = N_MADE.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("cliplet-browser-{}-{n_made}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// Keys that are no letters, as WebDriver names them.
pub mod key {
    pub const TAB: &str = "\u{e004}";
    pub const ENTER: &str = "\u{e007}";
    pub const ESCAPE: &str = "\u{e00c}";
    pub const LEFT: &str = "\u{e012}";
    pub const RIGHT: &str = "\u{e014}";
    pub const BACKSPACE: &str = "\u{e003}";
}

/// Begins the session of a browser, made anew where its driver does not answer: WebKitGTK's waits for ever now and then for a
/// browser that has started beside much else.
fn begun(browser: impl Fn() -> (Browser, Value)) -> Browser {
    for _ in 0..3 {
        let (mut browser, mut wishes) = browser();
        wishes["timeouts"] = json!({"script": PATIENCE.as_millis() as u64});
        let wishes = json!({"capabilities": {"alwaysMatch": wishes}});
        match browser.called("POST", "/session", &wishes, PATIENCE / 2) {
            Ok(answer) => {
                browser.session = answer["sessionId"].as_str().expect("a session id").to_owned();
                return browser;
            }
            Err(error) => eprintln!("{:?}'s driver begins no session: {error}", browser.kind),
        }
    }
    panic!("three drivers began no session")
}

/// Starts a program, and reads its output until a line tells what is asked. Started again where it ends before that: a
/// driver looks for a free port and then takes it, and another may be faster.
fn started<T>(command: &mut Command, tell: impl Fn(&str) -> Option<T>) -> (Child, T) {
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    for _ in 0..3 {
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdout = child.stdout.take().expect("piped");
        let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
        if let Some(told) = lines.find_map(|line| tell(&line)) {
            // What it says later must not block it.
            std::thread::spawn(move || lines.for_each(drop));
            return (child, told);
        }
        let _ = child.wait();
    }
    panic!("{command:?} ended three times before it said where it is to be found");
}

/// WebKitGTK's own browser, which stands beside its library.
fn mini_browser() -> PathBuf {
    if let Some(path) = std::env::var_os("MINIBROWSER") {
        return PathBuf::from(path);
    }
    let libraries = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let libraries =
        libraries.map(|entry| entry.path()).chain([PathBuf::from("/usr/lib"), "/usr/libexec".into()]);
    let versions = ["webkitgtk-6.0", "webkit2gtk-4.1", "webkit2gtk-4.0"];
    libraries
        .flat_map(|library| versions.map(|version| library.join(version).join("MiniBrowser")))
        .find(|file| file.is_file())
        .expect("MiniBrowser beside WebKitGTK's library; set-up installs it: cargo xtask setup")
}

/// The program that a variable names, else the first of `names` on PATH.
fn program(variable: &str, names: &[&str]) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        return PathBuf::from(path);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    names
        .iter()
        .find_map(|name| {
            std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
        })
        .unwrap_or_else(|| panic!("none of {names:?} is on PATH; set-up installs it: cargo xtask setup"))
}

fn from_base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let sextets = text.bytes().filter_map(|byte| ALPHABET.iter().position(|letter| *letter == byte));
    let (mut bits, mut n_bits, mut bytes) = (0_u32, 0, Vec::new());
    for sextet in sextets {
        bits = bits << 6 | sextet as u32;
        n_bits += 6;
        if n_bits >= 8 {
            n_bits -= 8;
            bytes.push((bits >> n_bits) as u8);
        }
    }
    bytes
}
