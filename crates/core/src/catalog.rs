//! The tables a database has, and patterns that name some of them.

use crate::wording;

/// What can be read of a database by its name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalog {
    /// Tables and views by schema and name, without the server's own and those that Floodmark keeps its state in.
    pub tables: Vec<Listed>,
    /// Names that differ only in the case of (ASCII) letters are different names.
    pub case_sensitive: bool,
}

/// A table or view of a catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its schema; `None` where the database has no schemas.
    pub schema: Option<String>,
    /// Its name.
    pub name: String,
    /// Whether the name alone finds it, without the schema.
    pub bare: bool,
    /// A table in its own right. Views, the parts of a partitioned table and what lives in another database are not: a
    /// pattern with a wildcard never means them.
    pub own: bool,
    /// The columns of its primary key, in the key's order; empty where it has none.
    pub key: Vec<String>,
}

impl Listed {
    /// As `table:` has to name it, so that exactly this one is read.
    pub fn written(&self) -> String {
        match &self.schema {
            None => self.name.clone(),
            Some(schema) => format!("{}.{}", part(schema), part(&self.name)),
        }
    }
}

/// A schema or table as a part of a name with a point: in double quotes where it could be misread. A backtick is a quote to
/// some databases.
pub fn part(name: &str) -> String {
    if name.contains(['.', '"', '`']) { format!("\"{}\"", name.replace('"', "\"\"")) } else { name.to_owned() }
}

impl Catalog {
    /// A list of what there is, for a message: names as a pattern would have them, views too.
    pub fn described(&self) -> String {
        let names: Vec<String> = self.tables.iter().map(Listed::written).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        match names.is_empty() {
            true => "the database has no table that this user could see".to_owned(),
            false => wording::listed("there are", &names),
        }
    }
}

/// Names with `*` for any text and `?` for one character. What stands in double quotes is taken as it is.
///
/// Where a database has schemas, `schema.table` is a pattern for each of the two, and one without a point means the tables
/// that are found by their name alone. Elsewhere a point is a letter like others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<Token>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Letter(char),
    /// Between schema and table.
    Point,
    One,
    Any,
}

impl Pattern {
    /// Any text is a pattern.
    pub fn parse(written: &str) -> Pattern {
        let mut tokens = Vec::new();
        let mut rest = written;
        while let Some(c) = rest.chars().next() {
            let begins = matches!(tokens.last(), None | Some(Token::Point));
            if let Some((name, after)) = quoted(rest).filter(|_| begins) {
                tokens.extend(name.chars().map(Token::Letter));
                rest = after;
                continue;
            }
            tokens.push(match c {
                '*' => Token::Any,
                '?' => Token::One,
                '.' => Token::Point,
                c => Token::Letter(c),
            });
            rest = &rest[c.len_utf8()..];
        }
        Pattern(tokens)
    }

    /// Whether it means a table of all there are. A view, or a part of a table, it means only by its exact name.
    pub fn finds(&self, listed: &Listed, catalog: &Catalog) -> bool {
        let alone = listed.bare || listed.schema.is_none();
        (listed.own || !self.has_wildcard()) && (alone || self.point().is_some()) && self.names(listed, catalog)
    }

    /// Whether it means a table that is found already: without a schema it is about the name alone.
    pub fn names(&self, listed: &Listed, catalog: &Catalog) -> bool {
        let fits = |tokens: &[Token], name: &str| fits(tokens, name, catalog.case_sensitive);
        match (&listed.schema, self.point()) {
            (Some(schema), Some(at)) => fits(&self.0[..at], schema) && fits(&self.0[at + 1..], &listed.name),
            _ => fits(&self.0, &listed.name),
        }
    }

    /// The schema and the name it means, where it has no wildcard.
    pub fn exact(&self, schemas: bool) -> Option<(Option<String>, String)> {
        let text = |tokens: &[Token]| -> Option<String> {
            let letter = |token: &Token| match token {
                Token::Letter(c) => Some(*c),
                Token::Point => Some('.'),
                Token::One | Token::Any => None,
            };
            tokens.iter().map(letter).collect()
        };
        match self.point().filter(|_| schemas) {
            Some(at) => Some((Some(text(&self.0[..at])?), text(&self.0[at + 1..])?)),
            None => Some((None, text(&self.0)?)),
        }
    }

