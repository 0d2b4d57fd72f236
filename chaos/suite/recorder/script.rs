//! What one of Pollux's scripts did, by the commands that it ran: by their keys and fields, never by the
//! text of the script, which is what is checked.

use crate::history::{Event, Function, Kind};
use crate::publication::Publication;
use pollux::model::Version;

/// How many bytes a lease's value has.
const LEASE: usize = 20;

/// A script that a replica has Redis run.
pub(super) struct Script {
    /// The replica.
    proc: &'static str,
    arguments: Vec<Vec<u8>>,
    effects: Vec<(u64, Effect)>,
}

/// What a command of a script does, where it matters.
enum Effect {
    /// The record was written anew.
    Claimed { term: u64, lease: String },
    /// The lease lasts longer.
    Extended,
    /// The lease is gone.
    Deleted,
    /// The record says that the lease was given back.
    Cleared,
    /// The timeline has an entry.
    Noted { event: Vec<u8>, term: Option<u64> },
    /// A snapshot was written; it counts once the sequence is.
    Written(Publication),
    /// Good checks were noted.
    Checked(Vec<String>),
    /// The record has a new sequence: all before it took effect.
    Sequenced(u64),
}

impl Script {
    /// A script that a client's command starts; `None` for other commands.
    pub(super) fn begin(proc: &'static str, words: &[Vec<u8>]) -> Option<Self> {
        let [command, _script, keys, rest @ ..] = words else { return None };
        if !is(command, "EVALSHA") && !is(command, "EVAL") {
            return None;
        }
        let keys: usize = number(keys)?;
        Some(Self { proc, arguments: rest.get(keys..)?.to_vec(), effects: Vec::new() })
    }

    /// Takes the next of its commands, which was run at `t`.
    pub(super) fn runs(&mut self, t: u64, words: &[Vec<u8>]) {
        if let Some(effect) = Effect::of(words) {
            self.effects.push((t, effect));
        }
    }

    /// All that it did, in order, as events without a server.
    pub(super) fn end(self) -> Vec<(u64, Event)> {
        let claims =
            self.effects.iter().any(|(_, effect)| matches!(effect, Effect::Claimed { .. }));
        let committed = self.effects.iter().find_map(|(t, effect)| match effect {
            Effect::Sequenced(sequence) => Some((*t, *sequence)),
            _ => None,
        });
        let noted = self.effects.iter().find_map(|(_, effect)| match effect {
            Effect::Noted { event, term } => Some((event.as_slice(), *term)),
            _ => None,
        });
        let by_argument = self.arguments.first().and_then(|term| number::<u64>(term));
        let ok = |f| Event::new(self.proc, Kind::Ok, f);
        let of_term = |event: Event, term: Option<u64>| match term {
            Some(term) => event.term(term),
            None => event,
        };
        let mut events = Vec::new();
        let mut last = None;
        for (t, effect) in &self.effects {
            let event = match effect {
                Effect::Claimed { term, lease } => ok(Function::Acquire).term(*term).lease(lease),
                Effect::Extended if !claims => match self.lease() {
                    Some(lease) => ok(Function::Renew).lease(&lease),
                    None => ok(Function::Renew),
                },
                Effect::Cleared => of_term(ok(Function::Release), noted.and_then(|(_, term)| term)),
                Effect::Deleted => match noted {
                    Some((b"reaped", term)) => of_term(ok(Function::Reap), term),
                    _ => continue,
                },
                Effect::Written(publication) if committed.is_some() => {
                    last = Some(publication.version.sequence);
                    ok(Function::Publish)
                        .version(publication.version)
                        .endpoint(&publication.endpoint)
                        .hash(publication.hash.clone())
                }
                Effect::Checked(endpoints) if committed.is_some() => {
                    let check = |endpoint: &String| {
                        (*t, of_term(ok(Function::Check).endpoint(endpoint), by_argument))
                    };
                    events.extend(endpoints.iter().map(check));
                    continue;
                }
                // An empty batch, or one that ends with endpoints that are gone.
                Effect::Sequenced(sequence) if last != Some(*sequence) => match by_argument {
                    Some(term) => ok(Function::Publish).version(Version::new(term, *sequence)),
                    None => continue,
                },
                _ => continue,
            };
            events.push((*t, event));
        }
        events
    }

