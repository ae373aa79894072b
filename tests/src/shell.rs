// SPDX-License-Identifier: Apache-2.0
//! A shell on the serial console, used as by a person at the machine.

use anyhow::{Context, Result};
use std::cell::Cell;
use std::time::Duration;
use vmm::{Console, Vm};

/// Time after which a shell that has not answered is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// Number of times that a shell is asked.
const TRIES: u32 = 24;

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

    /// Runs `command` once and returns everything that the console shows until the command has ended,
    /// the echo of the input included. Input can get lost while a shell starts, so the shell has to
    /// answer before.
    pub fn run(&self, command: &str) -> Result<String> {
        self.answered("", true)
            .and_then(|_| self.answered(command, false))
            .with_context(|| format!("no shell answers `{command}`"))
    }

    /// Types `command` and a mark, and waits for the mark. Both are typed again if the mark does not
    /// appear: a line of the kernel log may stand between its characters. If input may be lost,
    /// the number of the mark is a new one each time, so that the answer is the last one's.
    fn answered(&self, command: &str, may_be_lost: bool) -> Result<String> {
        let mut from = self.console.mark();
        let mut number = self.next();
        let mut typed = command;
        let mut last = None;
        for _ in 0..TRIES {
            // The shell computes the mark, so that its echo as typed looks different.
            let mark = format!("@@{}@@", 1000 + number);
            let echo = format!("echo \"@@$((1000+{number}))@@\"\n");
            let line = match typed {
                "" => echo,
                command => format!("{command}; {echo}"),
            };
            self.console.write(line.as_bytes())?;
            let text = self.console.wait(from, ASK_AGAIN, &mark, |text| {
                text.find(&mark).map(|end| text[..end].to_owned())
            });
            match text {
                Ok(text) => return Ok(text),
                Err(e) => last = Some(e),
            }
            typed = "";
            if may_be_lost {
                (from, number) = (self.console.mark(), self.next());
            }
        }
        Err(last.context("never tried")?)
    }

    fn next(&self) -> u32 {
        self.asked.set(self.asked.get() + 1);
        self.asked.get()
    }

    /// Types a line without waiting for output.
    pub fn type_in(&self, text: &str) -> Result<()> {
        self.console.write(text.as_bytes())
    }
}
