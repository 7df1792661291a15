//! Text that fits: lines, tables and facts no wider than the terminal. What does not fit is wrapped between words, so that
//! no number is cut.

use super::terminal::{clean, style};
use crate::env;

/// Where nothing says how wide the output may be.
const USUAL: usize = 80;
/// Narrower than this nothing is readable.
const LEAST: usize = 40;
/// Less than this beside other columns is no column.
const COLUMN: usize = 20;
/// Below what it belongs to.
const INDENT: usize = 4;

/// How many characters a line of the output may have.
pub(crate) fn width() -> usize {
    let told = env::lookup(env::COLUMNS).and_then(|columns| columns.parse().ok());
    let terminal = || terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| usize::from(width.0));
    told.or_else(terminal).filter(|width| *width > 0).unwrap_or(USUAL).max(LEAST)
}

/// Characters a person sees.
fn visible(text: &str) -> usize {
    anstream::adapter::strip_str(text).to_string().chars().count()
}

/// The text in lines of at most `room` characters. A longer word has a line of its own; line breaks stay. What stands
/// between two blanks each is kept together where a line has room for it.
pub(crate) fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let (mut line, mut used, mut fresh) = (String::new(), 0, true);
        let broken = lines.len();
        let words: Vec<&str> = paragraph.split(' ').collect();
        for (at, word) in words.iter().enumerate() {
            let length = visible(word);
            let group = || words[at..].iter().take_while(|w| !w.is_empty()).map(|w| visible(w) + 1).sum::<usize>();
            let apart = at > 0 && words[at - 1].is_empty() && used + group() > room && group() <= room + 1;
            if !fresh && (used + 1 + length > room || apart) {
                lines.push(std::mem::take(&mut line).trim_end().to_owned());
                (used, fresh) = (0, true);
            }
            // Blanks at the beginning of a paragraph are its own, those at a break are not.
            if fresh && word.is_empty() && lines.len() > broken {
                continue;
            }
            if !fresh {
                line.push(' ');
                used += 1;
            }
            line.push_str(word);
            used += length;
            fresh = false;
        }
        lines.push(line);
    }
    lines
}

/// A line, and what does not fit into it on further ones that begin at `from`.
pub(crate) fn hanging(line: &str, from: usize) -> String {
    let mut pieces = wrap(line, width()).into_iter();
    let first = pieces.next().unwrap_or_default();
    let rest = line.get(first.len()..).unwrap_or_default().trim_start();
    let mut out = format!("{first}\n");
    if !rest.is_empty() {
        out.extend(wrap(rest, width() - from).iter().map(|piece| format!("{:from$}{piece}\n", "")));
    }
    out
}

/// `lead`, then the parts with a dot between them; each begins a line of its own where it does not fit. `from` is where
/// those lines begin.
pub(crate) fn flow(lead: &str, parts: &[String], from: usize) -> String {
    let (width, lead_width) = (width(), visible(lead));
    let from = if from + 2 * COLUMN <= width { from } else { INDENT };
    let mut lines: Vec<String> = vec![lead.to_owned()];
    let mut used = lead_width;
    let mut fresh = true;
    for part in parts {
        let dot = if fresh { "" } else { " · " };
        if used + visible(dot) + visible(part) <= width {
            if let Some(line) = lines.last_mut() {
                line.push_str(dot);
                line.push_str(part);
            }
            used += visible(dot) + visible(part);
            fresh = false;
            continue;
        }
        let mut pieces = wrap(part, width.saturating_sub(from)).into_iter();
        // Nothing stands behind the lead yet: the part begins there.
        if fresh
            && lead_width <= from
            && let (Some(line), Some(piece)) = (lines.last_mut(), pieces.next())
        {
            line.push_str(&piece);
        }
        lines.extend(pieces.map(|piece| format!("{:from$}{piece}", "")));
        used = lines.last().map_or(0, |line| visible(line));
        fresh = false;
    }
    lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// Rows under a faint heading, columns as wide as they need be. Where all of them are wider than the output, the one at
/// `yields` is wrapped: in its place, or, where that leaves no room worth the name and it is the last, below.
pub(crate) fn table(heading: &[&str], rows: &[Vec<String>], yields: usize) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|c| one_line(c)).collect()).collect();
    let length = |i: usize| {
        let cells = rows.iter().filter_map(|row| row.get(i)).map(|c| c.chars().count());
        cells.chain(heading.get(i).map(|h| h.chars().count())).max().unwrap_or(0)
    };
    let mut widths: Vec<usize> = (0..heading.len()).map(length).collect();
    let others = widths.iter().enumerate().filter(|(i, _)| *i != yields).map(|(_, w)| w + 2).sum::<usize>();
    let room = width().saturating_sub(others);
    let last = yields + 1 == heading.len();
    let below = last && room < COLUMN.min(widths[yields]);
    if !below {
        widths[yields] = widths[yields].min(room.max(COLUMN));
    }
    let line = |cells: &[&str]| {
        let padded = cells.iter().zip(&widths).map(|(c, w)| format!("{c:<w$}", w = *w));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let heading = &heading[..heading.len() - usize::from(below && heading[yields].len() > room)];
    let mut out = format!("{}{}{}\n", style::FAINT, line(heading), style::RESET);
    for row in &rows {
        let fits = row[yields].chars().count() <= room;
        let pieces = if below && !fits { vec![String::new()] } else { wrap(&row[yields], widths[yields]) };
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
        if below && !fits {
            let pieces = wrap(&row[yields], width() - INDENT);
            out.extend(pieces.iter().map(|piece| format!("{:INDENT$}{piece}\n", "")));
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
    let from = widest + INDENT;
    let mut out = String::new();
    for (n, piece) in wrap(value, width().saturating_sub(from)).iter().enumerate() {
        let name = if n == 0 { name } else { "" };
        let line = format!("  {}{name:<widest$}{}  {piece}", style::FAINT, style::RESET);
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
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

    #[test]
    fn words_and_numbers_stay_whole() {
        assert_eq!(wrap("13,805 read: 12,000 inserted", 14), ["13,805 read:", "12,000", "inserted"]);
        assert_eq!(wrap("a  b", 4), ["a  b"]);
        assert_eq!(wrap("aaa  bbb", 4), ["aaa", "bbb"]);
        assert_eq!(wrap("a-very-long-word b", 4), ["a-very-long-word", "b"]);
        assert_eq!(wrap("  a\nb", 9), ["  a", "b"]);
        assert_eq!(wrap("id 1  name Ada  at 2024-01-01 10:00", 16), ["id 1  name Ada", "at 2024-01-01", "10:00"]);
        assert_eq!(wrap("id 1  city Bad Ems  x 1", 13), ["id 1", "city Bad Ems", "x 1"]);
        assert_eq!(wrap(&format!("{}red{} blue", style::ERROR, style::RESET), 8).len(), 1, "colour takes no room");
        assert_eq!(beginning("the value 1234567 is not", 14), "the value …");
        assert_eq!(beginning("short", 14), "short");
    }
}
