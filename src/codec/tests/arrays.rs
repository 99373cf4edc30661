use postgres_types::Type;

use super::{Packer, decode, decoder, unhex};
use crate::codec::error::DecodeError;

#[test]
fn arrays() {
    for (raw, expected) in [
        ("00000000 00000000 00000017", Ok("{}")),
        // One dimension of nothing, as int2vector has it.
        ("00000001 00000000 00000017 00000000 00000000", Ok("{}")),
        ("00000001 00000001 00000017 00000002 00000001 00000004 00000007 ffffffff", Ok("{7,NULL}")),
        ("00000001 00000000 00000017 00000001 fffffffb 00000004 00000007", Ok("{7}")),
        (
            "00000002 00000000 00000017 00000001 00000001 00000002 00000001 00000004 00000007 00000004 00000008",
            Ok("{{7,8}}"),
        ),
        ("00000001 00000000 00000017 00000002 00000001 00000004 00000007", Err(DecodeError::Truncated)),
        ("00000001 00000000 00000017 ffffffff 00000001", Err(DecodeError::Invalid("a negative count"))),
        ("ffffffff 00000000 00000017", Err(DecodeError::Invalid("a negative count"))),
        ("00000007 00000000 00000017", Err(DecodeError::Invalid("an array of too many dimensions"))),
        ("00000000 00000000 00000014", Err(DecodeError::ElementType { expected: 23, got: 20 })),
        ("00000000 00000000 00000017 00", Err(DecodeError::Trailing(1))),
        ("00000001 00000000 00000017 00000001 00000001 fffffffe", Err(DecodeError::Invalid("a negative length"))),
        (
            "00000001 00000000 00000017 00000001 00000001 00000002 0001",
            Err(DecodeError::Length { expected: 4, got: 2 }),
        ),
    ] {
        assert_eq!(decode(&Type::INT4_ARRAY, &unhex(raw)), expected.map(str::to_owned), "{raw}");
    }
}

#[test]
fn an_array_block_is_dimensions_null_mask_slots() {
    let mut raw = unhex("00000001 00000001 00000017 00000042 00000001");
    for value in 0..66_u32 {
        if value % 65 == 0 {
            raw.extend([0xFF; 4]);
        } else {
            raw.extend(unhex("00000004"));
            raw.extend(value.to_be_bytes());
        }
    }
    let mut out = Packer::default();
    let ints = decoder(&Type::INT4_ARRAY);
    assert_eq!(ints.decode(&raw, &mut out), Ok(0));
    assert_eq!(out.aux[..4], [1, 66, 1, 2]);
    assert_eq!(out.aux[4..], std::array::from_fn::<u64, 66, _>(|n| if n % 65 == 0 { 0 } else { n as u64 }));
    // A second one begins where the first ended; a broken one leaves nothing.
    assert_eq!(ints.decode(&raw, &mut out), Ok(70));
    let len = out.aux.len();
    assert!(ints.decode(&raw[..raw.len() - 1], &mut out).is_err());
    assert_eq!(out.aux.len(), len);
}
