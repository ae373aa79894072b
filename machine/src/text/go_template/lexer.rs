// SPDX-License-Identifier: Apache-2.0
//! Text and actions of a template, and the tokens of an action.

use serde_json::Value;

use super::{Fault, literal};

/// Part of a template.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    Text(String),
    /// Tokens between the braces, and the offset of the closing ones.
    Action(Vec<Token>, usize),
}

/// Token, its offset, and whether white space is before it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub kind: Kind,
    pub at: usize,
    pub spaced: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Dot,
    Field(String),
    Variable(String),
    Word(String),
    Literal(Value),
    Pipe,
    Comma,
    Assign,
    Declare,
    Open,
    Close,
}

const LEFT: &str = "{{";
const RIGHT: &str = "}}";
const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

/// Returns the parts of a template, without comments.
pub(super) fn lex(source: &str) -> Result<Vec<Piece>, Fault> {
    let mut pieces = Vec::new();
    let mut at = 0;
    let mut trim = false;
    while let Some(text) = source.get(at..) {
        let length = text.find(LEFT);
        let after = at + length.unwrap_or(text.len());
        let mut text = &source[at..after];
        if trim {
            text = text.trim_start_matches(SPACE);
        }
        let inner = source.get(after + LEFT.len()..).unwrap_or_default();
        let trims_left = inner.starts_with('-') && inner[1..].starts_with(SPACE);
        if trims_left && length.is_some() {
            text = text.trim_end_matches(SPACE);
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text.to_owned()));
        }
        if length.is_none() {
            break;
        }
        let begin = after + LEFT.len() + if trims_left { 2 } else { 0 };
        (at, trim) = match source[begin..].starts_with("/*") {
            true => comment(source, begin)?,
            false => {
                let mut lexer = Lexer { source, at: begin };
                let (tokens, end, trim) = lexer.action(after)?;
                pieces.push(Piece::Action(tokens, end));
                (lexer.at, trim)
            }
        };
    }
    Ok(pieces)
}

/// Returns the offset behind a comment, and whether it trims the text that follows.
fn comment(source: &str, begin: usize) -> Result<(usize, bool), Fault> {
    let Some(length) = source[begin + 2..].find("*/") else {
        return Err(Fault::new(begin, "unclosed comment"));
    };
    let end = begin + 2 + length + 2;
    let rest = &source[end..];
    if rest.starts_with(RIGHT) {
        return Ok((end + RIGHT.len(), false));
    }
    if rest.starts_with(SPACE) && rest[1..].starts_with("-}}") {
        return Ok((end + 4, true));
    }
    Err(Fault::new(end, "comment ends before closing delimiter"))
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        self.source.get(self.at..).unwrap_or_default()
    }

    /// Reads the tokens of an action, whose braces open at `open`. Returns them with the offset of
    /// the closing braces, and whether the text behind is trimmed.
    fn action(&mut self, open: usize) -> Result<(Vec<Token>, usize, bool), Fault> {
        let mut tokens = Vec::new();
        loop {
            let before = self.rest();
            let trimmed = before.trim_start_matches(SPACE);
            let spaced = trimmed.len() < before.len();
            self.at += before.len() - trimmed.len();
            let at = self.at;
            if spaced && self.rest().starts_with("-}}") {
                self.at += 3;
                return Ok((tokens, at, true));
            }
            if self.rest().starts_with(RIGHT) {
                self.at += RIGHT.len();
                return Ok((tokens, at, false));
            }
            if self.rest().is_empty() {
                return Err(Fault::new(open, "unclosed action"));
            }
            let kind = self.token()?;
            tokens.push(Token { kind, at, spaced });
        }
    }

    fn token(&mut self) -> Result<Kind, Fault> {
        let rest = self.rest();
        let second = rest.chars().nth(1).unwrap_or(' ');
        let (kind, length) = match rest.chars().next().unwrap_or(' ') {
            '|' => (Kind::Pipe, 1),
            ',' => (Kind::Comma, 1),
            '(' => (Kind::Open, 1),
            ')' => (Kind::Close, 1),
            '=' => (Kind::Assign, 1),
            ':' if second == '=' => (Kind::Declare, 2),
            '"' | '`' | '\'' => return self.quoted(),
            '.' if !second.is_ascii_digit() => return self.field(),
            '$' => return self.name(1, Kind::Variable),
            c if c.is_ascii_digit() || "+-.".contains(c) => return self.number(),
            c if is_word(c) => return self.word(),
            c => {
                let text = format!("unexpected {c:?} in an action");
                return Err(Fault::new(self.at, text));
            }
        };
        self.at += length;
        Ok(kind)
    }

    fn quoted(&mut self) -> Result<Kind, Fault> {
        let (value, length) = literal::quoted(self.rest())
            .map_err(|reason| Fault::new(self.at, reason.to_string()))?;
        self.at += length;
        Ok(Kind::Literal(value))
    }

    fn field(&mut self) -> Result<Kind, Fault> {
        let is_field = self.rest().chars().nth(1).is_some_and(is_word);
        match is_field {
            true => self.name(1, Kind::Field),
            false => self.name(1, |_| Kind::Dot),
        }
    }

    fn word(&mut self) -> Result<Kind, Fault> {
        self.name(0, |word| match word.as_str() {
            "true" => Kind::Literal(Value::Bool(true)),
            "false" => Kind::Literal(Value::Bool(false)),
            "nil" => Kind::Literal(Value::Null),
            _ => Kind::Word(word),
        })
    }

    /// Reads a name behind `skip` bytes; a character that can follow a name must follow.
    fn name(&mut self, skip: usize, kind: fn(String) -> Kind) -> Result<Kind, Fault> {
        let name = &self.rest()[skip..];
        let length = name.find(|c| !is_word(c)).unwrap_or(name.len());
        let next = name[length..].chars().next().unwrap_or('}');
        let name = name[..length].to_owned();
        if !SPACE.contains(&next) && !".,|:)(}=".contains(next) {
            let at = self.at + skip + length;
            return Err(Fault::new(at, format!("bad character {next:?}")));
        }
        self.at += skip + length;
        Ok(kind(name))
    }

    fn number(&mut self) -> Result<Kind, Fault> {
        let rest = self.rest();
        let mut previous = ' ';
        let end = rest.find(|c: char| {
            let hex = rest.trim_start_matches(['+', '-']).starts_with("0x");
            let exponent = if hex { "pP" } else { "eE" };
            let sign = "+-".contains(c) && (previous == ' ' || exponent.contains(previous));
            previous = c;
            !(sign || is_word(c) || c == '.')
        });
        let text = &rest[..end.unwrap_or(rest.len())];
        let value = literal::number(text).ok_or_else(|| {
            let reason = format!("bad number syntax: {text:?}");
            Fault::new(self.at, reason)
        })?;
        self.at += text.len();
        Ok(Kind::Literal(value))
    }
}

/// Letters, digits and underscores, of any script.
fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}
