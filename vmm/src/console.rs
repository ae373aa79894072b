// SPDX-License-Identifier: Apache-2.0
//! The guest's serial console: a log file, a buffer to search, and a way to type.

use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Text of a kernel panic.
const PANIC: &str = "Kernel panic - not syncing";

/// A live console. A thread reads the output until the other end closes, at the end of QEMU.
pub struct Console {
    shared: Arc<Shared>,
    input: Mutex<Box<dyn Write + Send>>,
    log: PathBuf,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    closed: bool,
}

impl Console {
    /// Reads `output`, the guest's output, to its end into memory and into the file `log`; [`Console::write`] writes to
    /// `input`.
    pub fn new(
        output: impl Read + Send + 'static,
        input: impl Write + Send + 'static,
        log: &Path,
    ) -> Result<Self> {
        let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let shared = Arc::new(Shared::default());
        let writer = Arc::clone(&shared);
        thread::spawn(move || writer.read_all(output, file));
        Ok(Self {
            shared,
            input: Mutex::new(Box::new(input)),
            log: log.to_owned(),
        })
    }

    /// Returns all output so far; bytes that are not UTF-8 are replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.shared.lock().bytes).into_owned()
    }

    /// Returns the current position, after which [`Console::wait`] sees output.
    pub fn mark(&self) -> usize {
        self.shared.lock().bytes.len()
    }

    /// Types `text`.
    pub fn write(&self, text: &[u8]) -> Result<()> {
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        input
            .write_all(text)
            .and_then(|()| input.flush())
            .context("cannot write to the console")
    }

    /// Waits until `found` finds something in the text from `mark` on. Fails when QEMU ends, the
    /// kernel panics or the time limit passes, with the console's tail.
    pub fn wait<T>(
        &self,
        mark: usize,
        limit: Duration,
        what: &str,
        found: impl Fn(&str) -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + limit;
        let mut state = self.shared.lock();
        loop {
            let text = String::from_utf8_lossy(state.bytes.get(mark..).unwrap_or_default());
            if let Some(value) = found(&text) {
                return Ok(value);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let why = if state.closed {
                Some("QEMU has ended".to_owned())
            } else if text.contains(PANIC) {
                Some("the kernel panicked".to_owned())
            } else {
                left.is_zero()
                    .then(|| format!("not within {} s", limit.as_secs()))
            };
            if let Some(why) = why {
                bail!("waiting for {what}: {why}\n{}", self.tail_of(&state.bytes));
            }
            state = self.shared.wait(state, left);
        }
    }

    /// Waits until all output has been read, which is soon after QEMU has ended. The wait has a
    /// limit, because another process may hold QEMU's end of the pipe.
    pub fn wait_end(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut state = self.shared.lock();
        while !state.closed {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.shared.wait(state, left);
        }
    }

    /// Returns the last lines, with a heading that names the log file.
    pub fn tail(&self) -> String {
        self.tail_of(&self.shared.lock().bytes)
    }

    fn tail_of(&self, bytes: &[u8]) -> String {
        let text = String::from_utf8_lossy(bytes);
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(40)..];
        format!(
            "--- last lines of the console; the whole console is in {}\n{}\n---",
            self.log.display(),
            last.join("\n")
        )
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, limit: Duration) -> MutexGuard<'a, State> {
        self.changed
            .wait_timeout(state, limit)
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }

    fn read_all(&self, mut output: impl Read, mut log: File) {
        let mut chunk = [0; 4096];
        while let Ok(n @ 1..) = output.read(&mut chunk) {
            // A full disk on the host costs the log, not the test.
            let _ = log.write_all(&chunk[..n]);
            self.lock().bytes.extend_from_slice(&chunk[..n]);
            self.changed.notify_all();
        }
        self.lock().closed = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    fn pair(name: &str) -> (Console, UnixStream) {
        let (ours, guest) = UnixStream::pair().expect("socketpair");
        let input = ours.try_clone().expect("dup");
        let log = std::env::temp_dir().join(format!("b2p-console-{name}-{}", std::process::id()));
        (Console::new(ours, input, &log).expect("starts"), guest)
    }

    fn wait(console: &Console, mark: usize, needle: &str, ms: u64) -> Result<()> {
        console.wait(mark, Duration::from_millis(ms), needle, |t| {
            t.contains(needle).then_some(())
        })
    }

    #[test]
    fn finds_text_even_when_it_comes_in_pieces() {
        let (console, mut guest) = pair("pieces");
        guest.write_all(b"hel").expect("write");
        assert!(wait(&console, 0, "hello", 50).is_err());
        guest.write_all(b"lo").expect("write");
        wait(&console, 0, "hello", 60_000).expect("found");
        assert!(
            wait(&console, console.mark(), "hello", 50).is_err(),
            "nothing new"
        );
    }

    #[test]
    fn fails_at_once_on_panic_and_on_end() {
        let (console, mut guest) = pair("panic");
        guest
            .write_all(b"one\n[ 1.0] Kernel panic - not syncing: no init\n")
            .expect("write");
        let err = wait(&console, 0, "ready", 60_000)
            .expect_err("panicked")
            .to_string();
        assert!(err.contains("panicked") && err.contains("one"), "{err}");
        let (console, guest) = pair("end");
        drop(guest);
        assert!(
            wait(&console, 0, "ready", 60_000)
                .expect_err("ended")
                .to_string()
                .contains("ended")
        );
    }

    #[test]
    fn wait_end_returns_after_the_console_closes() {
        let (console, mut guest) = pair("last");
        let last = thread::spawn(move || {
            thread::sleep(Duration::from_millis(50));
            guest.write_all(b"reboot: Power down\n")
        });
        console.wait_end();
        assert_eq!(console.text(), "reboot: Power down\n");
        last.join().expect("no panic").expect("write");
    }

    #[test]
    fn write_types_into_the_guest() {
        let (console, mut guest) = pair("types");
        console.write(b"id\n").expect("types");
        let mut got = [0; 3];
        guest.read_exact(&mut got).expect("read");
        assert_eq!(&got, b"id\n");
    }
}
