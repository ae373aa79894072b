// SPDX-License-Identifier: Apache-2.0
//! Commands to QEMU (QMP) for a process that also waits for other events: answers come back to the
//! caller, events go to a channel.

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// Time limit of an answer. QEMU answers within milliseconds unless it is stopped.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Name of the one job at a time.
const JOB_ID: &str = "keeper";
/// Event of a job (`qapi/job.json`), for the thread that started it.
const JOB: &str = "JOB_STATUS_CHANGE";

/// Connection to QEMU.
pub struct Monitor {
    stream: UnixStream,
    lines: Option<BufReader<UnixStream>>,
    answers: Option<Receiver<Value>>,
    /// Number of the last command. Its answer carries it, which tells it from the late answer to a
    /// command whose time was over.
    last_id: u64,
}

impl Monitor {
    /// Reads the greeting and ends the negotiation.
    pub fn connect(stream: UnixStream) -> Result<Self> {
        stream.set_read_timeout(Some(TIMEOUT))?;
        let mut lines = BufReader::new(stream.try_clone()?);
        let greeting = next(&mut lines).context("no greeting from QEMU")?;
        if greeting.get("QMP").is_none() {
            bail!("QEMU greeted with {greeting}");
        }
        let mut monitor = Self {
            stream,
            lines: Some(lines),
            answers: None,
            last_id: 0,
        };
        monitor.execute("qmp_capabilities", &json!({}))?;
        Ok(monitor)
    }

    /// Passes events to `events` from now on: `Some` for each, `None` when QEMU has ended. The thread
    /// that does so ends with QEMU, or when `events` returns false.
    pub fn watch(
        &mut self,
        mut events: impl FnMut(Option<Value>) -> bool + Send + 'static,
    ) -> Result<()> {
        let mut lines = self.lines.take().context("listens already")?;
        self.stream.set_read_timeout(None)?;
        let (sender, answers) = channel();
        self.answers = Some(answers);
        thread::spawn(move || {
            while let Ok(line) = next(&mut lines) {
                let sent = match line.get("event") {
                    Some(name) if name != JOB => events(Some(line)),
                    _ => sender.send(line).is_ok(),
                };
                if !sent {
                    return;
                }
            }
            events(None);
        });
        Ok(())
    }

