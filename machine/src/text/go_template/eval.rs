// SPDX-License-Identifier: Apache-2.0
//! Execution of a template.

use std::collections::BTreeMap;

use serde_json::Value;

use super::ast::{Branch, Command, Node, Operand, Pipe, Term};
use super::value::{Reason, Val};
use super::{Fault, MAX_DEPTH, MAX_OUTPUT, MAX_WORK, Missing, format, functions};

/// Course of a body behind a node.
#[derive(Clone, Copy, PartialEq)]
enum Flow {
    Next,
    Break,
    Continue,
}

struct Run<'a, 'd> {
    defined: &'a BTreeMap<String, Vec<Node>>,
    root: &'d Value,
    missing: Missing,
    variables: Vec<(String, Val<'d>)>,
    out: String,
    work: usize,
    depth: usize,
}

/// Executes a body with the data as its dot.
pub(super) fn execute(
    body: &[Node],
    defined: &BTreeMap<String, Vec<Node>>,
    data: &Value,
    missing: Missing,
) -> Result<String, Fault> {
    let mut run = Run {
        defined,
        root: data,
        missing,
        variables: vec![(String::new(), Val::Data(data))],
        out: String::new(),
        work: 0,
        depth: 0,
    };
    run.body(body, &Val::Data(data))?;
    Ok(run.out)
}

impl<'d> Run<'_, 'd> {
    fn body(&mut self, nodes: &[Node], dot: &Val<'d>) -> Result<Flow, Fault> {
        let scope = self.variables.len();
        let mut flow = Flow::Next;
        for node in nodes {
            flow = self.node(node, dot)?;
            if flow != Flow::Next {
                break;
            }
        }
        self.variables.truncate(scope);
        Ok(flow)
    }

