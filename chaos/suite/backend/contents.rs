use std::time::Duration;

use tokio::time::Instant;

/// Polled every 100 ms: each answer differs.
pub(crate) const FAST: &str = "fast";
/// Polled every 250 ms: each answer differs.
pub(crate) const STEADY: &str = "steady";
/// Polled every 500 ms: answers differ every [`CALM_FOR`], and have a validator.
pub(crate) const CALM: &str = "calm";
/// Polled every second: each answer differs, and has at least [`LARGE_BODY`] bytes.
pub(crate) const LARGE: &str = "large";
/// All there are.
pub(crate) const ENDPOINTS: [&str; 4] = [FAST, STEADY, CALM, LARGE];

const CALM_FOR: Duration = Duration::from_secs(2);
/// More than Redis has room for beside the buffers that it bounds.
const LARGE_BODY: usize = 32 * 1024;

/// What the endpoints say now.
#[derive(Default)]
pub(super) struct Contents {
    numbers: [u64; ENDPOINTS.len()],
    calm_since: Option<Instant>,
    held: bool,
    /// What they were when they were held.
    kept: [u64; ENDPOINTS.len()],
}

/// An answer.
pub(super) struct Answer {
    /// Compact JSON: it stands in a publication as it is.
    pub(super) body: String,
    pub(super) etag: Option<String>,
}

impl Contents {
    pub(super) fn hold(&mut self) {
        self.held = true;
        self.kept = self.numbers;
    }

    pub(super) fn is_held(&self) -> bool {
        self.held
    }

    pub(super) fn release(&mut self) {
        self.held = false;
    }

    pub(super) fn go_back(&mut self) {
        self.held = true;
        self.numbers = self.kept;
    }

    /// The next answer of one of [`ENDPOINTS`].
    pub(super) fn answer(&mut self, endpoint: &str) -> Answer {
        let due =
            endpoint != CALM || self.calm_since.is_none_or(|since| since.elapsed() >= CALM_FOR);
        let at = ENDPOINTS.iter().position(|name| *name == endpoint).unwrap_or_default();
        let number = &mut self.numbers[at];
        if *number == 0 || due && !self.held {
            *number += 1;
            if endpoint == CALM {
                self.calm_since = Some(Instant::now());
            }
        }
        let etag = (endpoint == CALM).then(|| format!("\"{number}\""));
        Answer { body: body(endpoint, *number), etag }
    }
}

/// The same for the same number, whenever it is asked for.
fn body(endpoint: &str, number: u64) -> String {
    let mut body = format!("{{\"endpoint\":\"{endpoint}\",\"answer\":{number}");
    if endpoint == LARGE {
        body.push_str(",\"text\":\"");
        // A part of another answer would show.
        while body.len() < LARGE_BODY {
            body.push_str(&format!("{number} "));
        }
        body.push('"');
    }
    body.push('}');
    body
}

#[cfg(test)]
#[allow(dead_code, unused_imports, reason = "the bench has them compiled, and not run")]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn answers_differ_until_they_are_held() {
        let mut contents = Contents::default();
        let mut next = |endpoint: &str| contents.answer(endpoint).body;
        assert_eq!(next(FAST), "{\"endpoint\":\"fast\",\"answer\":1}");
        assert_eq!(next(FAST), "{\"endpoint\":\"fast\",\"answer\":2}");
        assert_ne!(next(LARGE), next(LARGE));
        assert!(next(LARGE).len() > LARGE_BODY);
        let calm = next(CALM);
        assert_eq!(next(CALM), calm);
        advance(CALM_FOR).await;
        assert_ne!(next(CALM), calm);

        contents.hold();
        advance(CALM_FOR).await;
        for endpoint in [FAST, LARGE, CALM] {
            let mut next = || contents.answer(endpoint).body;
            assert_eq!(next(), next());
        }
        // One that was not asked for before has something to say all the same.
        assert_eq!(contents.answer(STEADY).body, "{\"endpoint\":\"steady\",\"answer\":1}");
    }

    #[test]
    fn contents_go_back_to_what_was_held() {
        let mut contents = Contents::default();
        contents.answer(FAST);
        contents.hold();
        let held = contents.answer(FAST).body;
        contents.release();
        assert_ne!(contents.answer(FAST).body, held);
        contents.go_back();
        assert_eq!([contents.answer(FAST).body, contents.answer(FAST).body], [&*held; 2]);
    }
}
