// SPDX-License-Identifier: Apache-2.0
//! Arguments by which a crashed execution of PID 1 reports to the next one.

use std::ffi::CStr;

use control::ShutdownKind;

/// First argument of the next execution. The kernel starts PID 1 by its path, so no word of the
/// kernel's command line can be mistaken for these arguments.
pub(super) const ARGV0: &CStr = c"init";
/// Second argument of the next execution; the third has the numbers of crashes.
pub(super) const CRASH_ARGUMENT: &CStr = c"--after-crash";
/// Number of crashes beyond which PID 1 does not count: each number is one digit.
const MAX_COUNTED: u8 = 9;

/// Crashes of PID 1, and the shutdown that has begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Crashes {
    /// Number of crashes without a healthy execution in between.
    pub in_a_row: u8,
    /// Kind of the shutdown that has begun.
    pub shutdown: Option<ShutdownKind>,
    /// Number of crashes since the shutdown has begun.
    pub in_shutdown: u8,
}

impl Crashes {
    /// Returns the record of earlier crashes, from the first three arguments of this program.
    #[must_use]
    pub fn before(args: [&[u8]; 3]) -> Crashes {
        let [name, crash_argument, third] = args;
        if name != ARGV0.to_bytes() || crash_argument != CRASH_ARGUMENT.to_bytes() {
            return Crashes::default();
        }
        let number = |digit: u8| digit.saturating_sub(b'0').min(MAX_COUNTED);
        let digit = |at: usize| third.get(at).map_or(0, |digit| number(*digit));
        let shutdown = third.get(1).copied().and_then(ShutdownKind::from_letter);
        Crashes {
            in_a_row: digit(0),
            shutdown,
            in_shutdown: shutdown.map_or(0, |_| digit(2)),
        }
    }

    /// Returns the third argument of the execution after these crashes, a C string: the number of crashes, the letter
    /// of the shutdown, and the number of crashes since the shutdown has begun.
    pub(super) fn argument(self) -> [u8; 4] {
        let letter = self.shutdown.map_or(0, ShutdownKind::letter);
        [b'0' + self.in_a_row, letter, b'0' + self.in_shutdown, 0]
    }

    /// Returns the record with one more crash.
    pub(super) fn with_one_more(self) -> Crashes {
        let one_more = |count: u8| count.saturating_add(1).min(MAX_COUNTED);
        Crashes {
            in_a_row: one_more(self.in_a_row),
            in_shutdown: self.shutdown.map_or(0, |_| one_more(self.in_shutdown)),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn before(third: &[u8]) -> Crashes {
        Crashes::before([b"init", b"--after-crash", third])
    }

    fn crashes(in_a_row: u8, shutdown: Option<ShutdownKind>, in_shutdown: u8) -> Crashes {
        Crashes {
            in_a_row,
            shutdown,
            in_shutdown,
        }
    }

    #[test]
    fn only_the_arguments_of_a_new_start_tell_of_a_crash() {
        let reboot = Some(ShutdownKind::Reboot);
        for (third, expected) in [
            (&b"2"[..], crashes(2, None, 0)),
            (b"4r1", crashes(4, reboot, 1)),
            (b"1r", crashes(1, reboot, 0)),
            (b"1?3", crashes(1, None, 0)),
            (b"\xffr\xff", crashes(9, reboot, 9)),
            (b"", Crashes::default()),
        ] {
            assert_eq!(before(third), expected, "{third:?}");
        }
        for args in [
            [&b"/init"[..], b"--after-crash", b"2r1"],
            [b"init", b"quiet", b"2r1"],
        ] {
            assert_eq!(Crashes::before(args), Crashes::default());
        }
    }

    #[test]
    fn crashes_in_a_shutdown_are_counted_separately() {
        let mut seen = Crashes::default();
        for n in 1..=12 {
            seen = seen.with_one_more();
            assert_eq!(seen, crashes(n.min(9), None, 0));
        }
        seen.shutdown = Some(ShutdownKind::PowerOff);
        for n in 1..=12 {
            seen = seen.with_one_more();
            assert_eq!(seen, crashes(9, Some(ShutdownKind::PowerOff), n.min(9)));
            assert_eq!(before(&seen.argument()[..3]), seen);
        }
        assert_eq!(&crashes(3, None, 0).argument()[..2], b"3\0");
    }
}
