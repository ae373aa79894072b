// SPDX-License-Identifier: Apache-2.0
//! Results of the phases of the shutdown.

use crate::child_end::ChildEnd;

/// Result of a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The purpose of the phase is achieved.
    Done,
    /// The machine has nothing that the phase works on.
    NothingToDo,
    /// A second request has ended the phase.
    CutShort,
    /// The time limit was exceeded.
    OutOfTime,
    /// The kernel had no memory for a child.
    NoMemory,
    /// A step of the phase failed, and has logged the reason.
    Failed,
}

impl Outcome {
    /// Returns the result of a phase from the end of its child.
    pub(super) fn of_child(end: ChildEnd, cut_short: bool) -> Outcome {
        match end {
            ChildEnd::Succeeded => Outcome::Done,
            ChildEnd::Failed => Outcome::Failed,
            ChildEnd::Running => Outcome::unfinished(cut_short),
        }
    }

    /// Returns the result of a phase that did not complete; `cut_short` is true if a second request has ended it.
    pub(super) fn unfinished(cut_short: bool) -> Outcome {
        match cut_short {
            true => Outcome::CutShort,
            false => Outcome::OutOfTime,
        }
    }

    /// Describes the result for the log; `why` is the purpose of the phase.
    pub(super) fn describe(self, why: &'static str) -> &'static str {
        match self {
            Outcome::Done => why,
            Outcome::NothingToDo => "nothing to do",
            Outcome::CutShort => "not done: a second request ended the phase",
            Outcome::OutOfTime => "not done: out of time",
            Outcome::NoMemory => "not done: no memory for a process",
            Outcome::Failed => "not done: the lines before this one tell what failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_claims_its_purpose_only_if_it_was_achieved() {
        let failed = "not done: the lines before this one tell what failed";
        for (end, cut_short, text) in [
            (ChildEnd::Succeeded, false, "the purpose"),
            (ChildEnd::Succeeded, true, "the purpose"),
            (ChildEnd::Failed, false, failed),
            (ChildEnd::Failed, true, failed),
            (ChildEnd::Running, false, "not done: out of time"),
            (
                ChildEnd::Running,
                true,
                "not done: a second request ended the phase",
            ),
        ] {
            let outcome = Outcome::of_child(end, cut_short);
            assert_eq!(outcome.describe("the purpose"), text);
        }
    }
}
