// SPDX-License-Identifier: Apache-2.0
//! TCP clients of port 22 with many addresses of IPv4 and IPv6, as frames of Ethernet: half of them
//! never answer (a SYN flood), the others send an identification string and no more.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::checksum::checksum;

/// Network of the IPv4 addresses, and the first and last of them.
const NETWORK: [u8; 3] = [192, 168, 66];
const HOSTS: std::ops::RangeInclusive<u8> = 100..=227;
/// Network of the IPv6 addresses.
const PREFIX: [u16; 7] = [0xfe80, 0, 0, 0, 0, 0x66, 0];
/// Port of ssh, and the first port of a client.
const SSH: u16 = 22;
const FIRST_PORT: u16 = 1024;
/// Identification string of the clients; its length is even.
const HELLO: &[u8; 14] = b"SSH-2.0-many\r\n";
/// Flags of TCP (RFC 9293, 3.1).
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
const PUSH: u8 = 0x08;
/// Types of ICMPv6 (RFC 4861, 4.3 and 4.4).
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

/// Ethernet addresses of the clients and of the machine.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// Address of the card that all clients are behind.
    pub clients: [u8; 6],
    /// Address of the machine's card.
    pub machine: [u8; 6],
}

impl Link {
    /// Returns the link-local address that the machine forms of its own (RFC 4291, appendix A).
    fn machine_address(self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.machine;
        let bytes = [
            0xfe,
            0x80,
            0,
            0,
            0,
            0,
            0,
            0,
            a ^ 2,
            b,
            c,
            0xff,
            0xfe,
            d,
            e,
            f,
        ];
        Ipv6Addr::from(bytes)
    }

    /// Returns the first packet of the client with this number, to the machine at `ipv4` or at its
    /// link-local address.
    #[must_use]
    pub fn opening(self, number: u32, ipv4: Ipv4Addr) -> Vec<u8> {
        let [_, _, high, low] = (number / 2).to_be_bytes();
        let port = FIRST_PORT + (number / 2 % 60_000) as u16;
        let segment = Segment {
            port,
            seq: number,
            ack: 0,
            flags: SYN,
        };
        let (from, to) = match number.is_multiple_of(2) {
            true => {
                let [a, b, c] = NETWORK;
                let host = HOSTS.start() + low % (HOSTS.end() - HOSTS.start() + 1);
                (IpAddr::from([a, b, c, host]), IpAddr::V4(ipv4))
            }
            false => {
                let [a, b, c, d, e, f, g] = PREFIX;
                let host = u16::from_be_bytes([high, low]);
                let from = Ipv6Addr::new(a, b, c, d, e, f, g, host);
                (from.into(), self.machine_address().into())
            }
        };
        self.frame(from, to, 6, &segment.bytes(from, to, &[]))
    }

    /// Returns the answer of a client to a frame, if there is one.
    #[must_use]
    pub fn answer(self, frame: &[u8]) -> Option<Vec<u8>> {
        let packet = frame.get(14..)?;
        let (from, to, protocol, data) = match packet.first()? >> 4 {
            4 => {
                let header = usize::from(packet.first()? & 15) * 4;
                let address =
                    |at: usize| Some(IpAddr::from(*packet.get(at..)?.first_chunk::<4>()?));
                (
                    address(12)?,
                    address(16)?,
                    *packet.get(9)?,
                    packet.get(header..)?,
                )
            }
            6 => {
                let address =
                    |at: usize| Some(IpAddr::from(*packet.get(at..)?.first_chunk::<16>()?));
                (
                    address(8)?,
                    address(24)?,
                    *packet.get(6)?,
                    packet.get(40..)?,
                )
            }
            _ => return None,
        };
        match (protocol, data.first()?) {
            (58, &SOLICITATION) => self.advertise(from, data),
            (6, _) => self.acknowledge(from, to, data),
            _ => None,
        }
    }

    /// Returns the neighbour advertisement that a solicitation for a client's address asks for.
    fn advertise(self, from: IpAddr, data: &[u8]) -> Option<Vec<u8>> {
        let target = Ipv6Addr::from(*data.get(8..)?.first_chunk::<16>()?);
        if !is_client(target.into()) {
            return None;
        }
        // Flags solicited and override; option 2 is the Ethernet address.
        let mut m = vec![ADVERTISEMENT, 0, 0, 0, 0x60, 0, 0, 0];
        m.extend(target.octets());
        m.extend([2, 1]);
        m.extend(self.clients);
        let sum = sum(target.into(), from, 58, &m);
        m[2..4].copy_from_slice(&sum);
        Some(self.frame(target.into(), from, 58, &m))
    }