    /// The lease that it is about, in hex: all scripts that extend one name its value first.
    fn lease(&self) -> Option<String> {
        let value = self.arguments.first().filter(|value| value.len() == LEASE)?;
        Some(value.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl Effect {
    fn of(words: &[Vec<u8>]) -> Option<Self> {
        let [command, key, rest @ ..] = words else { return None };
        let key = std::str::from_utf8(key).ok()?;
        let (_, key) = key.strip_prefix("{pollux:")?.split_once("}:")?;
        match key {
            "lease" if is(command, "PEXPIRE") => Some(Self::Extended),
            // An empty value writes nothing: a standby asks that way whether it could.
            "lease"
                if is(command, "SET") && rest.first().is_some_and(|value| !value.is_empty()) =>
            {
                Some(Self::Extended)
            }
            "lease" if is(command, "DEL") => Some(Self::Deleted),
            "leader" if is(command, "HSET") => {
                let lease = text(field(rest, "lease"));
                if let Some(term) = field(rest, "term").and_then(number) {
                    return Some(Self::Claimed { term, lease: lease.unwrap_or_default() });
                }
                if lease.is_some_and(|lease| lease.is_empty()) {
                    return Some(Self::Cleared);
                }
                field(rest, "sequence").and_then(number).map(Self::Sequenced)
            }
            "timeline" if is(command, "XADD") => {
                // The fields follow the id, and how many entries are kept comes before it.
                let fields = rest.iter().position(|word| word == b"event")?;
                let fields = &rest[fields..];
                let term = field(fields, "term").and_then(number);
                Some(Self::Noted { event: field(fields, "event")?.to_vec(), term })
            }
            "checked" if is(command, "HSET") => {
                let names = rest.iter().step_by(2);
                Some(Self::Checked(names.filter_map(|name| text(Some(name))).collect()))
            }
            snapshot if snapshot.starts_with("snapshot:") && is(command, "SET") => {
                Publication::read(rest.first()?).ok().map(Self::Written)
            }
            _ => None,
        }
    }
}

/// The value of a field among pairs of fields and values.
fn field<'a>(pairs: &'a [Vec<u8>], name: &str) -> Option<&'a [u8]> {
    let mut pairs = pairs.chunks_exact(2);
    pairs.find(|pair| pair[0] == name.as_bytes()).map(|pair| pair[1].as_slice())
}

fn is(word: &[u8], command: &str) -> bool {
    word.eq_ignore_ascii_case(command.as_bytes())
}

fn text(word: Option<&[u8]>) -> Option<String> {
    String::from_utf8(word?.to_vec()).ok()
}

fn number<T: std::str::FromStr>(word: &[u8]) -> Option<T> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

#[cfg(test)]
#[allow(dead_code, unused_imports, reason = "the bench has them compiled, and not run")]
mod tests {
    use super::*;

    const LEASE_VALUE: &[u8; LEASE] = b"\x00\xffABCDEFGHIJKLMNOPQR";
    const LEASE_HEX: &str = "00ff4142434445464748494a4b4c4d4e4f505152";

    fn words(text: &str) -> Vec<Vec<u8>> {
        text.split(' ').map(|word| word.as_bytes().to_vec()).collect()
    }

    /// What a script of castor's did that ran these commands with a key and these arguments.
    fn done(arguments: &[&[u8]], commands: &[&str]) -> Vec<(u64, Event)> {
        let mut started = words("EVALSHA abc 1 {pollux:chaos}:lease");
        started.extend(arguments.iter().map(|argument| argument.to_vec()));
        let mut script = Script::begin("castor", &started).unwrap();
        for (t, command) in commands.iter().enumerate() {
            script.runs(t as u64, &words(&command.replace("C:", "{pollux:chaos}:")));
        }
        script.end()
    }

    fn ok(f: Function) -> Event {
        Event::new("castor", Kind::Ok, f)
    }

