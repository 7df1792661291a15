//! Text that fits: lines, tables and facts no wider than the terminal. What does not fit is wrapped between words, and never
//! inside a value. Where the output is no terminal nothing is wrapped, so that a line is a whole record for `grep`.

use super::terminal::{clean, style};
use crate::env;
use std::io::IsTerminal;
use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm, core::display_width};

/// A terminal that does not say how wide it is.
const USUAL: usize = 80;
/// Narrower than this nothing is readable.
const LEAST: usize = 40;
/// Wide enough for everything, and no number that overflows when something is added to it.
const ENDLESS: usize = 1 << 24;
/// Less than this beside other columns is no column.
const COLUMN: usize = 20;
/// Below what it belongs to.
const INDENT: usize = 4;
/// A blank at which no line ends. It is printed as a blank.
const KEPT: &str = "\u{a0}";

/// How many characters a line of the output may have.
pub(crate) fn width() -> usize {
    let told = env::lookup(env::COLUMNS).and_then(|columns| columns.parse().ok());
    let terminal = || {
        let size = terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| usize::from(width.0));
        size.filter(|width| *width > 0).unwrap_or(USUAL)
    };
    let found = || if std::io::stdout().is_terminal() { terminal() } else { ENDLESS };
    told.filter(|width| *width > 0).unwrap_or_else(found).clamp(LEAST, ENDLESS)
}

/// Text that stays on one line, such as a value: what `wrap` and all that is made of it do not break.
pub(crate) fn together(text: &str) -> String {
    text.replace(' ', KEPT)
}

/// `together` for what is short enough to stand in `room` characters.
pub(crate) fn together_in(text: &str, room: usize) -> String {
    if display_width(text) <= room { together(text) } else { text.to_owned() }
}

/// The text in lines of at most `room` characters, the first behind `first`, the others behind `rest`. A longer word has a
/// line of its own; line breaks stay.
fn lines(text: &str, room: usize, first: &str, rest: &str) -> Vec<String> {
    let options = Options::new(room)
        .initial_indent(first)
        .subsequent_indent(rest)
        .break_words(false)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation)
        .wrap_algorithm(WrapAlgorithm::FirstFit);
    textwrap::wrap(text, options).iter().map(|line| line.replace(KEPT, " ").trim_end().to_owned()).collect()
}

fn ended(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// A line, and what does not fit into it on further ones that begin at `from`.
pub(crate) fn hanging(line: &str, from: usize) -> String {
    ended(&lines(line, width(), "", &" ".repeat(from)))
}

/// `lead`, then the parts with a dot between them; each begins a line of its own where it does not fit. `from` is where
/// those lines begin.
pub(crate) fn flow(lead: &str, parts: &[String], from: usize) -> String {
    const DOT: &str = "\u{a0}·";
    let width = width();
    let from = if from + 2 * COLUMN <= width { from } else { INDENT };
    let parts: Vec<String> = parts.iter().map(|part| together_in(part, width - from)).collect();
    // Blanks at the end of the lead are where its line may end.
    let (lead, gap) = lead.split_at(lead.trim_end().len());
    let text = format!("{}{gap}{}", together(lead), parts.join(&format!("{DOT} ")));
    let dotted = lines(&text, width, "", &" ".repeat(from));
    let last = dotted.len() - 1;
    let undotted = |(n, line): (usize, &String)| match line.strip_suffix(" ·") {
        Some(line) if n < last => line.to_owned(),
        _ => line.clone(),
    };
    ended(&dotted.iter().enumerate().map(undotted).collect::<Vec<_>>())
}

/// Rows under a faint heading, columns as wide as they need be. Where all of them are wider than the output, the one at
/// `yields` is wrapped: in its place, or, where that leaves no room worth the name and it is the last, below, without a
/// heading.
pub(crate) fn table(heading: &[&str], rows: &[Vec<String>], yields: usize) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|c| one_line(c)).collect()).collect();
    let length = |i: usize| {
        let cells = rows.iter().filter_map(|row| row.get(i)).map(|c| display_width(c));
        cells.chain(heading.get(i).map(|h| display_width(h))).max().unwrap_or(0)
    };
    let mut widths: Vec<usize> = (0..heading.len()).map(length).collect();
    let others = widths.iter().enumerate().filter(|(i, _)| *i != yields).map(|(_, w)| w + 2).sum::<usize>();
    let room = width().saturating_sub(others);
    let last = yields + 1 == heading.len();
    let below = last && room < COLUMN.min(widths[yields]);
    let wrapped: Vec<Vec<String>> = match below {
        true => vec![vec![String::new()]; rows.len()],
        false => {
            widths[yields] = widths[yields].min(room.max(COLUMN));
            rows.iter().map(|row| lines(&row[yields], widths[yields], "", "")).collect()
        }
    };
    if !below {
        // A word without a blank stays whole, and what stands beside it stays below its heading.
        let widest = wrapped.iter().flatten().map(|piece| display_width(piece)).max().unwrap_or(0);
        widths[yields] = widths[yields].max(widest);
    }
    let line = |cells: &[&str]| {
        let padded =
            cells.iter().zip(&widths).map(|(c, w)| format!("{c}{}", " ".repeat(w.saturating_sub(display_width(c)))));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let heading = &heading[..heading.len() - usize::from(below)];
    let mut out = format!("{}{}{}\n", style::FAINT, line(heading), style::RESET);
    for (row, pieces) in rows.iter().zip(&wrapped) {
        for (n, piece) in pieces.iter().enumerate() {
            let cell = |(i, c): (usize, &'_ String)| match () {
                () if i == yields => piece.clone(),
                () if n == 0 => c.clone(),
                () => String::new(),
            };
            let cells: Vec<String> = row.iter().enumerate().map(cell).collect();
            out.push_str(&line(&cells.iter().map(String::as_str).collect::<Vec<_>>()));
            out.push('\n');
        }
        if below {
            let indent = " ".repeat(INDENT);
            out.push_str(&ended(&lines(&row[yields], width(), &indent, &indent)));
        }
    }
    out
}

