// SPDX-License-Identifier: Apache-2.0
//! Tokens of one action, as the parser reads them.

use super::Fault;
use super::lexer::{Kind, Token};

/// Tokens of one action.
pub(super) struct Tokens<'a> {
    pub(super) tokens: std::iter::Peekable<std::slice::Iter<'a, Token>>,
    /// Offset of the end of the action.
    pub(super) end: usize,
}

impl<'a> Tokens<'a> {
    pub(super) fn peek(&mut self) -> Option<&'a Token> {
        self.tokens.peek().copied()
    }

    pub(super) fn kind(&mut self) -> Option<&'a Kind> {
        self.peek().map(|token| &token.kind)
    }

    /// Takes the next token, if it is of this kind.
    pub(super) fn take(&mut self, kind: &Kind) -> bool {
        self.tokens.next_if(|token| token.kind == *kind).is_some()
    }

    /// Takes the next token, if it is this word.
    pub(super) fn word(&mut self, word: &str) -> bool {
        let is = |token: &&Token| matches!(&token.kind, Kind::Word(w) if w == word);
        self.tokens.next_if(is).is_some()
    }

    pub(super) fn at(&mut self) -> usize {
        self.peek().map_or(self.end, |token| token.at)
    }

    pub(super) fn fault(&mut self, reason: impl Into<String>) -> Fault {
        Fault::new(self.at(), reason)
    }

    /// Requires the end of the action.
    pub(super) fn done(&mut self, context: &str) -> Result<(), Fault> {
        match self.peek() {
            None => Ok(()),
            Some(token) => Err(unexpected(token, context)),
        }
    }
}

/// Describes a token that has no place there.
pub(super) fn unexpected(token: &Token, context: &str) -> Fault {
    let text = match &token.kind {
        Kind::Dot => ".".to_owned(),
        Kind::Field(name) => format!(".{name}"),
        Kind::Variable(name) => format!("${name}"),
        Kind::Word(word) => word.clone(),
        Kind::Literal(value) => value.to_string(),
        Kind::Pipe => "|".to_owned(),
        Kind::Comma => ",".to_owned(),
        Kind::Assign => "=".to_owned(),
        Kind::Declare => ":=".to_owned(),
        Kind::Open => "(".to_owned(),
        Kind::Close => ")".to_owned(),
    };
    Fault::new(token.at, format!("unexpected <{text}> in {context}"))
}

/// Reads the name of a template: a string.
pub(super) fn template_name(tokens: &mut Tokens<'_>, context: &str) -> Result<String, Fault> {
    match tokens.kind() {
        Some(Kind::Literal(serde_json::Value::String(name))) => {
            tokens.tokens.next();
            Ok(name.clone())
        }
        _ => Err(tokens.fault(format!("{context} needs a name in quotes"))),
    }
}
