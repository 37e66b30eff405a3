//! Take IPv6 headers off packets from the TUN and put them on packets for it; answer where a router would.
//!
//! Place     hostio/tun.rs -> here -> session.rs; and back; ICMPv6 answers go to the TUN
//! Spec      docs/protocol/10, "What happens to a packet read from the TUN"; docs/protocol/05, "DataHeader"; RFC 4443
//! Keeps     the way of a packet allocates and copies nothing but headers; only ICMPv6 answers are new packets
//! Not here  checksums of superframes (hostio/offload.rs)

use core::ops::Range;

use crate::checksum::pseudo_header_v6;
use crate::drop::DropReason;
use crate::message::Address;

/// Length of an IPv6 header.
pub const IPV6_HEADER_BYTES: usize = 40;
/// Length of a data header.
pub const DATA_HEADER_BYTES: usize = 4;
/// Largest packet the TUN may hand us.
pub const MTU_BYTES: usize = 1304;
/// What taking the IPv6 header off a packet frees at its front.
pub const FREED_BYTES: usize = IPV6_HEADER_BYTES - DATA_HEADER_BYTES;
/// First byte of every mesh address.
pub const MESH_PREFIX: u8 = 0xfc;

const HOP_LIMIT: u8 = 42;
const ANSWER_HOP_LIMIT: u8 = 64;
const DATA_HEADER_VERSION: u8 = 0x10;
const NEXT_HEADER_ICMPV6: u8 = 58;
const ICMPV6_FIRST_INFORMATIONAL: u8 = 128;
const MINIMUM_MTU_BYTES: usize = 1280;
const ICMPV6_HEADER_BYTES: usize = 8;

/// Why an ICMPv6 answer says a destination cannot be reached (RFC 4443 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Unreachable {
    /// Nobody knows a route.
    NoRoute = 0,
    /// The address stays silent.
    Address = 3,
}

/// What to know about a packet from the TUN to send it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Where it wants to go. May be our own address: then it goes straight back to the TUN.
    pub destination: Address,
    /// Length of the packet by its own header; bytes beyond are not part of it.
    pub length: usize,
}

/// Judge a packet from the TUN by the rules of docs/protocol/10 §2. `own` is our address.
pub fn check_outgoing(packet: &[u8], own: &Address) -> Result<Outgoing, DropReason> {
    if packet.first().is_some_and(|byte| byte >> 4 != 6) {
        return Err(DropReason::TunNotIpv6);
    }
    let header: &[u8; IPV6_HEADER_BYTES] = packet.first_chunk().ok_or(DropReason::TunRunt)?;
    let [_, _, _, _, high, low, _, _, addresses @ ..] = header;
    let length = IPV6_HEADER_BYTES + usize::from(u16::from_be_bytes([*high, *low]));
    if length > packet.len() {
        return Err(DropReason::TunRunt);
    }
    let (source, destination) = split_addresses(addresses);
    if destination[0] != MESH_PREFIX {
        return Err(DropReason::TunOutsideMesh);
    }
    if source != *own {
        return Err(DropReason::TunWrongSource);
    }
    if length > MTU_BYTES {
        return Err(DropReason::TunTooBig);
    }
    Ok(Outgoing {
        destination,
        length,
    })
}

fn split_addresses(addresses: &[u8; 32]) -> (Address, Address) {
    let (mut source, mut destination) = ([0; 16], [0; 16]);
    source.copy_from_slice(&addresses[..16]);
    destination.copy_from_slice(&addresses[16..]);
    (source, destination)
}

/// The data header of a content type.
#[must_use]
pub const fn encode_data_header(content_type: u16) -> [u8; DATA_HEADER_BYTES] {
    let [high, low] = content_type.to_be_bytes();
    [DATA_HEADER_VERSION, 0, high, low]
}

/// The content type of a session plaintext that begins with its data header; None when it is shorter.
#[must_use]
pub fn content_type_of(plaintext: &[u8]) -> Option<u16> {
    let header: &[u8; DATA_HEADER_BYTES] = plaintext.first_chunk()?;
    Some(u16::from_be_bytes([header[2], header[3]]))
}

/// Replace the IPv6 header of the packet at `packet` by a data header, in place. The answer is where data header and
/// payload now are: [`FREED_BYTES`] later. None when the packet is shorter than an IPv6 header.
#[must_use]
pub fn strip_header(arena: &mut [u8], packet: Range<usize>) -> Option<Range<usize>> {
    let header: &mut [u8; IPV6_HEADER_BYTES] = arena.get_mut(packet.clone())?.first_chunk_mut()?;
    let next_header = header[6];
    header[FREED_BYTES..].copy_from_slice(&encode_data_header(u16::from(next_header)));
    Some(packet.start + FREED_BYTES..packet.end)
}

