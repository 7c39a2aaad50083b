//! A WebDriver client: just enough of the protocol to drive Chromium through chromedriver.
//!
//! Why not a crate: WebDriver is JSON over HTTP on this machine; the crates for it bring an asynchronous runtime and an
//! HTTP stack (a hundred packages) to tests that do one thing after another.
//!
//! Invariant: a browser and its driver end with the value that owns them, also when a test panics.
//! Invariant: anything unexpected panics with what the driver said; only tests use this.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take, on a slow machine with everything in software.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// WebGPU on the CPU (SwiftShader), a fake camera that needs no permission, and no traffic of the browser's own.
const FLAGS: [&str; 19] = [
    "--headless",
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

/// A browser with one window and an empty profile.
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
}

/// An element of the page, by the driver's reference.
#[derive(Clone, Debug)]
pub struct Element(String);

const ELEMENT_KEY: &str = "element-6066-11e4-a52e-4f735466cecf";

impl Browser {
    pub fn start() -> Browser {
        Browser::with_flags(&[])
    }

    pub fn with_flags(more: &[String]) -> Browser {
        let mut driver = Command::new(program("CHROMEDRIVER", &["chromedriver"]))
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts");
        let stdout = driver.stdout.take().expect("piped above");
        let port = BufReader::new(stdout)
            .lines()
            .map_while(Result::ok)
            .find_map(|line| {
                line.split_once("started successfully on port ")?.1.trim_end_matches('.').parse().ok()
            })
            .expect("chromedriver says its port");
        let mut browser = Browser { driver, port, session: String::new() };
        let chromium =
            program("CHROMIUM", &["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]);
        let args: Vec<&str> = FLAGS.into_iter().chain(more.iter().map(String::as_str)).collect();
        let answer = browser.call(
            "POST",
            "/session",
            &json!({"capabilities": {"alwaysMatch": {
                "browserName": "chrome",
                "goog:chromeOptions": {"binary": chromium, "args": args},
                "goog:loggingPrefs": {"browser": "ALL"},
                "timeouts": {"script": PATIENCE.as_millis() as u64},
            }}}),
        );
        browser.session = answer["sessionId"].as_str().expect("a session id").to_owned();
        browser
    }

    pub fn open(&self, url: &str) {
        self.post("/url", &json!({ "url": url }));
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
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            json!({
                "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600,
            }),
        );
    }

    /// `light` or `dark`, as the operating system would ask for.
    pub fn prefer_color_scheme(&self, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
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
        let shot =
            self.devtools("Page.captureScreenshot", json!({"format": "png", "captureBeyondViewport": true}));
        self.keep(name, shot["data"].as_str().expect("a picture"))
    }

    /// A PNG in base64, kept in the same place.
    pub fn keep(&self, name: &str, png: &str) -> PathBuf {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/screenshots");
        std::fs::create_dir_all(&folder).expect("a folder for screenshots");
        let file = folder.join(format!("{name}.png"));
        std::fs::write(&file, from_base64(png)).expect("a screenshot is kept");
        file
    }

    /// What the page's console said since the last call, as `LEVEL message`.
    pub fn console(&self) -> Vec<String> {
        let entries = self.post("/se/log", &json!({"type": "browser"}));
        let entries = entries.as_array().expect("a log").iter();
        entries
            .map(|entry| format!("{} {}", entry["level"].as_str().unwrap_or("?"), entry["message"]))
            .collect()
    }

    /// Asks again and again until there is an answer; panics after [`PATIENCE`] with the console's words.
    pub fn wait_for<T>(&self, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            if start.elapsed() > PATIENCE {
                let shot = self.keep_screenshot(&format!("failure-{}", std::process::id()));
                panic!(
                    "waited {} s for {what}; screenshot {}; console: {:#?}; page: {}",
                    PATIENCE.as_secs(),
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
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("chromedriver listens");
        stream.set_read_timeout(Some(2 * PATIENCE)).expect("a time limit");
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n{body}",
            self.port
        )
        .expect("the command is sent");
        let mut reader = BufReader::new(stream);
        let mut n_bytes = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).expect("chromedriver answers");
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                n_bytes = value.trim().parse().expect("a length");
            }
        }
        let mut answer = vec![0; n_bytes];
        reader.read_exact(&mut answer).expect("the whole answer");
        let mut answer: Value = serde_json::from_slice(&answer).expect("chromedriver answers in JSON");
        let value = answer["value"].take();
        if let Some(error) = value.get("error").filter(|_| value.get("stacktrace").is_some()) {
            panic!("{method} {path} {body:.300}: {error}: {}", value["message"]);
        }
        value
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            // Ends Chromium; a driver that is gone already has nothing left to end.
            let close = std::panic::AssertUnwindSafe(|| {
                self.call("DELETE", &format!("/session/{}", self.session), &Value::Null)
            });
            let _ = std::panic::catch_unwind(close);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// Keys that are no letters, as WebDriver names them.
pub mod key {
    pub const TAB: &str = "\u{e004}";
    pub const ENTER: &str = "\u{e007}";
    pub const ESCAPE: &str = "\u{e00c}";
    pub const BACKSPACE: &str = "\u{e003}";
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
