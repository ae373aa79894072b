// SPDX-License-Identifier: Apache-2.0
//! Arguments of `ping`: those that iputils and busybox have in common.

use std::time::Duration;

use crate::common::args::{Arg, Args, Problem};

/// Text of `ping --help`.
pub const USAGE: &str = "\
usage: ping [-4|-6] [-c COUNT] [-i SECONDS] [-I INTERFACE|ADDRESS] [-nqv] [-s BYTES]
            [-t TTL] [-w SECONDS] [-W SECONDS] HOST
  -c  ends after COUNT replies         -i  time between packets (1)
  -I  sends from there                 -q  prints the summary alone
  -s  bytes of data (56)               -t  limit of hops
  -w  ends after this time             -W  waits so long for the last reply (10)
";

/// Most bytes of data that an IPv4 packet holds with its headers.
const MAX_SIZE: usize = 65_507;
/// Shortest interval in seconds, as for users of iputils.
const MIN_INTERVAL: &str = "0.002";
/// Longest time, which is more than a year.
const MAX_TIME: Duration = Duration::from_secs(100_000_000);
/// Digits of a nanosecond after the point.
const NANOSECOND_DIGITS: usize = 9;

/// Options and operand of one call.
#[derive(Clone, Debug, PartialEq)]
pub struct Options<'a> {
    /// Name or address.
    pub host: &'a str,
    /// Family; that of the first address if `None`.
    pub ipv6: Option<bool>,
    /// Number of packets; endless if `None`.
    pub count: Option<u64>,
    /// Time between two packets.
    pub interval: Duration,
    /// Interface or address to send from.
    pub from: Option<&'a str>,
    /// True for the summary alone.
    pub quiet: bool,
    /// Bytes of data.
    pub size: usize,
    /// Limit of hops.
    pub ttl: Option<u8>,
    /// Time of the whole run.
    pub deadline: Option<Duration>,
    /// Time that the last reply has.
    pub wait: Duration,
}

/// Reads the arguments.
///
/// # Errors
/// The wrong argument, and the value that would be right.
pub fn parse(arguments: &[String], ipv6: Option<bool>) -> Result<Options<'_>, Problem> {
    let mut options = Options {
        host: "",
        ipv6,
        count: None,
        interval: Duration::from_secs(1),
        from: None,
        quiet: false,
        size: 56,
        ttl: None,
        deadline: None,
        wait: Duration::from_secs(10),
    };
    let mut args = Args::new(arguments);
    while let Some(arg) = args.next_arg()? {
        match arg {
            Arg::Short('4') => options.ipv6 = Some(false),
            Arg::Short('6') => options.ipv6 = Some(true),
            Arg::Short('c') => options.count = Some(count(args.value("-c")?)?),
            Arg::Short('i') => {
                options.interval = seconds("-i", args.value("-i")?, MIN_INTERVAL)?;
            }
            Arg::Short('I') => options.from = Some(args.value("-I")?),
            // Addresses are never turned into names.
            Arg::Short('n' | 'v') => {}
            Arg::Short('q') => options.quiet = true,
            Arg::Short('s') => options.size = size(args.value("-s")?)?,
            Arg::Short('t') => options.ttl = Some(ttl(args.value("-t")?)?),
            Arg::Short('w') => options.deadline = Some(seconds("-w", args.value("-w")?, "0")?),
            Arg::Short('W') => options.wait = seconds("-W", args.value("-W")?, "0")?,
            Arg::Operand(host) if options.host.is_empty() => options.host = host,
            other => return Err(other.unknown()),
        }
    }
    match options.host {
        "" => Err(Problem::Wrong("a host is missing".to_owned())),
        _ => Ok(options),
    }
}

fn count(text: &str) -> Result<u64, Problem> {
    let number = text.parse().ok().filter(|n| *n > 0);
    number.ok_or_else(|| wrong("-c", text, "a number from 1"))
}

