//! Lines for whoever started the machine.

use std::fs;

/// One line in the kernel's log, on the console whatever is shown there.
pub fn say(text: &str) {
    let _ = fs::write("/dev/kmsg", format!("<0>bench: {text}\n"));
}
