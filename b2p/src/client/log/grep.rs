// SPDX-License-Identifier: Apache-2.0
//! `journalctl -g`: messages that match a regular expression. The expressions are those of regex(7), of the C library;
//! journalctl(1) has those of pcre2pattern(3), which agree in what people type.
#![expect(unsafe_code, reason = "regcomp(3) has no safe wrapper")]

use std::ffi::CString;
use std::mem::MaybeUninit;
use std::ptr;

/// A compiled expression.
#[derive(Debug)]
pub struct Grep(Box<libc::regex_t>);

impl Grep {
    /// Compiles an expression; `None` if it is malformed. An expression without capital letters matches both cases
    /// unless `is_exact` tells (journalctl(1), `--case-sensitive`).
    #[must_use]
    pub fn new(pattern: &str, is_exact: Option<bool>) -> Option<Grep> {
        let is_exact = is_exact.unwrap_or_else(|| pattern.contains(char::is_uppercase));
        let flags = libc::REG_EXTENDED | libc::REG_NOSUB;
        let flags = if is_exact {
            flags
        } else {
            flags | libc::REG_ICASE
        };
        let pattern = CString::new(pattern).ok()?;
        let mut compiled = Box::new(MaybeUninit::<libc::regex_t>::uninit());
        // SAFETY: the pattern ends in 0, and regcomp(3) writes the whole structure if it returns 0.
        let status = unsafe { libc::regcomp(compiled.as_mut_ptr(), pattern.as_ptr(), flags) };
        if status != 0 {
            return None;
        }
        // SAFETY: regcomp(3) has succeeded.
        Some(Grep(unsafe { compiled.assume_init() }))
    }

    /// Returns true if the expression matches a part of the text.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let Ok(text) = CString::new(text) else {
            return false;
        };
        // SAFETY: the expression is compiled, the text ends in 0, and no parts are asked for.
        unsafe { libc::regexec(&raw const *self.0, text.as_ptr(), 0, ptr::null_mut(), 0) == 0 }
    }
}

impl Drop for Grep {
    fn drop(&mut self) {
        // SAFETY: the expression is compiled, and is not used any more.
        unsafe { libc::regfree(&raw mut *self.0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_as_people_type_them() {
        for (pattern, exact, text, right) in [
            ("error", None, "An ERROR here", true),
            ("Error", None, "an error here", false),
            ("Error", Some(false), "an error here", true),
            ("error", Some(true), "ERROR", false),
            ("^GET|POST /", None, "GET /index", true),
            ("fail(ed|ure)", None, "it failed", true),
            ("a.c", None, "ac", false),
            ("", None, "anything", true),
        ] {
            let grep = Grep::new(pattern, exact);
            assert_eq!(
                grep.map(|g| g.matches(text)),
                Some(right),
                "{pattern} {text}"
            );
        }
        assert!(Grep::new("a(", None).is_none());
        assert!(Grep::new("a\0b", None).is_none());
    }
}
