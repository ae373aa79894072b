// SPDX-License-Identifier: Apache-2.0
//! Values of expressions, and reasons why a function has none.

use std::fmt;
use std::ops::Deref;
use std::rc::Rc;

use serde_json::Value;

/// Value of an expression: a part of the data, or one that the template made.
#[derive(Clone, Debug)]
pub(super) enum Val<'d> {
    Data(&'d Value),
    Made(Rc<Value>),
}

impl Deref for Val<'_> {
    type Target = Value;

    fn deref(&self) -> &Value {
        match self {
            Val::Data(value) => value,
            Val::Made(value) => value,
        }
    }
}

impl<'d> Val<'d> {
    pub(super) fn made(value: impl Into<Value>) -> Val<'d> {
        Val::Made(Rc::new(value.into()))
    }

    /// Returns the part of an array or object that `get` finds.
    pub(super) fn part(&self, get: impl Fn(&Value) -> Option<&Value>) -> Option<Val<'d>> {
        match self {
            Val::Data(value) => {
                // `get` with the lifetime of the data.
                let data: &'d Value = value;
                part_of_data(data, get)
            }
            Val::Made(value) => get(value).map(|part| Val::made(part.clone())),
        }
    }
}

fn part_of_data<'d>(data: &'d Value, get: impl Fn(&Value) -> Option<&Value>) -> Option<Val<'d>> {
    get(data).map(Val::Data)
}

/// Reason why a function has no value, for the arguments that it got; the caller adds the position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reason(String);

impl From<String> for Reason {
    fn from(text: String) -> Reason {
        Reason(text)
    }
}

impl From<&str> for Reason {
    fn from(text: &str) -> Reason {
        Reason(text.to_owned())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
