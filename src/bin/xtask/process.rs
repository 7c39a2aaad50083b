//! Running other programs: shown before they start, and a failure names the whole command.
//!
//! Invariant: a child never sees the environment that `cargo run` made for xtask itself, so that building
//! through xtask and building by hand share the same build caches.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub type Result<T> = std::result::Result<T, String>;

/// A command in the repository's root, without the environment that belongs to xtask's own `cargo run`.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(repository());
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        let is_from_cargo_run = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"]
            .iter()
            .any(|prefix| name_text.starts_with(prefix));
        if is_from_cargo_run || name_text == "CARGO" {
            command.env_remove(&name);
        }
    }
    command
}

/// The repository's root: the package that cargo runs xtask from, wherever the user stands.
pub fn repository() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from)
}

/// The command as a user would type it.
pub fn shown(command: &Command) -> String {
    let mut line = String::new();
    for (name, value) in command.get_envs() {
        if let Some(value) = value.filter(|_| name != "PATH") {
            line += &format!("{}={} ", name.to_string_lossy(), quoted(&value.to_string_lossy()));
        }
    }
    let program = Path::new(command.get_program());
    // A program of ours is found by its name: the long path of the cache folder only hides what runs.
    line += &program.file_name().unwrap_or(program.as_os_str()).to_string_lossy();
    for arg in command.get_args() {
        line.push(' ');
        line += &quoted(&arg.to_string_lossy());
    }
    line
}

fn quoted(text: &str) -> String {
    let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c));
    if is_plain && !text.is_empty() { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// Runs to the end with the terminal's own output; `Err` names the command.
pub fn run(command: &mut Command) -> Result<()> {
    announce(command);
    let status = command.status().map_err(|error| could_not_start(command, &error))?;
    if status.success() { Ok(()) } else { Err(format!("this failed ({status}):\n    {}", shown(command))) }
}

/// Like [`run`], but given up after `limit`: for programs that may wait for a network that never answers.
pub fn run_within(command: &mut Command, limit: Duration) -> Result<()> {
    announce(command);
    let mut child = command.stdin(Stdio::null()).spawn().map_err(|error| could_not_start(command, &error))?;
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("this failed ({status}):\n    {}", shown(command))),
            Ok(None) if start.elapsed() < limit => std::thread::sleep(Duration::from_millis(50)),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("no end after {} s:\n    {}", limit.as_secs(), shown(command)));
            }
            Err(error) => return Err(format!("{}: {error}", shown(command))),
        }
    }
}

/// Runs `cargo test` or its like, passes its output on, and counts the tests from the lines
/// `test result: ok. 12 passed; 0 failed; …`.
pub fn run_tests(command: &mut Command) -> Result<usize> {
    announce(command);
    let mut child =
        command.stdout(Stdio::piped()).spawn().map_err(|error| could_not_start(command, &error))?;
    let mut n_passed = 0;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n').map_while(std::io::Result::ok) {
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            n_passed += passed_in(&line);
        }
    }
    let status = child.wait().map_err(|error| format!("{}: {error}", shown(command)))?;
    if status.success() {
        Ok(n_passed)
    } else {
        Err(format!("tests failed ({status}); to run them again:\n    {}", shown(command)))
    }
}

fn passed_in(line: &str) -> usize {
    let Some(rest) = line.strip_prefix("test result: ") else { return 0 };
    let words: Vec<&str> = rest.split_whitespace().collect();
    words.windows(2).find(|pair| pair[1] == "passed;").and_then(|pair| pair[0].parse().ok()).unwrap_or(0)
}

/// What a program prints on standard output, trimmed; `None` if it can't be run or fails.
pub fn output(command: &mut Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The first of `names` that is a program on PATH.
pub fn on_path(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    names.iter().find_map(|name| {
        std::env::split_paths(&path)
            .map(|folder| folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX)))
            .find(|file| file.is_file())
    })
}

fn announce(command: &Command) {
    eprintln!("  $ {}", shown(command));
    let _ = std::io::stderr().flush();
}

fn could_not_start(command: &Command, error: &std::io::Error) -> String {
    format!("could not start `{}`: {error}", shown(command))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_command_can_be_typed_again() {
        let mut command = Command::new("/cache/bin/trunk");
        command.args(["build", "a file", "it's"]).env("RUSTC", "/usr/bin/rustc").env_remove("CARGO");
        assert_eq!(shown(&command), r"RUSTC=/usr/bin/rustc trunk build 'a file' 'it'\''s'");
    }

    #[test]
    fn tests_are_counted_from_cargos_closing_lines_only() {
        assert_eq!(
            passed_in("test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 1 filtered out"),
            12
        );
        assert_eq!(passed_in("test result: FAILED. 3 passed; 1 failed; 0 ignored"), 3);
        assert_eq!(passed_in("test a::b ... ok, 5 passed;"), 0);
    }
}
