// SPDX-License-Identifier: Apache-2.0
//! Target `uevent`: messages of the kernel about devices (kobject_uevent.c).

use sys::uevent::{Uevent, is_disk, is_early, parse};

pub(crate) const DICTIONARY: &[&str] = &[
    "add@",
    "remove@",
    "change@",
    "\0MODALIAS=",
    "\0DEVNAME=",
    "\0SUBSYSTEM=block",
    "\0SEQNUM=",
    "/virtual/block/",
    "input/",
    "/dev/input/",
    "event0",
    "virtio:d00000001v",
    "pci:v00008086d",
    "bc02sc",
    "\0",
    "ACTION=add",
];

/// - Only an added device or a removed disk gives an event, from one whole field of the message.
/// - Fields after that one change nothing.
pub fn uevent(data: &[u8]) {
    let Some(added) = parse(data) else {
        return;
    };
    let first: &[&[u8]] = match added {
        Uevent::BlockRemoved(_) => &[b"remove@"],
        Uevent::SharedFolder => &[b""],
        _ => &[b"add@"],
    };
    assert!(first.iter().any(|f| data.starts_with(f)));
    check_fields(data, &added);
    let more = [data, b"\0DEVNAME=input/event9\0MODALIAS=\xff\0"].concat();
    if matches!(added, Uevent::Modalias(_)) {
        assert_eq!(parse(&more), Some(added));
    }
}

/// Checks that the message has the fields that its event needs.
fn check_fields(data: &[u8], added: &Uevent) {
    let field = |name: &str, value: &str| {
        let field = [name.as_bytes(), value.as_bytes()].concat();
        assert!(data.split(|b| *b == 0).any(|f| f == field), "{field:?}");
    };
    match added {
        Uevent::Modalias(alias) => {
            field("MODALIAS=", alias);
            let _ = is_early(alias) || is_disk(alias);
        }
        Uevent::InputNode(name) => {
            let plain = !name.is_empty() && !name.contains(['/', '\0']) && name != "..";
            assert!(plain, "{name:?} is no name of a node");
        }
        Uevent::BlockAdded(number) => {
            field("SUBSYSTEM=", "block");
            let number = number.to_string();
            assert!(data.windows(number.len()).any(|w| w == number.as_bytes()));
        }
        Uevent::BlockRemoved(name) => {
            field("SUBSYSTEM=", "block");
            field("DEVNAME=", name);
        }
        Uevent::SharedFolder => assert!(data.windows(7).any(|w| w == b"SYSTEM=")),
        Uevent::CdDrive => field("SUBSYSTEM=", "block"),
        Uevent::NetworkInterface => field("SUBSYSTEM=", "net"),
        Uevent::VirtioPort => field("SUBSYSTEM=", "virtio-ports"),
        Uevent::Overrun => panic!("only the socket reports lost messages"),
    }
}
