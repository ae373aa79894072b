// SPDX-License-Identifier: Apache-2.0
//! Machine that runs in QEMU, by QMP.

use super::arguments::DISK_NODE;
use super::monitor::Monitor;
use crate::driver::{Events, Shutdown, Vm, VmEvent};
use crate::store::record::Forward;
use crate::store::{Machine, saved};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::fs;

impl Vm for Monitor {
    fn listen(&mut self, mut events: Events) -> Result<()> {
        self.watch(move |line| match line.as_ref().map(event) {
            Some(None) => true,
            Some(event) => events(event),
            None => events(None),
        })
    }

    fn is_running(&mut self) -> Result<bool> {
        Ok(self.execute("query-status", &json!({}))?["running"] != false)
    }

    fn has_disk_failed(&mut self) -> Result<bool> {
        Ok(self.execute("query-status", &json!({}))?["status"] == "io-error")
    }

    fn pause(&mut self) -> Result<()> {
        self.execute("stop", &json!({})).map(|_| ())
    }

    fn resume(&mut self) -> Result<()> {
        self.execute("cont", &json!({})).map(|_| ())
    }

    fn press_power_button(&mut self) -> Result<()> {
        self.execute("system_powerdown", &json!({})).map(|_| ())
    }

    fn quit(&mut self) {
        // Its answer may get lost in its end.
        let _ = self.execute("quit", &json!({}));
    }

    fn hardware(&mut self, machine: &Machine) -> Result<Vec<String>> {
        let version = &self.execute("query-version", &json!({}))?["qemu"];
        let version = format!("{}.{}", version["major"], version["minor"]);
        let path = machine.file("qemu.args");
        let args = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let args: Vec<String> = args.lines().map(str::to_owned).collect();
        let image = machine.config()?.image;
        let cpu = saved::host_cpu();
        Ok(super::hardware::hardware(&args, &version, &image, &cpu))
    }

    fn save(&mut self, tag: &str) -> Result<()> {
        self.job("snapshot-save", memory(tag))
    }

    fn load(&mut self, tag: &str) -> Result<()> {
        self.job("snapshot-load", memory(tag))
    }

    fn remove(&mut self, tag: &str) -> Result<()> {
        self.job(
            "snapshot-delete",
            json!({"tag": tag, "devices": [DISK_NODE]}),
        )
    }

    fn grow_disk(&mut self, bytes: u64) -> Result<()> {
        let size = json!({"device": "data", "size": bytes});
        self.execute("block_resize", &size).map(|_| ())
    }

    fn publish(&mut self, forward: &Forward) -> Result<()> {
        let said = self.human(&added(forward))?;
        match said.is_empty() {
            true => Ok(()),
            false => bail!("{}", forward.reason("QEMU could not forward it")),
        }
    }

    fn withdraw(&mut self, forward: &Forward) -> Result<()> {
        let said = self.human(&removed(forward))?;
        match is_removed(&said) {
            true => Ok(()),
            false => bail!("QEMU keeps the port: {said}"),
        }
    }

    fn forwards(&mut self) -> Result<Vec<Forward>> {
        let said = self.human("info usernet")?;
        Ok(said.lines().filter_map(forwarded).collect())
    }
}

/// Reads a line of `info usernet` (libslirp, `slirp_connection_info`): protocol and state, descriptor, address and port of
/// the host, address and port of the guest.
fn forwarded(line: &str) -> Option<Forward> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [kind, _, address, port, _, guest, ..] = words.as_slice() else {
        return None;
    };
    let protocol = match *kind {
        "TCP[HOST_FORWARD]" => "tcp",
        "UDP[HOST_FORWARD]" => "udp",
        _ => return None,
    };
    let address = if *address == "*" { "0.0.0.0" } else { address };
    Some(Forward {
        protocol: protocol.to_owned(),
        address: address.to_owned(),
        port: port.parse().ok()?,
        guest: guest.parse().ok()?,
    })
}

/// Arguments of the jobs for memory and disk.
fn memory(tag: &str) -> Value {
    json!({"tag": tag, "vmstate": DISK_NODE, "devices": [DISK_NODE]})
}

/// Reads an event (`qapi/run-state.json`, `qapi/block-core.json`); `None` for those that tell a keeper
/// nothing.
fn event(line: &Value) -> Option<VmEvent> {
    let data = &line["data"];
    match line["event"].as_str().unwrap_or_default() {
        "SHUTDOWN" => Some(VmEvent::Shutdown(shutdown(
            data["reason"].as_str().unwrap_or_default(),
        ))),
        "RESET" if data["guest"] == true => Some(VmEvent::Restarted),
        "RESUME" => Some(VmEvent::Resumed),
        "STOP" => Some(VmEvent::Paused),
        "BLOCK_IO_ERROR" if data["action"] == "stop" => {
            Some(VmEvent::DiskFailed(data["nospace"] == true))
        }
        _ => None,
    }
}

