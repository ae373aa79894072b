// SPDX-License-Identifier: Apache-2.0
//! Tree of a template.

use serde_json::Value;

/// Part of a body.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Text(String),
    /// Pipeline whose value is written, unless it declares variables.
    Output(Pipe),
    If(Branch),
    Range(Branch),
    With(Branch),
    /// Another template, with a pipeline for its dot.
    Include {
        name: String,
        dot: Option<Pipe>,
        at: usize,
    },
    Break,
    Continue,
}

/// Pipeline, body, and the body for an empty value.
#[derive(Clone, Debug)]
pub(super) struct Branch {
    pub pipe: Pipe,
    pub body: Vec<Node>,
    pub otherwise: Vec<Node>,
}

/// Commands, each of which gets the value of the one before as its last argument.
#[derive(Clone, Debug)]
pub(super) struct Pipe {
    /// Variables that take the value; two for `range`.
    pub variables: Vec<String>,
    /// True for `=`, false for `:=`.
    pub assigns: bool,
    pub commands: Vec<Command>,
    pub at: usize,
}

/// First operand, which may be a function, and its arguments.
#[derive(Clone, Debug)]
pub(super) struct Command {
    pub first: Operand,
    pub arguments: Vec<Operand>,
}

/// Term, the fields behind it, and its byte offset.
#[derive(Clone, Debug)]
pub(super) struct Operand {
    pub term: Term,
    pub fields: Vec<String>,
    pub at: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Term {
    Dot,
    Variable(String),
    Function(String),
    Literal(Value),
    Pipe(Box<Pipe>),
}
