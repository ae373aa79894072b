// SPDX-License-Identifier: Apache-2.0
//! Progress reports of the long steps on standard error. A step that finds nothing to do reports
//! nothing.

use std::time::Instant;

/// Step of a build.
pub struct Step {
    label: String,
    start: Instant,
}

impl Step {
    /// Starts step `number` of `total` of a target, as `image`.
    pub fn new(target: &str, number: usize, total: usize) -> Self {
        Step {
            label: format!("[{target} {number}/{total}]"),
            start: Instant::now(),
        }
    }

    /// Reports `text`, with the time since the step started.
    pub fn note(&self, text: &str) {
        let seconds = self.start.elapsed().as_secs_f32();
        eprintln!("{} {seconds:>5.1} s  {text}", self.label);
    }
}

/// Formats a number of bytes in decimal megabytes.
pub fn megabytes(bytes: u64) -> String {
    format!("{:.2} MB", bytes as f64 / 1e6)
}