fn shutdown(reason: &str) -> Shutdown {
    match reason {
        "guest-shutdown" => Shutdown::PowerOff,
        "guest-panic" => Shutdown::Panic,
        "host-signal" => Shutdown::Signal,
        other => Shutdown::Other(other.to_owned()),
    }
}

/// Returns the command that adds a forward (net/slirp.c, `hmp_hostfwd_add`).
fn added(forward: &Forward) -> String {
    format!(
        "hostfwd_add net0 {}:{}:{}-:{}",
        forward.protocol, forward.address, forward.port, forward.guest
    )
}

/// Returns the command that removes it.
fn removed(forward: &Forward) -> String {
    format!(
        "hostfwd_remove net0 {}:{}:{}",
        forward.protocol, forward.address, forward.port
    )
}

/// Judges QEMU's answer to the removal of a forward (net/slirp.c, `hmp_hostfwd_remove`).
fn is_removed(said: &str) -> bool {
    said.ends_with(" removed") || said.ends_with(" not found")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_qemu() {
        #[rustfmt::skip]
        let rows = [
            (json!({"event": "SHUTDOWN", "data": {"reason": "guest-shutdown"}}), Some(VmEvent::Shutdown(Shutdown::PowerOff))),
            (json!({"event": "SHUTDOWN", "data": {"reason": "guest-panic"}}), Some(VmEvent::Shutdown(Shutdown::Panic))),
            (json!({"event": "SHUTDOWN", "data": {"reason": "host-signal"}}), Some(VmEvent::Shutdown(Shutdown::Signal))),
            (json!({"event": "SHUTDOWN", "data": {"reason": "host-qmp-quit"}}), Some(VmEvent::Shutdown(Shutdown::Other("host-qmp-quit".into())))),
            (json!({"event": "SHUTDOWN"}), Some(VmEvent::Shutdown(Shutdown::Other(String::new())))),
            (json!({"event": "RESET", "data": {"guest": true}}), Some(VmEvent::Restarted)),
            (json!({"event": "RESET", "data": {"guest": false}}), None),
            (json!({"event": "RESUME"}), Some(VmEvent::Resumed)),
            (json!({"event": "STOP"}), Some(VmEvent::Paused)),
            (json!({"event": "BLOCK_IO_ERROR", "data": {"action": "stop", "nospace": true}}), Some(VmEvent::DiskFailed(true))),
            (json!({"event": "BLOCK_IO_ERROR", "data": {"action": "stop"}}), Some(VmEvent::DiskFailed(false))),
            (json!({"event": "BLOCK_IO_ERROR", "data": {"action": "report"}}), None),
            (json!({"event": "NIC_RX_FILTER_CHANGED"}), None),
            (json!({}), None),
        ];
        for (line, expected) in rows {
            assert_eq!(event(&line), expected, "{line}");
        }
    }

    #[test]
    fn forwards_of_qemu() {
        let forward = Forward {
            protocol: "udp".into(),
            address: "127.0.0.1".into(),
            port: 8099,
            guest: 80,
        };
        assert_eq!(added(&forward), "hostfwd_add net0 udp:127.0.0.1:8099-:80");
        assert_eq!(removed(&forward), "hostfwd_remove net0 udp:127.0.0.1:8099");
        #[rustfmt::skip]
        let rows = [
            ("  TCP[HOST_FORWARD]  21       127.0.0.1 40321       10.0.2.15    22     0     0", Some("tcp 127.0.0.1:40321 to port 22")),
            ("  UDP[HOST_FORWARD]  22               *  5353       10.0.2.15    53     0     0", Some("udp 0.0.0.0:5353 to port 53")),
            ("  TCP[ESTABLISHED]   23       127.0.0.1 40321       10.0.2.15    22     0     0", None),
            ("  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ", None),
            ("Hub -1 (net0):", None),
        ];
        for (line, expected) in rows {
            let found = forwarded(line).map(|forward| forward.to_string());
            assert_eq!(found.as_deref(), expected, "{line}");
        }
        for (said, is) in [
            ("host forwarding rule for tcp:127.0.0.1:8099 removed", true),
            (
                "host forwarding rule for tcp:127.0.0.1:8099 not found",
                true,
            ),
            ("invalid format", false),
            ("", false),
        ] {
            assert_eq!(is_removed(said), is, "{said}");
        }
    }
}
