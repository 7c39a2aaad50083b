//! The native command.

fn main() -> std::process::ExitCode {
    cliplet::cli::main()
}
