// SPDX-License-Identifier: Apache-2.0
//! A shell on the serial console, as a person at the machine uses it.

use anyhow::{Context, Result};
use std::cell::Cell;
use std::time::Duration;
use vmm::{Console, Vm};

/// Types commands and reads their output.
pub struct Shell<'a> {
    console: &'a Console,
    asked: Cell<u32>,
}

impl<'a> Shell<'a> {
    /// Opens the shell on this machine's console, whose prompt has been seen.
    pub fn on(vm: &'a Vm) -> Result<Self> {
        Ok(Self {
            console: vm.screen()?,
            asked: Cell::new(0),
        })
    }

    /// Runs `command` and returns everything that the console shows until it has ended, the echo of
    /// the input included. Input can get lost while a shell starts: it is repeated.
    pub fn run(&self, command: &str) -> Result<String> {
        let mut last = None;
        for _ in 0..4 {
            match self.once(command, Duration::from_secs(15)) {
                Ok(text) => return Ok(text),
                Err(e) => last = Some(e),
            }
        }
        Err(last.context("never tried")?).with_context(|| format!("no shell answers `{command}`"))
    }

    fn once(&self, command: &str, limit: Duration) -> Result<String> {
        let number = self.asked.get() + 1;
        self.asked.set(number);
        // The shell computes the mark, so that its echo as typed looks different.
        let mark = format!("@@{}@@", 1000 + number);
        let from = self.console.mark();
        self.console
            .write(format!("{command}; echo \"@@$((1000+{number}))@@\"\n").as_bytes())?;
        self.console.wait(from, limit, &mark, |text| {
            text.find(&mark).map(|end| text[..end].to_owned())
        })
    }

    /// Types a line without waiting for output.
    pub fn type_in(&self, text: &str) -> Result<()> {
        self.console.write(text.as_bytes())
    }
}
