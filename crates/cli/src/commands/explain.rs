//! `explain`: the page of an error code, carried in the binary so that it fits the version that printed the code.

use super::{Context, Failure};
use crate::args::ExplainArgs;
use floodmark_core::{Code, Error, wording};
use serde_json::json;
use std::fmt::Write as _;

macro_rules! pages {
    ($($number:literal)*) => {
        const PAGES: &[(&str, &str)] = &[
            $(($number, include_str!(concat!("../../../../docs/errors/", $number, ".md"))),)*
        ];
    };
}

pages! {
    "FM0101" "FM0102" "FM0103" "FM0104" "FM0105" "FM0106" "FM0107"
    "FM0201" "FM0202" "FM0203" "FM0204" "FM0205" "FM0206" "FM0207" "FM0208" "FM0209" "FM0210" "FM0211" "FM0212" "FM0213"
    "FM0301" "FM0302" "FM0303" "FM0304" "FM0305" "FM0306" "FM0307"
    "FM0401" "FM0402" "FM0403" "FM0404" "FM0405" "FM0406"
    "FM0501" "FM0502" "FM0503" "FM0504"
    "FM0601" "FM0602" "FM0603" "FM0604" "FM0605"
    "FM0701"
    "FM0901"
}

/// `floodmark explain`
pub(super) fn explain(cx: &Context, args: &ExplainArgs) -> Result<u8, Failure> {
    let Some(number) = &args.code else { return list(cx) };
    let code = Code::parse(number.trim()).ok_or_else(|| unknown(number))?;
    let page = page(code).ok_or_else(|| Error::internal(format!("{} has no page", code.number())))?;
    if cx.printer.json() {
        cx.printer.object(&json!({"code": code.number(), "title": code.title(), "page": page}))?;
    } else {
        cx.printer.text(page)?;
    }
    Ok(0)
}

fn list(cx: &Context) -> Result<u8, Failure> {
    if cx.printer.json() {
        for code in Code::ALL {
            cx.printer.object(&json!({"code": code.number(), "title": code.title()}))?;
        }
        return Ok(0);
    }
    let mut out = String::new();
    for code in Code::ALL {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{}  {}", code.number(), code.title());
    }
    cx.printer.text(&out)?;
    Ok(0)
}

/// The page of a code.
pub(super) fn page(code: Code) -> Option<&'static str> {
    PAGES.iter().find(|(number, _)| *number == code.number()).map(|(_, page)| *page)
}

fn unknown(number: &str) -> Error {
    let known: Vec<&str> = Code::ALL.iter().map(|c| c.number()).collect();
    let error = Error::new(Code::BadArgument, format!("there is no error code {number:?}")).state("nothing was done");
    let error = match wording::nearest(number, known.iter().copied()) {
        Some(near) => error.help(format!("did you mean {near}?")),
        None => error,
    };
    error.help("`floodmark explain` lists them all")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_page_with_the_three_answers() {
        for code in Code::ALL {
            let number = code.number();
            let page = page(*code).unwrap_or_else(|| panic!("{number} has no page"));
            assert!(page.starts_with(&format!("# {number}: {}\n", code.title())), "{number}: the title");
            let at = |heading: &str| page.find(heading).unwrap_or_else(|| panic!("{number} lacks {heading}"));
            let answers = ["\n## What happened\n", "\n## What state your data is in\n", "\n## What to do\n"].map(at);
            assert!(answers.is_sorted(), "{number}: the order of the headings");
            assert!(page.contains(&format!("error[{number}]")), "{number}: an example of the message");
            assert!((10..=40).contains(&page.lines().count()), "{number}: {} lines", page.lines().count());
        }
        assert_eq!(PAGES.len(), Code::ALL.len());
    }
}
