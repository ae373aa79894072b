//! Lines about the long steps, with the time they took; nothing when nothing is done.

use std::time::Instant;

/// A step of the build that is under way. One that finds nothing to do says nothing.
pub struct Step {
    label: String,
    start: Instant,
}

impl Step {
    /// Step `number` of `total` begins.
    pub fn begin(number: usize, total: usize) -> Self {
        Step::of("image", number, total)
    }

    /// The same of another target than `image`.
    pub fn of(target: &str, number: usize, total: usize) -> Self {
        let label = format!("[{target} {number}/{total}]");
        Step {
            label,
            start: Instant::now(),
        }
    }

    /// Says what is going on, and how long the step has taken.
    pub fn note(&self, what: &str) {
        let seconds = self.start.elapsed().as_secs_f32();
        eprintln!("{} {seconds:>5.1} s  {what}", self.label);
    }
}

/// A number of bytes as people read them, in decimal megabytes.
pub fn megabytes(bytes: u64) -> String {
    format!("{:.2} MB", bytes as f64 / 1e6)
}