/// Replace the data header at the front of `plaintext` by an IPv6 header, in place, growing into the [`FREED_BYTES`]
/// before it. The answer is where the IPv6 packet is. None when there is no room or the content is not an IPv6 payload.
#[must_use]
pub fn restore_header(
    arena: &mut [u8],
    plaintext: Range<usize>,
    source: &Address,
    destination: &Address,
) -> Option<Range<usize>> {
    let content_type = content_type_of(arena.get(plaintext.clone())?)?;
    let next_header = u8::try_from(content_type).ok()?;
    let packet = plaintext.start.checked_sub(FREED_BYTES)?..plaintext.end;
    let payload = u16::try_from(plaintext.len() - DATA_HEADER_BYTES).ok()?;
    let header: &mut [u8; IPV6_HEADER_BYTES] = arena.get_mut(packet.clone())?.first_chunk_mut()?;
    *header = ipv6_header(next_header, HOP_LIMIT, payload, source, destination);
    Some(packet)
}

fn ipv6_header(
    next_header: u8,
    hop_limit: u8,
    payload: u16,
    source: &Address,
    destination: &Address,
) -> [u8; IPV6_HEADER_BYTES] {
    let mut header = [0; IPV6_HEADER_BYTES];
    header[0] = 0x60;
    header[4..6].copy_from_slice(&payload.to_be_bytes());
    header[6] = next_header;
    header[7] = hop_limit;
    header[8..24].copy_from_slice(source);
    header[24..].copy_from_slice(destination);
    header
}

/// Tell the sender of `packet` that it must be no longer than `mtu`. `from` is the address that says so. None where
/// RFC 4443 §2.4 allows no answer.
#[must_use]
pub fn encode_packet_too_big(packet: &[u8], mtu: u32, from: &Address) -> Option<Vec<u8>> {
    encode_icmpv6_error(packet, 2, 0, mtu, from)
}

/// Tell the sender of `packet` that its destination cannot be reached.
#[must_use]
pub fn encode_unreachable(packet: &[u8], why: Unreachable, from: &Address) -> Option<Vec<u8>> {
    encode_icmpv6_error(packet, 1, why as u8, 0, from)
}

fn encode_icmpv6_error(
    packet: &[u8],
    kind: u8,
    code: u8,
    parameter: u32,
    from: &Address,
) -> Option<Vec<u8>> {
    let header: &[u8; IPV6_HEADER_BYTES] = packet.first_chunk()?;
    let [_, _, _, _, _, _, _, _, addresses @ ..] = header;
    let (sender, destination) = split_addresses(addresses);
    if !may_answer(packet, &sender, &destination) {
        return None;
    }
    let most = MINIMUM_MTU_BYTES - IPV6_HEADER_BYTES - ICMPV6_HEADER_BYTES;
    let quoted = packet.get(..most).unwrap_or(packet);
    let payload = ICMPV6_HEADER_BYTES + quoted.len();
    let mut answer = Vec::with_capacity(IPV6_HEADER_BYTES + payload);
    answer.extend_from_slice(&ipv6_header(
        NEXT_HEADER_ICMPV6,
        ANSWER_HOP_LIMIT,
        payload as u16,
        from,
        &sender,
    ));
    let [_, _, _, _, _, _, _, _, answer_addresses @ ..] = answer.first_chunk::<40>()?;
    let pseudo = pseudo_header_v6(answer_addresses, NEXT_HEADER_ICMPV6, payload);
    answer.extend_from_slice(&[kind, code, 0, 0]);
    answer.extend_from_slice(&parameter.to_be_bytes());
    answer.extend_from_slice(quoted);
    let checksum = pseudo.plus(answer.get(IPV6_HEADER_BYTES..)?).checksum();
    answer
        .get_mut(IPV6_HEADER_BYTES + 2..IPV6_HEADER_BYTES + 4)?
        .copy_from_slice(&checksum);
    Some(answer)
}

