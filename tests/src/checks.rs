// SPDX-License-Identifier: Apache-2.0
//! Named checks that all run, and one verdict at the end.

use crate::{Guest, emulator};
use anyhow::{Error, Result, anyhow, bail};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, Instant};

/// Shortest and longest pause between two attempts.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));

/// Checks of one boot.
pub struct Checks {
    test: String,
    only: Option<String>,
    failed: Vec<String>,
    ran: usize,
}

impl Checks {
    /// Returns an empty list for the test called `test`.
    pub fn new(test: &str) -> Self {
        let only = std::env::var("CHECK").ok().filter(|only| !only.is_empty());
        Self {
            test: test.to_owned(),
            only,
            failed: Vec::new(),
            ran: 0,
        }
    }

    /// Runs `body`. A failure or a panic is recorded, and the next checks still run.
    pub fn check(&mut self, name: &str, body: impl FnOnce() -> Result<()>) {
        if self
            .only
            .as_ref()
            .is_some_and(|only| !only.split('|').any(|part| name.contains(part)))
        {
            return;
        }
        self.ran += 1;
        let begun = Instant::now();
        let result =
            catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| Err(said(&*panic)));
        let seconds = begun.elapsed().as_secs_f32();
        match result {
            Ok(()) => println!("{}: {name}: ok ({seconds:.1} s)", self.test),
            Err(e) => {
                println!("{}: {name}: FAILED ({seconds:.1} s)\n{e:#}", self.test);
                let said = format!("{e:#}");
                // The complete error is printed above; the verdict repeats its first line.
                self.failed.push(format!(
                    "{name}: {}",
                    said.lines().next().unwrap_or_default()
                ));
            }
        }
    }

    /// Returns the verdict; on a failure, with the end of the console log.
    pub fn finish(self, guest: &Guest) -> Result<()> {
        if self.failed.is_empty() {
            return Ok(());
        }
        println!("{}", guest.vm.tail());
        match emulator::fault(&guest.vm.console()) {
            Some(fault) => self.done().map_err(|e| e.context(fault)),
            None => self.done(),
        }
    }

    /// Returns the verdict of checks whose machine no longer runs.
    pub fn done(self) -> Result<()> {
        if self.failed.is_empty() {
            return Ok(());
        }
        bail!(
            "{}: {} of {} checks failed\n* {}",
            self.test,
            self.failed.len(),
            self.ran,
            self.failed.join("\n* ")
        )
    }
}

fn said(panic: &(dyn std::any::Any + Send)) -> Error {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    anyhow!("panicked: {}", text.unwrap_or("without a word"))
}

/// Tries `body` until it succeeds, and returns its last error after `limit`. Each pause is as long as the previous
/// attempt: if an attempt is a command in an emulated machine, half of the processor is left to the awaited work.
pub fn eventually<T>(limit: Duration, mut body: impl FnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        let begun = Instant::now();
        match body() {
            Err(e) if Instant::now() >= deadline => {
                return Err(e.context(format!("still so after {} s", limit.as_secs())));
            }
            Err(_) => thread::sleep(begun.elapsed().clamp(PAUSES.0, PAUSES.1)),
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_checks_run_and_all_failures_are_reported() {
        let mut checks = Checks::new("t");
        checks.check("good", || Ok(()));
        checks.check("bad", || bail!("no"));
        checks.check("worse", || panic!("oh"));
        let verdict = checks.done().expect_err("two failed").to_string();
        assert!(verdict.starts_with("t: 2 of 3 checks failed"), "{verdict}");
        assert!(verdict.contains("* bad: no") && verdict.contains("* worse: panicked: oh"));
        assert!(Checks::new("empty").done().is_ok());
    }

    #[test]
    fn eventually_ends() {
        let mut left = 3;
        let done = eventually(Duration::from_secs(10), || {
            left -= 1;
            if left == 0 {
                Ok("done")
            } else {
                bail!("not yet")
            }
        });
        assert_eq!(done.expect("third time"), "done");
        assert!(eventually(Duration::ZERO, || -> Result<()> { bail!("never") }).is_err());
    }
}
