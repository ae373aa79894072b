// SPDX-License-Identifier: Apache-2.0
//! The README has the table of flags that the code generates.

const README: &str = include_str!("../../README.md");

#[test]
fn the_table_in_the_readme_is_current() {
    assert!(
        README.contains(&config::flags_markdown()),
        "README.md: put the output of `cargo run -p config --example flags` in place of its table of flags"
    );
}
