//! The binary `chappe`. What it does stands in [`chappe::cli`].

use std::process::ExitCode;

/// Many small frames made on one thread and freed on another: mimalloc is built for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    chappe::cli::main()
}
