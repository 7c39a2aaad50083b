//! The page on its way to its readers: below any path of a host, through updates, with the headers that hosts send.
//!
//! Invariant: the folder is the one that `cargo xtask build` writes, and the headers are those of static/hosting.

use crate::page::{Page, file};
use serde_json::json;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A copy of the built page that a test may change; removed when dropped.
struct Copy(PathBuf);

impl Copy {
    fn new(name: &str) -> Copy {
        let to = std::env::temp_dir().join(format!("cliplet-hosting-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&to);
        copy(&file("dist"), &to);
        Copy(to)
    }

    /// The program's file, whose name says what is in it.
    fn program(&self, start: &str) -> String {
        let names = std::fs::read_dir(&self.0).expect("a folder").flatten();
        let mut names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let is_hash = |text: &str| text.len() == 16 && text.chars().all(|c| c.is_ascii_hexdigit());
        let is_it = |name: &String| {
            name.strip_prefix(start).and_then(|rest| rest.strip_suffix(".js")).is_some_and(is_hash)
        };
        names.find(is_it).expect("a program")
    }

    /// Publishes a program of another content under another name, as the next build would.
    fn release(&self, start: &str, version: &str) -> (String, String) {
        let old = self.program(start);
        let new = format!("{start}{version:0>16}.js");
        let text = std::fs::read_to_string(self.0.join(&old)).expect("a program");
        std::fs::write(self.0.join(&new), text + "\n// The next version.\n").expect("room");
        std::fs::remove_file(self.0.join(&old)).expect("a program");
        let page = self.0.join("index.html");
        let html = std::fs::read_to_string(&page).expect("a page");
        assert!(html.contains(&old));
        std::fs::write(&page, html.replace(&old, &new)).expect("room");
        (old, new)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("room");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), &to).expect("room");
        }
    }
}

fn asked_for(page: &Page, name: &str) -> usize {
    page.server.requests().iter().filter(|request| request.target.contains(name)).count()
}

fn assert_ranks(page: &Page) {
    page.wait_ready();
    page.click("sample-rocket");
    page.wait_winner("rocket");
}

#[test]
fn any_folder_will_do_with_and_without_a_network() {
    let page = Page::unopened_below(&[("/some/folder", &file("dist"))]);
    page.go("/some/folder");
    assert_ranks(&page);
    page.wait_kept();
    page.server.hang_up();
    page.browser.reload();
    assert_ranks(&page);
    page.close(&["Failed to load resource", "net::ERR"]);
}

#[test]
fn two_pages_of_one_host_keep_their_own_files() {
    let other = Copy::new("other");
    other.release("engine-", "0");
    let page = Page::unopened_below(&[("/one", &file("dist")), ("/two", &other.0)]);
    for path in ["/one/", "/two/"] {
        page.go(path);
        page.wait_ready();
        page.wait_kept();
    }
    page.server.hang_up();
    for path in ["/one/", "/two/"] {
        page.go(path);
        assert_ranks(&page);
    }
    page.close(&["Failed to load resource", "net::ERR"]);
}

#[test]
fn an_update_comes_whole_and_a_file_that_the_host_has_no_more_is_the_kept_one() {
    let host = Copy::new("update");
    let page = Page::unopened_below(&[("/cliplet", &host.0)]);
    page.go("/cliplet/");
    page.wait_ready();
    page.wait_kept();
    let (old, new) = host.release("engine-", "1");
    page.browser.reload();
    assert_ranks(&page);
    assert!(asked_for(&page, &new) > 0, "the next visit runs the next version");
    let kept = "const cache = await caches.open(`cliplet-shell ${new URL('./', location)}`);
        return (await cache.keys()).map(({ url }) => url.split('/').pop()).join(' ')";
    page.browser.wait_for("the next version to be kept, and nothing of the last", || {
        let names = page.browser.run_async(kept, json!([])).as_str()?.to_owned();
        (names.contains(&new) && !names.contains(&old)).then_some(())
    });
    // A version that came meanwhile: what this page fetches later is not on the host any more.
    let (gone, _) = host.release("downloader-", "2");
    page.click("status");
    page.the("room");
    assert_eq!(page.text("alert"), None);
    assert!(page.browser.run_async(kept, json!([])).as_str().is_some_and(|names| names.contains(&gone)));
    page.close(&[]);
}

