// SPDX-License-Identifier: Apache-2.0
//! Findings about the host, which `doctor` prints.

/// Judgement of one part of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Part of the host.
    pub what: &'static str,
    /// `ok`, `warning` or `error`; machines do not start with an error.
    pub grade: &'static str,
    /// State of the part.
    pub text: String,
    /// Remedy; empty if there is nothing to do.
    pub remedy: String,
}

impl Finding {
    /// Returns a finding about a part that is as it should be.
    #[must_use]
    pub fn ok(what: &'static str, text: impl Into<String>) -> Self {
        Self::graded(what, "ok", text, "")
    }

    /// Returns a finding about a part without which machines can run; `remedy` says how to get it.
    #[must_use]
    pub fn warning(what: &'static str, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::graded(what, "warning", text, remedy)
    }

    /// Returns a finding about a part without which no machine starts.
    #[must_use]
    pub fn error(what: &'static str, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::graded(what, "error", text, remedy)
    }

    fn graded(
        what: &'static str,
        grade: &'static str,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            what,
            grade,
            text: text.into(),
            remedy: remedy.into(),
        }
    }
}
