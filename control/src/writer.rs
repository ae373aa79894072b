//! The report as text: PID 1's side. No formatting machinery; what a name or a
//! reason holds cannot break a line.

use crate::report::{Degraded, Last, Machine, Phase, Report, Service, Shutdown};

/// Appends `text` with control characters and those in `not` replaced.
pub(crate) fn clean(out: &mut String, text: &str, not: &str) {
    for c in text.chars() {
        let bad = matches!(c, '\0'..='\x1f' | '\x7f'..='\u{9f}') || not.contains(c);
        out.push(if bad { '?' } else { c });
    }
}

/// A word: no spaces.
fn word(out: &mut String, text: &str) {
    out.push(' ');
    clean(out, text, " ");
}

fn number(out: &mut String, value: u64) {
    if value >= 10 {
        number(out, value / 10);
    }
    out.push((b'0' + (value % 10) as u8) as char);
}

fn field(out: &mut String, key: &str, value: Option<u64>) {
    let Some(value) = value else {
        return;
    };
    out.push(' ');
    out.push_str(key);
    out.push('=');
    number(out, value);
}

impl Machine<'_> {
    /// Appends its line.
    pub fn write(&self, out: &mut String) {
        out.push_str("machine");
        for (key, value) in [(" version=", self.version), (" data=", self.data)] {
            if !value.is_empty() {
                out.push_str(key);
                clean(out, value, " ");
            }
        }
        field(out, "now", self.now);
        field(out, "started", self.started);
        field(out, "ready", self.ready);
        out.push('\n');
    }
}

impl Phase<'_> {
    /// Appends its line.
    pub fn write(&self, out: &mut String) {
        out.push_str("phase");
        word(out, self.name);
        for value in [self.start_us, self.took_us] {
            out.push(' ');
            number(out, value);
        }
        out.push('\n');
    }
}

impl Service<'_> {
    /// Appends its line.
    pub fn write(&self, out: &mut String) {
        out.push_str("service");
        word(out, self.name);
        word(out, self.state.word());
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
        ] {
            field(out, key, value);
        }
        field(out, "own", self.own.then_some(1));
        if let Some(last) = self.last {
            let (how, value) = match last {
                Last::Exited(code) => (" last=exited:", code),
                Last::Killed(signal) => (" last=killed:", signal),
            };
            out.push_str(how);
            if value < 0 {
                out.push('-');
            }
            number(out, value.unsigned_abs().into());
        }
        out.push('\n');
    }
}

impl Degraded<'_> {
    /// Appends its line.
    pub fn write(&self, out: &mut String) {
        out.push_str("degraded ");
        clean(out, self.what, ":");
        out.push_str(": ");
        clean(out, self.why, "");
        out.push('\n');
    }
}

impl Shutdown {
    /// Appends its line.
    pub fn write(&self, out: &mut String) {
        out.push_str("shutdown ");
        out.push_str(self.kind.word());
        field(out, "at", Some(self.at));
        out.push('\n');
    }
}

impl Report<'_> {
    /// Appends all of it. PID 1 writes its lines one by one instead, straight
    /// from its tables.
    pub fn write(&self, out: &mut String) {
        self.machine.write(out);
        self.degraded.iter().for_each(|d| d.write(out));
        self.shutdown.iter().for_each(|s| s.write(out));
        self.phases.iter().for_each(|p| p.write(out));
        self.services.iter().for_each(|s| s.write(out));
        if self.cut {
            out.push_str(crate::CUT);
        }
    }
}
