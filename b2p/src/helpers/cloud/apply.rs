//! What of a configuration is not files and users: names, certificates, mounts, cards.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use config::Config;
use control::{Name, Request};
use log::{info, warn};
use sys::files::replace;
use sys::net::{SYS_CLASS_NET, ethernet_interfaces};

use super::diagnostics::Notes;
use super::network::{self, Card, Network};
use super::schema::{Certs, Mount};
use crate::common::control_client::ControlClient;
use crate::common::tool;

const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
const LOCAL: &str = "/usr/local/share/ca-certificates";
const FSTAB: &str = "/etc/fstab";
/// Before our lines in fstab.
const MARK: &str = "# by cloud-config, from here on";
/// So long a mount may take.
const MOUNT: Duration = Duration::from_secs(10);

/// The machine's name, unless a flag has named it.
///
/// # Errors
/// It is no name.
pub fn hostname(name: &str) -> Result<(), String> {
    // What the data disk says is less than what the host says.
    let mut sources = sys::config_sources::read_raw();
    sources.disk.clear();
    sources.hostname.clear();
    let flags = sources.with_sources(|sources| sources.parse().0);
    if flags.hostname != Config::default().hostname {
        info!("cloud: hostname: a kernel flag has named the machine");
        return Ok(());
    }
    let (config, complaints) = config::parse(format!("b2p.hostname={name}").as_bytes(), &[]);
    match complaints.is_empty() && config.hostname == name {
        true => Ok(sys::hostname::set(name)?),
        false => Err(format!(
            "hostname: {name:?} is no name: letters, digits, - and ."
        )),
    }
}

/// Joins the bundle that programs read.
pub fn certs(certs: &Certs, notes: &mut Notes) {
    let mut more = Vec::new();
    for (n, text) in certs.trusted.iter().enumerate() {
        match crate::common::certs::certificates(text) {
            Ok(all) => {
                let path = format!("{LOCAL}/cloud-init-ca-cert-{}.crt", n + 1);
                let text = all.concat();
                replace(Path::new(&path), text.as_bytes(), 0o644)
                    .unwrap_or_else(|e| notes.wrong(e));
                more.extend(all);
            }
            Err(why) => notes.wrong(format!("ca_certs: trusted: number {}: {why}", n + 1)),
        }
    }
    if more.is_empty() && !certs.remove_defaults {
        return;
    }
    let before = match certs.remove_defaults {
        true => String::new(),
        false => fs::read_to_string(BUNDLE).unwrap_or_default(),
    };
    let after = crate::common::certs::with(&before, &more);
    if after != before {
        replace(Path::new(BUNDLE), after.as_bytes(), 0o644).unwrap_or_else(|e| notes.wrong(e));
    }
    info!("cloud: {} certificates are trusted besides", more.len());
}

/// Mounts what is not mounted yet, as long as there is time.
pub fn mounts(mounts: &[Mount], end: Instant, notes: &mut Notes) {
    if mounts.is_empty() {
        return;
    }
    let before = fs::read_to_string(FSTAB).unwrap_or_default();
    let text = fstab(&before, mounts);
    replace(Path::new(FSTAB), text.as_bytes(), 0o644).unwrap_or_else(|e| notes.wrong(e));
    for row in mounts
        .iter()
        .filter(|m| !m.options.split(',').any(|o| o == "noauto"))
    {
        let done = mount(
            row,
            end.saturating_duration_since(Instant::now()).min(MOUNT),
        );
        match done {
            Ok(()) => info!("cloud: {} is mounted on {}", row.source, row.target),
            Err(why) if row.nofail => warn!("cloud: {}: {why}", row.target),
            Err(why) => notes.wrong(format!("mounts: {}: {why}", row.target)),
        }
    }
}