    /// Whether it may mean more than one table.
    pub fn has_wildcard(&self) -> bool {
        wild(&self.0)
    }

    /// Whether tables that such patterns mean may have the same name and differ by their schema: what they are called must
    /// not depend on which tables there are today.
    pub fn span_schemas<'a>(patterns: impl IntoIterator<Item = &'a Pattern>) -> bool {
        let mut schemas = patterns.into_iter().map(|pattern| pattern.point().map(|at| &pattern.0[..at]));
        let Some(first) = schemas.next() else { return false };
        first.is_some_and(wild) || schemas.any(|schema| schema != first)
    }

    fn point(&self) -> Option<usize> {
        self.0.iter().position(|token| *token == Token::Point)
    }
}

fn wild(tokens: &[Token]) -> bool {
    tokens.iter().any(|token| matches!(token, Token::One | Token::Any))
}

/// A name in double quotes at the beginning of a text, and what follows it. A quote that is never closed, or not before a
/// point or the end, is a letter.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut rest = text.strip_prefix('"')?;
    let mut name = String::new();
    loop {
        let (before, after) = rest.split_once('"')?;
        name.push_str(before);
        match after.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return (after.is_empty() || after.starts_with('.')).then_some((name, after)),
        }
    }
}

/// Whether the whole of a name is what the tokens say. `*` takes as little as it can, and more when what follows does not
/// fit, so that no pattern takes longer than the product of both lengths.
fn fits(tokens: &[Token], name: &str, case_sensitive: bool) -> bool {
    let name: Vec<char> = name.chars().collect();
    let one = |token: Token, c: char| match token {
        Token::One => true,
        Token::Letter(letter) => letter == c || (!case_sensitive && letter.eq_ignore_ascii_case(&c)),
        Token::Point => c == '.',
        Token::Any => false,
    };
    let (mut token, mut at) = (0, 0);
    // After the last `*`: where it stands, and how far it reaches.
    let mut back: Option<(usize, usize)> = None;
    while at < name.len() {
        match tokens.get(token) {
            Some(Token::Any) => {
                back = Some((token, at));
                token += 1;
            }
            Some(wanted) if one(*wanted, name[at]) => (token, at) = (token + 1, at + 1),
            _ => match &mut back {
                None => return false,
                Some((star, reach)) => {
                    *reach += 1;
                    (token, at) = (*star + 1, *reach);
                }
            },
        }
    }
    tokens[token..].iter().all(|token| *token == Token::Any)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn listed(schema: Option<&str>, name: &str, bare: bool) -> Listed {
        Listed { schema: schema.map(str::to_owned), name: name.to_owned(), bare, own: true, key: Vec::new() }
    }

    fn means(pattern: &str, schema: Option<&str>, name: &str) -> bool {
        let catalog = Catalog { tables: Vec::new(), case_sensitive: true };
        Pattern::parse(pattern).finds(&listed(schema, name, schema == Some("public")), &catalog)
    }

    #[test]
    fn a_star_is_any_text_and_a_question_mark_one_character() {
        for (pattern, name) in
            [("*", ""), ("*", "a"), ("o*", "orders"), ("*s", "orders"), ("o*d*s", "orders"), ("?rder?", "orders")]
        {
            assert!(means(pattern, None, name), "{pattern} {name}");
        }
        for (pattern, name) in [("", "a"), ("?", ""), ("o*x", "orders"), ("orders?", "orders"), ("Orders", "orders")] {
            assert!(!means(pattern, None, name), "{pattern} {name}");
        }
        assert!(means("t?", None, "tü"));
        assert!(!means(&"*a".repeat(40), None, &"a".repeat(2000).replace("aa", "ab")), "nor does it take for ever");
    }

    #[test]
    fn a_pattern_without_a_schema_means_what_its_name_alone_finds() {
        assert!(means("orders", Some("public"), "orders") && !means("orders", Some("sales"), "orders"));
        assert!(means("*.orders", Some("sales"), "orders") && means("s*.o*", Some("sales"), "orders"));
        assert!(means("public.*", Some("public"), "a.b") && !means("public.*", Some("sales"), "orders"));
        // What follows the first point is the table, as it is for `table:`.
        assert!(means("public.a.b", Some("public"), "a.b"));
        // Without schemas a point is a letter.
        assert!(means("a.*", None, "a.b") && !means("a.*", None, "ab"));
    }

    #[test]
    fn what_stands_in_quotes_is_taken_as_it_is() {
        assert!(means("\"a.b\"", Some("public"), "a.b") && means("\"a.b\".\"c*\"", Some("a.b"), "c*"));
        assert!(!means("\"c*\"", Some("public"), "cd") && means("\"a\"\"b\"", None, "a\"b"));
        // A quote that closes nothing is a letter.
        assert!(means("\"a", None, "\"a") && means("\"a\"b*", None, "\"a\"bc") && means("a\"*", None, "a\"b"));
    }

    #[test]
    fn letters_of_another_case_are_the_same_where_the_database_says_so() {
        let catalog = Catalog { tables: Vec::new(), case_sensitive: false };
        assert!(Pattern::parse("ORD*").finds(&listed(None, "orders", true), &catalog));
    }

    #[test]
    fn a_view_is_meant_by_its_name_alone() {
        let (catalog, view) = (Catalog::default(), Listed { own: false, ..listed(None, "seen", true) });
        assert!(Pattern::parse("seen").finds(&view, &catalog) && !Pattern::parse("see?").finds(&view, &catalog));
    }

    #[test]
    fn among_tables_that_are_found_a_name_is_enough() {
        let (catalog, table) = (Catalog::default(), listed(Some("sales"), "orders", false));
        assert!(!Pattern::parse("orders").finds(&table, &catalog) && Pattern::parse("orders").names(&table, &catalog));
        assert!(Pattern::parse("sales.ord*").names(&table, &catalog));
        assert!(!Pattern::parse("public.orders").names(&table, &catalog));
        let named = |schema: Option<&str>, name: &str| Some((schema.map(str::to_owned), name.to_owned()));
        assert_eq!(Pattern::parse("a.b.c").exact(true), named(Some("a"), "b.c"));
        assert_eq!(Pattern::parse("a.b").exact(false), named(None, "a.b"));
        assert_eq!(Pattern::parse("a.*").exact(true), None);
    }

    #[test]
    fn patterns_span_schemas_by_what_they_say_and_not_by_what_there_is() {
        let span = |patterns: &[&str]| {
            let patterns: Vec<Pattern> = patterns.iter().map(|p| Pattern::parse(p)).collect();
            Pattern::span_schemas(&patterns)
        };
        assert!(!span(&["*"]) && !span(&["public.*"]) && !span(&["public.a", "public.b*"]) && !span(&["a", "b"]));
        assert!(span(&["*.*"]) && span(&["p?.a"]) && span(&["a.*", "b.*"]) && span(&["*", "sales.*"]));
        assert!(!span(&["\"*\".a"]));
    }

    #[test]
    fn a_name_is_written_so_that_it_is_read_back() {
        assert_eq!(listed(Some("public"), "orders", true).written(), "public.orders");
        assert_eq!(listed(Some("a.b"), "c\"d", true).written(), "\"a.b\".\"c\"\"d\"");
        assert_eq!(listed(None, "a.b", true).written(), "a.b");
    }

    proptest! {
        #[test]
        fn a_table_is_meant_by_its_own_name(schema in proptest::option::of("[a.\"*?]{1,4}"), name in "[aä.\"*?]{1,6}") {
            let table = listed(schema.as_deref(), &name, false);
            let catalog = Catalog { tables: Vec::new(), case_sensitive: true };
            let written = match &table.schema {
                Some(_) => format!("\"{}\".\"{}\"", schema.unwrap_or_default().replace('"', "\"\""), name.replace('"', "\"\"")),
                None => format!("\"{}\"", name.replace('"', "\"\"")),
            };
            let pattern = Pattern::parse(&written);
            prop_assert!(pattern.finds(&table, &catalog) && !pattern.has_wildcard());
        }

        #[test]
        fn any_text_is_a_pattern(pattern in "[a.\"*?]{0,12}", name in "[a.\"*?]{0,12}") {
            let _ = means(&pattern, None, &name) | means(&pattern, Some("a"), &name);
        }
    }
}
