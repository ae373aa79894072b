// SPDX-License-Identifier: Apache-2.0
//! Writing a report as text, as PID 1 does. No text that a name or a reason contains can begin a
//! new line or a new field. core::fmt is not used, because its code is large.

use crate::report::{Degraded, LastExit, MachineInfo, Phase, Report, Service, Shutdown};

/// Appends `text` to `out`. Control characters and the characters of `reserved` become `?`.
pub(crate) fn push_printable(out: &mut String, text: &str, reserved: &str) {
    for c in text.chars() {
        let control = matches!(c, '\0'..='\x1f' | '\x7f'..='\u{9f}');
        out.push(if control || reserved.contains(c) {
            '?'
        } else {
            c
        });
    }
}

/// Appends a space and `text` as one word, without spaces.
fn push_word(out: &mut String, text: &str) {
    out.push(' ');
    push_printable(out, text, " ");
}

fn push_number(out: &mut String, value: u64) {
    if value >= 10 {
        push_number(out, value / 10);
    }
    out.push((b'0' + (value % 10) as u8) as char);
}

/// Appends ` key=value` if the value is known.
fn push_field(out: &mut String, key: &str, value: Option<u64>) {
    let Some(value) = value else {
        return;
    };
    out.push(' ');
    out.push_str(key);
    out.push('=');
    push_number(out, value);
}

impl MachineInfo<'_> {
    /// Appends the `machine` line.
    pub fn write(&self, out: &mut String) {
        out.push_str("machine");
        for (key, value) in [(" version=", self.version), (" data=", self.data)] {
            if !value.is_empty() {
                out.push_str(key);
                push_printable(out, value, " ");
            }
        }
        push_field(out, "now", self.now);
        push_field(out, "started", self.started);
        push_field(out, "ready", self.ready);
        out.push('\n');
    }
}

impl Phase<'_> {
    /// Appends the `phase` line.
    pub fn write(&self, out: &mut String) {
        out.push_str("phase");
        push_word(out, self.name);
        for value in [self.start_us, self.took_us] {
            out.push(' ');
            push_number(out, value);
        }
        out.push('\n');
    }
}

impl Service<'_> {
    /// Appends the `service` line.
    pub fn write(&self, out: &mut String) {
        out.push_str("service");
        push_word(out, self.name);
        push_word(out, self.state.word());
        for (key, value) in [
            ("since", self.since),
            ("pid", self.pid),
            ("restarts", self.restarts),
            ("asked", self.asked),
            ("spawned", self.spawned),
            ("ready", self.ready),
            ("next", self.next),
            ("late", self.late),
            ("grace", self.grace),
            ("user", self.user),
        ] {
            push_field(out, key, value);
        }
        push_field(out, "own", self.is_user_service.then_some(1));
        if let Some(last) = self.last {
            let (key, value) = match last {
                LastExit::Exited(status) => (" last=exited:", status),
                LastExit::Killed(signal) => (" last=killed:", signal),
            };
            out.push_str(key);
            if value < 0 {
                out.push('-');
            }
            push_number(out, value.unsigned_abs().into());
        }
        out.push('\n');
    }
}

impl Degraded<'_> {
    /// Appends the `degraded` line.
    pub fn write(&self, out: &mut String) {
        out.push_str("degraded ");
        push_printable(out, self.what, ":");
        out.push_str(": ");
        push_printable(out, self.why, "");
        out.push('\n');
    }
}

impl Shutdown {
    /// Appends the `shutdown` line.
    pub fn write(&self, out: &mut String) {
        out.push_str("shutdown ");
        out.push_str(self.kind.word());
        push_field(out, "at", Some(self.at));
        out.push('\n');
    }
}

impl Report<'_> {
    /// Appends every line. PID 1 writes the lines one by one instead, directly from its tables.
    pub fn write(&self, out: &mut String) {
        self.machine.write(out);
        self.degraded
            .iter()
            .for_each(|degraded| degraded.write(out));
        self.shutdown
            .iter()
            .for_each(|shutdown| shutdown.write(out));
        self.phases.iter().for_each(|phase| phase.write(out));
        self.services.iter().for_each(|service| service.write(out));
        if self.truncated {
            out.push_str(crate::CUT);
        }
    }
}
