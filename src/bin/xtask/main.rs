//! `cargo xtask`: sets up what is missing, builds, serves and tests Cliplet.
//!
//! Invariant: needs nothing but the standard library, so that it compiles in seconds on a bare machine.
//! Invariant: whatever it installs for itself goes to one cache folder outside the repository
//! (`CLIPLET_CACHE`, else `~/.cache/cliplet`); system packages come through the system's package manager, a missing
//! target or component of the compiler through rustup.
//! Invariant: every failure names the command that the user can run to get on.

mod hosting;
mod own_model;
mod process;
mod setup;
mod shorten;
mod size;
mod steps;
mod widget;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask COMMAND

  serve [ARGS]   set up whatever the page needs, then `trunk serve ARGS`; with `--model SRC` (and `--quant q8_0`, `q4_0`
                 or `f16`) the page's own model is that one: a file, a folder, a hub id, or an address
  test           set up whatever is missing, then every check: format, lints, native tests, goldens,
                 the page's release build, its size, and the browser tests; with `--all` also what takes longer:
                 full-size models, foreign test sets from the network, fuzzing

  setup          only set up (what `test` needs)
  build [ARGS]   the page as a host serves it, into dist/: `trunk build --release ARGS`, programs named by their content,
                 compressed copies; with `--model SRC` as above
  widget [DIR]   the embeddable element <cliplet-rank> with engine and starter model, into DIR (target/widget)
  js [DIR]       the engine as an ES module with typed definitions, into DIR (target/js)
  size           hold dist/ to the size limits
  browser [ARGS] only the browser tests (ARGS go to the test binary: a name, --nocapture …), on the last build
  bench [ARGS]   `cliplet bench ARGS`: speed of each kernel and stage on this machine's adapter
  fuzz [SECONDS] every fuzz target of tests/fuzz, for so many seconds in all (300); not part of `test`
  env            the environment in which trunk and cargo build for the browser, as shell exports";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    let outcome = match command.as_str() {
        "serve" => steps::serve(&rest),
        "test" => steps::test(&rest),
        "setup" => setup::everything().map(drop),
        "build" => steps::build(&rest),
        "js" => steps::js(&rest),
        "widget" => steps::widget(&rest),
        "size" => size::check(),
        "browser" => steps::browser(&rest),
        "bench" => steps::bench(&rest),
        "fuzz" => steps::fuzz(&rest),
        "env" => steps::env(),
        "" | "help" | "-h" | "--help" => {
            println!("{USAGE}");
            Ok(())
        }
        other => Err(format!("`{other}` is not a command.\n\n{USAGE}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("\nxtask: {message}");
            ExitCode::FAILURE
        }
    }
}
