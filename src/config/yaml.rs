use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError};

use super::errors::{ConfigError, Position};

/// How deep lists and mappings may stand in each other; the settings need five levels.
const DEEPEST: usize = 32;

/// How many values a file may have, those behind aliases counted each time.
const MOST: usize = 1_000_000;

/// A raw value of the file.
///
/// Nodes are shared with the anchors they stand under, so an alias costs nothing until it is
/// overridden.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) position: Position,
    pub(super) value: Value,
    /// How many values it is made of, itself counted.
    size: usize,
    /// How many levels of lists and mappings it has.
    height: usize,
}

/// What stands there. A scalar is text as it is written: settings know what they want it to be.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Nothing,
    Text(String),
    List(Vec<Rc<Node>>),
    Map(Vec<Entry>),
}

/// A key with its value. Keys may be there twice.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) position: Position,
    pub(super) value: Rc<Node>,
}

impl Node {
    /// A node of one value, or an empty list or mapping.
    pub(super) fn new(position: Position, value: Value) -> Self {
        Self { position, value, size: 1, height: 0 }
    }

    /// The first value of a mapping that stands under `key`.
    pub(super) fn child(&self, key: &str) -> Option<&Self> {
        let Value::Map(entries) = &self.value else {
            return None;
        };
        entries.iter().find(|entry| entry.key == key).map(|entry| &*entry.value)
    }
}

/// Reads a file with one document.
pub(super) fn parse(text: &str) -> Result<Node, ConfigError> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| syntax(&error))?;
        builder.take(event, span.start.line())?;
    }
    builder.root.map_or_else(
        || {
            let message = "expected settings such as `cluster: prices`, found an empty file";
            Err(ConfigError::of_file(Position::File, message))
        },
        |root| Ok(Rc::unwrap_or_clone(root)),
    )
}

fn syntax(error: &ScanError) -> ConfigError {
    let column = error.marker().col() + 1;
    let message = format!("expected YAML: {}, at column {column}", error.info());
    ConfigError::of_file(Position::Line(error.marker().line()), message)
}

/// Puts nodes together from the parser's events, with a stack of its own.
#[derive(Default)]
struct Builder {
    root: Option<Rc<Node>>,
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
    documents: usize,
    /// How many values there are so far.
    count: usize,
}

/// A list or mapping whose end has not come yet.
struct Open {
    anchor: usize,
    node: Node,
    /// The key whose value comes next.
    key: Option<(String, usize)>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), ConfigError> {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return refuse(line, "expected one YAML document, found a second one");
                }
                Ok(())
            }
            Event::Scalar(.., Some(_))
            | Event::SequenceStart(_, Some(_))
            | Event::MappingStart(_, Some(_)) => refuse(line, "expected no YAML tag, found one"),
            Event::Scalar(text, style, anchor, None) => {
                let value = scalar(&text, style);
                self.add(Node::new(Position::Line(line), value), anchor, line)
            }
            Event::SequenceStart(anchor, None) => self.open(Value::List(Vec::new()), anchor, line),
            Event::MappingStart(anchor, None) => self.open(Value::Map(Vec::new()), anchor, line),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(open) => self.place(Rc::new(open.node), open.anchor, line),
                None => Ok(()),
            },
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return refuse(line, "expected an alias of a finished value, found a cycle");
                };
                self.count_in(node.size, line)?;
                self.place(node, 0, line)
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn open(&mut self, value: Value, anchor: usize, line: usize) -> Result<(), ConfigError> {
        self.count_in(1, line)?;
        let mut node = Node::new(Position::Line(line), value);
        node.height = 1;
        self.open.push(Open { anchor, node, key: None });
        self.bound_depth(0, line)
    }

    fn add(&mut self, node: Node, anchor: usize, line: usize) -> Result<(), ConfigError> {
        self.count_in(1, line)?;
        self.place(Rc::new(node), anchor, line)
    }

    /// Puts a finished node where it belongs: under its anchor, and into what is open around it.
    fn place(&mut self, node: Rc<Node>, anchor: usize, line: usize) -> Result<(), ConfigError> {
        if anchor > 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        self.bound_depth(node.height, line)?;
        let Some(Open { node: parent, key, .. }) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        parent.size += node.size;
        parent.height = parent.height.max(node.height + 1);
        match (&mut parent.value, key.take()) {
            (Value::Map(entries), Some((key, line))) => {
                entries.push(Entry { key, position: Position::Line(line), value: node })
            }
            (Value::Map(_), None) => match &node.value {
                Value::Text(text) => *key = Some((text.clone(), line)),
                Value::Nothing => {
                    return refuse(line, "expected a key before the colon, found none");
                }
                Value::List(_) => return refuse(line, "expected a key of text, found a list"),
                Value::Map(_) => return refuse(line, "expected a key of text, found a mapping"),
            },
            (Value::List(items), _) => items.push(node),
            (Value::Nothing | Value::Text(_), _) => {}
        }
        Ok(())
    }

    fn count_in(&mut self, size: usize, line: usize) -> Result<(), ConfigError> {
        self.count += size;
        if self.count > MOST {
            let message = format!("expected at most {MOST} values, those behind aliases included");
            return refuse(line, &message);
        }
        Ok(())
    }

    fn bound_depth(&self, height: usize, line: usize) -> Result<(), ConfigError> {
        if self.open.len() + height > DEEPEST {
            let message = format!("expected at most {DEEPEST} levels of lists and mappings");
            return refuse(line, &message);
        }
        Ok(())
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    let plain = style == ScalarStyle::Plain;
    if plain && matches!(text, "" | "~" | "null" | "Null" | "NULL") {
        Value::Nothing
    } else {
        Value::Text(text.to_owned())
    }
}

fn refuse<T>(line: usize, message: &str) -> Result<T, ConfigError> {
    Err(ConfigError::of_file(Position::Line(line), message))
}
