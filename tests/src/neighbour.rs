// SPDX-License-Identifier: Apache-2.0
//! A hostile neighbour on the wire of a second network card.
//!
//! QEMU exchanges the frames of the card with a UDP socket (`-netdev socket,udp=`), at whose other
//! end a thread answers DHCP, ARP and SNTP, sends router advertisements, and is a crowd of clients.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use vmm::Machine;

use crate::checksum::checksum;
use crate::crowd::{Link, is_client};
use crate::lan::dhcp::{self, DISCOVER, OFFER, Policy};
use crate::lan::time;
use crate::ports;

/// Ethernet address of the neighbour.
const MAC: [u8; 6] = [0x52, 0x54, 0x00, 0x66, 0x66, 0x01];
/// IPv4 address of the neighbour, which serves DHCP and time.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 168, 66, 1);
/// Address that the machine gets on this card.
const LEASED: [u8; 4] = [192, 168, 66, 77];
/// Seconds from 1970 to 2100: the time of the neighbour's answers.
const YEAR_2100: Duration = Duration::from_secs(4_102_444_800);
/// Interval of router advertisements.
const ADVERTISE: Duration = Duration::from_secs(2);
/// EtherTypes (IEEE 802.3).
const IPV4: [u8; 2] = [0x08, 0x00];
const ARP: [u8; 2] = [0x08, 0x06];
const IPV6: [u8; 2] = [0x86, 0xdd];

/// Interval of the crowd's connections, and the number of its clients.
const CROWD_INTERVAL: Duration = Duration::from_millis(10);
const CROWD: u32 = 4;
/// Ethernet addresses of the neighbour and of the machine's card.
const LINK: Link = Link {
    clients: MAC,
    machine: [0x52, 0x54, 0x00, 0x66, 0x66, 0x77],
};

/// Switches of the neighbour.
#[derive(Clone, Debug, Default)]
pub struct Switches {
    crowd: Arc<AtomicBool>,
    is_honest: Arc<AtomicBool>,
}

impl Switches {
    /// Starts or stops the crowd of clients, hundreds in a second.
    pub fn set_crowd(&self, comes: bool) {
        self.crowd.store(comes, Ordering::Relaxed);
    }

    /// Makes the neighbour answer with the right time.
    pub fn tell_the_time(&self) {
        self.is_honest.store(true, Ordering::Relaxed);
    }

    /// Returns the time of the neighbour's answers, since 1970.
    fn time(&self) -> Duration {
        match self.is_honest.load(Ordering::Relaxed) {
            true => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
            false => YEAR_2100,
        }
    }
}

/// Adds a second card to `machine` and starts the neighbour on its wire. The thread ends with the
/// process. Returns its switches as well.
///
/// # Errors
/// The sockets cannot be bound.
pub fn on_second_card(machine: Machine) -> Result<(Machine, Switches)> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let here = socket.local_addr()?;
    // QEMU binds its own end.
    let there = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()?));
    socket.set_read_timeout(Some(ADVERTISE))?;
    let switches = Switches::default();
    let of_thread = switches.clone();
    thread::spawn(move || serve(&socket, there, &of_thread));
    let netdev = format!("socket,id=wire,udp={here},localaddr={there}");
    let device = "virtio-net-pci,netdev=wire,romfile=,mac=52:54:00:66:66:77";
    let machine = machine.qemu_args(&["-netdev", &netdev, "-device", device]);
    Ok((machine, switches))
}

/// Options that take over resources that are not the neighbour's: routes to the other card's name
/// server, to container networks and to loopback (option 121), an MTU below IPv6's least (26), a
/// name server on loopback (6), and the neighbour as a time server (42).
fn policy() -> Policy {
    let via = |prefix: &[u8]| [prefix, &ADDRESS.octets()].concat();
    let routes = [
        via(&[32, 10, 0, 2, 3]),
        via(&[17, 10, 88, 0]),
        via(&[17, 10, 88, 128]),
        via(&[9, 127, 0]),
    ];
    Policy {
        address: LEASED,
        options: vec![
            (6, vec![127, 0, 0, 1]),
            (26, vec![2, 64]),
            (42, ADDRESS.octets().to_vec()),
            (121, routes.concat()),
        ],
        ..Policy::default()
    }
}

fn serve(socket: &UdpSocket, machine: SocketAddr, switches: &Switches) {
    let mut frame = [0; 2048];
    let (mut last, mut came, mut clients) = (Instant::now(), Instant::now(), 0);
    let _ = socket.set_read_timeout(Some(CROWD_INTERVAL));
    loop {
        // A timeout, or an error while QEMU has not bound its end yet.
        let length = socket.recv(&mut frame).unwrap_or(0);
        if let Some(answer) = answer(&frame[..length], switches.time()) {
            let _ = socket.send_to(&answer, machine); // a lost frame
        }
        if last.elapsed() >= ADVERTISE {
            let _ = socket.send_to(&advertisement(), machine);
            last = Instant::now();
        }
        if switches.crowd.load(Ordering::Relaxed) && came.elapsed() >= CROWD_INTERVAL {
            for client in clients..clients + CROWD {
                let _ = socket.send_to(&LINK.opening(client, LEASED.into()), machine);
            }
            (clients, came) = (clients + CROWD, Instant::now());
        }
    }
}

