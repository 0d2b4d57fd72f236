//! What commands know of the terminal they write to.

use std::io::{self, IsTerminal as _, Read as _, Write as _};

use rustix::termios::{self, LocalModes, OptionalActions, Termios};
use tokio_util::sync::CancellationToken;

/// How wide a line is where there is no terminal, and where one does not tell.
const COLUMNS: usize = 160;

/// How wide a column of names is at most.
pub(super) const WIDEST_NAME: usize = 32;

/// Colours, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Colours(bool);

/// A colour or other emphasis, by its number in ECMA-48.
#[derive(Clone, Copy, Debug)]
pub(super) enum Paint {
    Bold = 1,
    Dim = 2,
    Red = 31,
    Green = 32,
    Yellow = 33,
    Cyan = 36,
}

impl Colours {
    /// Colours on a terminal that has them, unless `NO_COLOR` is set to something.
    pub(super) fn of_stdout() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self(io::stdout().is_terminal() && !unwanted && !dumb)
    }

    #[cfg(test)]
    pub(super) const NONE: Self = Self(false);

    /// A text in a colour, if there are any.
    pub(super) fn paint(self, paint: Paint, text: &str) -> String {
        if self.0 && !text.is_empty() {
            format!("\x1b[{}m{text}\x1b[0m", paint as u8)
        } else {
            text.to_owned()
        }
    }
}

/// Columns and rows of standard output; no rows where it is no terminal.
pub(super) fn size() -> (usize, Option<usize>) {
    match termios::tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            (usize::from(size.ws_col), Some(usize::from(size.ws_row)))
        }
        _ => (COLUMNS, None),
    }
}

/// How many columns a text takes, where characters from Hangul on count as wide: too many rather
/// than too few. Sequences for colours take none.
pub(super) fn width(text: &str) -> usize {
    let mut columns = 0;
    let mut escaped = false;
    for character in text.chars() {
        match character {
            '\x1b' => escaped = true,
            'm' if escaped => escaped = false,
            _ if escaped => {}
            character => columns += columns_of(character),
        }
    }
    columns
}

fn columns_of(character: char) -> usize {
    // Of those above, dashes, arrows, blocks and the like are narrow.
    let wide = ('\u{1100}'..'\u{2000}').contains(&character) || character >= '\u{2e80}';
    if wide { 2 } else { 1 }
}

/// The beginning of a text in so many columns, in one line, and nothing that moves the cursor.
/// Sequences for colours do not count.
pub(super) fn clip(text: &str, columns: usize) -> String {
    let mut clipped = String::new();
    let mut room = columns;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let takes = columns_of(character);
        if takes > room || (takes == room && characters.peek().is_some()) {
            if room > 0 {
                clipped.push('…');
            }
            break;
        }
        room -= takes;
        clipped.push(if is_harmless(character) { character } else { '·' });
    }
    clipped
}

/// Whether a character only stands where it is: controls do not, nor do those that reverse the
/// direction of writing, or that nobody sees.
fn is_harmless(character: char) -> bool {
    let hidden = ['\u{200b}'..='\u{200f}', '\u{2028}'..='\u{202e}', '\u{2060}'..='\u{206f}'];
    !character.is_control() && !hidden.iter().any(|range| range.contains(&character))
}

/// The terminal's other screen, without a cursor and without what is typed. All is as before once
/// this is dropped, also by a panic.
pub(super) struct Screen {
    before: Option<Termios>,
}

impl Screen {
    /// Changes to it.
    ///
    /// # Errors
    /// When it cannot be written to.
    pub(super) fn enter() -> io::Result<Self> {
        let before = termios::tcgetattr(io::stdin()).ok();
        if let Some(before) = &before {
            let mut quiet = before.clone();
            quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON);
            termios::tcsetattr(io::stdin(), OptionalActions::Now, &quiet)?;
        }
        let screen = Self { before };
        write(b"\x1b[?1049h\x1b[?25l\x1b[2J")?;
        Ok(screen)
    }

    /// Shows these lines, from the top, in place of the ones before.
    pub(super) fn show(&self, lines: &[String]) -> io::Result<()> {
        // As one piece between marks that tell terminals to draw it at once, without flicker.
        let mut frame = String::from("\x1b[?2026h\x1b[H");
        for (index, line) in lines.iter().enumerate() {
            if index > 0 {
                frame.push_str("\r\n");
            }
            frame.push_str(line);
            frame.push_str("\x1b[K");
        }
        frame.push_str("\x1b[J\x1b[?2026l");
        write(frame.as_bytes())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        write(b"\x1b[?25h\x1b[?1049l").ok();
        if let Some(before) = &self.before {
            termios::tcsetattr(io::stdin(), OptionalActions::Flush, before).ok();
        }
    }
}

/// Cancels a token once `q` is typed, while there is a [`Screen`] that has keys come one by one.
pub(super) fn cancel_on_q(quit: CancellationToken) {
    if !io::stdin().is_terminal() {
        return;
    }
    // A thread of its own, for nobody can end its wait for a key but the end of the process.
    std::thread::spawn(move || {
        let mut keys = io::stdin().lock().bytes().map_while(Result::ok);
        if keys.any(|key| key == b'q') {
            quit.cancel();
        }
    });
}

fn write(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_clipped_to_columns_and_keep_to_their_line() {
        for (text, columns, expected) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("abc", 0, ""),
            ("日本語", 6, "日本語"),
            ("日本語", 5, "日本…"),
            ("a\n\x1b[31mb\u{202e}–", 20, "a··[31mb·–"),
        ] {
            assert_eq!(clip(text, columns), expected, "{text:?}");
        }
    }

    #[test]
    fn colours_take_no_columns_and_are_left_out_where_nobody_sees_them() {
        assert_eq!(width(&Colours(true).paint(Paint::Red, "abc")), 3);
        assert_eq!(Colours::NONE.paint(Paint::Red, "abc"), "abc");
    }
}
