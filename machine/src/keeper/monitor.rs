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

/// Name of the one job at a time.
const JOB_ID: &str = "keeper";
/// Event of a job (`qapi/job.json`), for the thread that started it.
const JOB: &str = "JOB_STATUS_CHANGE";

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
                    Some(name) if name != JOB => events.send(event(Some(line))).is_ok(),
                    _ => sender.send(line).is_ok(),
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
        self.send(command, arguments)?;
        loop {
            let line = self.receive(Some(LIMIT));
            let line = line.with_context(|| format!("QMP {command}"))?;
            if line.get("event").is_none() {
                return value_of(command, &line);
            }
        }
    }

    /// Executes a command that starts a job, and returns when the job has ended. QEMU answers
    /// nothing else meanwhile, and a job has no time limit: a large memory takes its time.
    pub fn job(&mut self, command: &str, mut arguments: Value) -> Result<()> {
        arguments["job-id"] = json!(JOB_ID);
        self.send(command, &arguments)?;
        let (mut started, mut concluded) = (false, false);
        while !(started && concluded) {
            let line = self
                .receive(None)
                .with_context(|| format!("QMP {command}"))?;
            match line.get("event") {
                Some(name) => {
                    concluded |= name == JOB
                        && line["data"]["id"] == JOB_ID
                        && line["data"]["status"] == "concluded";
                }
                None => {
                    value_of(command, &line)?;
                    started = true;
                }
            }
        }
        let jobs = self.execute("query-jobs", &json!({}))?;
        self.execute("job-dismiss", &json!({"id": JOB_ID}))?;
        let mut jobs = jobs.as_array().into_iter().flatten();
        let job = jobs.find(|job| job["id"] == JOB_ID);
        match job.and_then(|job| job["error"].as_str()) {
            Some(error) => bail!("{error}"),
            None => Ok(()),
        }
    }

    fn send(&mut self, command: &str, arguments: &Value) -> Result<()> {
        let line = json!({"execute": command, "arguments": arguments}).to_string() + "\n";
        self.stream
            .write_all(line.as_bytes())
            .with_context(|| format!("QMP {command}"))
    }

    fn receive(&mut self, limit: Option<Duration>) -> Result<Value> {
        match (&self.answers, &mut self.lines, limit) {
            (Some(answers), _, Some(limit)) => answers
                .recv_timeout(limit)
                .map_err(|_| anyhow!("QEMU does not answer")),
            (Some(answers), _, None) => answers.recv().map_err(|_| anyhow!("QEMU has ended")),
            (None, Some(lines), _) => {
                self.stream.set_read_timeout(limit)?;
                next(lines)
            }
            (None, None, _) => Err(anyhow!("no connection")),
        }
    }

    /// Executes a command of QEMU's monitor for people, for what QMP lacks; returns its text, which
    /// is empty for most successes.
    pub fn human(&mut self, command: &str) -> Result<String> {
        let value = self.execute("human-monitor-command", &json!({"command-line": command}))?;
        Ok(value.as_str().unwrap_or_default().trim().to_owned())
    }
}

/// Returns the value of an answer to a command.
fn value_of(command: &str, answer: &Value) -> Result<Value> {
    let reason = answer["error"]["desc"].as_str();
    match answer.get("return") {
        Some(value) => Ok(value.clone()),
        None => bail!("QMP {command}: {}", reason.unwrap_or("no reason given")),
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
            for error in ["", ", \"error\": \"full\""] {
                next(&mut lines).expect("a job");
                say(
                    "{\"event\": \"JOB_STATUS_CHANGE\", \"data\": {\"id\": \"keeper\", \"status\": \"running\"}}\n",
                );
                say("{\"return\": {}}\n");
                say(
                    "{\"event\": \"JOB_STATUS_CHANGE\", \"data\": {\"id\": \"keeper\", \"status\": \"concluded\"}}\n",
                );
                next(&mut lines).expect("query-jobs");
                say(&format!(
                    "{{\"return\": [{{\"id\": \"keeper\"{error}}}]}}\n"
                ));
                next(&mut lines).expect("job-dismiss");
                say("{\"return\": {}}\n");
            }
            next(&mut lines).expect("a job");
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
        monitor.job("save", json!({})).expect("saved");
        let error = monitor.job("save", json!({})).expect_err("a full disk");
        assert_eq!(error.to_string(), "full");
        let error = monitor.job("save", json!({})).expect_err("QEMU dies");
        assert!(format!("{error:#}").contains("QEMU has ended"), "{error:#}");
        qemu.join().expect("no panic");
        let seen: Vec<Option<Value>> = events.iter().take(2).collect();
        assert_eq!(seen, [Some(json!({"event": "STOP"})), None]);
        assert!(monitor.execute("z", &json!({})).is_err());
    }
}
