//! The decoders against other people's implementations: uuid, chrono, rust_decimal.

use bytes::BytesMut;
use chrono::{DateTime, Datelike, NaiveDate, TimeDelta};
use postgres_types::{ToSql, Type};
use rust_decimal::Decimal;

use super::decode;
use crate::codec::decode::datetime::{Civil, civil};

fn shown(ty: &Type, raw: &[u8]) -> String {
    decode(ty, raw).expect("a value")
}

/// A small generator of varied numbers; the same ones each time.
fn numbers() -> impl Iterator<Item = u64> {
    std::iter::successors(Some(0x9E37_79B9_7F4A_7C15_u64), |seed| {
        Some(seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407))
    })
    .map(|seed| seed ^ (seed >> 29))
    .take(5_000)
}

#[test]
fn uuids() {
    for (high, low) in numbers().zip(numbers().skip(1)) {
        let uuid = uuid::Uuid::from_u64_pair(high, low);
        assert_eq!(shown(&Type::UUID, uuid.as_bytes()), uuid.to_string());
    }
}

#[test]
fn dates_and_times() {
    let epoch = NaiveDate::from_ymd_opt(2000, 1, 1).expect("a date");
    for number in numbers() {
        let days = (number % 2_900_000) as i32;
        let date = epoch + TimeDelta::days(i64::from(days));
        if date.year() <= 9999 {
            assert_eq!(shown(&Type::DATE, &days.to_be_bytes()), date.format("%Y-%m-%d").to_string());
        }
        // Up to the year 9999, in milliseconds: the form toISOString has.
        let ms = (number % 252_000_000_000_000) as i64;
        let moment = DateTime::from_timestamp_millis(946_684_800_000 + ms).expect("a moment");
        let expected = moment.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
        assert_eq!(shown(&Type::TIMESTAMPTZ, &(ms * 1000).to_be_bytes()), expected);
    }
}

#[test]
fn every_day_of_a_cycle() {
    // The calendar repeats itself after these days and 400 years.
    const CYCLE: i64 = 146_097;
    let epoch = NaiveDate::from_ymd_opt(1970, 1, 1).expect("a date");
    for days in -1..=CYCLE {
        let date = epoch + TimeDelta::days(days);
        for cycles in [-14_600, -5, -1, 0, 1, 17, 14_600] {
            let expected =
                Civil { year: i64::from(date.year()) + 400 * cycles, month: date.month() as u8, day: date.day() as u8 };
            assert_eq!(civil(days + CYCLE * cycles), expected);
        }
    }
}

#[test]
fn numerics() {
    for number in numbers() {
        let scale = (number % 29) as u32;
        let decimal = Decimal::from_i128_with_scale(i128::from(number as i64), scale);
        let mut raw = BytesMut::new();
        decimal.to_sql(&Type::NUMERIC, &mut raw).expect("rust_decimal writes numerics");
        assert_eq!(shown(&Type::NUMERIC, &raw), decimal.to_string());
    }
}
