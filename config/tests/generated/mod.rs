// SPDX-License-Identifier: Apache-2.0
//! Random configurations, and the flags that give them.
#![allow(missing_docs)]

mod flags;

use std::net::Ipv4Addr;

use config::{
    AutoUpdate, Config, Console, DiskSelector, Etc, FormatPolicy, Ignition, LogReceiver, Loglevel,
    Modules, Net, Podman, Proxy, Rootless, Swap, Transport, WaitUsb, ZramSize,
};
use proptest::collection::vec;
use proptest::sample::{select, subsequence};
use proptest::{option, prelude::*};

use crate::common::KEYS;

pub use flags::{flags, quote};

fn auto_updates() -> impl Strategy<Value = AutoUpdate> {
    prop_oneof![
        Just(AutoUpdate::Off),
        Just(AutoUpdate::Daily),
        (0_u8..24, 0_u8..60).prop_map(|(hour, minute)| AutoUpdate::At { hour, minute }),
    ]
}

fn name() -> impl Strategy<Value = String> {
    "[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?(\\.[a-z0-9]{1,8}){0,3}"
}

fn disk() -> impl Strategy<Value = DiskSelector> {
    prop_oneof![
        "[!#-~àß]([ !#-~àß]{0,18}[!#-~àß])?".prop_map(DiskSelector::Label),
        "[0-9a-fA-F]{4}-[0-9a-fA-F-]{0,30}".prop_map(DiskSelector::Uuid),
        "[0-9a-f]{8}-0[1-9]".prop_map(DiskSelector::PartUuid),
        "/dev/[a-z]{2,4}[a-z0-9]{0,4}(/[a-z0-9-]{1,8})?".prop_map(DiskSelector::Device),
    ]
}

fn data() -> impl Strategy<Value = DiskSelector> {
    prop_oneof![Just(DiskSelector::Auto), Just(DiskSelector::Off), disk()]
}

/// Swap areas with at most one in zram and one in a file, and no partition twice.
fn swaps() -> impl Strategy<Value = Vec<Swap>> {
    let size = prop_oneof![
        (1_u32..=300).prop_map(ZramSize::Percent),
        (1_u32..=16 << 20).prop_map(ZramSize::Mib),
    ];
    let zram = option::of(size.prop_map(Swap::Zram));
    let file = option::of((1_u32..=16 << 20).prop_map(Swap::File));
    let disks = vec(disk().prop_map(Swap::Disk), 0..3);
    (zram, file, disks)
        .prop_map(|(zram, file, disks)| {
            let mut swaps: Vec<Swap> = zram.into_iter().chain(file).collect();
            for disk in disks {
                if !swaps.contains(&disk) {
                    swaps.push(disk);
                }
            }
            swaps
        })
        .prop_shuffle()
}

fn receiver() -> impl Strategy<Value = LogReceiver> {
    let host = prop_oneof![name(), "fd[0-9a-f]{2}::[1-9a-f]{1,4}"];
    let transport = select(vec![Transport::Udp, Transport::Tcp]);
    (host, 1_u16.., transport).prop_map(|(host, port, transport)| LogReceiver {
        host,
        port,
        transport,
    })
}

fn addr() -> impl Strategy<Value = Ipv4Addr> {
    let first = prop_oneof![1_u8..127, 128_u8..224];
    (first, any::<[u8; 3]>()).prop_map(|(a, [b, c, d])| Ipv4Addr::new(a, b, c, d))
}

fn net() -> impl Strategy<Value = Net> {
    let device = option::of("[a-z]{2,8}[0-9]{1,3}");
    let static_address = (
        addr(),
        1_u8..=32,
        option::of(addr()),
        vec(addr(), 0..=3),
        device.clone(),
    );
    prop_oneof![
        device.prop_map(|device| Net::Dhcp { device }),
        Just(Net::Off),
        static_address.prop_map(|(addr, prefix, gateway, mut dns, device)| {
            // Only ip= names an interface, and ip= has at most two servers.
            if device.is_some() {
                dns.truncate(2);
            }
            Net::Static {
                addr,
                prefix,
                gateway,
                dns,
                device,
            }
        }),
    ]
}