#[test]
fn a_second_visit_asks_for_no_file_that_is_named_by_its_content() {
    let page = Page::unopened(&[]);
    page.go("/");
    page.wait_ready();
    page.wait_kept();
    page.browser.wait_until("navigator.serviceWorker.controller");
    let n_before = page.server.requests().len();
    page.browser.reload();
    page.wait_ready();
    let names: Vec<String> =
        page.server.requests()[n_before..].iter().map(|request| request.target.clone()).collect();
    assert!(
        names.iter().any(|name| name == "/"),
        "the control: the page itself is asked for anew, {names:?}"
    );
    for start in ["/app-", "/engine-", "/style-"] {
        assert!(!names.iter().any(|name| name.starts_with(start)), "{start}: {names:?}");
    }
    page.close(&[]);
}

#[test]
fn isolation_from_other_sites_changes_nothing() {
    let page = Page::unopened(&[]);
    page.server.also_send("Cross-Origin-Opener-Policy: same-origin");
    page.server.also_send("Cross-Origin-Embedder-Policy: require-corp");
    page.go("/");
    assert_ranks(&page);
    assert_eq!(page.browser.run("return crossOriginIsolated", json!([])), true);
    page.close(&[]);
}

#[test]
fn compressed_copies_are_of_the_files_beside_them() {
    let mut n_copies = 0;
    for entry in std::fs::read_dir(file("dist")).expect("a page").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(original) = name.strip_suffix(".gz") else { continue };
        let mut unpacked = Vec::new();
        let packed = std::fs::File::open(entry.path()).expect("a file");
        flate2::read::GzDecoder::new(packed).read_to_end(&mut unpacked).expect("gzip");
        assert!(unpacked == std::fs::read(file("dist").join(original)).expect("a file"), "{original}");
        assert!(unpacked.len() as u64 > entry.metadata().expect("a file").len(), "{original} gains nothing");
        n_copies += 1;
    }
    assert!(n_copies >= 8, "{n_copies}: page, three programs with their scripts, style sheet");
}

/// What takes a host's program: `cargo xtask test --all`.
mod heavy {
    use super::*;
    use crate::webdriver::Browser;
    use std::process::{Child, Command};

    struct Nginx(Child);

    impl Drop for Nginx {
        fn drop(&mut self) {
            // Asked, so that it ends its workers, too.
            let _ = Command::new("kill").arg(self.0.id().to_string()).status();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn nginx_serves_the_page_with_the_projects_settings() {
        let folder = std::env::temp_dir().join(format!("cliplet-nginx-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("room");
        let settings = std::fs::read_to_string(file("static/hosting/nginx.conf")).expect("settings");
        let dist = format!("{}/", file("dist").display());
        let settings = settings.replace("/srv/cliplet/", &dist);
        assert!(settings.contains(&dist), "the settings name the folder");
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|socket| socket.local_addr())
            .expect("a port")
            .port();
        let whole = format!(
            "daemon off; pid {0}/pid; error_log {0}/errors;\nuser root;\nevents {{}}\nhttp {{ access_log off; client_body_temp_path {0}/body; \
             proxy_temp_path {0}/proxy; fastcgi_temp_path {0}/fastcgi; uwsgi_temp_path {0}/uwsgi; scgi_temp_path {0}/scgi;\n\
             server {{ listen 127.0.0.1:{port};\n{settings} }} }}",
            folder.display()
        );
        let path = folder.join("nginx.conf");
        std::fs::write(&path, whole).expect("room");
        let nginx =
            Nginx(Command::new("nginx").arg("-c").arg(&path).spawn().expect("nginx: cargo xtask test --all"));

        let browser = Browser::start();
        let url = format!("http://127.0.0.1:{port}/cliplet/");
        browser.wait_for("nginx to answer", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        browser.open(&url);
        browser.wait_until("document.querySelector('[data-testid=\"status\"][data-engine=\"ready\"]')");
        let headers = |name: &str| {
            let script = "const { headers } = await fetch(arguments[0]);
                return ['content-security-policy', 'cache-control', 'content-encoding', 'content-type'].map((name) => headers.get(name))";
            browser.run_async(script, json!([name]))
        };
        let program = Copy::new("nginx").program("engine-");
        let of_program = headers(&program);
        assert!(
            of_program[0].as_str().is_some_and(|policy| policy.contains("connect-src 'self';")),
            "{of_program}"
        );
        assert!(of_program[1].as_str().is_some_and(|cache| cache.contains("immutable")), "{of_program}");
        assert_eq!(of_program[2], "gzip");
        assert_eq!(of_program[3], "text/javascript");
        let of_downloader = headers("downloader-boot.js");
        assert!(of_downloader[0].as_str().is_some_and(|policy| policy.contains("connect-src 'self' https:")));
        assert_eq!(of_downloader[1], "no-cache");
        browser.click(&browser.find("[data-testid=\"sample-rocket\"]"));
        browser.wait_until("document.querySelector('[data-testid=\"result\"][data-label=\"rocket\"]')");
        drop(nginx);
        let _ = std::fs::remove_dir_all(&folder);
    }
}
