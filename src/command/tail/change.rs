//! What changed from one body to the next, at a glance.

use serde_json::Value;

use crate::model::{Body, Publication};

/// The largest body, in bytes, that is compared with the one before.
const COMPARED: usize = 64 * 1024;

/// How many members that differ are shown.
const SHOWN: usize = 6;

/// How much of a body may be shown, in bytes: more than any terminal has columns.
const HEAD: usize = 4096;

/// One line about a body: what differs from the one before, if both are small JSON, or its
/// beginning. The body to compare the next one with is put in place of the one before.
pub(super) fn glance(publication: &Publication, before: &mut Option<Value>) -> String {
    let bytes = publication.body.bytes();
    let now = match &publication.body {
        Body::Json(json) if json.len() <= COMPARED => serde_json::from_slice(json).ok(),
        _ => None,
    };
    let differences = match (&*before, &now) {
        (Some(before), Some(now)) => differences(before, now),
        _ => None,
    };
    *before = now;
    if let Some(differences) = differences {
        return differences;
    }
    let head = bytes.get(..HEAD).unwrap_or(bytes);
    match &publication.body {
        Body::Binary(_) => format!("({})", publication.content_type),
        _ => {
            let text = String::from_utf8_lossy(head);
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        }
    }
}

/// The members that differ, such as `eur 1.1→1.2, list[3] +7`; `None` where nothing does, or all.
fn differences(before: &Value, now: &Value) -> Option<String> {
    let mut found = Vec::new();
    compare(before, now, "", &mut found);
    let more = found.len().saturating_sub(SHOWN);
    found.truncate(SHOWN);
    if found.is_empty() || before.is_object() != now.is_object() {
        return None;
    }
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    Some(found.join(", ") + &more)
}

fn compare(before: &Value, now: &Value, path: &str, found: &mut Vec<String>) {
    match (before, now) {
        (Value::Object(old), Value::Object(new)) => {
            let within = |key: &str| match path {
                "" => key.to_owned(),
                path => format!("{path}.{key}"),
            };
            for (key, value) in new {
                match old.get(key) {
                    Some(before) => compare(before, value, &within(key), found),
                    None => found.push(format!("{} +{value}", within(key))),
                }
            }
            let gone = old.keys().filter(|key| !new.contains_key(*key));
            found.extend(gone.map(|key| format!("{} −", within(key))));
        }
        (Value::Array(old), Value::Array(new)) => {
            for (index, (before, now)) in old.iter().zip(new).enumerate() {
                compare(before, now, &format!("{path}[{index}]"), found);
            }
            let added = new.iter().enumerate().skip(old.len());
            found.extend(added.map(|(index, value)| format!("{path}[{index}] +{value}")));
            if old.len() > new.len() {
                found.push(format!("{path}[{}…] −", new.len()));
            }
        }
        (before, now) if before == now => {}
        (before, now) if path.is_empty() => found.push(format!("{before}→{now}")),
        (before, now) => found.push(format!("{path} {before}→{now}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_differs_is_named_by_its_path() {
        let before = json!({"eur": 1.1, "list": [1, 2], "gone": true, "same": {"x": 1}});
        let now = json!({"eur": 1.2, "list": [1, 3, 4], "new": null, "same": {"x": 2}});
        assert_eq!(
            differences(&before, &now).unwrap(),
            "eur 1.1→1.2, list[1] 2→3, list[2] +4, new +null, same.x 1→2, gone −"
        );
        let (one, other) = (vec![0; 100], vec![1; 100]);
        let many = differences(&json!(one), &json!(other)).unwrap();
        assert!(many.ends_with("[5] 0→1, and 94 more"), "{many}");
        assert_eq!(differences(&json!({}), &json!([])), None);
        assert_eq!(differences(&json!(1), &json!(1)), None);
    }
}
