use std::rc::Rc;

use super::environment::Environment;
use super::errors::{ConfigError, Position, Problems};
use super::yaml::{Entry, Node, Value};

/// How the variables that override settings begin. Kubernetes sets `POLLUX_SERVICE_HOST` and the
/// like for a service called `pollux`; the second underscore tells them apart.
pub(super) const PREFIX: &str = "POLLUX__";

/// How many parts a setting's path may have: more than any has.
const LONGEST: usize = 8;

/// Puts the values of variables such as `POLLUX__REDIS__URL` in place of the file's.
pub(super) fn apply(environment: &Environment, tree: &mut Node, problems: &mut Problems) {
    for (name, value) in environment.iter() {
        let name = name.to_string_lossy();
        let Some(path) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let position = Position::Variable(name.as_ref().into());
        let path = path.to_lowercase();
        let result = match value.to_str() {
            Some(_) if path.split("__").count() > LONGEST => {
                Err((path, format!("expected a path of at most {LONGEST} parts")))
            }
            Some(value) => set(tree, &path, &path, value, &position),
            None => Err((path, "expected UTF-8, found other bytes".to_owned())),
        };
        if let Err((setting, message)) = result {
            problems.push(ConfigError { position, setting: setting.replace("__", "."), message });
        }
    }
}

/// Sets the value at `rest` below `node`; `path` is the whole path, for errors.
fn set(
    node: &mut Node,
    path: &str,
    rest: &str,
    value: &str,
    position: &Position,
) -> Result<(), (String, String)> {
    let refuse = |message: String| Err((path.to_owned(), message));
    let (step, rest) = match rest.split_once("__") {
        Some((step, rest)) => (step, Some(rest)),
        None => (rest, None),
    };
    if step.is_empty() {
        return refuse(format!("expected a setting after {PREFIX}, its parts separated by __"));
    }
    if matches!(node.value, Value::Nothing) {
        *node = Node::new(position.clone(), Value::Map(Vec::new()));
    }
    let child = match &mut node.value {
        Value::Map(entries) => child_of_map(entries, step, rest.is_none(), position),
        Value::List(items) => {
            let count = items.len();
            let item = step.parse().ok().and_then(|index: usize| items.get_mut(index));
            match item {
                Some(item) => Rc::make_mut(item),
                None => {
                    return refuse(format!(
                        "expected a position in the list, which has {count}, counted from 0; found {step}"
                    ));
                }
            }
        }
        Value::Nothing | Value::Text(_) => {
            return refuse(format!("expected {step} in a mapping, but the file has text there"));
        }
    };
    match rest {
        Some(rest) => set(child, path, rest, value, position),
        None => {
            *child = Node::new(position.clone(), Value::Text(value.to_owned()));
            Ok(())
        }
    }
}

/// The value under a key; new keys get an empty one. Variables are all capitals, so the case of
/// keys, which matters for none, is ignored.
fn child_of_map<'a>(
    entries: &'a mut Vec<Entry>,
    key: &str,
    last: bool,
    position: &Position,
) -> &'a mut Node {
    let found = entries.iter().position(|entry| entry.key.eq_ignore_ascii_case(key));
    let index = found.unwrap_or_else(|| {
        entries.push(Entry {
            key: key.to_owned(),
            position: position.clone(),
            value: Rc::new(Node::new(position.clone(), Value::Nothing)),
        });
        entries.len() - 1
    });
    let entry = &mut entries[index];
    if last {
        entry.position = position.clone();
    }
    Rc::make_mut(&mut entry.value)
}
