//! How texts and times are written on the page.

/// A text as HTML has it.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A time in µs for people: `12 ms`, `3.42 s`.
pub(super) fn duration(us: u64) -> String {
    match us {
        0..10_000 => format!("{:.1} ms", us as f64 / 1e3),
        10_000..1_000_000 => format!("{} ms", us / 1000),
        _ => {
            let seconds = format!("{:.2}", us as f64 / 1e6);
            format!("{} s", seconds.trim_end_matches('0').trim_end_matches('.'))
        }
    }
}

/// A term in words: terms of one run differ in their last digits, if they are times.
pub(super) fn term(term: u64) -> String {
    let digits = term.to_string();
    match digits.len() {
        0..=7 => format!("term {digits}"),
        length => format!("term …{}", &digits[length - 6..]),
    }
}

/// A lane of the chart: what it is, in short and in words; its drawing, and labels over it.
pub(super) struct Lane<'a> {
    pub(super) class: &'a str,
    pub(super) name: &'a str,
    /// What stands below the name.
    pub(super) note: &'a str,
    /// What it shows, for those who do not see it.
    pub(super) described: &'a str,
    /// SVG in the units of [`super::scale::Scale`].
    pub(super) drawing: &'a str,
    /// HTML, each with a place of its own.
    pub(super) labels: &'a str,
}

impl Lane<'_> {
    pub(super) fn html(&self) -> String {
        let Self { class, name, note, described, drawing, labels } = self;
        let mut html = format!("<div class=\"lane {class}\"><div class=\"name\">{}", escape(name));
        if !note.is_empty() {
            html.push_str(&format!("<small>{}</small>", escape(note)));
        }
        html.push_str(&format!(
            "</div><div class=\"track\"><svg viewBox=\"0 0 1000 100\" preserveAspectRatio=\"none\" \
             role=\"img\" aria-label=\"{}\">{drawing}</svg>{labels}</div></div>\n",
            escape(described)
        ));
        html
    }
}
