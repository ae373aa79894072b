// SPDX-License-Identifier: Apache-2.0
//! Shape of a row of [`crate::applets::APPLETS`]. The commands use this type, and get the table as
//! an argument.

use crate::common::control_client::ControlClient;

/// One applet.
pub struct Applet {
    /// Name on the command line.
    pub name: &'static str,
    /// Other spellings of the name.
    pub aliases: &'static [&'static str],
    /// Kind, which selects the log target and the applets that help lists.
    pub kind: Kind,
    /// Synopsis of the arguments.
    pub arguments: &'static str,
    /// Function that does the work; its result is the exit status.
    pub run: fn(&Invocation<'_>) -> i32,
    /// Effect, in one line that begins with a verb.
    pub summary: &'static str,
    /// Further text of `b2p help NAME`.
    pub details: &'static str,
}

/// Kind of an applet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Command for people, at a terminal or in scripts, which help lists. The command prints to the terminal; `ext boot`,
    /// which PID 1 runs, opens the kernel log itself.
    Client,
    /// Service of PID 1 that may run for as long as the machine and logs to the kernel log.
    Service,
    /// Program that PID 1 runs to its end, as a one-shot service or during the shutdown; logs to the kernel log.
    OneShot,
    /// Program that parses all its arguments and decides itself where its messages go: a command with the name and the
    /// options of another program, a hook, or a service whose output PID 1 logs. [`crate::applets::run`] neither handles
    /// `--help` for such a program nor opens the kernel log.
    Raw,
}

/// Call of one applet.
pub struct Invocation<'a> {
    /// Client of PID 1's control socket, which connects for each request.
    pub control: &'a ControlClient,
    /// All applets, for help.
    pub table: &'static [Applet],
    /// Name of the applet.
    pub name: &'a str,
    /// Arguments after the name.
    pub arguments: &'a [String],
}

/// Default values of a row.
pub const DEFAULT: Applet = Applet {
    name: "",
    aliases: &[],
    kind: Kind::Client,
    arguments: "",
    run: |_| 2,
    summary: "",
    details: "",
};

impl Applet {
    /// Returns true if `name` is the name or an alias.
    #[must_use]
    pub fn has_name(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }
}
