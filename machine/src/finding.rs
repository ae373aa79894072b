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
    /// Remedy; empty where nothing has to be mended.
    pub mend: String,
}

impl Finding {
    /// Returns a part that is as it should be.
    #[must_use]
    pub fn ok(what: &'static str, text: impl Into<String>) -> Self {
        Self::graded(what, "ok", text, "")
    }

    /// Returns a part without which machines run, and that `mend` betters.
    #[must_use]
    pub fn warning(what: &'static str, text: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::graded(what, "warning", text, mend)
    }

    /// Returns a part without which no machine starts.
    #[must_use]
    pub fn error(what: &'static str, text: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::graded(what, "error", text, mend)
    }

    fn graded(
        what: &'static str,
        grade: &'static str,
        text: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self {
            what,
            grade,
            text: text.into(),
            mend: mend.into(),
        }
    }
}
