// SPDX-License-Identifier: Apache-2.0
//! Misbehaving client of the control socket. Tests run the client inside a machine, where it must
//! cost PID 1 next to nothing.
//!
//! `poke silent N` opens N connections and sends nothing until it is killed. `poke flood MS`
//! connects, sends random bytes of random length and disconnects, as often as possible for MS
//! milliseconds. `poke say TEXT` sends TEXT unchanged and prints the answer.

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, recv, send, socket,
};

fn main() {
    let args: Vec<Vec<u8>> = std::env::args_os()
        .skip(1)
        .map(OsStringExt::into_vec)
        .collect();
    let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
    let number = |text: &[u8]| String::from_utf8_lossy(text).parse().unwrap_or(1);
    match args.as_slice() {
        [b"silent", count] => silent(number(count)),
        [b"flood", ms] => flood(Duration::from_millis(number(ms))),
        [b"say", text] => say(text),
        _ => println!("poke silent N | flood MS | say TEXT"),
    }
}

fn connect_with(flags: SockFlag) -> Result<OwnedFd, Errno> {
    let fd = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
    connect(fd.as_raw_fd(), &UnixAddr::new(Path::new(control::PATH))?)?;
    Ok(fd)
}

/// Opens up to `count` connections, fewer if the queue is full, and keeps them.
fn silent(count: u64) {
    let held: Vec<_> = (0..count)
        .map(|_| connect_with(SockFlag::SOCK_NONBLOCK))
        .collect();
    println!("{} held", held.iter().filter(|h| h.is_ok()).count());
    std::thread::sleep(Duration::from_secs(3600));
}

/// Sends packets of a linear congruential generator.
fn flood(time: Duration) {
    let end = Instant::now() + time;
    let (mut sent, mut seed) = (0u64, 1u32);
    while Instant::now() < end {
        let bytes: Vec<u8> = (0..seed % 400)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                seed.to_le_bytes()[3]
            })
            .collect();
        seed = seed.wrapping_add(77);
        if let Ok(fd) = connect_with(SockFlag::SOCK_NONBLOCK) {
            let _ = send(fd.as_raw_fd(), &bytes, MsgFlags::MSG_NOSIGNAL);
            sent += 1;
        }
    }
    println!("{sent} sent");
}

fn say(text: &[u8]) {
    let mut answer = vec![0; control::MAX_ANSWER_BYTES];
    let received = connect_with(SockFlag::empty()).and_then(|fd| {
        send(fd.as_raw_fd(), text, MsgFlags::MSG_NOSIGNAL)?;
        recv(fd.as_raw_fd(), &mut answer, MsgFlags::empty())
    });
    match received {
        Ok(0) => println!("closed without an answer"),
        Ok(len) => print!(
            "{}",
            String::from_utf8_lossy(answer.get(..len).unwrap_or_default())
        ),
        Err(errno) => println!("{errno}"),
    }
}
