// SPDX-License-Identifier: Apache-2.0
//! Lines of general-purpose input and output, by the kernel's character devices
//! (Documentation/userspace-api/gpio/chardev.rst, include/uapi/linux/gpio.h).
#![expect(unsafe_code, reason = "an ioctl, and the descriptor that it returns")]

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::error::{Doing, Result};

/// Request `GPIO_V2_GET_LINE_IOCTL`: `_IOWR(0xB4, 0x07, struct gpio_v2_line_request)`.
const GET_LINE: u64 = 0xc250_b407;
/// Flags `GPIO_V2_LINE_FLAG_INPUT` and `GPIO_V2_LINE_FLAG_EDGE_RISING`.
const INPUT_RISING: u64 = 1 << 2 | 1 << 4;
/// Flag `GPIO_V2_LINE_FLAG_ACTIVE_LOW`: the line is active while its voltage is low, and rises when it falls.
const ACTIVE_LOW: u64 = 1 << 1;
/// Size in bytes of `struct gpio_v2_line_event`; a read returns whole events.
pub const EVENT_BYTES: usize = 48;

/// `struct gpio_v2_line_request` with its `struct gpio_v2_line_config`.
#[repr(C)]
struct LineRequest {
    offsets: [u32; 64],
    consumer: [u8; 32],
    flags: u64,
    attribute_count: u32,
    config_padding: [u32; 5],
    attributes: [[u64; 3]; 10],
    line_count: u32,
    event_buffer_size: u32,
    padding: [u32; 5],
    fd: i32,
}

const _: () = assert!(size_of::<LineRequest>() == 0x250);

/// Opens line number `line` of the chip at `chip`, such as `/dev/gpiochip0`, as an input. The file is
/// readable each time the line becomes active, and does not block.
///
/// # Errors
/// The chip cannot be opened, or the line is in use (EBUSY) or cannot report edges.
pub fn rising_edges(chip: &Path, line: u32, active_low: bool) -> Result<File> {
    let chip_file = File::open(chip).doing(chip.display().to_string())?;
    let polarity = if active_low { ACTIVE_LOW } else { 0 };
    let mut request = LineRequest {
        offsets: [0; 64],
        consumer: [0; 32],
        flags: INPUT_RISING | polarity,
        attribute_count: 0,
        config_padding: [0; 5],
        attributes: [[0; 3]; 10],
        line_count: 1,
        event_buffer_size: 0,
        padding: [0; 5],
        fd: -1,
    };
    request.offsets[0] = line;
    request.consumer[..11].copy_from_slice(b"boot2podman");
    // SAFETY: the kernel reads and writes one structure of this size and layout, which lives on.
    let result = unsafe { libc::ioctl(chip_file.as_raw_fd(), GET_LINE as _, &raw mut request) };
    Errno::result(result).doing(format!("{}: line {line}", chip.display()))?;
    // SAFETY: the kernel has just opened this descriptor for the request, and the descriptor has no
    // other owner.
    let fd = unsafe { OwnedFd::from_raw_fd(request.fd) };
    fcntl(&fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).doing("O_NONBLOCK")?;
    Ok(File::from(fd))
}