    fn node(&mut self, node: &Node, dot: &Val<'d>) -> Result<Flow, Fault> {
        match node {
            Node::Text(text) => self.write(text, 0)?,
            Node::Output(pipe) => {
                let value = self.pipe(pipe, dot)?;
                if pipe.variables.is_empty() {
                    self.write(&format::output(&value), pipe.at)?;
                }
            }
            Node::If(branch) => return self.branch(branch, dot, false),
            Node::With(branch) => return self.branch(branch, dot, true),
            Node::Range(branch) => return self.range(branch, dot),
            Node::Include { name, dot: own, at } => {
                let value = match own {
                    Some(pipe) => self.pipe(pipe, dot)?,
                    None => Val::made(Value::Null),
                };
                self.include(name, value, *at)?;
            }
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    /// Evaluates the body of `if` or `with` that the value of its pipe chooses. In a chosen body of `with`, the dot is
    /// that value.
    fn branch(&mut self, branch: &Branch, dot: &Val<'d>, is_with: bool) -> Result<Flow, Fault> {
        let scope = self.variables.len();
        let value = self.pipe(&branch.pipe, dot)?;
        let dot = match is_with && functions::truth(&value) {
            true => &value,
            false => dot,
        };
        let flow = self.body(chosen(branch, &value), dot);
        self.variables.truncate(scope);
        flow
    }

    fn range(&mut self, branch: &Branch, dot: &Val<'d>) -> Result<Flow, Fault> {
        let scope = self.variables.len();
        let items = {
            // The variables take the items below, not the whole.
            let (value, at) = (self.commands(&branch.pipe, dot)?, branch.pipe.at);
            items(&value).map_err(|reason| Fault::new(at, reason.to_string()))?
        };
        if items.is_empty() {
            return self.body(&branch.otherwise, dot);
        }
        for (key, item) in items {
            match branch.pipe.variables.as_slice() {
                [] => {}
                [one] => self.set(&branch.pipe, one, item.clone()),
                [first, second, ..] => {
                    self.set(&branch.pipe, first, key);
                    self.set(&branch.pipe, second, item.clone());
                }
            }
            let flow = self.body(&branch.body, &item)?;
            self.variables.truncate(scope);
            self.spend(1, branch.pipe.at)?;
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::Next)
    }

    fn include(&mut self, name: &str, dot: Val<'d>, at: usize) -> Result<(), Fault> {
        let defined = self.defined;
        let Some(body) = defined.get(name) else {
            return Err(Fault::new(at, format!("template {name:?} not defined")));
        };
        if self.depth == MAX_DEPTH {
            return Err(Fault::new(at, format!("more than {MAX_DEPTH} levels")));
        }
        self.depth += 1;
        let own = vec![(String::new(), dot.clone())];
        let outer = std::mem::replace(&mut self.variables, own);
        self.body(body, &dot)?;
        self.variables = outer;
        self.depth -= 1;
        Ok(())
    }

    /// Evaluates a pipeline, and gives its value to its variables.
    fn pipe(&mut self, pipe: &Pipe, dot: &Val<'d>) -> Result<Val<'d>, Fault> {
        let value = self.commands(pipe, dot)?;
        for name in &pipe.variables {
            self.set(pipe, name, value.clone());
        }
        Ok(value)
    }

    fn set(&mut self, pipe: &Pipe, name: &str, value: Val<'d>) {
        let known = self.variables.iter_mut().rev().find(|(n, _)| n == name);
        match known {
            Some(variable) if pipe.assigns => variable.1 = value,
            _ => self.variables.push((name.to_owned(), value)),
        }
    }

    fn commands(&mut self, pipe: &Pipe, dot: &Val<'d>) -> Result<Val<'d>, Fault> {
        let mut last = None;
        for command in &pipe.commands {
            last = Some(self.command(command, dot, last)?);
        }
        Ok(last.unwrap_or_else(|| Val::made(Value::Null)))
    }

    fn command(
        &mut self,
        command: &Command,
        dot: &Val<'d>,
        last: Option<Val<'d>>,
    ) -> Result<Val<'d>, Fault> {
        let at = command.first.at;
        self.spend(1, at)?;
        if let Term::Function(name) = &command.first.term {
            return self.call(name, command, dot, last);
        }
        if last.is_some() || !command.arguments.is_empty() {
            let reason = match command.first.fields.last() {
                Some(name) => format!("{name} is not a method but has arguments"),
                None => "can't give argument to non-function".to_owned(),
            };
            return Err(Fault::new(at, reason));
        }
        if matches!(command.first.term, Term::Literal(Value::Null)) {
            return Err(Fault::new(at, "nil is not a command"));
        }
        self.operand(&command.first, dot)
    }

    /// Calls a function; `and` and `or` evaluate no more arguments than they need.
    fn call(
        &mut self,
        name: &str,
        command: &Command,
        dot: &Val<'d>,
        last: Option<Val<'d>>,
    ) -> Result<Val<'d>, Fault> {
        let at = command.first.at;
        let mut values = Vec::with_capacity(command.arguments.len() + 1);
        for argument in &command.arguments {
            let value = self.operand(argument, dot)?;
            if functions::decides(name, &value) {
                return Ok(value);
            }
            values.push(value);
        }
        values.extend(last);
        let value = functions::call(name, &values)
            .map_err(|reason| Fault::new(at, format!("error calling {name}: {reason}")))?;
        self.spend(format::size(&value), at)?;
        Ok(value)
    }

    fn operand(&mut self, operand: &Operand, dot: &Val<'d>) -> Result<Val<'d>, Fault> {
        let at = operand.at;
        let mut value = match &operand.term {
            Term::Dot => dot.clone(),
            Term::Literal(value) => {
                self.spend(format::size(value), at)?;
                Val::made(value.clone())
            }
            Term::Variable(name) => {
                let mut newest = self.variables.iter().rev();
                match newest.find(|(n, _)| n == name) {
                    Some((_, value)) => value.clone(),
                    None => return Err(Fault::new(at, format!("undefined variable \"${name}\""))),
                }
            }
            Term::Pipe(pipe) => self.pipe(pipe, dot)?,
            Term::Function(name) => self.call_alone(name, at)?,
        };
        for name in &operand.fields {
            value = self.field(&value, name, at)?;
        }
        Ok(value)
    }

    /// Calls a function that is an argument itself, and therefore has none.
    fn call_alone(&mut self, name: &str, at: usize) -> Result<Val<'d>, Fault> {
        functions::call(name, &[])
            .map_err(|reason| Fault::new(at, format!("error calling {name}: {reason}")))
    }

    fn field(&mut self, value: &Val<'d>, name: &str, at: usize) -> Result<Val<'d>, Fault> {
        self.spend(1, at)?;
        match &**value {
            Value::Object(_) => {
                let found = value.part(|v| v.get(name));
                let strict = self.missing == Missing::Error && std::ptr::eq(&**value, self.root);
                match found {
                    Some(found) => Ok(found),
                    None if strict => Err(Fault::new(at, format!("no field .{name}"))),
                    None => Ok(Val::made(Value::Null)),
                }
            }
            Value::Null => Ok(Val::made(Value::Null)),
            other => {
                let kind = format::type_name(other);
                let reason = format!("can't evaluate field {name} in type {kind}");
                Err(Fault::new(at, reason))
            }
        }
    }

    fn write(&mut self, text: &str, at: usize) -> Result<(), Fault> {
        self.spend(text.len(), at)?;
        if self.out.len() + text.len() > MAX_OUTPUT {
            let reason = format!("more than {MAX_OUTPUT} bytes of output");
            return Err(Fault::new(at, reason));
        }
        self.out.push_str(text);
        Ok(())
    }

    fn spend(&mut self, work: usize, at: usize) -> Result<(), Fault> {
        self.work += work + 1;
        match self.work > MAX_WORK {
            true => Err(Fault::new(at, "too much work for a template")),
            false => Ok(()),
        }
    }
}

fn chosen<'a>(branch: &'a Branch, value: &Value) -> &'a [Node] {
    match functions::truth(value) {
        true => &branch.body,
        false => &branch.otherwise,
    }
}

/// Returns what `range` visits: indices or keys in order, with their values.
fn items<'d>(value: &Val<'d>) -> Result<Vec<(Val<'d>, Val<'d>)>, Reason> {
    match &**value {
        Value::Null => Ok(Vec::new()),
        Value::Array(list) => {
            let item = |at: usize| value.part(|v| v.get(at)).map(|item| (Val::made(at), item));
            Ok((0..list.len()).filter_map(item).collect())
        }
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            let item = |key: &String| {
                let item = value.part(|v| v.get(key));
                item.map(|item| (Val::made(key.as_str()), item))
            };
            Ok(keys.into_iter().filter_map(item).collect())
        }
        other => Err(format!("range can't iterate over {}", format::text(other)).into()),
    }
}
