// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used)]
use super::*;
use proptest::prelude::*;

const COOKIE: [u8; 8] = *b"oatmeal!";

fn stamp(ms: Ms) -> [u8; 8] {
    let seconds = u64::try_from(ms / 1000 + TO_1970).unwrap() & 0xffff_ffff;
    let fraction = (u64::try_from(ms % 1000).unwrap() << 32) / 1000 + 1;
    (seconds << 32 | fraction).to_be_bytes()
}

fn answer(received: Ms, answered: Ms) -> [u8; LENGTH] {
    let mut packet = [0; LENGTH];
    packet[0] = 4 << 3 | 4;
    packet[1] = 2;
    packet[24..32].copy_from_slice(&COOKIE);
    packet[32..40].copy_from_slice(&stamp(received));
    packet[40..48].copy_from_slice(&stamp(answered));
    packet
}

fn unusable(packet: &[u8]) -> String {
    match offset(packet, COOKIE, 0, 10) {
        Err(Rejection::Unusable(why)) => why.into_owned(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_offset_subtracts_half_the_round_trip() {
    // 100 ms there, 20 ms in the server, 100 ms back; its clock is an hour ahead.
    let (sent, hour) = (1_800_000_000_000, 3_600_000);
    let packet = answer(sent + hour + 100, sent + hour + 120);
    assert_eq!(offset(&packet, COOKIE, sent, sent + 220), Ok(hour));
    // Its clock is an hour behind.
    let packet = answer(sent - hour + 100, sent - hour + 120);
    assert_eq!(offset(&packet, COOKIE, sent, sent + 220), Ok(-hour));
}

#[test]
fn a_clock_of_1970_is_put_right() {
    let now = 1_800_000_000_000;
    assert_eq!(offset(&answer(now, now), COOKIE, 0, 0), Ok(now));
}

#[test]
fn the_era_after_2036_is_known() {
    let later = 2_200_000_000_000;
    assert_eq!(time(&stamp(later)), Some(later));
    assert_eq!(time(&stamp(ERA_START * 1000)), Some(ERA_START * 1000));
    assert_eq!(time(&[0; 8]), None);
}

#[test]
fn answers_of_unsynchronized_servers_are_refused() {
    let good = answer(1_800_000_000_000, 1_800_000_000_001);
    let with = |change: fn(&mut [u8; LENGTH])| {
        let mut packet = good;
        change(&mut packet);
        packet
    };
    assert_eq!(
        unusable(&with(|p| p[0] |= 3 << 6)),
        "the clock of the server is not set"
    );
    assert_eq!(
        unusable(&with(|p| p[1] = 16)),
        "the clock of the server is not set"
    );
    let kiss = with(|p| {
        p[1] = 0;
        p[12..16].copy_from_slice(b"RATE");
    });
    assert_eq!(unusable(&kiss), "the server refuses (RATE)");
    assert_eq!(
        unusable(&with(|p| p[40..].fill(0))),
        "the answer has no time"
    );
    // 32 s to the root and back, then 15 s and 2 s of error.
    for far in [
        with(|p| p[5] = 32),
        with(|p| p[9] = 16),
        with(|p| (p[5], p[9]) = (4, 14)),
    ] {
        assert_eq!(unusable(&far), "the server is too far from its source");
    }
    assert!(offset(&with(|p| (p[5], p[9]) = (2, 1)), COOKIE, 0, 10).is_ok());
    for other in [with(|p| p[24] ^= 1), with(|p| p[0] = 4 << 3 | 3)] {
        assert_eq!(offset(&other, COOKIE, 0, 1), Err(Rejection::Unrelated));
    }
    assert_eq!(offset(&good[..47], COOKIE, 0, 1), Err(Rejection::Unrelated));
}

/// Starts a server on 127.0.0.1 that answers one request with the packets of `answers`.
fn server(answers: fn(&[u8]) -> Vec<Vec<u8>>) -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut bytes = [0; 512];
        let (n, from) = socket.recv_from(&mut bytes).unwrap();
        for packet in answers(&bytes[..n]) {
            socket.send_to(&packet, from).unwrap();
        }
    });
    port
}

#[test]
fn a_server_is_asked_by_udp() {
    let port = server(|question| {
        let now = clocks::realtime() + 90_000;
        let mut packet = answer(now, now);
        // First a guess at the cookie, then the answer.
        let guess = packet.to_vec();
        packet[24..32].copy_from_slice(&question[40..48]);
        assert_eq!(question[0], 0x23);
        vec![vec![1, 2, 3], guess, packet.to_vec()]
    });
    let offset = query("127.0.0.1", port).unwrap();
    assert!((offset - 90_000).abs() < 1_500, "{offset}");
}

#[test]
fn an_unreachable_server_is_named_in_the_error() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    drop(socket);
    let why = query("127.0.0.1", port).unwrap_err().to_string();
    assert!(why.starts_with(&format!("127.0.0.1:{port}: ")), "{why}");
    let why = query("no such name", PORT).unwrap_err().to_string();
    assert!(why.starts_with("no such name: "), "{why}");
}

proptest! {
    #[test]
    fn any_bytes_are_answered(packet in proptest::collection::vec(any::<u8>(), 0..80), sent: i64, arrived: i64) {
        let _ = offset(&packet, COOKIE, sent, arrived);
        if let Some(head) = packet.first_chunk::<8>() {
            let at = time(head);
            prop_assert!(at.is_none_or(|t| t >= ERA_START * 1000));
        }
    }

    #[test]
    fn an_offset_is_within_half_the_way(ahead in -9_000_000_i64..9_000_000, there in 0_i64..2_000, back in 0_i64..2_000) {
        let sent = 1_900_000_000_000;
        let packet = answer(sent + ahead + there, sent + ahead + there);
        let got = offset(&packet, COOKIE, sent, sent + there + back).unwrap();
        prop_assert!((got - ahead).abs() <= (there + back) / 2 + 1, "{got}");
    }
}
