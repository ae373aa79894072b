// SPDX-License-Identifier: Apache-2.0
//! Comparison of two samples of the clocks, which shows a sleep of the machine. Pure.

/// Milliseconds: a time of a clock, or a difference of two.
pub type Ms = i64;

/// Smallest difference that counts, in milliseconds: the hardware clock is read in whole
/// seconds, so a smaller one can be none.
const MIN_JUMP: Ms = 2_000;

/// The clocks at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockSample {
    /// Hardware clock, since 1970, in UTC.
    pub rtc: Ms,
    /// `CLOCK_BOOTTIME`, which stands still while a virtual machine does.
    pub boottime: Ms,
    /// `CLOCK_REALTIME`, since 1970.
    pub realtime: Ms,
}

/// Event between two samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drift {
    /// The clocks ran at the same pace.
    None,
    /// The hardware clock was set: the first sample is of no further use.
    RtcSet,
    /// The machine stood still for this time, by which the system clock is behind.
    Slept(Ms),
}

/// Compares the hardware clock, which runs on while the host sleeps, with the boot time,
/// which does not. A program that sets the system clock changes neither. One that sets the
/// hardware clock by the system clock (hwclock --systohc) makes both agree, and is left alone.
#[must_use]
pub fn compare(before: &ClockSample, now: &ClockSample) -> Drift {
    let lead = |sample: &ClockSample| sample.rtc.saturating_sub(sample.boottime);
    let jump = lead(now).saturating_sub(lead(before));
    let off = now.rtc.saturating_sub(now.realtime);
    if jump.saturating_abs() < MIN_JUMP {
        Drift::None
    } else if jump < 0 || off.saturating_abs() < MIN_JUMP {
        Drift::RtcSet
    } else {
        Drift::Slept(jump)
    }
}

/// Returns by how much the system clock is to be stepped after a sleep: to the hardware clock
/// where both agreed before, else by `jump`.
#[must_use]
pub fn correction(before: &ClockSample, now: &ClockSample, jump: Ms) -> Ms {
    let agreed = before.rtc.saturating_sub(before.realtime).saturating_abs() < MIN_JUMP;
    if agreed {
        now.rtc.saturating_sub(now.realtime)
    } else {
        jump
    }
}

/// Returns `+3600.250 s`.
#[must_use]
pub fn signed_seconds(ms: Ms) -> String {
    let (sign, ms) = (if ms < 0 { '-' } else { '+' }, ms.unsigned_abs());
    format!("{sign}{}.{:03} s", ms / 1000, ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: ClockSample = ClockSample {
        rtc: 1_800_000_000_000,
        boottime: 5_000,
        realtime: 1_800_000_000_400,
    };

    fn after(rtc: Ms, boottime: Ms, realtime: Ms) -> ClockSample {
        ClockSample {
            rtc: START.rtc + rtc,
            boottime: START.boottime + boottime,
            realtime: START.realtime + realtime,
        }
    }

    #[test]
    fn a_clock_without_drift_is_not_corrected() {
        assert_eq!(compare(&START, &after(60_000, 60_900, 60_900)), Drift::None);
        // The system clock was set, and is not changed.
        assert_eq!(
            compare(&START, &after(60_000, 60_000, 9_060_000)),
            Drift::None
        );
    }

    #[test]
    fn a_sleep_is_made_up_for() {
        let now = after(660_000, 60_000, 60_000);
        assert_eq!(compare(&START, &now), Drift::Slept(600_000));
        assert_eq!(correction(&START, &now, 600_000), 599_600);
        // The result holds also for a difference that grows little by little: the first sample is
        // kept.
        let now = after(62_500, 60_000, 60_000);
        assert_eq!(compare(&START, &now), Drift::Slept(2_500));
    }

    #[test]
    fn a_hardware_clock_that_is_wrong_still_tells_how_long() {
        let wrong = ClockSample {
            rtc: START.rtc - 7_200_000,
            ..START
        };
        let now = ClockSample {
            rtc: wrong.rtc + 660_000,
            ..after(0, 60_000, 60_000)
        };
        assert_eq!(compare(&wrong, &now), Drift::Slept(600_000));
        assert_eq!(correction(&wrong, &now, 600_000), 600_000);
    }

    #[test]
    fn a_step_of_the_hardware_clock_is_not_copied() {
        // By the system clock, which was ten minutes ahead.
        let ahead = ClockSample {
            realtime: START.realtime + 600_000,
            ..START
        };
        let now = ClockSample {
            rtc: ahead.rtc + 660_000,
            boottime: ahead.boottime + 60_000,
            realtime: ahead.realtime + 60_000,
        };
        assert_eq!(compare(&ahead, &now), Drift::RtcSet);
        // Back.
        assert_eq!(
            compare(&START, &after(-60_000, 60_000, 60_000)),
            Drift::RtcSet
        );
    }

    #[test]
    fn clocks_at_their_ends_do_not_overflow() {
        let end = |n| ClockSample {
            rtc: n,
            boottime: -n,
            realtime: -n,
        };
        let _ = compare(&end(Ms::MIN + 1), &end(Ms::MAX));
        let _ = correction(&end(Ms::MAX), &end(Ms::MIN + 1), 1);
        assert_eq!(signed_seconds(-1_005), "-1.005 s");
        assert_eq!(signed_seconds(Ms::MIN), "-9223372036854775.808 s");
    }
}