fn mount(row: &Mount, most: Duration) -> Result<(), String> {
    let mounted = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let target = escaped(&row.target);
    if mounted
        .lines()
        .any(|l| l.split(' ').nth(4) == Some(&target))
    {
        return Ok(());
    }
    fs::create_dir_all(&row.target).map_err(|e| e.to_string())?;
    let mut words = vec!["-t", row.kind.as_str()];
    if !row.options.is_empty() {
        words.extend(["-o", row.options.as_str()]);
    }
    words.extend(["--", row.source.as_str(), row.target.as_str()]);
    let ended = tool::run("/usr/bin/mount", &words, most)?;
    match ended.code {
        Some(0) => Ok(()),
        _ => Err(ended.last_lines),
    }
}

/// As fstab(5) and the kernel write blanks.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\134")
        .replace(' ', "\\040")
        .replace('\t', "\\011")
}

/// Our lines come last, and are the same when it is done again.
fn fstab(before: &str, mounts: &[Mount]) -> String {
    let own = before.split(MARK).next().unwrap_or_default();
    let line = |m: &Mount| {
        let options = match m.options.as_str() {
            "" => "defaults",
            options => options,
        };
        let nofail = if m.nofail { ",nofail" } else { "" };
        let (source, target) = (escaped(&m.source), escaped(&m.target));
        format!("{source} {target} {} {options}{nofail} 0 0\n", m.kind)
    };
    let lines: String = mounts.iter().map(line).collect();
    format!("{own}{MARK}\n{lines}")
}

/// Names of cards, and their addresses where they are not DHCP's.
///
/// # Errors
/// What is wrong with network-config as a whole, or could not be set.
pub fn network(text: &str, config: &Config, notes: &mut Notes) -> Result<(), String> {
    let there = ethernet_interfaces(Path::new(SYS_CLASS_NET))
        .into_iter()
        .map(|(name, _)| {
            let mac =
                fs::read_to_string(format!("{SYS_CLASS_NET}/{name}/address")).unwrap_or_default();
            Card {
                name,
                mac: mac.trim().to_ascii_lowercase(),
            }
        });
    let (network, more) = network::read(text, &there.collect::<Vec<_>>())?;
    notes.left.extend(more.left);
    notes.wrong.extend(more.wrong);
    rename(&network)?;
    if network.plans.is_empty() {
        return Ok(());
    }
    if config.net != Config::default().net {
        info!("cloud: network-config: a kernel flag has the addresses");
        return Ok(());
    }
    let plans = network.plans.join("\n") + "\n";
    if fs::read_to_string(sys::paths::NETWORK_PLANS).is_ok_and(|there| there == plans) {
        return Ok(()); // it has them
    }
    replace(
        Path::new(sys::paths::NETWORK_PLANS),
        plans.as_bytes(),
        0o644,
    )?;
    let name = Name::new("net").ok_or("net is no name")?;
    let restarted = ControlClient::default().ask(&Request::Restart(name));
    restarted
        .map(drop)
        .map_err(|why| format!("network-config: b2p net: {why}"))
}

/// A name that another card has must be free first.
fn rename(network: &Network) -> Result<(), String> {
    let taken = |name: &str| Path::new(SYS_CLASS_NET).join(name).exists();
    let mut todo = Vec::new();
    for (n, (now, wanted)) in network.renames.iter().enumerate() {
        let aside = format!("b2p-cloud{n}");
        match taken(wanted) {
            true => named(now, &aside)?,
            false => named(now, wanted)?,
        }
        if taken(&aside) {
            todo.push((aside, wanted));
        }
    }
    todo.into_iter()
        .try_for_each(|(aside, wanted)| named(&aside, wanted))
}

fn named(now: &str, wanted: &str) -> Result<(), String> {
    sys::net::rename(now, wanted)
        .map_err(|e| format!("network-config: {now}: name {wanted}: {e}"))?;
    info!("cloud: the card {now} is {wanted}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_fstab_come_last_and_once() {
        let row = Mount {
            source: "mount0".into(),
            target: "/home/a b".into(),
            kind: "virtiofs".into(),
            options: "ro".into(),
            nofail: true,
        };
        let once = fstab("# yours\n", std::slice::from_ref(&row));
        assert_eq!(
            once,
            format!("# yours\n{MARK}\nmount0 /home/a\\040b virtiofs ro,nofail 0 0\n")
        );
        assert_eq!(fstab(&once, &[row]), once);
    }
}
