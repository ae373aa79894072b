// SPDX-License-Identifier: Apache-2.0
//! `b2p timezone`, run once by PID 1 where `tz=` or `noutc` is given: sets the time zone, and
//! the system clock where the hardware clock keeps local time.
//!
//! /etc/localtime is a link to a file of /usr/share/zoneinfo, in the image to that of UTC; for a
//! rule, such as `CET-1CEST,M3.5.0,M10.5.0/3`, a file with that rule alone. podman's `--tz=local`
//! gives the file to containers.

use std::fs;
use std::path::Path;

use log::info;
use sys::error::{Doing, Error, Result};
use sys::files::replace;

use super::clocks;
use super::drift::{Ms, signed_seconds};
use crate::common::degraded::Degraded;

/// Directory of the zones.
const ZONES: &str = "/usr/share/zoneinfo";
/// Longest file of tzfile(5) that is read, in bytes; those of the image have less than 4 KiB.
const MAX_ZONE_BYTES: u64 = 1 << 20;
/// The zone of the machine (tzset(3)).
const LOCALTIME: &str = "/etc/localtime";
/// Largest difference of the system clock to the hardware clock if nothing has set the former
/// since the kernel did, in milliseconds.
const MAX_BOOT_TIME: Ms = 5_000;

/// Applies the flags, and returns the exit status: 0 even if a zone cannot be set,
/// which is reported.
pub fn main() -> i32 {
    // PID 1 has reported the faults of the flags.
    let (config, _) = sys::config_sources::read();
    let zone = config.tz.as_deref().map(set_zone);
    let clock = (!config.utc).then(correct_local_time);
    let mut degraded = Degraded::of("timezone");
    let errors = [zone, clock].into_iter().flatten().filter_map(Result::err);
    errors.for_each(|why| degraded.warn(why));
    degraded.report()
}

/// Sets the zone of the machine: a name or a rule of tzset(3).
///
/// # Errors
/// `tz` is neither, or the files cannot be written.
pub fn set_zone(tz: &str) -> Result<()> {
    set(tz, Path::new(ZONES), Path::new(LOCALTIME))?;
    info!("time zone: {tz}");
    Ok(())
}

/// Makes `localtime` that of `tz`: the file of this name below `zones`, else a rule.
fn set(tz: &str, zones: &Path, localtime: &Path) -> Result<()> {
    let name = tz.strip_prefix(':').unwrap_or(tz); // tzset(3)
    let file = zones.join(name);
    let bytes = sys::files::read_whole(&file, MAX_ZONE_BYTES).ok().flatten();
    let known = bytes.is_some_and(|bytes| bytes.starts_with(b"TZif"));
    let timezone = localtime.with_file_name("timezone");
    if known {
        remove_directory(localtime)?;
        let temporary = localtime.with_extension("b2p-new");
        let _ = fs::remove_file(&temporary);
        std::os::unix::fs::symlink(&file, &temporary).on(localtime)?;
        fs::rename(&temporary, localtime).on(localtime)?;
        // For programs that need the name and do not read the link.
        return replace(&timezone, format!("{name}\n").as_bytes(), 0o644);
    }
    if !is_rule(tz) {
        return Err(Error::invalid(format!(
            "tz={tz}: neither a zone of {ZONES}, as Europe/Berlin, nor a rule, as CET-1CEST; the zone is UTC"
        )));
    }
    remove_directory(localtime)?;
    // A rule has no name; an earlier name would contradict the rule.
    let _ = fs::remove_file(&timezone);
    replace(localtime, &rule_file(tz), 0o644)
}

/// Removes an empty directory in the place of the file: podman's API makes a directory for a mount
/// whose source is missing, and a kept /etc still has that directory.
fn remove_directory(localtime: &Path) -> Result<()> {
    match fs::symlink_metadata(localtime) {
        Ok(meta) if meta.is_dir() => fs::remove_dir(localtime).on(localtime),
        _ => Ok(()),
    }
}

/// Returns true if `text` begins as a rule of tzset(3) does: a name of three letters or more,
/// or anything in `<>`, and an offset.
fn is_rule(text: &str) -> bool {
    let (name, rest) = match text.strip_prefix('<').and_then(|t| t.split_once('>')) {
        Some(parts) => parts,
        None => {
            let end = text.find(|c: char| !c.is_ascii_alphabetic());
            text.split_at(end.unwrap_or(text.len()))
        }
    };
    let digits = rest.strip_prefix(['+', '-']).unwrap_or(rest);
    name.len() >= 3 && digits.starts_with(|c: char| c.is_ascii_digit())
}

/// Returns a file of tzfile(5) with nothing but `rule`. glibc uses the rule only after the
/// last transition in the file, so there is one, in 1901.
fn rule_file(rule: &str) -> Vec<u8> {
    let mut file = block(0);
    file.extend(block(1));
    file.extend(format!("\n{rule}\n").bytes());
    file
}

