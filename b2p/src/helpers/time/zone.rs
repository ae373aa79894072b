//! The time zone, and a hardware clock that keeps it: `b2p timezone`, run once by PID 1
//! where `tz=` or `noutc` is given.
//!
//! /etc/localtime leads to a file of /usr/share/zoneinfo; for a rule, as
//! `CET-1CEST,M3.5.0,M10.5.0/3`, it is one that says no more than that. podman's
//! `--tz=local` gives it to containers.

use std::fs;
use std::path::Path;

use log::{info, warn};
use sys::files::replace;

use super::clocks;
use super::drift::seconds;

const ZONES: &str = "/usr/share/zoneinfo";
const LOCALTIME: &str = "/etc/localtime";
/// Where PID 1 looks for what is wrong.
const DEGRADED: &str = "/run/boot2podman/zone.degraded";

/// Sets what the flags say; what cannot be is said and is no failure of the program.
pub fn main() -> i32 {
    // PID 1 has said what is wrong with the flags.
    let (config, _) = sys::config_sources::read();
    let mut degraded = String::new();
    let zone = config.tz.as_deref().map(|tz| {
        set(tz, Path::new(ZONES), Path::new(LOCALTIME)).map(|()| info!("time zone: {tz}"))
    });
    let clock = (!config.utc).then(from_local);
    for why in [zone, clock].into_iter().flatten().filter_map(Result::err) {
        warn!("{why}");
        degraded.push_str(&format!("degraded zone: {why}\n"));
    }
    let said = replace(Path::new(DEGRADED), degraded.as_bytes(), 0o644);
    said.map_or_else(
        |why| {
            warn!("{why}");
            1
        },
        |()| 0,
    )
}

/// The same for who is told of a zone elsewhere.
///
/// # Errors
/// It is no zone, or cannot be set.
pub fn machine(tz: &str) -> Result<(), String> {
    set(tz, Path::new(ZONES), Path::new(LOCALTIME)).map(|()| info!("time zone: {tz}"))
}

/// Makes `localtime` that of `tz`: a name below `zones`, else a rule.
fn set(tz: &str, zones: &Path, localtime: &Path) -> Result<(), String> {
    let name = tz.strip_prefix(':').unwrap_or(tz); // tzset(3)
    let file = zones.join(name);
    let known = fs::read(&file).is_ok_and(|bytes| bytes.starts_with(b"TZif"));
    if known {
        let say = |e: std::io::Error| format!("{}: {e}", localtime.display());
        let temporary = localtime.with_extension("b2p-new");
        let _ = fs::remove_file(&temporary);
        std::os::unix::fs::symlink(&file, &temporary).map_err(say)?;
        fs::rename(&temporary, localtime).map_err(say)?;
        // Programs that want the name and cannot read the link have it from here.
        return Ok(replace(
            &localtime.with_file_name("timezone"),
            format!("{name}\n").as_bytes(),
            0o644,
        )?);
    }
    if !is_rule(tz) {
        return Err(format!(
            "tz={tz}: neither a zone of {ZONES}, as Europe/Berlin, nor a rule, as CET-1CEST; it is UTC"
        ));
    }
    Ok(replace(localtime, &file_of(tz), 0o644)?)
}

/// Whether it begins as a rule of tzset(3) does: a name of three letters or more,
/// or anything in `<>`, and an offset.
fn is_rule(text: &str) -> bool {
    let (name, rest) = match text.strip_prefix('<').and_then(|t| t.split_once('>')) {
        Some(both) => both,
        None => text.split_at(
            text.find(|c: char| !c.is_ascii_alphabetic())
                .unwrap_or(text.len()),
        ),
    };
    let digits = rest.strip_prefix(['+', '-']).unwrap_or(rest);
    name.len() >= 3 && digits.starts_with(|c: char| c.is_ascii_digit())
}

/// A file of tzfile(5) that says nothing but `rule`. glibc looks at the rule only
/// after the last change that is written down: so there is one, in 1901.
fn file_of(rule: &str) -> Vec<u8> {
    let mut file = block(0);
    file.extend(block(1));
    file.extend(format!("\n{rule}\n").bytes());
    file
}

/// Header and data of one version's part, with so many changes (none or one).
fn block(changes: u32) -> Vec<u8> {
    let mut bytes = b"TZif2".to_vec();
    bytes.extend([0; 15]);
    // Counts: UTC marks, standard marks, leap seconds, changes, types, letters.
    for count in [0, 0, 0, changes, 1, 4] {
        bytes.extend(u32::to_be_bytes(count));
    }
    for _ in 0..changes {
        bytes.extend(i64::from(i32::MIN).to_be_bytes());
    }
    bytes.extend((0..changes).map(|_| 0)); // each to the one type:
    bytes.extend([0; 6]); // UTC, no summer time
    bytes.extend(b"UTC\0");
    bytes
}

/// The kernel took the hardware clock's local time for UTC (rtc_hctosys): the
/// system clock is stepped, unless something has set it since.
fn from_local() -> Result<(), String> {
    let taken = clocks::rtc(true).ok_or("noutc: there is no hardware clock that goes")?;
    let meant = clocks::rtc(false).ok_or("noutc: the hardware clock's time cannot be")?;
    let by = meant - taken;
    if by == 0 || (clocks::real() - taken).abs() > 5_000 {
        return Ok(());
    }
    clocks::step(by).map_err(|e| format!("noutc: the clock cannot be set: {e}"))?;
    info!(
        "clock stepped by {}: the hardware clock keeps local time",
        seconds(by)
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
        let why = set("Europe/Berlni", &zones, &localtime).unwrap_err();
        assert!(why.starts_with("tz=Europe/Berlni: neither"), "{why}");
        set("CET-1CEST", &zones, &localtime).unwrap();
        assert!(fs::read(&localtime).unwrap().ends_with(b"\nCET-1CEST\n"));
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn the_c_library_reads_what_is_written() {
        let path = std::env::temp_dir().join(format!("b2p-tzif-{}", std::process::id()));
        fs::write(&path, file_of("CET-1CEST,M3.5.0,M10.5.0/3")).unwrap();
        for (at, want) in [("@1767225600", "01:00 CET"), ("@1782864000", "02:00 CEST")] {
            let mut date = std::process::Command::new("date");
            let date = date.env("TZ", format!(":{}", path.display()));
            let out = date.args(["-d", at, "+%H:%M %Z"]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&out.stdout).trim(), want);
        }
        fs::remove_file(path).unwrap();
    }
}
