// SPDX-License-Identifier: Apache-2.0
//! The flags that give a configuration.

use std::net::Ipv4Addr;

use config::{AutoUpdate, Config, DiskSelector, Net, Swap, ZramSize};

fn disk_text(disk: &DiskSelector) -> String {
    match disk {
        DiskSelector::Auto => "auto".to_owned(),
        DiskSelector::Off => "off".to_owned(),
        DiskSelector::Label(text) => format!("LABEL={text}"),
        DiskSelector::Uuid(text) => format!("UUID={text}"),
        DiskSelector::PartUuid(text) => format!("PARTUUID={text}"),
        DiskSelector::Device(path) => path.clone(),
    }
}

fn swap_text(swap: &Swap) -> String {
    match swap {
        Swap::Zram(ZramSize::Percent(percent)) => format!("zram:{percent}%"),
        Swap::Zram(ZramSize::Mib(mib)) => format!("zram:{mib}"),
        Swap::Disk(disk) => disk_text(disk),
        Swap::File(mib) => format!("file:{mib}"),
    }
}

/// Returns name and value of the flag for a network setting.
fn net_flag(net: &Net) -> (&'static str, String) {
    let text = |addr: &Option<Ipv4Addr>| addr.map(|addr| addr.to_string()).unwrap_or_default();
    match net {
        Net::Dhcp { device: None } => ("b2p.net", "dhcp".to_owned()),
        Net::Dhcp {
            device: Some(device),
        } => ("ip", format!(":::::{device}:dhcp")),
        Net::Off => ("b2p.net", "off".to_owned()),
        Net::Static {
            addr,
            prefix,
            gateway,
            dns,
            device: None,
        } => {
            let dns: String = dns.iter().map(|dns| format!(",{dns}")).collect();
            ("b2p.net", format!("{addr}/{prefix},{}{dns}", text(gateway)))
        }
        Net::Static {
            addr,
            prefix,
            gateway,
            dns,
            device: Some(device),
        } => {
            let mask = Ipv4Addr::from_bits(u32::MAX << (32 - prefix));
            let [dns0, dns1] = [0, 1].map(|n| text(&dns.get(n).copied()));
            let gateway = text(gateway);
            (
                "ip",
                format!("{addr}::{gateway}:{mask}::{device}:off:{dns0}:{dns1}"),
            )
        }
    }
}

/// Returns name and value of the flags that give a configuration.
pub fn flags(config: &Config) -> Vec<(&'static str, String)> {
    let keyword = |value: &dyn std::fmt::Debug| format!("{value:?}").to_lowercase();
    let switch = |on: bool| if on { "on" } else { "off" }.to_owned();
    let mut flags = vec![
        ("b2p.data", disk_text(&config.data)),
        ("b2p.format", keyword(&config.format)),
        ("b2p.hostname", config.hostname.clone()),
        ("b2p.user", format!("{}:{}", config.user, config.uid)),
        net_flag(&config.net),
        ("b2p.console", keyword(&config.console)),
        ("b2p.podman", keyword(&config.podman)),
        ("b2p.rootless", keyword(&config.rootless)),
        ("b2p.auto_update", time_text(config.auto_update)),
        (
            "b2p.runtime",
            config.runtime.clone().unwrap_or("crun".to_owned()),
        ),
        ("b2p.etc", keyword(&config.etc)),
        ("b2p.modules", keyword(&config.modules)),
        ("b2p.loglevel", keyword(&config.loglevel)),
        ("b2p.sshd", switch(config.sshd)),
        (
            "b2p.cloud",
            if config.cloud { "auto" } else { "off" }.to_owned(),
        ),
        ("b2p.ignition", keyword(&config.ignition)),
        ("b2p.rescue", switch(config.rescue)),
        (
            "b2p.machine",
            if config.host_publishes_ports {
                "qemu"
            } else {
                "off"
            }
            .to_owned(),
        ),
        ("b2p.template", switch(config.template)),
        ("b2p.routed", switch(config.routed)),
        ("b2p.container_ssh", switch(config.container_ssh)),
        ("noutc", switch(!config.utc)),
        ("noswap", switch(!config.swap_allowed)),
        ("noautologin", switch(!config.autologin)),
        ("syslog", switch(config.syslog)),
        ("b2p.vsock", switch(config.vsock)),
        ("b2p.varlink", switch(config.varlink)),
    ];
    flags.extend(
        config
            .ssh_keys
            .iter()
            .map(|key| ("b2p.ssh_key", key.clone())),
    );
    let name_for = |on: bool| if on { "b2p.on" } else { "b2p.off" };
    flags.extend(
        config
            .services
            .iter()
            .map(|(name, on)| (name_for(*on), name.clone())),
    );
    flags.extend(
        config
            .blacklist
            .iter()
            .map(|name| ("blacklist", name.replace('_', "-"))),
    );
    flags.extend(config.swaps.iter().map(|s| ("b2p.swap", swap_text(s))));
    let proxy = &config.proxy;
    for (name, value) in [
        ("b2p.http_proxy", &proxy.http),
        ("b2p.https_proxy", &proxy.https),
        ("b2p.no_proxy", &proxy.exceptions),
    ] {
        flags.extend(value.iter().map(|text| (name, text.clone())));
    }
    flags.extend(config.tz.iter().map(|zone| ("tz", zone.clone())));
    flags.extend(
        config
            .ntpserver
            .iter()
            .map(|server| ("ntpserver", server.clone())),
    );
    flags.extend(config.rsyslog.iter().map(|receiver| {
        let host = match receiver.host.contains(':') {
            true => format!("[{}]", receiver.host),
            false => receiver.host.clone(),
        };
        let transport = keyword(&receiver.transport);
        ("rsyslog", format!("{host}:{},{transport}", receiver.port))
    }));
    flags.extend(
        config
            .swapfile
            .iter()
            .map(|disk| ("swapfile", disk_text(disk))),
    );
    flags.extend(config.waitusb.iter().map(|wait| {
        let disk = wait.disk.iter().map(|disk| format!(":{}", disk_text(disk)));
        (
            "waitusb",
            format!("{}{}", wait.seconds, disk.collect::<String>()),
        )
    }));
    flags
}

fn time_text(when: AutoUpdate) -> String {
    match when {
        AutoUpdate::Off => "off".to_owned(),
        AutoUpdate::Daily => "daily".to_owned(),
        AutoUpdate::At { hour, minute } => format!("{hour:02}:{minute:02}"),
    }
}

/// Returns a flag for the command line: the `whole` flag in double quotes, or its value.
pub fn quote((name, value): &(&str, String), whole: bool) -> String {
    match whole {
        true => format!("\"{name}={value}\""),
        false => format!("{name}=\"{value}\""),
    }
}
