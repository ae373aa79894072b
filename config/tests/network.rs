// SPDX-License-Identifier: Apache-2.0
//! Flags of host name, addresses and routes, with every form of their values.

mod common;

use std::net::Ipv4Addr;

use common::{good, with};
use config::{Config, Net};

#[test]
fn host_names_are_parsed() {
    let longest = format!("{}.b", "a".repeat(62));
    for name in ["box", "Box-1.example.org", "1", &longest] {
        let expected = with(|to| to.hostname = name.to_owned());
        assert_eq!(good(&format!("b2p.hostname={name}")), expected);
        assert_eq!(good(&format!("host={name}")), expected);
    }
}

fn dhcp(device: &str) -> Net {
    Net::Dhcp {
        device: Some(device.to_owned()).filter(|device| !device.is_empty()),
    }
}

fn by_hand(addr: [u8; 4], prefix: u8, gateway: u8, dns: &[u8], device: &str) -> Net {
    let near = |last: u8| Ipv4Addr::new(addr[0], addr[1], addr[2], last);
    Net::Static {
        addr: Ipv4Addr::from(addr),
        prefix,
        gateway: (gateway > 0).then(|| near(gateway)),
        dns: dns.iter().copied().map(near).collect(),
        device: Some(device.to_owned()).filter(|device| !device.is_empty()),
    }
}

#[test]
fn b2p_net_is_parsed() {
    let own = [10, 0, 2, 15];
    for (value, net) in [
        ("dhcp", dhcp("")),
        ("off", Net::Off),
        ("10.0.2.15/24", by_hand(own, 24, 0, &[], "")),
        ("10.0.2.15/32,10.0.2.2", by_hand(own, 32, 2, &[], "")),
        ("10.0.2.15/1,,10.0.2.3", by_hand(own, 1, 0, &[3], "")),
        (
            "10.0.2.15/8,10.0.2.2,10.0.2.3,10.0.2.4,10.0.2.5",
            by_hand(own, 8, 2, &[3, 4, 5], ""),
        ),
    ] {
        assert_eq!(good(&format!("b2p.net={value}")), with(|to| to.net = net));
    }
}

#[test]
fn ip_is_parsed() {
    let own = [10, 0, 2, 15];
    for (value, net) in [
        ("dhcp", dhcp("")),
        ("on", dhcp("")),
        ("any", dhcp("")),
        ("off", Net::Off),
        ("none", Net::Off),
        (":::::eth1", dhcp("eth1")),
        (":::::eth1:dhcp", dhcp("eth1")),
        ("0.0.0.0:::::eth1:any", dhcp("eth1")),
        (":::::eth1:off", Net::Off),
        ("10.0.2.15", by_hand(own, 8, 0, &[], "")),
        ("172.16.0.2:", by_hand([172, 16, 0, 2], 16, 0, &[], "")),
        ("192.168.1.2::", by_hand([192, 168, 1, 2], 24, 0, &[], "")),
        (
            "10.0.2.15:10.0.2.1:10.0.2.2:255.255.255.0::eth0:off:10.0.2.3:10.0.2.4:",
            by_hand(own, 24, 2, &[3, 4], "eth0"),
        ),
        (
            "10.0.2.15::10.0.2.2:255.255.255.252::eth0:dhcp",
            by_hand(own, 30, 2, &[], "eth0"),
        ),
    ] {
        let line = format!("ip={value}");
        assert_eq!(good(&line), with(|to| to.net = net), "{line}");
    }
}

#[test]
fn ip_also_sets_host_name_and_time_server() {
    let line = "ip=10.0.2.15::::pod.example.org:eth0:off:::10.0.2.9";
    let config = good(line);
    assert_eq!(config.hostname, "pod");
    assert_eq!(config.ntpserver.as_deref(), Some("10.0.2.9"));
    // The flag for a setting wins over `ip=`, in any order.
    for line in [
        format!("{line} host=box ntpserver=time"),
        format!("ntpserver=time host=box {line}"),
    ] {
        let config = good(&line);
        assert_eq!(config.hostname, "box");
        assert_eq!(config.ntpserver.as_deref(), Some("time"));
    }
}

#[test]
fn nodhcp_turns_dhcp_off_only() {
    assert_eq!(good("nodhcp"), with(|to| to.net = Net::Off));
    assert_eq!(good("nodhcp=off"), Config::default());
    let own = by_hand([10, 0, 2, 15], 24, 0, &[], "");
    for line in [
        "nodhcp b2p.net=10.0.2.15/24",
        "b2p.net=10.0.2.15/24 nodhcp",
        "nodhcp ip=10.0.2.15:::255.255.255.0",
    ] {
        assert_eq!(good(line).net, own, "{line}");
    }
}