    #[test]
    fn a_claim_writes_the_record_and_is_no_renewal() {
        let events = done(
            &[LEASE_VALUE, LEASE_HEX.as_bytes()],
            &[
                "HMGET C:leader term lease",
                "GET C:lease",
                "PEXPIRE C:lease 6000",
                "TIME",
                &format!(
                    "HSET C:leader term 9 lease {LEASE_HEX} sequence 0 base 9 run_id r alive a"
                ),
                "XADD C:timeline MAXLEN ~ 100 * event claimed replica castor term 9 cause first gap 0",
            ],
        );
        assert_eq!(events, [(4, ok(Function::Acquire).term(9).lease(LEASE_HEX))]);
    }

    #[test]
    fn whatever_else_extends_the_lease_is_a_renewal() {
        for extending in ["PEXPIRE C:lease 6000", "set C:lease value PX 6000"] {
            let events =
                done(&[LEASE_VALUE], &["GET C:lease", extending, "HSET C:leader alive x", "TIME"]);
            assert_eq!(events, [(1, ok(Function::Renew).lease(LEASE_HEX))]);
        }
        for asking in ["GET C:lease", "SET C:lease  XX"] {
            assert!(done(&[LEASE_VALUE], &[asking]).is_empty(), "{asking}");
        }
    }

    #[test]
    fn a_lease_is_given_back_or_taken_away() {
        let cleared = "HSET C:leader lease  alive ";
        let released = "XADD C:timeline MAXLEN ~ 100 * event released replica castor term 9";
        let events = done(&[LEASE_VALUE], &["DEL C:lease", cleared, released]);
        assert_eq!(events, [(1, ok(Function::Release).term(9))]);
        let reaped = "XADD C:timeline MAXLEN ~ 100 * event reaped replica pollux term 8";
        let events = done(&[LEASE_VALUE], &["DEL C:lease", reaped]);
        assert_eq!(events, [(0, ok(Function::Reap).term(8))]);
        // An acquisition that came to nothing.
        assert!(done(&[LEASE_VALUE], &["GET C:lease", "DEL C:lease"]).is_empty());
    }

    #[test]
    fn publications_count_once_the_sequence_is_written() {
        let body = "{\"answer\":1}";
        let json = |endpoint: &str, version: &str| {
            format!("{{\"endpoint\":\"{endpoint}\",\"version\":\"{version}\",\"data\":{body}}}")
        };
        let commands = [
            &format!("SET C:snapshot:fast {}", json("fast", "9-4")),
            &format!("SET C:snapshot:large {}", json("large", "9-5")),
            "HSET C:checked fast 1000 calm 1000",
            "HSET C:leader sequence 5",
        ];
        let hash = crate::history::hash(body.as_bytes());
        let published = |endpoint: &str, sequence| {
            let event = ok(Function::Publish).version(Version::new(9, sequence));
            event.endpoint(endpoint).hash(hash.clone())
        };
        let checked = |endpoint: &str| ok(Function::Check).endpoint(endpoint).term(9);
        assert_eq!(
            done(&[b"9", b"lease"], &commands),
            [
                (0, published("fast", 4)),
                (1, published("large", 5)),
                (2, checked("fast")),
                (2, checked("calm")),
            ]
        );
        assert!(done(&[b"9", b"lease"], &commands[..3]).is_empty(), "it broke off");
    }

    #[test]
    fn a_batch_without_a_publication_has_its_sequence_alone() {
        let empty = ok(Function::Publish).version(Version::new(9, 5));
        assert_eq!(done(&[b"9"], &["HSET C:leader sequence 5"]), [(0, empty)]);
    }

    #[test]
    fn other_commands_and_keys_do_nothing() {
        assert!(Script::begin("castor", &words("GET {pollux:chaos}:lease")).is_none());
        assert!(Script::begin("castor", &words("EVALSHA abc 7 key")).is_none());
        assert!(
            done(&[LEASE_VALUE], &["PEXPIRE lease 1", "PEXPIRE {pollux:chaos}:snapshot:a 1"])
                .is_empty()
        );
    }
}