    /// Executes a command and returns its answer.
    pub fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        self.send(command, arguments)?;
        loop {
            let line = self.receive(Some(TIMEOUT));
            let line = line.with_context(|| format!("QMP {command}"))?;
            if self.is_answer(&line) {
                return value_of(command, &line);
            }
        }
    }

    /// Returns true for the answer to the last command.
    fn is_answer(&self, line: &Value) -> bool {
        line["id"] == self.last_id
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
            if self.is_answer(&line) {
                value_of(command, &line)?;
                started = true;
            }
            concluded |= has_concluded(&line);
        }
        let job = self.find_job();
        self.execute("job-dismiss", &json!({"id": JOB_ID}))?;
        match job?.and_then(|job| job["error"].as_str().map(str::to_owned)) {
            Some(error) => bail!("{error}"),
            None => Ok(()),
        }
    }

    /// Waits for the job that a keeper which was killed has left, and dismisses it: QEMU would refuse
    /// another one of its name. To be called before [`Self::watch`].
    pub fn end_left_job(&mut self) -> Result<()> {
        let Some(job) = self.find_job()? else {
            return Ok(());
        };
        let mut concluded = job["status"] == "concluded";
        while !concluded {
            let line = self.receive(None).context("the job of a former keeper")?;
            concluded = has_concluded(&line);
        }
        self.execute("job-dismiss", &json!({"id": JOB_ID}))?;
        Ok(())
    }

    fn find_job(&mut self) -> Result<Option<Value>> {
        let jobs = self.execute("query-jobs", &json!({}))?;
        let mut jobs = jobs.as_array().into_iter().flatten();
        Ok(jobs.find(|job| job["id"] == JOB_ID).cloned())
    }

    fn send(&mut self, command: &str, arguments: &Value) -> Result<()> {
        self.last_id += 1;
        let line = json!({"execute": command, "arguments": arguments, "id": self.last_id});
        let line = line.to_string() + "\n";
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

/// Returns true for the event with which the job of a keeper ends.
fn has_concluded(line: &Value) -> bool {
    let data = &line["data"];
    line["event"] == JOB && data["id"] == JOB_ID && data["status"] == "concluded"
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

    /// The other end of a connection, which plays QEMU.
    struct Qemu {
        lines: BufReader<UnixStream>,
        id: Value,
    }

    impl Qemu {
        /// Greets, and answers the command that ends the negotiation.
        fn greet(theirs: UnixStream) -> Self {
            let mut qemu = Self {
                lines: BufReader::new(theirs),
                id: Value::Null,
            };
            qemu.say(&json!({"QMP": {}}));
            qemu.expect("qmp_capabilities");
            qemu.say(&json!({"event": "EARLY"}));
            qemu.answer(json!({"return": {}}));
            qemu
        }

        fn say(&mut self, line: &Value) {
            let line = line.to_string() + "\r\n";
            let stream = self.lines.get_mut();
            stream.write_all(line.as_bytes()).expect("written");
        }

        fn expect(&mut self, command: &str) {
            let line = next(&mut self.lines).expect("a command");
            assert_eq!(line["execute"], command);
            self.id = line["id"].clone();
        }

        fn answer(&mut self, mut line: Value) {
            line["id"] = self.id.clone();
            self.say(&line);
        }

        fn job(&mut self, status: &str) {
            self.say(&json!({"event": JOB, "data": {"id": JOB_ID, "status": status}}));
        }

        fn list(&mut self, jobs: Value) {
            self.expect("query-jobs");
            self.answer(json!({"return": jobs}));
        }

        fn dismiss(&mut self) {
            self.expect("job-dismiss");
            self.answer(json!({"return": {}}));
        }
    }

    #[test]
    fn answers_and_events_part() {
        let (ours, theirs) = UnixStream::pair().expect("socketpair");
        let qemu = thread::spawn(move || {
            let mut qemu = Qemu::greet(theirs);
            qemu.expect("x");
            qemu.say(&json!({"event": "STOP"}));
            // An answer to an earlier command, whose time was over.
            qemu.say(&json!({"return": 41, "id": 0}));
            qemu.answer(json!({"return": 42}));
            qemu.expect("y");
            qemu.answer(json!({"error": {"desc": "no"}}));
            for job in [
                json!({"id": JOB_ID}),
                json!({"id": JOB_ID, "error": "full"}),
            ] {
                qemu.expect("save");
                qemu.job("running");
                qemu.answer(json!({"return": {}}));
                qemu.job("concluded");
                qemu.list(json!([job]));
                qemu.dismiss();
            }
            qemu.expect("save");
        });
        let mut monitor = Monitor::connect(ours).expect("greets");
        let (sender, events) = channel();
        monitor
            .watch(move |event| sender.send(event).is_ok())
            .expect("first");
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

    #[test]
    fn the_job_of_a_former_keeper_is_waited_for_and_dismissed() {
        for (jobs, statuses) in [
            (json!([]), &[][..]),
            (json!([{"id": "other", "status": "running"}]), &[]),
            (json!([{"id": JOB_ID, "status": "concluded"}]), &[]),
            (
                json!([{"id": JOB_ID, "status": "running"}]),
                &["pending", "concluded"],
            ),
        ] {
            let (ours, theirs) = UnixStream::pair().expect("socketpair");
            let is_left = jobs[0]["id"] == JOB_ID;
            let qemu = thread::spawn(move || {
                let mut qemu = Qemu::greet(theirs);
                qemu.list(jobs);
                for status in statuses {
                    qemu.job(status);
                }
                if is_left {
                    qemu.dismiss();
                }
                qemu.expect("x");
                qemu.answer(json!({"return": {}}));
            });
            let mut monitor = Monitor::connect(ours).expect("greets");
            monitor.end_left_job().expect("dismissed");
            monitor.execute("x", &json!({})).expect("answers");
            qemu.join().expect("no panic");
        }
    }
}
