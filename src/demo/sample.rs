//! Data that a person likes to watch: markets, trams, weather. All of it is made up.

use fastrand::Rng;
use serde::Serialize;

/// The names of what there is, as paths and as endpoints.
pub(super) const PRICES: &str = "prices";
pub(super) const DEPARTURES: &str = "departures";
pub(super) const WEATHER: &str = "weather";
pub(super) const STATUS: &str = "status";

/// Prices change with every step, the others every so many steps.
const STEPS_PER_MINUTE: u64 = 4;
const STEPS_PER_WEATHER: u64 = 6;
const STEPS_PER_STATUS: u64 = 60;

/// What is traded, and the price around which it moves.
const INSTRUMENTS: [(&str, f64); 4] =
    [("Copper", 9214.0), ("Cocoa", 6480.0), ("Coffee", 3875.0), ("Wheat", 231.5)];
const DESTINATIONS: [&str; 6] =
    ["Harbour", "Old Town", "Observatory", "Lakeside", "University", "Airport"];
const ROWS: usize = 5;
const NOTICES: [(&str, &str); 3] = [
    ("normal", "All lines run as planned."),
    ("works", "Line 4: track works, trams turn at Lakeside."),
    ("crowded", "Regatta at the harbour: lines 1 and 2 are crowded."),
];

/// The backend's data at one moment.
#[derive(Debug)]
pub(super) struct Sample {
    random: Rng,
    steps: u64,
    prices: Vec<Instrument>,
    departures: Vec<Departure>,
    weather: Weather,
}

#[derive(Debug, Serialize)]
struct Instrument {
    name: &'static str,
    /// Credits per tonne.
    price: f64,
    /// Since the start, in percent.
    change: f64,
}

#[derive(Debug, Serialize)]
struct Departure {
    line: u8,
    destination: &'static str,
    platform: u8,
    /// Minutes until it leaves, on a clock that runs faster than ours.
    minutes: u32,
    late: bool,
}

#[derive(Debug, Serialize)]
struct Weather {
    condition: &'static str,
    /// In °C.
    temperature: f64,
    /// In km/h.
    wind: f64,
    /// In percent of the sky.
    cloud: f64,
}

#[derive(Serialize)]
struct Prices<'a> {
    unit: &'static str,
    instruments: &'a [Instrument],
}

#[derive(Serialize)]
struct Board<'a> {
    stop: &'static str,
    departures: &'a [Departure],
}

#[derive(Serialize)]
struct Status {
    status: &'static str,
    message: &'static str,
}

impl Sample {
    /// Data to start with.
    pub(super) fn new(mut random: Rng) -> Self {
        let price = |(name, price)| Instrument { name, price, change: 0.0 };
        let mut departures = Vec::with_capacity(ROWS);
        while departures.len() < ROWS {
            departures.push(Departure::after(departures.last(), &mut random));
        }
        Self {
            random,
            steps: 0,
            prices: INSTRUMENTS.into_iter().map(price).collect(),
            departures,
            weather: Weather {
                condition: Weather::condition(40.0),
                temperature: 11.0,
                wind: 14.0,
                cloud: 40.0,
            },
        }
    }

    /// Goes on by one step.
    pub(super) fn step(&mut self) {
        self.steps += 1;
        for (instrument, (_, usual)) in self.prices.iter_mut().zip(INSTRUMENTS) {
            instrument.step(usual, &mut self.random);
        }
        if self.steps.is_multiple_of(STEPS_PER_MINUTE) {
            self.let_a_minute_pass();
        }
        if self.steps.is_multiple_of(STEPS_PER_WEATHER) {
            self.weather.step(&mut self.random);
        }
    }

    /// The JSON document of a name; `None` for a name that is none.
    pub(super) fn body(&self, name: &str) -> Option<Vec<u8>> {
        let body = match name {
            PRICES => serde_json::to_vec(&Prices { unit: "credits/t", instruments: &self.prices }),
            DEPARTURES => {
                serde_json::to_vec(&Board { stop: "Central", departures: &self.departures })
            }
            WEATHER => serde_json::to_vec(&self.weather),
            STATUS => serde_json::to_vec(&self.status()),
            _ => return None,
        };
        body.ok()
    }

    fn status(&self) -> Status {
        let turn = self.steps / STEPS_PER_STATUS % NOTICES.len() as u64;
        let notice = usize::try_from(turn).ok().and_then(|turn| NOTICES.get(turn));
        let (status, message) = notice.copied().unwrap_or(("normal", ""));
        Status { status, message }
    }

    fn let_a_minute_pass(&mut self) {
        self.departures.retain(|departure| departure.minutes > 0);
        for departure in &mut self.departures {
            departure.minutes -= 1;
        }
        while self.departures.len() < ROWS {
            let next = Departure::after(self.departures.last(), &mut self.random);
            self.departures.push(next);
        }
    }
}

impl Instrument {
    /// A random walk that is drawn back to the usual price.
    fn step(&mut self, usual: f64, random: &mut Rng) {
        let drift = (usual - self.price) * 0.01;
        let swing = usual * 0.004 * (random.f64() - 0.5);
        self.price = round(self.price + drift + swing, 100.0);
        self.change = round((self.price / usual - 1.0) * 100.0, 100.0);
    }
}

impl Departure {
    /// One that leaves after another.
    fn after(last: Option<&Self>, random: &mut Rng) -> Self {
        let line = random.u8(1..=6);
        let minutes = last.map_or(0, |last| last.minutes) + random.u32(1..=4);
        let late = random.u8(..5) == 0;
        let destination = DESTINATIONS.get(usize::from(line - 1)).copied().unwrap_or("Central");
        Self { line, destination, platform: line.div_ceil(2), minutes, late }
    }
}

impl Weather {
    fn step(&mut self, random: &mut Rng) {
        let mut walk = |value: f64, by: f64, least: f64, most: f64| {
            round((value + by * (2.0 * random.f64() - 1.0)).clamp(least, most), 10.0)
        };
        self.temperature = walk(self.temperature, 0.4, -4.0, 31.0);
        self.wind = walk(self.wind, 1.5, 0.0, 70.0);
        self.cloud = walk(self.cloud, 8.0, 0.0, 100.0).round();
        self.condition = Self::condition(self.cloud);
    }

    fn condition(cloud: f64) -> &'static str {
        match cloud {
            ..20.0 => "clear",
            ..55.0 => "sunny spells",
            ..85.0 => "overcast",
            _ => "rain",
        }
    }
}

/// Rounds to the nearest part of one.
fn round(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Sample {
        Sample::new(Rng::with_seed(7))
    }

    #[test]
    fn prices_change_with_every_step_and_the_status_seldom() {
        let mut sample = sample();
        let (prices, status) = (sample.body(PRICES), sample.body(STATUS));
        sample.step();
        assert_ne!(sample.body(PRICES), prices);
        assert_eq!(sample.body(STATUS), status);
        for _ in 1..STEPS_PER_STATUS {
            sample.step();
        }
        assert_ne!(sample.body(STATUS), status);
    }

    #[test]
    fn values_stay_within_reason_for_a_day() {
        let mut sample = sample();
        for _ in 0..2 * 24 * 3600 {
            sample.step();
            assert!(sample.prices.iter().all(|instrument| instrument.change.abs() < 20.0));
            assert_eq!(sample.departures.len(), ROWS);
            assert!(sample.departures.is_sorted_by_key(|departure| departure.minutes));
            assert!(sample.departures.iter().all(|departure| departure.minutes < 60));
        }
    }

    #[test]
    fn an_unknown_name_has_no_body() {
        assert_eq!(sample().body("nothing"), None);
    }
}
