// SPDX-License-Identifier: Apache-2.0
//! Tokens of an interface description.

use std::iter::Peekable;
use std::str::CharIndices;

use sys::error::{Error, Result};

/// Smallest unit of a description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// Keyword, name or type: letters, digits, dots, hyphens and underscores.
    Word(&'a str),
    /// One of `( ) [ ] : , ?`.
    Sign(char),
    /// `->`.
    Arrow,
    /// Rest of a line after `#`.
    Comment(&'a str),
    /// End of the text.
    End,
}

/// Reader of tokens, with one token of lookahead.
pub(super) struct Tokens<'a> {
    text: &'a str,
    chars: Peekable<CharIndices<'a>>,
    line: usize,
    next: Option<Token<'a>>,
    comments: Vec<String>,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(text: &'a str) -> Tokens<'a> {
        Tokens {
            text,
            chars: text.char_indices().peekable(),
            line: 1,
            next: None,
            comments: Vec::new(),
        }
    }

    /// Returns the error for a text that has something else here than `expected`.
    pub(super) fn expected(&self, expected: &str) -> Error {
        Error::invalid(format!("line {}: expected {expected}", self.line))
    }

    /// Returns the comments since the last call.
    pub(super) fn comments(&mut self) -> Vec<String> {
        std::mem::take(&mut self.comments)
    }

    /// Returns the next token without taking it. Comments before the token are collected.
    pub(super) fn peek(&mut self) -> Result<Token<'a>> {
        loop {
            match self.next {
                Some(token) => return Ok(token),
                None => match self.scan()? {
                    Token::Comment(text) => self.comments.push(text.trim_end().to_owned()),
                    token => self.next = Some(token),
                },
            }
        }
    }

    /// Takes the next token.
    pub(super) fn take(&mut self) -> Result<Token<'a>> {
        let token = self.peek()?;
        self.next = None;
        Ok(token)
    }

    /// Takes the next token if the token is `sign`.
    pub(super) fn takes(&mut self, sign: char) -> Result<bool> {
        let is_there = self.peek()? == Token::Sign(sign);
        if is_there {
            self.next = None;
        }
        Ok(is_there)
    }

    fn scan(&mut self) -> Result<Token<'a>> {
        while let Some((_, space)) = self.chars.next_if(|(_, c)| c.is_ascii_whitespace()) {
            self.line += usize::from(space == '\n');
        }
        let Some((start, first)) = self.chars.next() else {
            return Ok(Token::End);
        };
        match first {
            '(' | ')' | '[' | ']' | ':' | ',' | '?' => Ok(Token::Sign(first)),
            '#' => Ok(Token::Comment(&self.rest(start, |c| c != '\n')[1..])),
            '-' if self.chars.next_if(|(_, c)| *c == '>').is_some() => Ok(Token::Arrow),
            c if c.is_ascii_alphanumeric() => Ok(Token::Word(self.rest(start, is_word))),
            c => Err(self.expected(&format!("a name or a type, not {c:?}"))),
        }
    }

    /// Returns the text from `start` on for as long as `belongs` holds.
    fn rest(&mut self, start: usize, belongs: fn(char) -> bool) -> &'a str {
        while self.chars.next_if(|(_, c)| belongs(*c)).is_some() {}
        let end = self.chars.peek().map_or(self.text.len(), |(at, _)| *at);
        &self.text[start..end]
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')
}

/// Returns true if `name` is the name of an interface: labels with dots between them.
pub(super) fn is_interface(name: &str) -> bool {
    let label = |label: &str| {
        let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        ends(label.chars().next()) && ends(label.chars().last()) && !label.contains('_')
    };
    let first = name.chars().next();
    first.is_some_and(|c| c.is_ascii_alphabetic())
        && name.contains('.')
        && name.split('.').all(label)
}

/// Returns true if `name` is the name of a type, a method or an error.
pub(super) fn is_member(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric())
}

/// Returns true if `name` is the name of a field.
pub(super) fn is_field(name: &str) -> bool {
    let parts = || name.split('_');
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && parts().all(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric()))
}