fn size(text: &str) -> Result<usize, Problem> {
    let number = text.parse().ok().filter(|n| *n <= MAX_SIZE);
    number.ok_or_else(|| wrong("-s", text, &format!("a number from 0 to {MAX_SIZE}")))
}

fn ttl(text: &str) -> Result<u8, Problem> {
    let number = text.parse().ok().filter(|n| *n > 0);
    number.ok_or_else(|| wrong("-t", text, "a number from 1 to 255"))
}

fn seconds(option: &str, text: &str, least: &str) -> Result<Duration, Problem> {
    let range = decimal(least).unwrap_or_default()..=MAX_TIME;
    let time = decimal(text).filter(|time| range.contains(time));
    time.ok_or_else(|| wrong(option, text, &format!("seconds from {least}")))
}

/// Parses a decimal number of seconds, down to nanoseconds. std's numbers with a point take 15 kB of `b2p` to read and 13
/// kB to print.
fn decimal(text: &str) -> Option<Duration> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let mut digits = whole.bytes().chain(part.bytes()).peekable();
    digits.peek()?;
    if !digits.all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let seconds = match whole {
        "" => 0,
        whole => whole.parse().ok()?,
    };
    let part = part.bytes().chain(std::iter::repeat(b'0'));
    let nanoseconds = part.take(NANOSECOND_DIGITS);
    let nanoseconds = nanoseconds.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    Some(Duration::new(seconds, nanoseconds))
}

fn wrong(option: &str, text: &str, right: &str) -> Problem {
    Problem::Wrong(format!("{option} {text}: {right} is wanted"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn options_of_the_usual_pings() {
        let line = words("-n -q -c3 -i 0.2 -s 100 -t 5 -w 9 -W 1 -I eth0 -6 host");
        let wanted = Options {
            host: "host",
            ipv6: Some(true),
            count: Some(3),
            interval: Duration::from_millis(200),
            from: Some("eth0"),
            quiet: true,
            size: 100,
            ttl: Some(5),
            deadline: Some(Duration::from_secs(9)),
            wait: Duration::from_secs(1),
        };
        assert_eq!(parse(&line, None).unwrap(), wanted);
        let plain = words("::1");
        let plain = parse(&plain, None).unwrap();
        assert_eq!((plain.host, plain.count, plain.size), ("::1", None, 56));
    }

    #[test]
    fn seconds_have_a_point_or_none() {
        for (text, nanoseconds) in [
            ("0", Some(0)),
            ("2", Some(2_000_000_000)),
            ("0.002", Some(2_000_000)),
            ("1.25", Some(1_250_000_000)),
            ("0.0000000019", Some(1)),
            ("", None),
            (".", None),
            (".5", Some(500_000_000)),
            ("1.", Some(1_000_000_000)),
            ("1.5.5", None),
            ("+1", None),
            ("-1", None),
            ("1e3", None),
            ("inf", None),
            ("99999999999999999999", None),
        ] {
            let wanted = nanoseconds.map(Duration::from_nanos);
            assert_eq!(decimal(text), wanted, "{text}");
        }
    }

    #[test]
    fn wrong_values_are_named() {
        for (line, part) in [
            ("", "a host is missing"),
            ("-c 0 host", "-c 0"),
            ("-c x host", "from 1"),
            ("-i 0 host", "-i 0"),
            ("-i NaN host", "-i NaN: seconds from 0.002 is wanted"),
            ("-i 0.001 host", "-i 0.001"),
            (
                "-w 100000001 host",
                "-w 100000001: seconds from 0 is wanted",
            ),
            ("-w 1e99 host", "-w 1e99"),
            ("-W -1 host", "-W -1"),
            ("-s 65508 host", "65507"),
            ("-t 256 host", "255"),
            ("-f host", "-f: no such option"),
            ("host other", "other: no such argument"),
            ("host -c", "-c needs a value"),
        ] {
            let line = words(line);
            let Err(Problem::Wrong(why)) = parse(&line, None) else {
                panic!("{line:?} is taken");
            };
            assert!(why.contains(part), "{line:?}: {why}");
        }
    }
}
