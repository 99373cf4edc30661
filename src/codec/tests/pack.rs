use super::{Packer, SlotKind};

#[test]
fn slot_kinds_are_the_numbers_javascript_knows() {
    let kinds = [
        SlotKind::Bool,
        SlotKind::Int,
        SlotKind::Float,
        SlotKind::BigInt,
        SlotKind::Text,
        SlotKind::Bytes,
        SlotKind::Json,
        SlotKind::Date,
        SlotKind::Void,
        SlotKind::Array,
    ];
    assert_eq!(kinds.map(|kind| kind as u8), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn text_is_counted_in_utf16_units() {
    let mut out = Packer::default();
    for (text, start, end) in [("abc", 0_u64, 3_u64), ("", 3, 3), ("é", 3, 4), ("☺x", 4, 6), ("😀", 6, 8), ("z", 8, 9)]
    {
        assert_eq!(out.push_text(text), start | end << 32, "{text}");
    }
    assert_eq!(out.text, "abcé☺x😀z".as_bytes());
    assert_eq!(out.utf16, 9);
    assert_eq!(out.push_bytes(b"ab"), 2 << 32);
    assert_eq!(out.push_bytes(b""), 2 | 2 << 32);
    assert_eq!(out.byte_len(), "abcé☺x😀z".len() + 2);
}

#[test]
fn a_row_is_null_mask_then_slots() {
    let mut out = Packer::default();
    for ncols in [1_usize, 2, 63, 64, 65, 130] {
        let row = out.begin_row(ncols);
        let words = ncols.div_ceil(64);
        assert_eq!(out.slots.len() - row, words + ncols);
        out.set(row, ncols, ncols - 1, 7);
        out.set_null(row, 0);
        assert_eq!(out.slots[row + words + ncols - 1], 7);
        assert_eq!(out.slots[row] & 1, 1);
        if ncols > 64 {
            out.set_null(row, 64);
            assert_eq!(out.slots[row + 1], 1);
        }
    }
    assert_eq!(out.begin_row(0), out.slots.len());
    out.clear();
    assert_eq!((out.byte_len(), out.utf16), (0, 0));
}