fn proxy() -> impl Strategy<Value = Proxy> {
    let url =
        || option::of("(https?://)?([a-z]{1,5}:[!#%&a-z0-9]{1,5}@)?[a-z.]{1,9}:[1-9][0-9]{1,3}");
    let exceptions = option::of("[a-z.*]{1,9}(,[0-9./]{1,9}){0,3}");
    (url(), url(), exceptions).prop_map(|(http, https, exceptions)| Proxy {
        http,
        https,
        exceptions,
    })
}

pub fn config() -> impl Strategy<Value = Config> {
    let formats = select(vec![
        FormatPolicy::Magic,
        FormatPolicy::Blank,
        FormatPolicy::Never,
    ]);
    let consoles = select(vec![Console::Status, Console::Shell, Console::Off]);
    let podmans = select(vec![Podman::OnDemand, Podman::Boot, Podman::Off]);
    let levels = select(vec![
        Loglevel::Error,
        Loglevel::Warn,
        Loglevel::Info,
        Loglevel::Debug,
        Loglevel::Trace,
    ]);
    let keys = subsequence(KEYS.to_vec(), 0..=KEYS.len());
    let wait = (0_u16..=3600, option::of(disk()));
    let wait = wait.prop_map(|(seconds, disk)| WaitUsb { seconds, disk });
    let modules = subsequence(vec!["floppy", "snd_hda_intel", "pcspkr", "i2c_dev"], 0..=4);
    let names = subsequence(vec!["net", "sshd", "console-ttys0", "web"], 0..=4);
    let services = names.prop_shuffle().prop_flat_map(|names| {
        let on = vec(any::<bool>(), names.len());
        (Just(names), on).prop_map(|(names, on)| {
            names
                .into_iter()
                .map(str::to_owned)
                .zip(on)
                .collect::<Vec<_>>()
        })
    });
    let b2p_flags = (
        keys,
        data(),
        formats,
        name(),
        net(),
        consoles,
        podmans,
        levels,
        services,
    );
    let rootless = select(vec![Rootless::On, Rootless::Off, Rootless::Default]);
    let etcs = select(vec![Etc::Containers, Etc::All, Etc::Ram]);
    let users = ("[a-z_][a-z0-9_-]{2,12}x", select(vec![500, 1001, 59_999]));
    let runtimes = option::of(select(vec!["runc", "youki", "kata-2"]).prop_map(str::to_owned));
    let podman_flags = (auto_updates(), runtimes);
    let other_flags = (
        option::of(wait),
        option::of("[A-Z][A-Za-z_]{2,10}(/[A-Z][a-z_]{2,10})?"),
        option::of(name()),
        modules,
        (option::of(disk()), swaps()),
        (any::<[bool; 15]>(), rootless, etcs),
        (proxy(), users, option::of(receiver()), podman_flags),
    );
    (b2p_flags, other_flags).prop_map(|(b2p_flags, other_flags)| {
        let (keys, data, format, hostname, net, console, podman, loglevel, services) = b2p_flags;
        let (
            waitusb,
            tz,
            ntpserver,
            blacklist,
            (swapfile, swaps),
            (bools, rootless, etc),
            (proxy, (user, uid), rsyslog, (auto_update, runtime)),
        ) = other_flags;
        let [
            sshd,
            rescue,
            utc,
            swap_allowed,
            autologin,
            syslog,
            fast,
            cloud,
            ignition,
            vsock,
            varlink,
            routed,
            container_ssh,
            machine,
            template,
        ] = bools;
        Config {
            ssh_keys: keys.into_iter().map(str::to_owned).collect(),
            data,
            cloud,
            ignition: if ignition {
                Ignition::Auto
            } else {
                Ignition::Off
            },
            format,
            hostname,
            net,
            console,
            podman,
            rootless,
            etc,
            sshd,
            proxy,
            user,
            uid,
            vsock,
            varlink,
            shares: Vec::new(),
            extensions: Vec::new(),
            environment: Vec::new(),
            services,
            rescue,
            slot: None,
            loglevel,
            modules: if fast {
                Modules::Fast
            } else {
                Modules::Verified
            },
            host_publishes_ports: machine,
            template,
            routed,
            container_ssh,
            waitusb,
            tz,
            utc,
            swaps,
            swap_allowed,
            autologin,
            ntpserver,
            blacklist: blacklist.into_iter().map(str::to_owned).collect(),
            swapfile,
            syslog,
            rsyslog,
            auto_update,
            runtime,
        }
    })
}
