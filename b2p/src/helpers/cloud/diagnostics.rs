//! What there is to say of a configuration: what is not supported, for the log; what
//! was asked for and cannot be, for whoever looks at the machine.

use super::yaml::plain;

/// More than these say no more.
const MOST: usize = 32;

/// Lines of both kinds, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// Left out, and why that does no harm.
    pub left: Vec<String>,
    /// Wrong.
    pub wrong: Vec<String>,
}

impl Notes {
    /// Something is not supported.
    pub fn left(&mut self, what: impl std::fmt::Display) {
        add(&mut self.left, &what.to_string());
    }

    /// Something was asked for and is not done.
    pub fn wrong(&mut self, what: impl std::fmt::Display) {
        add(&mut self.wrong, &what.to_string());
    }
}

fn add(all: &mut Vec<String>, what: &str) {
    let what = plain(what);
    if all.len() < MOST && !all.contains(&what) {
        all.push(what);
    }
}
