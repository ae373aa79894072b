// SPDX-License-Identifier: Apache-2.0
//! Interface descriptions as text.

use super::{Description, Fields, Kind, Member, Type};

/// Longest line of a member that is not divided, in characters.
const WIDTH: usize = 80;

/// Writer of a description.
#[derive(Default)]
pub(super) struct Writer {
    pub(super) text: String,
}

impl Writer {
    pub(super) fn description(&mut self, description: &Description) {
        self.comment(&description.comment, 0);
        self.text.push_str("interface ");
        self.text.push_str(&description.name);
        self.text.push('\n');
        for member in &description.members {
            self.text.push('\n');
            self.comment(&member.comment, 0);
            self.member(member);
            self.text.push('\n');
        }
        if !description.end.is_empty() {
            self.text.push('\n');
            self.comment(&description.end, 0);
        }
    }

    fn comment(&mut self, lines: &[String], indent: usize) {
        for line in lines {
            self.indent(indent);
            self.text.push('#');
            self.text.push_str(line);
            self.text.push('\n');
        }
    }

    fn indent(&mut self, indent: usize) {
        self.text.extend(std::iter::repeat_n(' ', indent));
    }

    fn member(&mut self, member: &Member) {
        let (keyword, space, lists) = match &member.kind {
            Kind::Type(Type::Fields(fields)) => ("type", " ", vec![fields]),
            Kind::Type(_) => ("type", " ", Vec::new()),
            Kind::Method(parameters, results) => ("method", "", vec![parameters, results]),
            Kind::Error(fields) => ("error", " ", vec![fields]),
        };
        let start = format!("{keyword} {}{space}", member.name);
        let flat: Vec<Option<String>> = lists.iter().map(|fields| flat(fields)).collect();
        let length = |list: &Option<String>| list.as_ref().map_or(WIDTH, |text| text.len());
        let whole =
            start.len() + flat.iter().map(length).sum::<usize>() + 4 * flat.len().saturating_sub(1);
        let first = start.len() + flat.first().map_or(0, length) + " -> (".len();
        self.text.push_str(&start);
        for (at, (fields, flat)) in lists.iter().zip(flat).enumerate() {
            if at > 0 {
                self.text.push_str(" -> ");
            }
            // The results are divided first, then the parameters.
            let fits = whole <= WIDTH || (at == 0 && lists.len() > 1 && first <= WIDTH);
            match flat {
                Some(flat) if fits || fields.is_empty() => self.text.push_str(&flat),
                _ => self.fields(fields, 0),
            }
        }
    }

    /// Writes one field a line.
    fn fields(&mut self, fields: &Fields, indent: usize) {
        self.text.push_str("(\n");
        for (at, field) in fields.iter().enumerate() {
            self.comment(&field.comment, indent + 2);
            self.indent(indent + 2);
            self.text.push_str(&field.name);
            if let Some(kind) = &field.kind {
                self.text.push_str(": ");
                self.kind(kind, indent + 2);
            }
            self.text
                .push_str(if at + 1 < fields.len() { ",\n" } else { "\n" });
        }
        self.indent(indent);
        self.text.push(')');
    }

    fn kind(&mut self, kind: &Type, indent: usize) {
        match kind {
            Type::Array(element) => {
                self.text.push_str("[]");
                self.kind(element, indent);
            }
            Type::Map(element) => {
                self.text.push_str("[string]");
                self.kind(element, indent);
            }
            Type::Maybe(element) => {
                self.text.push('?');
                self.kind(element, indent);
            }
            Type::Named(name) => self.text.push_str(name),
            Type::Fields(fields) => match flat(fields) {
                Some(flat) if indent + flat.len() <= WIDTH / 2 => self.text.push_str(&flat),
                _ => self.fields(fields, indent),
            },
        }
    }
}

/// Returns fields on one line; `None` if there are comments, which need lines of their own.
fn flat(fields: &Fields) -> Option<String> {
    let mut parts = Vec::with_capacity(fields.len());
    for field in fields {
        if !field.comment.is_empty() {
            return None;
        }
        parts.push(match &field.kind {
            Some(kind) => format!("{}: {}", field.name, flat_kind(kind)?),
            None => field.name.clone(),
        });
    }
    Some(format!("({})", parts.join(", ")))
}

fn flat_kind(kind: &Type) -> Option<String> {
    Some(match kind {
        Type::Array(element) => format!("[]{}", flat_kind(element)?),
        Type::Map(element) => format!("[string]{}", flat_kind(element)?),
        Type::Maybe(element) => format!("?{}", flat_kind(element)?),
        Type::Named(name) => name.clone(),
        Type::Fields(fields) => flat(fields)?,
    })
}
