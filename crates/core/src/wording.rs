//! Small things that messages have in common: plurals, and the name that was probably meant.

/// `1 row`, `1,200 rows`.
pub fn count(n: u64, word: &str) -> String {
    format!("{} {word}{}", grouped(n), if n == 1 { "" } else { "s" })
}

/// `count` with the verb that goes with it: `agree(2, "row", "is", "are")` is `2 rows are`.
pub fn agree(n: u64, word: &str, one: &str, many: &str) -> String {
    format!("{} {}", count(n, word), verb(n, one, many))
}

/// The verb that goes with a number: `verb(1, "is", "are")`.
pub fn verb<'a>(n: u64, one: &'a str, many: &'a str) -> &'a str {
    if n == 1 { one } else { many }
}

/// `1,234,567`.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The known name that a wrong one was probably meant to be.
pub fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Hyphens, blanks and case are the commonest slips and cost nothing.
    let plain = |s: &str| s.to_lowercase().replace(['-', ' '], "_");
    let wrong = plain(wrong);
    let allowed = (wrong.chars().count() / 3).clamp(1, 4);
    known
        .map(|k| (strsim::damerau_levenshtein(&wrong, &plain(k)), k))
        .filter(|(distance, k)| *distance <= allowed && *distance < k.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, k)| k)
}

/// Says which of the known names was meant, or else what there is to choose from.
pub fn suggest(wrong: &str, what: &str, known: &[&str]) -> String {
    match nearest(wrong, known.iter().copied()) {
        Some(near) => format!("did you mean {near:?}?"),
        None => listed(what, known),
    }
}

/// What there is to choose from: at most twenty names.
pub fn listed(what: &str, known: &[&str]) -> String {
    const SHOWN: usize = 20;
    match known.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        Some(more) => format!("{what}: {}, and {more} more", known[..SHOWN].join(", ")),
        None => format!("{what}: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_many() {
        assert_eq!([0, 1, 2, 1_234_567].map(|n| count(n, "row")), ["0 rows", "1 row", "2 rows", "1,234,567 rows"]);
        assert_eq!(agree(1, "row", "was", "were"), "1 row was");
        assert_eq!(agree(2, "row", "was", "were"), "2 rows were");
        assert_eq!(grouped(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn a_slip_of_the_finger_finds_its_name() {
        assert_eq!(nearest("ordrs", ["customers", "orders"].into_iter()), Some("orders"));
        assert_eq!(nearest("Updated-At", ["updated_at"].into_iter()), Some("updated_at"));
        assert_eq!(nearest("zzz", ["customers", "orders"].into_iter()), None);
        assert_eq!(suggest("zzz", "there are", &["a", "b"]), "there are: a, b");
        let many: Vec<String> = (0..30).map(|n| format!("column{n:02}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(suggest("zzz", "there are", &many).ends_with("column19, and 10 more"));
    }
}
