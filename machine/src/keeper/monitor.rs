// SPDX-License-Identifier: Apache-2.0
//! Commands to QEMU (QMP) for a process that also waits for other events: answers come back to the
//! caller, events go to a channel.

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

/// Time limit of an answer. QEMU answers within milliseconds unless it is stopped.
const LIMIT: Duration = Duration::from_secs(60);

/// Connection to QEMU.
pub struct Monitor {
    stream: UnixStream,
    lines: Option<BufReader<UnixStream>>,
    answers: Option<Receiver<Value>>,
}

impl Monitor {
    /// Reads the greeting and ends the negotiation.
    pub fn connect(stream: UnixStream) -> Result<Self> {
        stream.set_read_timeout(Some(LIMIT))?;
        let mut lines = BufReader::new(stream.try_clone()?);
        let greeting = next(&mut lines).context("no greeting from QEMU")?;
        if greeting.get("QMP").is_none() {
            bail!("QEMU greeted with {greeting}");
        }
        let mut monitor = Self {
            stream,
            lines: Some(lines),
            answers: None,
        };
        monitor.execute("qmp_capabilities", &json!({}))?;
        Ok(monitor)
    }

    /// Sends events to `events` from now on: `Some` for each, `None` when QEMU has ended.
    pub fn listen<T: Send + 'static>(
        &mut self,
        events: Sender<T>,
        event: fn(Option<Value>) -> T,
    ) -> Result<()> {
        let mut lines = self.lines.take().context("listens already")?;
        self.stream.set_read_timeout(None)?;
        let (sender, answers) = channel();
        self.answers = Some(answers);
        thread::spawn(move || {
            while let Ok(line) = next(&mut lines) {
                let sent = match line.get("event") {
                    Some(_) => events.send(event(Some(line))).is_ok(),
                    None => sender.send(line).is_ok(),
                };
                if !sent {
                    return;
                }
            }
            let _ = events.send(event(None));
        });
        Ok(())
    }

    /// Executes a command and returns its answer.
    pub fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        let line = json!({"execute": command, "arguments": arguments}).to_string() + "\n";
        self.stream
            .write_all(line.as_bytes())
            .with_context(|| format!("QMP {command}"))?;
        let answer = loop {
            let line = match (&self.answers, &mut self.lines) {
                (Some(answers), _) => answers
                    .recv_timeout(LIMIT)
                    .map_err(|_| anyhow!("QEMU does not answer")),
                (None, Some(lines)) => next(lines),
                (None, None) => Err(anyhow!("no connection")),
            };
            let line = line.with_context(|| format!("QMP {command}"))?;
            if line.get("event").is_none() {
                break line;
            }
        };
        match answer.get("return") {
            Some(value) => Ok(value.clone()),
            None => bail!(
                "QMP {command}: {}",
                answer["error"]["desc"]
                    .as_str()
                    .unwrap_or("no reason given")
            ),
        }
    }

    /// Executes a command of QEMU's monitor for people, for what QMP lacks; returns its text, which
    /// is empty for most successes.
    pub fn human(&mut self, command: &str) -> Result<String> {
        let value = self.execute("human-monitor-command", &json!({"command-line": command}))?;
        Ok(value.as_str().unwrap_or_default().trim().to_owned())
    }
}

fn next(lines: &mut BufReader<UnixStream>) -> Result<Value> {
    let mut line = String::new();
    if lines.read_line(&mut line)? == 0 {
        bail!("QEMU has ended");
    }
    serde_json::from_str(&line).with_context(|| format!("QMP: not JSON: {}", line.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_and_events_part() {
        let (ours, mut theirs) = UnixStream::pair().expect("socketpair");
        let qemu = thread::spawn(move || {
            let mut lines = BufReader::new(theirs.try_clone().expect("clone"));
            let mut say = |text: &str| theirs.write_all(text.as_bytes()).expect("written");
            say("{\"QMP\": {}}\r\n");
            next(&mut lines).expect("capabilities");
            say("{\"event\": \"EARLY\"}\n{\"return\": {}}\n");
            next(&mut lines).expect("a command");
            say("{\"event\": \"STOP\"}\n{\"return\": 42}\n");
            next(&mut lines).expect("another");
            say("{\"error\": {\"desc\": \"no\"}}\n");
        });
        let mut monitor = Monitor::connect(ours).expect("greets");
        let (sender, events) = channel();
        monitor.listen(sender, |event| event).expect("first");
        assert_eq!(
            monitor.execute("x", &json!({})).expect("answers"),
            json!(42)
        );
        let error = monitor.execute("y", &json!({})).expect_err("refused");
        assert_eq!(error.to_string(), "QMP y: no");
        qemu.join().expect("no panic");
        let seen: Vec<Option<Value>> = events.iter().take(2).collect();
        assert_eq!(seen, [Some(json!({"event": "STOP"})), None]);
        assert!(monitor.execute("z", &json!({})).is_err());
    }
}
