// SPDX-License-Identifier: Apache-2.0
//! `ping`, with the kernel's ping sockets, which need no privilege where
//! `net.ipv4.ping_group_range` has the caller's group (icmp(7)). busybox's ping opens a raw socket;
//! iputils' would be 1.1 MB of the image, most of it a library for names that are not ASCII.

mod options;
mod socket;

use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::poll::PollFlags;
use sys::error::{Doing, Error, Result};

use crate::common::args::usage;
use crate::common::stop::Stop;
use options::Options;
use socket::{Reply, Socket};

/// Ping of a machine without ping sockets, such as a container's network namespace.
const RAW: &str = "/usr/bin/busybox";

/// Runs `ping` and returns the exit status: 0 after a reply, 1 without one, 2 if the arguments
/// are wrong. `ipv6` is the family if no option has one.
#[must_use]
pub fn main(arguments: &[String], ipv6: Option<bool>) -> i32 {
    let options = match options::parse(arguments, ipv6) {
        Ok(options) => options,
        Err(problem) => return usage("ping", &problem, options::USAGE),
    };
    let socket = resolve(&options).and_then(|to| Socket::open(to, &options));
    let said = match socket {
        Err(e) if e.errno() == Some(nix::errno::Errno::EACCES) => {
            // exec(2) returns only in the case of a failure.
            let failed = Command::new(RAW)
                .arg(if ipv6 == Some(true) { "ping6" } else { "ping" })
                .args(arguments)
                .exec();
            Err(failed).doing(RAW)
        }
        socket => socket.and_then(|socket| run(&socket, &options)),
    };
    match said {
        Ok(answered) => i32::from(!answered),
        Err(e) => {
            eprintln!("ping: {e}");
            1
        }
    }
}

/// Returns the first address of the host in the wanted family.
fn resolve(options: &Options<'_>) -> Result<SocketAddr> {
    let found = (options.host, 0).to_socket_addrs();
    let mut addresses = found.doing(options.host.to_owned())?;
    let wanted = |a: &SocketAddr| options.ipv6.is_none_or(|ipv6| a.is_ipv6() == ipv6);
    addresses.find(wanted).ok_or_else(|| {
        let family = if options.ipv6 == Some(true) {
            "IPv6"
        } else {
            "IPv4"
        };
        Error::invalid(format!("{}: no {family} address", options.host))
    })
}

/// Numbers of a run.
#[derive(Debug, Default, PartialEq)]
struct Summary {
    sent: u64,
    received: u64,
    times: Vec<Duration>,
}

impl Summary {
    fn text(&self, host: &str) -> String {
        let lost = self.sent.saturating_sub(self.received);
        let percent = lost * 100 / self.sent.max(1);
        let mut text = format!(
            "\n--- {host} ping statistics ---\n{} packets transmitted, {} received, {percent}% packet loss\n",
            self.sent, self.received
        );
        if let (Some(least), Some(most)) = (self.times.iter().min(), self.times.iter().max()) {
            let count = u32::try_from(self.times.len()).unwrap_or(u32::MAX);
            let average = self.times.iter().sum::<Duration>() / count;
            let [least, average, most] = [*least, average, *most].map(milliseconds);
            text += &format!("rtt min/avg/max = {least}/{average}/{most} ms\n");
        }
        text
    }
}

/// Sends until the count, the deadline or a signal ends the run; returns true if a reply was received.
fn run(socket: &Socket, options: &Options<'_>) -> Result<bool> {
    let stop = Stop::new().doing("signal handlers")?;
    let (begin, mut summary) = (Instant::now(), Summary::default());
    let (host, size) = (options.host, options.size);
    println!("PING {host} ({}): {size} data bytes", socket.peer());
    let mut next = begin;
    loop {
        let now = Instant::now();
        let over = options.count.is_some_and(|count| summary.sent >= count);
        if now >= next {
            if over {
                break;
            }
            summary.sent += 1;
            if let Err(e) = socket.send(summary.sent, now - begin) {
                eprintln!("ping: {e}");
            }
            let last = options.count == Some(summary.sent);
            next = now + if last { options.wait } else { options.interval };
        }
        let until = match options.deadline {
            Some(limit) if now >= begin + limit => break,
            Some(limit) => next.min(begin + limit),
            None => next,
        };
        if wait(&stop, socket, until) {
            break;
        }
        receive(socket, options, begin, &mut summary);
        if options.count.is_some_and(|count| summary.received >= count) {
            break;
        }
    }
    print!("{}", summary.text(options.host));
    let _ = io::stdout().flush();
    Ok(summary.received > 0)
}

/// Waits for a reply until a time; returns true if a signal asks for the end.
fn wait(stop: &Stop, socket: &Socket, until: Instant) -> bool {
    let left = until.saturating_duration_since(Instant::now());
    // Rounded up: a shorter sleep would only be repeated.
    let left = u64::try_from(left.as_micros().div_ceil(1000)).unwrap_or(u64::MAX);
    let deadline = sys::clock::now().saturating_add(left);
    stop.wait(&[(socket.as_fd(), PollFlags::POLLIN)], Some(deadline))
}

/// Reads the replies that have arrived.
fn receive(socket: &Socket, options: &Options<'_>, begin: Instant, summary: &mut Summary) {
    while let Some(reply) = socket.receive() {
        summary.received += 1;
        let time = reply.sent.map(|sent| begin.elapsed().saturating_sub(sent));
        summary.times.extend(time);
        if !options.quiet {
            println!("{}", line(&reply, socket.peer(), time));
        }
    }
}

/// Formats milliseconds with three digits after the point, rounded.
fn milliseconds(time: Duration) -> String {
    let micros = (time.as_nanos() + 500) / 1000;
    format!("{}.{:03}", micros / 1000, micros % 1000)
}

fn line(reply: &Reply, peer: std::net::IpAddr, time: Option<Duration>) -> String {
    let mut text = format!(
        "{} bytes from {peer}: icmp_seq={}",
        reply.bytes, reply.number
    );
    if let Some(ttl) = reply.ttl {
        text += &format!(" ttl={ttl}");
    }
    if let Some(time) = time {
        text += &format!(" time={} ms", milliseconds(time));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_shows_counts_and_times() {
        let text = Summary {
            sent: 3,
            received: 2,
            times: [1_000, 3_001].map(Duration::from_micros).to_vec(),
        }
        .text("box");
        assert_eq!(
            text,
            "\n--- box ping statistics ---\n3 packets transmitted, 2 received, 33% packet loss\n\
             rtt min/avg/max = 1.000/2.001/3.001 ms\n"
        );
        let none = Summary::default().text("box");
        assert!(none.ends_with("0 packets transmitted, 0 received, 0% packet loss\n"));
    }

    #[test]
    fn a_line_has_what_is_known() {
        let peer = std::net::IpAddr::from([192, 0, 2, 1]);
        let mut reply = Reply {
            bytes: 64,
            number: 7,
            ttl: Some(63),
            sent: None,
        };
        let time = Some(Duration::from_micros(1500));
        assert_eq!(
            line(&reply, peer, time),
            "64 bytes from 192.0.2.1: icmp_seq=7 ttl=63 time=1.500 ms"
        );
        reply.ttl = None;
        assert_eq!(
            line(&reply, peer, None),
            "64 bytes from 192.0.2.1: icmp_seq=7"
        );
    }
}
