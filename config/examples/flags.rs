// SPDX-License-Identifier: Apache-2.0
//! Prints the README's table of flags: `cargo run -p config --example flags`.

fn main() {
    print!("{}", config::flags_markdown());
}
