// SPDX-License-Identifier: Apache-2.0
//! Faults of the emulator. QEMU 7.2 under TCG once ended a guest in a double fault at `pushf`, with EFLAGS
//! 1b1a0646: no program can set these bits. Such an end is no result of a test, which is run again.

use std::fmt;

use anyhow::Result;

/// Bits of EFLAGS that are always 0: 3, 5, 15 and 22 to 31 (Intel SDM, volume 1, 3.4.3).
const ALWAYS_ZERO: u32 = 0xffc0_8028;
/// Bit of EFLAGS that is always 1.
const ALWAYS_ONE: u32 = 2;

/// A guest's registers hold a value that no processor can have.
#[derive(Debug)]
pub struct EmulatorFault(u32);

impl fmt::Display for EmulatorFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the emulator has failed: EFLAGS {:08x}", self.0)
    }
}

/// Returns the fault that a register dump of the kernel shows, if there is one.
pub fn fault(console: &str) -> Option<EmulatorFault> {
    let dumps = console.split("EFLAGS: ").skip(1);
    let mut values = dumps.filter_map(|text| u32::from_str_radix(text.get(..8)?, 16).ok());
    let is_impossible = |flags: &u32| flags & ALWAYS_ZERO != 0 || flags & ALWAYS_ONE == 0;
    values.find(is_impossible).map(EmulatorFault)
}

/// Runs a test, and once again if the emulator has failed.
///
/// # Errors
/// The error of the last run.
pub fn again_after_fault(test: impl Fn() -> Result<()>) -> Result<()> {
    match test() {
        Err(e) if e.downcast_ref::<EmulatorFault>().is_some() => {
            println!("{e:#}\nthe test runs once again");
            test()
        }
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Error;
    use std::cell::Cell;

    #[test]
    fn registers_that_no_processor_has_are_a_fault() {
        let dump = |flags: &str| format!("[ 2.8] RSP: 0018:ffffcfe5007db838 EFLAGS: {flags}\r\n");
        for possible in ["00000246", "00010002", "00200296", "0000", "", "nonsense"] {
            assert!(fault(&dump(possible)).is_none(), "{possible}");
        }
        let both = dump("00000246") + &dump("1b1a0646");
        let fault = fault(&both).expect("bits 24 to 28");
        assert_eq!(
            fault.to_string(),
            "the emulator has failed: EFLAGS 1b1a0646"
        );
        assert!(super::fault(&dump("00000244")).is_some(), "bit 1");
    }

    #[test]
    fn a_test_runs_again_after_a_fault_alone() {
        let runs = Cell::new(0);
        let run = |error: fn() -> Error| {
            runs.set(0);
            let _ = again_after_fault(|| {
                runs.set(runs.get() + 1);
                Err(error())
            });
            runs.get()
        };
        assert_eq!(run(|| Error::msg("a check failed")), 1);
        assert_eq!(
            run(|| Error::msg("a check failed").context(EmulatorFault(0))),
            2
        );
    }
}
