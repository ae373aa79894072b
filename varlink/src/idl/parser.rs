// SPDX-License-Identifier: Apache-2.0
//! Parser of interface descriptions, by recursive descent.

use sys::error::Result;

use super::tokens::{Token, Tokens, is_field, is_interface, is_member};
use super::{Description, Field, Fields, Kind, Member, Type};

/// Number of types within each other that are accepted.
const MAX_DEPTH: usize = 32;

/// Types that are not declared.
const BUILT_IN: &[&str] = &["bool", "int", "float", "string", "object"];

pub(super) fn parse(text: &str) -> Result<Description> {
    let tokens = &mut Tokens::new(text);
    if tokens.take()? != Token::Word("interface") {
        return Err(tokens.expected("`interface`"));
    }
    let comment = tokens.comments();
    let name = name(
        tokens,
        is_interface,
        "the name of an interface, such as org.example",
    )?;
    let mut description = Description {
        comment,
        name,
        members: Vec::new(),
        end: Vec::new(),
    };
    while tokens.peek()? != Token::End {
        let member = member(tokens)?;
        description.members.push(member);
    }
    description.end = tokens.comments();
    Ok(description)
}

fn member(tokens: &mut Tokens<'_>) -> Result<Member> {
    let keyword = tokens.take()?;
    let comment = tokens.comments();
    let Token::Word(keyword @ ("type" | "method" | "error")) = keyword else {
        return Err(tokens.expected("`type`, `method` or `error`"));
    };
    let name = name(
        tokens,
        is_member,
        "a name that begins with a capital letter",
    )?;
    let kind = match keyword {
        "type" => match tokens.peek()? {
            Token::Sign('(') => Kind::Type(kind(tokens, 0)?),
            _ => return Err(tokens.expected("`(`")),
        },
        "method" => {
            let parameters = fields(tokens, 0)?;
            if tokens.take()? != Token::Arrow {
                return Err(tokens.expected("`->`"));
            }
            Kind::Method(structure(tokens, parameters)?, {
                let results = fields(tokens, 0)?;
                structure(tokens, results)?
            })
        }
        // systemd's descriptions have errors without parameters.
        _ if tokens.peek()? != Token::Sign('(') => Kind::Error(Vec::new()),
        _ => {
            let parameters = fields(tokens, 0)?;
            Kind::Error(structure(tokens, parameters)?)
        }
    };
    Ok(Member {
        comment,
        name,
        kind,
    })
}

/// Refuses an enumeration where a structure is expected.
fn structure(tokens: &Tokens<'_>, fields: Fields) -> Result<Fields> {
    match fields.iter().all(|field| field.kind.is_some()) {
        true => Ok(fields),
        false => Err(tokens.expected("a type for each parameter")),
    }
}

fn name(tokens: &mut Tokens<'_>, is_right: fn(&str) -> bool, expected: &str) -> Result<String> {
    match tokens.take()? {
        Token::Word(word) if is_right(word) => Ok(word.to_owned()),
        _ => Err(tokens.expected(expected)),
    }
}

/// Parses fields in parentheses: all of them have a type, or none has.
fn fields(tokens: &mut Tokens<'_>, depth: usize) -> Result<Fields> {
    if !tokens.takes('(')? {
        return Err(tokens.expected("`(`"));
    }
    let mut fields = Fields::new();
    while !tokens.takes(')')? {
        if !fields.is_empty() && !tokens.takes(',')? {
            return Err(tokens.expected("`,` or `)`"));
        }
        tokens.peek()?;
        let comment = tokens.comments();
        let name = name(tokens, is_field, "the name of a field")?;
        let kind = match tokens.takes(':')? {
            true => Some(kind(tokens, depth + 1)?),
            false => None,
        };
        let first: Option<&Field> = fields.first();
        if first.is_some_and(|first| first.kind.is_some() != kind.is_some()) {
            return Err(tokens.expected("types for all fields, or for none"));
        }
        fields.push(Field {
            comment,
            name,
            kind,
        });
    }
    Ok(fields)
}

fn kind(tokens: &mut Tokens<'_>, depth: usize) -> Result<Type> {
    if depth > MAX_DEPTH {
        return Err(tokens.expected("fewer types within each other"));
    }
    if tokens.peek()? == Token::Sign('(') {
        return Ok(Type::Fields(fields(tokens, depth)?));
    }
    if tokens.takes('?')? {
        return match kind(tokens, depth + 1)? {
            Type::Maybe(_) => Err(tokens.expected("one `?`")),
            kind => Ok(Type::Maybe(Box::new(kind))),
        };
    }
    if tokens.takes('[')? {
        let is_map = !tokens.takes(']')?;
        if is_map && (tokens.take()? != Token::Word("string") || !tokens.takes(']')?) {
            return Err(tokens.expected("`[]` or `[string]`"));
        }
        let element = Box::new(kind(tokens, depth + 1)?);
        return Ok(if is_map {
            Type::Map(element)
        } else {
            Type::Array(element)
        });
    }
    let right = |word: &str| BUILT_IN.contains(&word) || is_member(word);
    Ok(Type::Named(name(tokens, right, "a type")?))
}