/// Returns the answer to a frame at time `now` since 1970, if the neighbour has one.
fn answer(frame: &[u8], now: Duration) -> Option<Vec<u8>> {
    if let Some(answer) = LINK.answer(frame) {
        return Some(answer);
    }
    let client = frame.get(6..12)?;
    match frame.get(12..14)? {
        kind if kind == ARP => arp(frame.get(14..42)?, client),
        kind if kind == IPV4 => {
            let packet = frame.get(14..)?;
            let header = usize::from(packet.first()? & 15) * 4;
            let (udp, from) = (packet.get(header..)?, packet.get(12..16)?);
            (packet.get(9) == Some(&17)).then_some(())?;
            let port = u16::from_be_bytes(*udp.get(2..)?.first_chunk()?);
            let source_port = u16::from_be_bytes(*udp.first_chunk()?);
            match port {
                67 => datagram(&dhcp_answer(udp.get(8..)?)?, [255; 4], &[255; 6], 67, 68),
                123 => {
                    let reply = time::answer(udp.get(8..)?.first_chunk()?, now);
                    datagram(&reply, *from.first_chunk()?, client, 123, source_port)
                }
                _ => None,
            }
        }
        _ => None,
    }
}

fn dhcp_answer(message: &[u8]) -> Option<Vec<u8>> {
    let call = dhcp::call(message, false)?;
    let kind = match call.kind {
        DISCOVER => OFFER,
        _ => dhcp::ACK,
    };
    Some(dhcp::answer(message, kind, ADDRESS, &policy()))
}

/// Returns the answer to an ARP request (RFC 826) for an address of the neighbour or its crowd.
fn arp(request: &[u8], client: &[u8]) -> Option<Vec<u8>> {
    let target = Ipv4Addr::from(*request.get(24..)?.first_chunk::<4>()?);
    let is_here = target == ADDRESS || is_client(target.into());
    let is_request = request.get(6..8)? == [0, 1] && is_here;
    let reply = [
        client,
        &MAC,
        &ARP,
        &request[..6],
        &[0, 2],
        &MAC,
        &target.octets(),
        &request[8..18],
    ];
    is_request.then(|| reply.concat())
}

/// Returns a UDP datagram in a frame. Its checksum is 0: none (RFC 768).
fn datagram(data: &[u8], to: [u8; 4], mac: &[u8], from: u16, port: u16) -> Option<Vec<u8>> {
    let length = u16::try_from(data.len() + 8).ok()?.to_be_bytes();
    let total = u16::try_from(data.len() + 28).ok()?.to_be_bytes();
    let mut header = [
        &[0x45, 0][..],
        &total,
        &[0, 0, 0, 0, 64, 17, 0, 0],
        &ADDRESS.octets(),
        &to,
    ]
    .concat();
    let sum = checksum(&header).to_be_bytes();
    header[10..12].copy_from_slice(&sum);
    let udp = [from.to_be_bytes(), port.to_be_bytes(), length, [0, 0]].concat();
    Some([mac, &MAC, &IPV4, &header, &udp, data].concat())
}

/// Returns a router advertisement (RFC 4861, 4.2) with an MTU below IPv6's least and a name server
/// on loopback.
fn advertisement() -> Vec<u8> {
    let own = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x66, 0, 1];
    let all_nodes = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    // Type, code, checksum, hop limit, flags, lifetime 1800 s, two timers.
    let mut m = vec![134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    m.extend([5, 1, 0, 0, 0, 0, 2, 64]); // MTU 576
    m.extend([25, 3, 0, 0, 0, 0, 7, 8]); // RDNSS
    m.extend(std::net::Ipv6Addr::LOCALHOST.octets());
    let length = u32::try_from(m.len()).unwrap_or(0).to_be_bytes();
    let pseudo_header = [&own[..], &all_nodes, &length, &[0, 0, 0, 58]].concat();
    let sum = checksum(&[&pseudo_header[..], &m].concat()).to_be_bytes();
    m[2..4].copy_from_slice(&sum);
    let header = [
        &[0x60, 0, 0, 0][..],
        &length[2..],
        &[58, 255],
        &own,
        &all_nodes,
    ]
    .concat();
    [&[0x33, 0x33, 0, 0, 0, 1][..], &MAC, &IPV6, &header, &m].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_discovery_gets_an_offer_and_a_question_about_time_an_answer() {
        let mut message = vec![0; 240];
        message[..4].copy_from_slice(&[1, 1, 6, 0]);
        message.extend([53, 1, DISCOVER, 255]);
        let frame = datagram(&message, [255; 4], &[255; 6], 68, 67).expect("it is short");
        let offer = answer(&frame, YEAR_2100).expect("an offer");
        assert_eq!(offer[14 + 28 + 16..][..4], LEASED, "yiaddr");
        let frame = datagram(&[0x23; 48], ADDRESS.octets(), &MAC, 5000, 123).expect("short");
        let length = answer(&frame, YEAR_2100).map(|frame| frame.len());
        assert_eq!(length, Some(14 + 28 + 48));
        assert_eq!(answer(&frame[..30], YEAR_2100), None);
    }
}
