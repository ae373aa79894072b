// SPDX-License-Identifier: Apache-2.0
//! Bodies and pipelines from tokens.

use std::collections::BTreeMap;

use super::ast::{Branch, Command, Node, Operand, Pipe, Term};
use super::lexer::{Kind, Piece, Token};
use super::tokens::{Tokens, template_name, unexpected};
use super::{Fault, MAX_DEPTH, functions};

type Defined = BTreeMap<String, Vec<Node>>;

/// Parses a template and those that it defines.
pub(super) fn parse(pieces: &[Piece]) -> Result<(Vec<Node>, Defined), Fault> {
    let mut parser = Parser {
        pieces: pieces.iter(),
        defined: BTreeMap::new(),
        variables: vec![String::new()],
        ranges: 0,
        depth: 0,
    };
    let (body, end) = parser.body()?;
    match end {
        Closing::Source => Ok((body, parser.defined)),
        Closing::Else(_, at) => Err(Fault::new(at, "unexpected {{else}}")),
        Closing::End(at) => Err(Fault::new(at, "unexpected {{end}}")),
    }
}

/// Action that ends a body.
enum Closing<'a> {
    Source,
    End(usize),
    /// `else`, with the tokens behind it.
    Else(Tokens<'a>, usize),
}

struct Parser<'a> {
    pieces: std::slice::Iter<'a, Piece>,
    defined: Defined,
    /// Variables in scope; the first is `$`.
    variables: Vec<String>,
    /// Number of `range` around the current body.
    ranges: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    /// Goes a level deeper, up to the limit.
    fn deeper<T>(
        &mut self,
        at: usize,
        parse: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        if self.depth == MAX_DEPTH {
            let reason = format!("more than {MAX_DEPTH} levels");
            return Err(Fault::new(at, reason));
        }
        self.depth += 1;
        let result = parse(self);
        self.depth -= 1;
        result
    }

    /// Parses up to the action that ends the body.
    fn body(&mut self) -> Result<(Vec<Node>, Closing<'a>), Fault> {
        let mut nodes = Vec::new();
        loop {
            let (tokens, end) = match self.pieces.next() {
                None => return Ok((nodes, Closing::Source)),
                Some(Piece::Text(text)) => {
                    nodes.push(Node::Text(text.clone()));
                    continue;
                }
                Some(Piece::Action(tokens, end)) => (tokens, *end),
            };
            let tokens = tokens.iter().peekable();
            let mut tokens = Tokens { tokens, end };
            let at = tokens.at();
            if tokens.word("end") {
                tokens.done("end")?;
                return Ok((nodes, Closing::End(at)));
            }
            if tokens.word("else") {
                return Ok((nodes, Closing::Else(tokens, at)));
            }
            if tokens.word("define") {
                self.deeper(at, |p| p.define(tokens, at))?;
                continue;
            }
            nodes.push(self.action(tokens, at)?);
        }
    }

    fn action(&mut self, mut tokens: Tokens<'a>, at: usize) -> Result<Node, Fault> {
        if tokens.word("if") {
            return self.deeper(at, |p| Ok(Node::If(p.branch(tokens, "if")?)));
        }
        if tokens.word("with") {
            return self.deeper(at, |p| Ok(Node::With(p.branch(tokens, "with")?)));
        }
        if tokens.word("range") {
            return self.deeper(at, |p| Ok(Node::Range(p.branch(tokens, "range")?)));
        }
        if tokens.word("template") {
            return self.include(tokens, at);
        }
        for (word, node) in [("break", Node::Break), ("continue", Node::Continue)] {
            if tokens.word(word) {
                if self.ranges == 0 {
                    return Err(Fault::new(
                        at,
                        format!("{{{{{word}}}}} outside {{{{range}}}}"),
                    ));
                }
                tokens.done(word)?;
                return Ok(node);
            }
        }
        let pipe = self.pipe(&mut tokens, "command")?;
        tokens.done("command")?;
        Ok(Node::Output(pipe))
    }

    /// Parses a pipeline, its body, and what follows `else`.
    fn branch(&mut self, mut tokens: Tokens<'a>, word: &str) -> Result<Branch, Fault> {
        let at = tokens.at();
        let scope = self.variables.len();
        let pipe = self.pipe(&mut tokens, word)?;
        tokens.done(word)?;
        self.ranges += usize::from(word == "range");
        let (body, end) = self.body()?;
        self.ranges -= usize::from(word == "range");
        let otherwise = match end {
            Closing::Source => Err(Fault::new(
                at,
                format!("{{{{{word}}}}} without {{{{end}}}}"),
            )),
            Closing::End(_) => Ok(Vec::new()),
            Closing::Else(tokens, at) => self.otherwise(tokens, at, word),
        }?;
        self.variables.truncate(scope);
        Ok(Branch {
            pipe,
            body,
            otherwise,
        })
    }

    /// Parses the body behind `else`, or another branch of the same kind, which ends both.
    fn otherwise(
        &mut self,
        mut tokens: Tokens<'a>,
        at: usize,
        word: &str,
    ) -> Result<Vec<Node>, Fault> {
        if word != "range" && tokens.word(word) {
            let branch = self.deeper(at, |p| p.branch(tokens, word))?;
            return Ok(vec![match word {
                "if" => Node::If(branch),
                _ => Node::With(branch),
            }]);
        }
        tokens.done("else")?;
        let (body, end) = self.body()?;
        match end {
            Closing::End(_) => Ok(body),
            Closing::Else(_, at) => Err(Fault::new(at, "a second {{else}}")),
            Closing::Source => Err(Fault::new(at, "{{else}} without {{end}}")),
        }
    }

    fn define(&mut self, mut tokens: Tokens<'a>, at: usize) -> Result<(), Fault> {
        if self.depth > 1 {
            return Err(Fault::new(at, "unexpected {{define}} in a body"));
        }
        let name = template_name(&mut tokens, "define")?;
        tokens.done("define")?;
        let outer = std::mem::replace(&mut self.variables, vec![String::new()]);
        let (body, end) = self.body()?;
        self.variables = outer;
        match end {
            Closing::End(_) => self.defined.insert(name, body),
            Closing::Else(_, at) => return Err(Fault::new(at, "unexpected {{else}}")),
            Closing::Source => return Err(Fault::new(at, "{{define}} without {{end}}")),
        };
        Ok(())
    }

    fn include(&mut self, mut tokens: Tokens<'a>, at: usize) -> Result<Node, Fault> {
        let name = template_name(&mut tokens, "template")?;
        let dot = match tokens.peek() {
            None => None,
            Some(_) => Some(self.pipe(&mut tokens, "template")?),
        };
        tokens.done("template")?;
        Ok(Node::Include { name, dot, at })
    }

    /// Parses a pipeline up to the end of the action or a closing parenthesis.
    fn pipe(&mut self, tokens: &mut Tokens<'a>, context: &str) -> Result<Pipe, Fault> {
        let at = tokens.at();
        let (variables, assigns) = self.declaration(tokens, context)?;
        let mut commands = Vec::new();
        loop {
            let command = self.command(tokens, context)?;
            if !commands.is_empty() && matches!(command.first.term, Term::Literal(_) | Term::Dot) {
                let n = commands.len() + 1;
                let reason = format!("non executable command in pipeline stage {n}");
                return Err(Fault::new(command.first.at, reason));
            }
            commands.push(command);
            if !tokens.take(&Kind::Pipe) {
                break;
            }
        }
        if !assigns {
            self.variables.extend(variables.iter().cloned());
        }
        Ok(Pipe {
            variables,
            assigns,
            commands,
            at,
        })
    }

    /// Parses `$x :=`, `$x =` and, for `range`, `$i, $x :=`. A pipeline may also begin with a
    /// variable that it only uses.
    fn declaration(
        &self,
        tokens: &mut Tokens<'a>,
        context: &str,
    ) -> Result<(Vec<String>, bool), Fault> {
        let mut ahead = tokens.tokens.clone();
        let mut names = Vec::new();
        while let Some(Token {
            kind: Kind::Variable(name),
            ..
        }) = ahead.next()
        {
            names.push(name.clone());
            let (assigns, at) = match ahead.next() {
                Some(token) if token.kind == Kind::Declare => (false, token.at),
                Some(token) if token.kind == Kind::Assign => (true, token.at),
                Some(token) if token.kind == Kind::Comma && context == "range" => continue,
                _ => break,
            };
            if names.len() > 2 {
                return Err(Fault::new(at, "too many declarations in range"));
            }
            if let Some(name) = names
                .iter()
                .find(|n| assigns && !self.variables.contains(n))
            {
                return Err(Fault::new(at, format!("undefined variable \"${name}\"")));
            }
            tokens.tokens = ahead;
            return Ok((names, assigns));
        }
        Ok((Vec::new(), false))
    }

    fn command(&mut self, tokens: &mut Tokens<'a>, context: &str) -> Result<Command, Fault> {
        let first = self.operand(tokens, context)?;
        let mut arguments = Vec::new();
        while let Some(token) = tokens.peek() {
            if matches!(token.kind, Kind::Pipe | Kind::Close) {
                break;
            }
            if !token.spaced {
                return Err(unexpected(token, context));
            }
            arguments.push(self.operand(tokens, context)?);
        }
        Ok(Command { first, arguments })
    }

    /// Parses a term and the fields that follow it without a space.
    fn operand(&mut self, tokens: &mut Tokens<'a>, context: &str) -> Result<Operand, Fault> {
        let Some(token) = tokens.tokens.next() else {
            return Err(tokens.fault(format!("missing value for {context}")));
        };
        let mut fields = Vec::new();
        let term = match &token.kind {
            Kind::Dot => Term::Dot,
            Kind::Field(name) => {
                fields.push(name.clone());
                Term::Dot
            }
            Kind::Variable(name) if self.variables.contains(name) => Term::Variable(name.clone()),
            Kind::Variable(name) => {
                return Err(Fault::new(
                    token.at,
                    format!("undefined variable \"${name}\""),
                ));
            }
            Kind::Word(name) if functions::exists(name) => Term::Function(name.clone()),
            Kind::Word(name) => {
                let reason = format!("function \"{name}\" not defined");
                return Err(Fault::new(token.at, reason));
            }
            Kind::Literal(value) => Term::Literal(value.clone()),
            Kind::Open => self.deeper(token.at, |p| p.parenthesis(tokens))?,
            _ => return Err(unexpected(token, context)),
        };
        let follows = |t: &&Token| !t.spaced && matches!(t.kind, Kind::Field(_));
        while let Some(next) = tokens.tokens.next_if(follows) {
            if matches!(term, Term::Literal(_) | Term::Function(_)) || token.kind == Kind::Dot {
                return Err(unexpected(next, context));
            }
            if let Kind::Field(name) = &next.kind {
                fields.push(name.clone());
            }
        }
        let at = token.at;
        Ok(Operand { term, fields, at })
    }

    fn parenthesis(&mut self, tokens: &mut Tokens<'a>) -> Result<Term, Fault> {
        let pipe = self.pipe(tokens, "parenthesized pipeline")?;
        match tokens.take(&Kind::Close) {
            true => Ok(Term::Pipe(Box::new(pipe))),
            false => Err(tokens.fault("unclosed left paren")),
        }
    }
}