/// Names and values, one a line, the values aligned and wrapped.
pub(crate) fn facts(facts: &[(&str, String)]) -> String {
    let widest = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    facts.iter().map(|(name, value)| fact(name, &clean(value), widest)).collect()
}

/// A faint name of `widest` characters and what belongs to it beside it, wrapped.
pub(crate) fn fact(name: &str, value: &str, widest: usize) -> String {
    let name = format!("  {}{name:<widest$}{}  ", style::FAINT, style::RESET);
    ended(&lines(value, width(), &name, &" ".repeat(widest + INDENT)))
}

/// A fact that is shown as it is, to be copied.
pub(crate) fn whole(name: &str, value: &str, widest: usize) -> String {
    format!("  {}{name:<widest$}{}  {}\n", style::FAINT, style::RESET, clean(value))
}

/// The beginning of a text, of at most `room` characters, cut between words.
pub(crate) fn beginning(text: &str, room: usize) -> String {
    let text = one_line(text);
    if text.chars().count() <= room {
        return text;
    }
    let cut: String = text.chars().take(room.saturating_sub(1)).collect();
    let words = cut.rsplit_once(' ').map_or(cut.as_str(), |(words, _)| words);
    format!("{} …", words.trim_end_matches([',', ' ', ':', '(']))
}

fn one_line(text: &str) -> String {
    clean(&text.replace('\n', "\\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrap(text: &str, room: usize) -> Vec<String> {
        lines(text, room, "", "")
    }

    #[test]
    fn what_stands_beside_a_long_word_is_below_its_heading() {
        let name = "x".repeat(200);
        let told = table(&["NAME", "ROWS"], &[vec![name, "7".into()], vec!["short".into(), "8".into()]], 0);
        let told = told.replace(&style::FAINT.to_string(), "");
        let ends: Vec<usize> =
            told.lines().map(|line| line.trim_end_matches(&style::RESET.to_string()).len()).collect();
        assert_eq!(ends, [206, 203, 203], "{told}");
    }

    #[test]
    fn words_and_values_stay_whole() {
        assert_eq!(wrap("13,805 read: 12,000 inserted", 14), ["13,805 read:", "12,000", "inserted"]);
        assert_eq!(wrap("a-very-long-word b", 4), ["a-very-long-word", "b"]);
        assert_eq!(wrap("  a\nb", 9), ["  a", "b"]);
        assert_eq!(wrap(&format!("at {} → 1", together("2024-01-01 10:00")), 12), ["at", "2024-01-01 10:00", "→ 1"]);
        assert_eq!(wrap(&format!("{}red{} blue", style::ERROR, style::RESET), 8).len(), 1, "colour takes no room");
        assert_eq!(wrap("漢字 漢字", 4), ["漢字", "漢字"], "some characters are two wide");
        assert_eq!(beginning("the value 1234567 is not", 14), "the value …");
        assert_eq!(beginning("short", 14), "short");
    }
}
