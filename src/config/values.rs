use std::fmt::Write as _;
use std::time::Duration;

use url::{Host, Url};

/// The longest duration: a year. It keeps sums of durations far from overflow.
pub(super) const LONGEST: Duration = Duration::from_secs(8_760 * 60 * 60);

/// Reads a duration such as `250ms`, `2s` or `1h30m`; `None` where it is none.
pub fn duration(text: &str) -> Option<Duration> {
    // humantime also knows years, spaces, fractions and a bare 0, and panics on the overflow of
    // long digits.
    let plain = |byte: u8| byte.is_ascii_digit() || b"hms".contains(&byte);
    if text.len() > 16 || !text.bytes().all(plain) || !text.ends_with(['h', 'm', 's']) {
        return None;
    }
    humantime::parse_duration(text).ok()
}

/// Writes a duration as the settings have it, such as `1h30m` or `6s100ms`; below a millisecond
/// it is cut off.
pub fn format_duration(duration: Duration) -> String {
    let units = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
    let mut rest = duration.as_millis();
    let mut text = String::new();
    for (unit, millis) in units {
        let count = rest / millis;
        rest %= millis;
        if count > 0 && write!(text, "{count}{unit}").is_err() {
            break;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// Reads a size such as `512KiB`, `1MB` or `4096`, in bytes; `None` where it is none.
pub(super) fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.get(digits.len()..)?;
    let factor: u64 = match unit {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    whole_number(digits)?.checked_mul(factor)
}

/// Reads a number of digits alone.
pub(super) fn whole_number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// Reads a media type such as `text/csv`, or a range of them such as `image/*`, in lower case.
pub(super) fn media_range(text: &str) -> Option<String> {
    // The characters of a token, RFC 9110, section 5.6.2.
    let token = |part: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'+-.^_`|~".contains(&byte);
        !part.is_empty() && part.bytes().all(fits)
    };
    let (kind, subtype) = text.split_once('/')?;
    let fits = match (kind, subtype) {
        ("*", "*") => true,
        (kind, "*") => token(kind),
        (kind, subtype) => token(kind) && token(subtype),
    };
    fits.then(|| text.to_ascii_lowercase())
}

/// Reads an http or https URL with a host. The error says what is wrong, but never shows the URL:
/// it may hold secrets.
pub(super) fn http_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    match (url.scheme(), url.host()) {
        ("http" | "https", Some(host)) if host != Host::Domain("") => Ok(url),
        ("http" | "https", _) => Err("it has no host".to_owned()),
        _ => Err("it has another scheme".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written_alike() {
        for (text, millis) in [
            ("250ms", 250),
            ("2s", 2_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("6s100ms", 6_100),
            ("0s", 0),
        ] {
            let expected = Duration::from_millis(millis);
            assert_eq!(duration(text), Some(expected), "{text}");
            assert_eq!(format_duration(expected), text);
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        let others = ["", "0", "5", "s", "-1s", "1.5s", "2 s", "2S", "1d", "1us", "1hm", "١s"];
        for text in others.into_iter().chain(["18446744073709551615s1000ms"]) {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_have_binary_and_decimal_units() {
        for (text, bytes) in [
            ("4096", 4096),
            ("1B", 1),
            ("512KiB", 524_288),
            ("10MiB", 10_485_760),
            ("1MB", 1_000_000),
        ] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in ["", "MiB", "-1", "1.5MiB", "1 MiB", "1mib", "18446744073709551615KiB"] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    #[test]
    fn media_ranges_are_types_without_parameters() {
        assert_eq!(media_range("Text/CSV").as_deref(), Some("text/csv"));
        assert_eq!(media_range("image/*").as_deref(), Some("image/*"));
        for text in ["", "text", "text/", "/csv", "*/csv", "text/csv; a=b", "a/b/c"] {
            assert_eq!(media_range(text), None, "{text}");
        }
    }
}
