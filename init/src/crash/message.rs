// SPDX-License-Identifier: Apache-2.0
//! The last line of a program that crashes, without allocation.
#![expect(unsafe_code, reason = "system calls without std's locks")]

use std::fmt::Write;

/// One line of bounded length.
pub(super) struct Message {
    bytes: [u8; 512],
    length: usize,
}

impl Message {
    /// Creates an empty line.
    pub(super) fn new() -> Message {
        Message {
            bytes: [0; 512],
            length: 0,
        }
    }

    /// Adds a newline, without which the kernel holds the record back.
    pub(super) fn end_line(&mut self) {
        let last = self.length.min(self.bytes.len() - 1);
        self.bytes[last] = b'\n';
        self.length = last + 1;
    }

    /// Writes to the kernel log, which waits for a slow console alone, or to standard error if that
    /// cannot be opened. A terminal or a pipe that is full gets nothing: PID 1 does not wait.
    pub(super) fn log(&self) {
        // SAFETY: live buffers, a constant C string, integers.
        unsafe {
            let kmsg = libc::open(c"/dev/kmsg".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
            if kmsg >= 0 {
                // Without poll(2): /dev/kmsg reports POLLIN alone (kernel/printk/printk.c, devkmsg_poll).
                libc::write(kmsg, self.bytes.as_ptr().cast(), self.length);
                libc::close(kmsg);
                return;
            }
            let mut writable = libc::pollfd {
                fd: 2,
                events: libc::POLLOUT,
                revents: 0,
            };
            if libc::poll(&raw mut writable, 1, 0) == 1 {
                libc::write(2, self.bytes.as_ptr().cast(), self.length);
            }
        }
    }
}

impl Write for Message {
    fn write_str(&mut self, s: &str) -> std::fmt::Result {
        for byte in s.bytes() {
            let Some(slot) = self.bytes.get_mut(self.length) else {
                return Ok(());
            };
            *slot = if byte == b'\n' { b' ' } else { byte };
            self.length += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_one_bounded_line() {
        let mut text = Message::new();
        let _ = write!(text, "a\n{}", "x".repeat(5000));
        assert_eq!(text.length, 512);
        assert!(!text.bytes.contains(&b'\n'));
        text.end_line();
        assert!(text.bytes.ends_with(b"\n") && text.length == 512);
    }
}
