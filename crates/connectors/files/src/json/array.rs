//! Where the elements of a top-level JSON array begin and end, without holding the array.

use crate::blocks::{Cut, Flaw};
use floodmark_core::Code;
use memchr::memchr2;

/// Counts brackets outside strings; whether an element is right inside is the parser's business.
#[derive(Debug, Default)]
pub(crate) struct Elements {
    seen: usize,
    part: Part,
    /// Brackets open inside the current element.
    depth: usize,
    in_string: bool,
    /// Where the current element begins, where one has begun.
    begun: Option<usize>,
    /// One past the last byte that is not blank, of the current element.
    last: usize,
    end: usize,
    /// Elements were found.
    any: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Part {
    #[default]
    Before,
    Inside,
    After,
}

impl Elements {
    fn flaw(at: usize, message: &'static str, help: &'static str) -> Flaw {
        Flaw { at, code: Code::BadFormat, message, help }
    }

    fn close(&mut self, at: usize, spans: &mut Vec<(u32, u32)>, closing: bool) -> Result<(), Flaw> {
        match self.begun.take() {
            Some(begun) => spans.push((begun as u32, self.last as u32)),
            None if closing && !self.any => {}
            None => {
                return Err(Self::flaw(
                    at,
                    "an element of the JSON array is missing between commas",
                    "correct the file",
                ));
            }
        }
        self.any = true;
        self.end = at + 1;
        Ok(())
    }
}

impl Cut for Elements {
    fn restart(&mut self) {
        // Between two elements nothing is open.
        *self = Elements { part: self.part, any: self.any, ..Elements::default() };
    }

    fn advance(&mut self, bytes: &[u8], spans: &mut Vec<(u32, u32)>) -> Result<usize, Flaw> {
        let mut at = self.seen;
        while let Some(&b) = bytes.get(at) {
            if self.in_string {
                let Some(found) = memchr2(b'"', b'\\', &bytes[at..]) else {
                    at = bytes.len();
                    break;
                };
                at += found;
                if bytes[at] == b'\\' {
                    if at + 1 >= bytes.len() {
                        break;
                    }
                    at += 2;
                } else {
                    self.in_string = false;
                    at += 1;
                    self.last = at;
                }
                continue;
            }
            match (self.part, b) {
                (_, b' ' | b'\t' | b'\r' | b'\n') => {
                    // Blank text between elements need not be kept.
                    if self.begun.is_none() && self.part != Part::Inside {
                        self.end = at + 1;
                    }
                    at += 1;
                    continue;
                }
                (Part::Before, b'[') => {
                    self.part = Part::Inside;
                    self.end = at + 1;
                }
                (Part::Before, _) => {
                    return Err(Self::flaw(
                        at,
                        "the file does not begin with a JSON array",
                        "set `format: jsonl` if it holds one object a line, or `format: csv`",
                    ));
                }
                (Part::After, _) => {
                    return Err(Self::flaw(
                        at,
                        "text follows the end of the JSON array",
                        "remove it, or set `format: jsonl`",
                    ));
                }
                (Part::Inside, b',') if self.depth == 0 => self.close(at, spans, false)?,
                (Part::Inside, b']') if self.depth == 0 => {
                    self.close(at, spans, true)?;
                    self.part = Part::After;
                }
                (Part::Inside, _) => {
                    self.begun.get_or_insert(at);
                    match b {
                        b'"' => self.in_string = true,
                        b'{' | b'[' => self.depth += 1,
                        b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                        _ => {}
                    }
                    self.last = at + 1;
                }
            }
            at += 1;
        }
        self.seen = at;
        Ok(self.end)
    }

    fn finish(&mut self, bytes: &[u8], _: &mut Vec<(u32, u32)>) -> Result<(), Flaw> {
        if self.part == Part::After {
            return Ok(());
        }
        let at = self.begun.unwrap_or(bytes.len());
        Err(Self::flaw(at, "the JSON array is not closed: the file ends too early", "fetch or write the file again"))
    }

    fn suspect(&self) -> Option<(usize, &'static str)> {
        self.begun.map(|at| (at, "or close the element that begins"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(text: &str, step: usize) -> Result<Vec<String>, &'static str> {
        let mut cut = Elements::default();
        let mut out = Vec::new();
        for n in (0..text.len()).step_by(step).chain([text.len()]) {
            cut.advance(&text.as_bytes()[..n], &mut out).map_err(|f| f.message)?;
        }
        cut.finish(text.as_bytes(), &mut out).map_err(|f| f.message)?;
        Ok(out.iter().map(|&(a, b)| text[a as usize..b as usize].to_owned()).collect())
    }

    #[test]
    fn elements_are_found_whatever_the_steps() {
        let text = "\n[ {\"a\": [1, \"],\\\"\"]} ,\n {\"b\":2}\n, 3 ] \n";
        for step in 1..9 {
            assert_eq!(spans(text, step).unwrap(), ["{\"a\": [1, \"],\\\"\"]}", "{\"b\":2}", "3"]);
        }
        assert!(spans("[]", 1).unwrap().is_empty());
    }

    #[test]
    fn broken_arrays_are_errors() {
        for text in ["[{}", "[{},", "[{}] x", "{}", "[{},]", "[,{}]", "", "[{\"a\":\"]"] {
            assert!(spans(text, 3).is_err(), "{text}");
        }
    }
}
