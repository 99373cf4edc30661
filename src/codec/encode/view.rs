//! Views of memory (ArrayBuffer, DataView, typed arrays): bytes for bytea, the list of their numbers for everything else.
//! A Uint8Array or Buffer is not one of them: it is only bytes.

/// A view of memory, as it lies: the platforms of the add-on are all little-endian.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct View<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) kind: ViewKind,
}

/// A number of a typed array.
#[derive(Clone, Copy)]
pub(in crate::codec) enum Element {
    Int(i32),
    Number(f64),
    BigInt(i64),
    BigUint(u64),
}

/// Declares the kinds with their tags, which are a contract with lib/values/views.js, their names in JavaScript, and the
/// number that is made of the bytes of an element.
macro_rules! kinds {
    ($($kind:ident = $tag:literal $(, $bytes:ident: [$size:literal] => $number:expr)?;)+) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum ViewKind {
            $($kind = $tag,)+
        }

        impl ViewKind {
            pub(in crate::codec) fn from_tag(tag: u32) -> Option<Self> {
                match tag {
                    $($tag => Some(Self::$kind),)+
                    _ => None,
                }
            }

            pub(in crate::codec) fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => stringify!($kind),)+
                }
            }
        }

        impl View<'_> {
            /// The numbers of a typed array; None: a buffer has none.
            pub(in crate::codec) fn elements(&self) -> Option<Vec<Element>> {
                match self.kind {
                    $($(ViewKind::$kind => {
                        let (elements, _) = self.bytes.as_chunks::<$size>();
                        Some(elements.iter().map(|&$bytes| $number).collect())
                    })?)+
                    ViewKind::ArrayBuffer | ViewKind::SharedArrayBuffer | ViewKind::DataView => None,
                }
            }
        }
    };
}

kinds! {
    ArrayBuffer = 16;
    SharedArrayBuffer = 17;
    DataView = 18;
    Int8Array = 19, bytes: [1] => Element::Int(i8::from_le_bytes(bytes).into());
    Uint8ClampedArray = 20, bytes: [1] => Element::Int(u8::from_le_bytes(bytes).into());
    Int16Array = 21, bytes: [2] => Element::Int(i16::from_le_bytes(bytes).into());
    Uint16Array = 22, bytes: [2] => Element::Int(u16::from_le_bytes(bytes).into());
    Int32Array = 23, bytes: [4] => Element::Int(i32::from_le_bytes(bytes));
    Uint32Array = 24, bytes: [4] => Element::Number(u32::from_le_bytes(bytes).into());
    Float16Array = 25, bytes: [2] => Element::Number(float16(u16::from_le_bytes(bytes)));
    Float32Array = 26, bytes: [4] => Element::Number(f32::from_le_bytes(bytes).into());
    Float64Array = 27, bytes: [8] => Element::Number(f64::from_le_bytes(bytes));
    BigInt64Array = 28, bytes: [8] => Element::BigInt(i64::from_le_bytes(bytes));
    BigUint64Array = 29, bytes: [8] => Element::BigUint(u64::from_le_bytes(bytes));
}

/// The value of a binary16 of IEEE 754: a sign, 5 bits of exponent, 10 bits of fraction.
fn float16(bits: u16) -> f64 {
    let fraction = f64::from(bits & 0x3ff) / 1024.0;
    let magnitude = match (bits >> 10) & 0x1f {
        0 => fraction * 2_f64.powi(-14),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        exponent => (1.0 + fraction) * 2_f64.powi(i32::from(exponent) - 15),
    };
    if bits & 0x8000 == 0 { magnitude } else { -magnitude }
}
