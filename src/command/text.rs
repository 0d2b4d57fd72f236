//! Amounts as people read them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::config::format_duration;

/// A number of bytes, such as `1.5 KiB`.
pub(super) fn bytes(count: usize) -> String {
    let mut amount = count as f64;
    for unit in ["B", "KiB", "MiB"] {
        if amount < 999.5 {
            return if unit == "B" { format!("{count} B") } else { format!("{amount:.1} {unit}") };
        }
        amount /= 1024.0;
    }
    format!("{amount:.1} GiB")
}

/// A number in groups of three digits, such as `-12,345`.
pub(super) fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::from(if number < 0 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Seconds as a duration such as `1m30s`; those that are none are nothing.
pub(super) fn seconds(seconds: f64) -> String {
    format_duration(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

/// A time in UTC, in ms since 1970, such as `2026-11-21T12:30:05.250Z`.
pub(super) fn time(ms: u64) -> String {
    // Beyond the year 9999 it cannot be written.
    let ms = if ms < 253_402_300_800_000 { ms } else { 0 };
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(ms)).to_string()
}

/// The same without the day, such as `12:30:05.250`.
pub(super) fn time_of_day(ms: u64) -> String {
    time(ms).get(11..23).unwrap_or_default().to_owned()
}

/// The time of this machine, in ms since 1970.
#[expect(clippy::disallowed_methods, reason = "shown to people, and nothing else")]
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_short() {
        let texts = [0, 999, 1_000, 1536, 10 << 20, 64 << 30].map(bytes);
        assert_eq!(texts, ["0 B", "999 B", "1.0 KiB", "1.5 KiB", "10.0 MiB", "64.0 GiB"]);
        let texts = [0, -1, 999, -1_000, 1_234_567, i64::MIN].map(grouped);
        assert_eq!(texts[..5], ["0", "-1", "999", "-1,000", "1,234,567"]);
        assert_eq!([seconds(90.0), seconds(-1.0), seconds(f64::MAX)], ["1m30s", "0s", "0s"]);
    }
}