/// Returns header and data of one version of the file, with 0 or 1 transitions.
fn block(transitions: u32) -> Vec<u8> {
    let mut bytes = b"TZif2".to_vec();
    bytes.extend([0; 15]);
    // Counts: UTC indicators, standard indicators, leap seconds, transitions, types, letters.
    for count in [0, 0, 0, transitions, 1, 4] {
        bytes.extend(u32::to_be_bytes(count));
    }
    for _ in 0..transitions {
        bytes.extend(i64::from(i32::MIN).to_be_bytes());
    }
    bytes.extend((0..transitions).map(|_| 0)); // each to type 0, which is
    bytes.extend([0; 6]); // UTC without summer time
    bytes.extend(b"UTC\0");
    bytes
}

/// Steps the system clock, because the kernel has taken the hardware clock's local time for UTC
/// (rtc_hctosys); not if the system clock was set since.
fn correct_local_time() -> Result<()> {
    let no_clock = Error::invalid("noutc: there is no hardware clock that runs");
    let no_time = Error::invalid("noutc: the hardware clock shows no valid local time");
    let as_utc = clocks::rtc(true).ok_or(no_clock)?;
    let as_local = clocks::rtc(false).ok_or(no_time)?;
    let by = as_local - as_utc;
    if by == 0 || (clocks::realtime() - as_utc).abs() > MAX_BOOT_TIME {
        return Ok(());
    }
    clocks::step(by).doing("noutc: the clock cannot be set")?;
    info!(
        "clock stepped by {}: the hardware clock keeps local time",
        signed_seconds(by)
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn rules_are_told_from_names() {
        for rule in [
            "CET-1CEST",
            "UTC0",
            "<+0330>-3:30",
            "EST5EDT,M3.2.0,M11.1.0",
            "ABCD+2",
        ] {
            assert!(is_rule(rule), "{rule}");
        }
        for name in [
            "Europe/Berlin",
            "Berlin",
            "",
            "AB1",
            "CET",
            "<>3",
            "<ab",
            "1",
        ] {
            assert!(!is_rule(name), "{name}");
        }
    }

    #[test]
    fn a_name_a_rule_and_neither() {
        let dir = std::env::temp_dir().join(format!("b2p-zone-{}", std::process::id()));
        let (zones, localtime) = (dir.join("zoneinfo"), dir.join("localtime"));
        fs::create_dir_all(zones.join("Europe")).unwrap();
        fs::write(zones.join("Europe/Berlin"), b"TZif2...").unwrap();
        for name in ["Europe/Berlin", ":Europe/Berlin"] {
            set(name, &zones, &localtime).unwrap();
            assert_eq!(
                fs::read_link(&localtime).unwrap(),
                zones.join("Europe/Berlin")
            );
        }
        assert_eq!(
            fs::read_to_string(dir.join("timezone")).unwrap(),
            "Europe/Berlin\n"
        );
        nix::unistd::mkfifo(&zones.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        // A name may lead out of the zones, to a file without end.
        for name in [
            "Europe/Berlni",
            "Europe",
            "fifo",
            "/dev/zero",
            "../../../../dev/zero",
        ] {
            let why = set(name, &zones, &localtime).unwrap_err().to_string();
            assert!(why.starts_with(&format!("tz={name}: neither")), "{why}");
        }
        set("CET-1CEST", &zones, &localtime).unwrap();
        assert!(fs::read(&localtime).unwrap().ends_with(b"\nCET-1CEST\n"));
        assert!(!dir.join("timezone").exists());
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn an_empty_directory_gives_way_and_a_full_one_is_named() {
        let dir = std::env::temp_dir().join(format!("b2p-zone-dir-{}", std::process::id()));
        let (zones, localtime) = (dir.join("zoneinfo"), dir.join("localtime"));
        fs::create_dir_all(&zones).unwrap();
        fs::write(zones.join("UTC"), b"TZif2...").unwrap();
        for tz in ["UTC", "CET-1CEST"] {
            let _ = fs::remove_file(&localtime);
            fs::create_dir(&localtime).unwrap();
            set(tz, &zones, &localtime).unwrap();
            assert!(!fs::symlink_metadata(&localtime).unwrap().is_dir(), "{tz}");
        }
        fs::remove_file(&localtime).unwrap();
        fs::create_dir_all(localtime.join("kept")).unwrap();
        let why = set("UTC", &zones, &localtime).unwrap_err();
        assert_eq!(why.path(), Some(localtime.as_path()));
        assert!(localtime.join("kept").exists());
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn the_c_library_reads_what_is_written() {
        let path = std::env::temp_dir().join(format!("b2p-tzif-{}", std::process::id()));
        fs::write(&path, rule_file("CET-1CEST,M3.5.0,M10.5.0/3")).unwrap();
        for (at, want) in [("@1767225600", "01:00 CET"), ("@1782864000", "02:00 CEST")] {
            let mut date = std::process::Command::new("date");
            let date = date.env("TZ", format!(":{}", path.display()));
            let out = date.args(["-d", at, "+%H:%M %Z"]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&out.stdout).trim(), want);
        }
        fs::remove_file(path).unwrap();
    }
}
