// SPDX-License-Identifier: Apache-2.0
//! Prints the table of docs/reference/flags.md: `cargo run -p config --example flags`.

fn main() {
    print!("{}", config::flags_markdown());
}
