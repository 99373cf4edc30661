//! Network addresses, and uuid.

use crate::codec::error::DecodeError;
use crate::codec::float::put_u64;
use crate::codec::reader::{Reader, fixed};

const HEX: &[u8; 16] = b"0123456789abcdef";

pub(in crate::codec) fn hex(byte: u8) -> [u8; 2] {
    [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]
}

/// Where the digits of each byte stand.
const UUID_PLACES: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];

/// `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`.
pub(in crate::codec) fn uuid(raw: &[u8]) -> Result<[u8; 36], DecodeError> {
    let bytes: [u8; 16] = fixed(raw)?;
    let mut text = [b'-'; 36];
    for (at, byte) in UUID_PLACES.into_iter().zip(bytes) {
        text[at..at + 2].copy_from_slice(&hex(byte));
    }
    Ok(text)
}

/// A macaddr (6 bytes) or macaddr8 (8 bytes).
pub(in crate::codec) fn write_macaddr<const N: usize>(raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    for (index, byte) in fixed::<N>(raw)?.into_iter().enumerate() {
        if index > 0 {
            out.push(b':');
        }
        out.extend_from_slice(&hex(byte));
    }
    Ok(())
}

/// Which of the two types: cidr always shows its mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::codec) enum Network {
    Inet,
    Cidr,
}

/// inet and cidr (`network_send` in network.c; text as src/port/inet_net_ntop.c).
pub(in crate::codec) fn write_network(raw: &[u8], kind: Network, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut reader = Reader::new(raw);
    let [family, bits, _is_cidr, len] = reader.array()?;
    let address = reader.take(usize::from(len))?;
    reader.end()?;
    // PGSQL_AF_INET and PGSQL_AF_INET6 in utils/inet.h.
    let max = match (family, address) {
        (2, &[a, b, c, d]) => {
            write_ipv4([a, b, c, d], out);
            32
        }
        (3, _) => {
            write_ipv6(fixed(address)?, out);
            128
        }
        _ => return Err(DecodeError::Invalid("an unknown address family")),
    };
    if bits > max {
        return Err(DecodeError::Invalid("a network mask that is too long"));
    }
    if bits != max || kind == Network::Cidr {
        out.push(b'/');
        put_u64(out, u64::from(bits));
    }
    Ok(())
}

fn write_ipv4(address: [u8; 4], out: &mut Vec<u8>) {
    for (index, byte) in address.into_iter().enumerate() {
        if index > 0 {
            out.push(b'.');
        }
        put_u64(out, u64::from(byte));
    }
}

/// The first longest run of at least two zero words.
fn zero_run(words: [u16; 8]) -> (usize, usize) {
    let mut best = (0, 0);
    let mut start = 0;
    for (index, &word) in words.iter().enumerate() {
        if word != 0 {
            start = index + 1;
        } else if index + 1 - start > best.1 {
            best = (start, index + 1 - start);
        }
    }
    if best.1 < 2 { (8, 0) } else { best }
}

fn write_ipv6(address: [u8; 16], out: &mut Vec<u8>) {
    let mut words = [0_u16; 8];
    for (word, pair) in words.iter_mut().zip(address.chunks_exact(2)) {
        *word = u16::from_be_bytes([pair[0], pair[1]]);
    }
    let (run, len) = zero_run(words);
    // As in inet_net_ntop.c: IPv4-compatible and IPv4-mapped addresses end in dotted form.
    let dotted = run == 0 && (len == 6 || (len == 7 && words[7] != 1) || (len == 5 && words[5] == 0xFFFF));
    let mut index = 0;
    while index < 8 {
        if index == run {
            out.push(b':');
            index += len;
            if index == 8 {
                out.push(b':');
            }
            continue;
        }
        if index > 0 {
            out.push(b':');
        }
        if index == 6 && dotted {
            return write_ipv4([address[12], address[13], address[14], address[15]], out);
        }
        let word = words[index];
        let ([a, b], [c, d]) = (hex((word >> 8) as u8), hex(word as u8));
        let digits = [a, b, c, d];
        let skip = digits.iter().position(|&digit| digit != b'0').unwrap_or(3);
        out.extend_from_slice(&digits[skip..]);
        index += 1;
    }
}

/// inet.
pub(in crate::codec) fn write_inet(raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    write_network(raw, Network::Inet, out)
}

/// cidr.
pub(in crate::codec) fn write_cidr(raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    write_network(raw, Network::Cidr, out)
}
