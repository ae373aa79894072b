// SPDX-License-Identifier: Apache-2.0
use super::*;

const A: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x53);
const B: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// A message in the form of `ndisc_ra_useropt` (net/ipv6/ndisc.c).
fn message(index: u32, seconds: u32, servers: &[Ipv6Addr]) -> Vec<u8> {
    let eights = u8::try_from(1 + servers.len() * 2).unwrap_or(0);
    let mut option = vec![RDNSS, eights, 0, 0];
    option.extend(seconds.to_be_bytes());
    option.extend(servers.iter().flat_map(|s| s.octets()));
    let length = u32::try_from(32 + option.len() + 20).unwrap_or(0);
    let mut m = length.to_ne_bytes().to_vec();
    m.extend(NEW_OPTION.to_ne_bytes());
    m.extend([0; 10]);
    m.extend([10, 0]);
    m.extend(u16::try_from(option.len()).unwrap_or(0).to_ne_bytes());
    m.extend(index.to_ne_bytes());
    m.extend([ROUTER_ADVERTISEMENT, 0, 0, 0, 0, 0, 0, 0]);
    m.extend(option);
    m.extend([20, 0, 1, 0]); // NDUSEROPT_SRCADDR
    m.extend(B.octets());
    m
}

#[test]
fn advertised_servers_are_read_among_other_messages() {
    let link = [16, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let bytes = [&link[..], &message(2, 600, &[A, B]), &message(3, 0, &[A])].concat();
    let advertised = |index, servers: &[Ipv6Addr], seconds| Advertisement {
        index,
        servers: servers.to_vec(),
        seconds,
    };
    let want = [advertised(2, &[A, B], 600), advertised(3, &[A], 0)];
    assert_eq!(parse(&bytes), want);
    assert_eq!(
        parse(&message(2, 1, &[Ipv6Addr::UNSPECIFIED]))[0].servers,
        [] as [Ipv6Addr; 0]
    );
}

#[test]
fn any_truncation_or_flip_is_survived() {
    let whole = message(2, 600, &[A, B]);
    for n in 0..whole.len() {
        let _ = parse(&whole[..n]);
        for flip in [1, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[n] ^= flip;
            let _ = parse(&bytes);
        }
    }
}

#[test]
fn servers_are_kept_for_their_lifetime() {
    let advertised = |servers: &[Ipv6Addr], seconds| Advertisement {
        index: 2,
        servers: servers.to_vec(),
        seconds,
    };
    let mut all = Servers::default();
    assert!(all.update(&advertised(&[A, B], 10), 1_000));
    assert!(!all.update(&advertised(&[A], 20), 2_000), "only longer");
    assert_eq!((all.list(), all.deadline()), (vec![A, B], Some(11_000)));
    assert!(all.expire(11_000) && !all.expire(11_000));
    assert_eq!(all.list(), [A]);
    assert!(
        all.update(&advertised(&[A], 0), 12_000),
        "zero takes it back"
    );
    assert!(all.update(&advertised(&[A], u32::MAX), 12_000));
    assert_eq!(all.deadline(), None);
    assert!(all.clear() && !all.clear());
}

#[test]
fn at_most_max_servers_of_advertisements_are_kept() {
    let many: Vec<_> = (0..100).map(|n| Ipv6Addr::from(1u128 << 120 | n)).collect();
    let mut all = Servers::default();
    let advertisement = Advertisement {
        index: 2,
        servers: many,
        seconds: 5,
    };
    all.update(&advertisement, 0);
    assert_eq!(all.list().len(), MAX_SERVERS);
}
