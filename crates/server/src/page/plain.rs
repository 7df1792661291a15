//! Pages with little on them: logging in, errors, help, what an error code means.

use super::{
    prose::{self, Block},
    view::Frame,
};
use askama::Template;

#[derive(Template)]
#[template(path = "page/login.html")]
struct Login<'a> {
    frame: &'a Frame,
    next: &'a str,
    refused: bool,
}

/// Where a token is asked for. `next`: where it leads to; `refused`: the token before was another one.
pub(crate) fn login(frame: &Frame, next: &str, refused: bool) -> String {
    super::rendered(&Login { frame, next: inside(next), refused })
}

/// A page of this server, and of no other: `//host` and `\host` are none.
pub(crate) fn inside(next: &str) -> &str {
    let own =
        next.starts_with('/') && !next.starts_with("//") && !next.contains('\\') && !next.contains(char::is_control);
    if own { next } else { "/" }
}

#[derive(Template)]
#[template(path = "page/problem.html")]
struct Problem<'a> {
    frame: &'a Frame,
    status: u16,
    title: &'static str,
    what: &'a str,
    help: &'static str,
}

/// Why there is no page. `what`: in a sentence.
pub(crate) fn problem(frame: &Frame, status: u16, what: &str) -> String {
    let (title, help) = match status {
        404 => ("There is no such page", "It may have been a pipeline that is not in the file any more."),
        403 => ("That is not allowed", "Load the page again and press the button once more: nothing was done."),
        409 => ("It is too late for that", "Nothing was done."),
        400 | 422 => ("That cannot be done so", "Nothing was done."),
        503 => ("There is no room now", "Nothing was done. In a moment there may be."),
        502 => ("The ledger cannot be read", "Its database does not answer now. Nothing was changed by this."),
        _ => ("Something is wrong here", "The server's log says more. Loads are not touched by it."),
    };
    super::rendered(&Problem { frame, status, title, what, help })
}

#[derive(Template)]
#[template(path = "page/help.html")]
struct Help<'a> {
    frame: &'a Frame,
}

/// What there is, and which keys.
pub(crate) fn help(frame: &Frame) -> String {
    super::rendered(&Help { frame })
}

#[derive(Template)]
#[template(path = "page/code.html")]
struct CodePage<'a> {
    frame: &'a Frame,
    code: &'a str,
    title: &'a str,
    blocks: Vec<Block>,
}

/// What an error code means. `text`: its page, as it is in the documentation.
pub(crate) fn error_code(frame: &Frame, code: &str, text: &str) -> String {
    let blocks = prose::blocks(text);
    let title =
        blocks.iter().find_map(|block| if let Block::Title(title) = block { Some(title.clone()) } else { None });
    let title = title.unwrap_or_default();
    let title = title.split_once(": ").map_or(title.as_str(), |(_, title)| title);
    super::rendered(&CodePage { frame, code, title, blocks })
}
