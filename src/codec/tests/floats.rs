use crate::codec::float::{float4_to_f64, put_js_number, put_pg_float4, put_pg_float8};

fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).unwrap()
}

/// Each line was printed by Node 20's `String(value)`.
#[test]
fn numbers_as_javascript_prints_them() {
    for (value, expected) in [
        (0.0, "0"),
        (-0.0, "0"),
        (1.0, "1"),
        (-1.5, "-1.5"),
        (0.1, "0.1"),
        (f64::NAN, "NaN"),
        (f64::INFINITY, "Infinity"),
        (f64::NEG_INFINITY, "-Infinity"),
        (1e21, "1e+21"),
        (1e20, "100000000000000000000"),
        (123_456_789_012_345_680_000.0, "123456789012345680000"),
        (1.5e300, "1.5e+300"),
        (1e-6, "0.000001"),
        (1.25e-6, "0.00000125"),
        (1e-7, "1e-7"),
        (5e-324, "5e-324"),
        (f64::MAX, "1.7976931348623157e+308"),
        (9_007_199_254_740_991.0, "9007199254740991"),
        (9_007_199_254_740_992.0, "9007199254740992"),
        (2_f64.powi(60), "1152921504606847000"),
        (2_f64.powi(70), "1.1805916207174113e+21"),
        (1e23, "1e+23"),
        (1234.5678, "1234.5678"),
        // Exactly between two shortest decimals: the even one, where Rust takes the upper.
        (88_985_635_607_735.0 + 0.125, "88985635607735.12"),
        (2_236_052_456_690_255.0 + 0.25, "2236052456690255.2"),
    ] {
        assert_eq!(text(|out| put_js_number(out, value)), expected);
    }
}

/// Each line was printed by PostgreSQL 15.
#[test]
fn floats_as_the_server_prints_them() {
    for (value, expected) in [
        (-0.0, "-0"),
        (1e14, "100000000000000"),
        (1e15, "1e+15"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (1e23, "9.999999999999999e+22"),
        (5e-324, "5e-324"),
        (f64::NAN, "NaN"),
        (f64::NEG_INFINITY, "-Infinity"),
    ] {
        assert_eq!(text(|out| put_pg_float8(out, value)), expected);
    }
    for (value, expected) in [
        (0.1, "0.1"),
        (1e6, "1e+06"),
        (123_456.0, "123456"),
        (33_554_448.0, "3.3554448e+07"),
        (2_097_152.0 + 0.25, "2.0971522e+06"),
        (f32::MIN_POSITIVE, "1.1754944e-38"),
    ] {
        assert_eq!(text(|out| put_pg_float4(out, value)), expected);
    }
}

#[test]
fn float4_keeps_the_digits_the_server_prints() {
    assert!(float4_to_f64(f32::NAN).is_nan());
    assert!(float4_to_f64(-0.0).is_sign_negative());
    let mut bits = 12_345_u32;
    for _ in 0..20_000 {
        bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let value = f32::from_bits(bits);
        if value.is_finite() {
            let printed = text(|out| put_pg_float4(out, value));
            assert_eq!(Ok(float4_to_f64(value)), printed.parse(), "{value:e} {printed}");
        }
        let price = (bits >> 8) as f32 / 100.0;
        let printed = text(|out| put_pg_float4(out, price));
        assert_eq!(Ok(float4_to_f64(price)), printed.parse(), "{price:e} {printed}");
    }
}
