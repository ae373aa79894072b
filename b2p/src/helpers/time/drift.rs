//! What the clocks say when they are looked at together. Pure.

/// Milliseconds; of a clock, or between two.
pub type Ms = i64;

/// So much must the hardware clock have run ahead before it counts: it is read in
/// whole seconds, so that less can be nothing.
const JUMP: Ms = 2_000;

/// All clocks at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// The hardware clock, since 1970, in UTC.
    pub rtc: Ms,
    /// `CLOCK_BOOTTIME`: stands still while the machine does.
    pub running: Ms,
    /// `CLOCK_REALTIME`, since 1970.
    pub real: Ms,
}

/// What a second look comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing has happened.
    Quiet,
    /// Somebody set the hardware clock: the first look is worth nothing now.
    Set,
    /// The machine stood still for so long, and the system clock does not know.
    Slept(Ms),
}

/// Compares the hardware clock, which runs on while the host sleeps, with the
/// one that does not. Who sets the system clock changes neither; who sets the
/// hardware clock by it (hwclock --systohc) makes both agree, and is left alone.
#[must_use]
pub fn compare(before: &Look, now: &Look) -> Verdict {
    let since = |l: &Look| l.rtc.saturating_sub(l.running);
    let jump = since(now).saturating_sub(since(before));
    let off = now.rtc.saturating_sub(now.real);
    if jump.saturating_abs() < JUMP {
        Verdict::Quiet
    } else if jump < 0 || off.saturating_abs() < JUMP {
        Verdict::Set
    } else {
        Verdict::Slept(jump)
    }
}

/// By how much the system clock is to be stepped after a sleep: to the hardware
/// clock where they agreed before, else by as much as that ran ahead.
#[must_use]
pub fn step(before: &Look, now: &Look, jump: Ms) -> Ms {
    let agreed = before.rtc.saturating_sub(before.real).saturating_abs() < JUMP;
    if agreed {
        now.rtc.saturating_sub(now.real)
    } else {
        jump
    }
}

/// `+3600.250 s`.
#[must_use]
pub fn seconds(ms: Ms) -> String {
    let (sign, ms) = (if ms < 0 { '-' } else { '+' }, ms.unsigned_abs());
    format!("{sign}{}.{:03} s", ms / 1000, ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Look = Look {
        rtc: 1_800_000_000_000,
        running: 5_000,
        real: 1_800_000_000_400,
    };

    fn after(rtc: Ms, running: Ms, real: Ms) -> Look {
        Look {
            rtc: START.rtc + rtc,
            running: START.running + running,
            real: START.real + real,
        }
    }

    #[test]
    fn a_clock_that_goes_is_left_alone() {
        assert_eq!(
            compare(&START, &after(60_000, 60_900, 60_900)),
            Verdict::Quiet
        );
        // Somebody set the system clock: that is their business.
        assert_eq!(
            compare(&START, &after(60_000, 60_000, 9_060_000)),
            Verdict::Quiet
        );
    }

    #[test]
    fn a_sleep_is_made_up_for() {
        let now = after(660_000, 60_000, 60_000);
        assert_eq!(compare(&START, &now), Verdict::Slept(600_000));
        assert_eq!(step(&START, &now, 600_000), 599_600);
        // Little by little as well: the first look is kept.
        let now = after(62_500, 60_000, 60_000);
        assert_eq!(compare(&START, &now), Verdict::Slept(2_500));
    }

    #[test]
    fn a_hardware_clock_that_is_wrong_still_tells_how_long() {
        let wrong = Look {
            rtc: START.rtc - 7_200_000,
            ..START
        };
        let now = Look {
            rtc: wrong.rtc + 660_000,
            ..after(0, 60_000, 60_000)
        };
        assert_eq!(compare(&wrong, &now), Verdict::Slept(600_000));
        assert_eq!(step(&wrong, &now, 600_000), 600_000);
    }

    #[test]
    fn who_sets_the_hardware_clock_is_not_followed() {
        // By the system clock, which was ten minutes ahead.
        let ahead = Look {
            real: START.real + 600_000,
            ..START
        };
        let now = Look {
            rtc: ahead.rtc + 660_000,
            running: ahead.running + 60_000,
            real: ahead.real + 60_000,
        };
        assert_eq!(compare(&ahead, &now), Verdict::Set);
        // Back.
        assert_eq!(
            compare(&START, &after(-60_000, 60_000, 60_000)),
            Verdict::Set
        );
    }

    #[test]
    fn clocks_at_their_ends_do_not_overflow() {
        let end = |n| Look {
            rtc: n,
            running: -n,
            real: -n,
        };
        let _ = compare(&end(Ms::MIN + 1), &end(Ms::MAX));
        let _ = step(&end(Ms::MAX), &end(Ms::MIN + 1), 1);
        assert_eq!(seconds(-1_005), "-1.005 s");
        assert_eq!(seconds(Ms::MIN), "-9223372036854775.808 s");
    }
}