/// No answer to ICMPv6 errors, to multicast, or to nobody.
fn may_answer(packet: &[u8], sender: &Address, destination: &Address) -> bool {
    let is_error = packet.get(6) == Some(&NEXT_HEADER_ICMPV6)
        && packet
            .get(IPV6_HEADER_BYTES)
            .is_none_or(|kind| *kind < ICMPV6_FIRST_INFORMATIONAL);
    !is_error && destination[0] != 0xff && sender[0] != 0xff && *sender != [0; 16]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OWN: Address = [0xfc, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
    const OTHER: Address = [0xfc; 16];

    fn packet(next_header: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = ipv6_header(next_header, 64, payload.len() as u16, &OWN, &OTHER).to_vec();
        packet.extend_from_slice(payload);
        packet
    }

    #[test]
    fn a_packet_to_a_mesh_address_may_leave() {
        let bytes = packet(6, &[1, 2, 3]);
        let expected = Outgoing {
            destination: OTHER,
            length: 43,
        };
        assert_eq!(check_outgoing(&bytes, &OWN), Ok(expected));
    }

    #[test]
    fn bytes_beyond_the_length_in_the_header_are_not_part_of_the_packet() {
        let mut bytes = packet(6, &[1, 2, 3]);
        bytes.extend_from_slice(&[9; 20]);
        assert_eq!(
            check_outgoing(&bytes, &OWN).map(|found| found.length),
            Ok(43)
        );
    }

    #[test]
    fn every_rule_of_the_tun_has_its_reason() {
        let refused = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = packet(6, &[0; 20]);
            change(&mut bytes);
            check_outgoing(&bytes, &OWN).err()
        };
        assert_eq!(refused(&|bytes| bytes.clear()), Some(DropReason::TunRunt));
        assert_eq!(
            refused(&|bytes| bytes.truncate(39)),
            Some(DropReason::TunRunt)
        );
        assert_eq!(
            refused(&|bytes| bytes.truncate(59)),
            Some(DropReason::TunRunt)
        );
        assert_eq!(
            refused(&|bytes| bytes[0] = 0x45),
            Some(DropReason::TunNotIpv6)
        );
        assert_eq!(
            refused(&|bytes| bytes[24] = 0xff),
            Some(DropReason::TunOutsideMesh)
        );
        assert_eq!(
            refused(&|bytes| bytes[23] ^= 1),
            Some(DropReason::TunWrongSource)
        );
        assert_eq!(
            refused(&|bytes| *bytes = packet(6, &[0; 1265])),
            Some(DropReason::TunTooBig)
        );
        assert_eq!(refused(&|bytes| *bytes = packet(6, &[0; 1264])), None);
    }

    proptest! {
        #[test]
        fn a_packet_survives_the_mesh_but_for_what_the_protocol_forgets(
            next_header in any::<u8>(), payload in prop::collection::vec(any::<u8>(), 0..1264)
        ) {
            let sent = packet(next_header, &payload);
            let mut arena = vec![0xee; 64];
            arena.extend_from_slice(&sent);
            let end = arena.len();
            let data = strip_header(&mut arena, 64..end).unwrap();
            prop_assert_eq!(data.clone(), 64 + FREED_BYTES..end);
            prop_assert_eq!(&arena[data.start..data.start + 4], &[0x10, 0, 0, next_header]);
            let back = restore_header(&mut arena, data, &OWN, &OTHER).unwrap();
            let mut expected = sent;
            expected[7] = HOP_LIMIT;
            prop_assert_eq!(&arena[back], &expected[..]);
        }

        #[test]
        fn nothing_from_the_tun_makes_it_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..100), start in 0usize..120, end in 0usize..120
        ) {
            let _ = check_outgoing(&bytes, &OWN);
            let _ = encode_packet_too_big(&bytes, 1280, &OWN);
            let mut arena = bytes;
            let _ = strip_header(&mut arena, start..end);
            let _ = restore_header(&mut arena, start..end, &OWN, &OTHER);
        }
    }

    #[test]
    fn only_ip_payloads_get_an_ip_header_and_only_where_there_is_room() {
        let mut arena = vec![0; 100];
        arena[50..54].copy_from_slice(&encode_data_header(256));
        assert_eq!(restore_header(&mut arena, 50..60, &OWN, &OTHER), None);
        arena[50..54].copy_from_slice(&encode_data_header(17));
        assert_eq!(
            restore_header(&mut arena, 50..60, &OWN, &OTHER),
            Some(14..60)
        );
        arena[35..39].copy_from_slice(&encode_data_header(17));
        assert_eq!(restore_header(&mut arena, 35..60, &OWN, &OTHER), None);
        assert_eq!(restore_header(&mut arena, 50..53, &OWN, &OTHER), None);
    }

    #[test]
    fn answers_carry_a_right_checksum_and_at_most_1280_bytes() {
        let long = packet(6, &[7; 1264]);
        let answer = encode_packet_too_big(&long, 1280, &OTHER).unwrap();
        assert_eq!(answer.len(), MINIMUM_MTU_BYTES);
        assert_eq!(&answer[40..42], &[2, 0]);
        assert_eq!(&answer[44..48], &1280u32.to_be_bytes());
        assert_eq!(&answer[8..24], &OTHER);
        assert_eq!(&answer[24..40], &OWN);
        assert_eq!(&answer[48..], &long[..1232]);
        let [_, _, _, _, _, _, _, _, addresses @ ..] = answer.first_chunk::<40>().unwrap();
        let sum = pseudo_header_v6(addresses, 58, answer.len() - 40).plus(&answer[40..]);
        assert!(sum.is_intact());

        let short = packet(17, &[1; 9]);
        let answer = encode_unreachable(&short, Unreachable::NoRoute, &OTHER).unwrap();
        assert_eq!(&answer[40..42], &[1, 0]);
        assert_eq!(&answer[48..], &short[..]);
    }

    #[test]
    fn errors_are_not_answered_with_errors_but_echo_requests_are() {
        let ask = |bytes: &[u8]| encode_unreachable(bytes, Unreachable::Address, &OTHER);
        assert!(ask(&packet(58, &[1, 0, 0, 0, 0, 0, 0, 0])).is_none());
        assert!(ask(&packet(58, &[])).is_none());
        assert!(ask(&packet(58, &[128, 0, 0, 0, 0, 0, 0, 0])).is_some());
        let mut to_all = packet(17, &[0; 8]);
        to_all[24] = 0xff;
        assert!(ask(&to_all).is_none());
        let mut from_nobody = packet(17, &[0; 8]);
        from_nobody[8..24].fill(0);
        assert!(ask(&from_nobody).is_none());
    }
}
