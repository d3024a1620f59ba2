//! The command `holm`. Everything is in the library, so that documentation and tests reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    holm_cli::main()
}