    /// Returns the last packet of the handshake with the identification string, of a client with an
    /// even port.
    fn acknowledge(self, from: IpAddr, to: IpAddr, data: &[u8]) -> Option<Vec<u8>> {
        let port = u16::from_be_bytes(*data.get(2..)?.first_chunk()?);
        let number = |at: usize| Some(u32::from_be_bytes(*data.get(at..)?.first_chunk()?));
        let is_second = data.get(13)? & (SYN | ACK) == SYN | ACK;
        if !is_second || !is_client(to) || !port.is_multiple_of(2) {
            return None;
        }
        let segment = Segment {
            port,
            seq: number(8)?,
            ack: number(4)?.wrapping_add(1),
            flags: ACK | PUSH,
        };
        Some(self.frame(to, from, 6, &segment.bytes(to, from, HELLO)))
    }

    fn frame(self, from: IpAddr, to: IpAddr, protocol: u8, data: &[u8]) -> Vec<u8> {
        let length = |more: usize| (data.len() as u16 + more as u16).to_be_bytes();
        let (kind, header) = match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let (total, [a, b, c, d]) = (length(20), from.octets());
                let mut header = vec![0x45, 0, total[0], total[1], 0, 0, 0, 0, 64, protocol, 0, 0];
                header.extend([a, b, c, d]);
                header.extend(to.octets());
                let sum = checksum(&header).to_be_bytes();
                header[10..12].copy_from_slice(&sum);
                ([0x08, 0x00], header)
            }
            _ => {
                let length = length(0);
                let mut header = vec![0x60, 0, 0, 0, length[0], length[1], protocol, 255];
                header.extend(octets(from));
                header.extend(octets(to));
                ([0x86, 0xdd], header)
            }
        };
        [&self.machine, &self.clients, &kind[..], &header, data].concat()
    }
}

/// Returns true for an address that is a client's.
#[must_use]
pub fn is_client(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, host] = v4.octets();
            [a, b, c] == NETWORK && HOSTS.contains(&host)
        }
        IpAddr::V6(v6) => v6.segments().starts_with(&PREFIX),
    }
}

/// A segment of TCP from a client to port 22.
struct Segment {
    port: u16,
    seq: u32,
    ack: u32,
    flags: u8,
}

impl Segment {
    fn bytes(&self, from: IpAddr, to: IpAddr, data: &[u8]) -> Vec<u8> {
        let mut bytes = [self.port.to_be_bytes(), SSH.to_be_bytes()].concat();
        bytes.extend(self.seq.to_be_bytes());
        bytes.extend(self.ack.to_be_bytes());
        // A header of five words, a window of 8,192 bytes, checksum and urgent pointer.
        bytes.extend([5 << 4, self.flags, 0x20, 0, 0, 0, 0, 0]);
        bytes.extend(data);
        let sum = sum(from, to, 6, &bytes);
        bytes[16..18].copy_from_slice(&sum);
        bytes
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// Returns the checksum with the pseudo-header of IPv4 or IPv6, which differ in zeros alone.
fn sum(from: IpAddr, to: IpAddr, protocol: u8, data: &[u8]) -> [u8; 2] {
    let length = (data.len() as u32).to_be_bytes();
    let pseudo_header = [
        &octets(from)[..],
        &octets(to),
        &length,
        &[0, 0, 0, protocol],
    ]
    .concat();
    checksum(&[&pseudo_header[..], data].concat()).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: Link = Link {
        clients: [2, 0, 0, 0, 0, 1],
        machine: [0x52, 0x54, 0, 0x66, 0x66, 0x77],
    };
    const MACHINE: Ipv4Addr = Ipv4Addr::new(192, 168, 66, 77);

    #[test]
    fn checksums_are_right() {
        for number in [0, 1, 2, 3, 700_001] {
            let frame = LINK.opening(number, MACHINE);
            let packet = &frame[14..];
            let (addresses, data) = match packet[0] >> 4 {
                4 => (&packet[12..20], &packet[20..]),
                _ => (&packet[8..40], &packet[40..]),
            };
            let length = u16::try_from(data.len()).expect("short").to_be_bytes();
            let all = [addresses, &[0, 6], &length, data].concat();
            assert_eq!(checksum(&all), 0, "{number}");
            assert_eq!(data[13], SYN);
        }
    }

    #[test]
    fn clients_with_an_even_port_send_data() {
        for number in [0, 1] {
            let frame = LINK.opening(number, MACHINE);
            // The second packet of the handshake: addresses and ports change places.
            let mut second = frame.clone();
            let (at, length) = if number == 0 { (26, 4) } else { (22, 16) };
            second[at..at + length].copy_from_slice(&frame[at + length..at + 2 * length]);
            second[at + length..at + 2 * length].copy_from_slice(&frame[at..at + length]);
            let tcp = at + 2 * length;
            second[tcp..tcp + 2].copy_from_slice(&frame[tcp + 2..tcp + 4]);
            second[tcp + 2..tcp + 4].copy_from_slice(&frame[tcp..tcp + 2]);
            second[tcp + 13] = SYN | ACK;
            let third = LINK.answer(&second).expect("its port is even");
            assert!(third.ends_with(HELLO), "{number}");
            second[tcp + 3] += 1;
            assert_eq!(LINK.answer(&second), None, "{number}");
            assert_eq!(LINK.answer(&second[..30]), None, "{number}");
        }
    }
}
