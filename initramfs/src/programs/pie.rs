// SPDX-License-Identifier: Apache-2.0
//! Position-independent static programs, which the kernel loads at a random address.

use super::{Target, c_library, has_lld, link_arg};

/// Start files of a static program that loads at any address: musl's own, which relocates the program, and those
/// around its list of constructors.
const START_FILES: [&str; 3] = ["rcrt1.o", "crti.o", "crtn.o"];

/// Returns the flags that make a program of musl position-independent on an architecture for which rustc links
/// a static program at a fixed address. Without self-contained linking, rustc names neither start files nor the
/// directory of the C library. The pages may have 64 KiB.
pub(super) fn flags(target: Target) -> Vec<String> {
    let Some(library) = c_library(target).filter(|_| target.arch.needs_pie_flags && has_lld())
    else {
        return Vec::new();
    };
    let dir = library.parent().unwrap_or(&library);
    let files = START_FILES.map(|file| dir.join(file).display().to_string());
    let options = [
        "-pie",
        "--no-dynamic-linker",
        "-z",
        "text",
        "-z",
        "max-page-size=65536",
    ];
    let arguments = options.into_iter().chain(files.iter().map(String::as_str));
    let own = [
        "-Clink-self-contained=no".to_owned(),
        format!("-L{}", dir.display()),
    ];
    own.into_iter()
        .chain(arguments.map(|argument| link_arg(argument, true)))
        .collect()
}
