//! Guesses which name was meant. Knows nothing about what the names stand for.

/// The candidate closest to `word`, if one is close enough to be a likely slip of the fingers.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let allowed = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (closeness(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The edit distance; or 1 where the name was only lengthened by a word, as in `tcp_port` for `tcp`.
fn closeness(word: &str, name: &str) -> usize {
    let lengthened = |rest: Option<&str>| rest.is_some_and(|rest| rest.starts_with('_') || rest.ends_with('_'));
    if lengthened(word.strip_prefix(name)) || lengthened(word.strip_suffix(name)) { 1 } else { distance(word, name) }
}

/// How many letters have to be put in, left out, changed, or swapped with their neighbour.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut above: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    let mut previous = None;
    for (i, letter) in from.chars().enumerate() {
        let mut next = vec![i + 1];
        for (j, other) in to.iter().enumerate() {
            let change = row[j] + usize::from(letter != *other);
            let mut best = change.min(row[j + 1] + 1).min(next[j] + 1);
            if j > 0 && previous == Some(*other) && letter == to[j - 1] {
                best = best.min(above[j - 1] + 1);
            }
            next.push(best);
        }
        above = std::mem::replace(&mut row, next);
        previous = Some(letter);
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_single_slips() {
        for (from, to, expected) in [
            ("http", "http", 0),
            ("htpp", "http", 1),
            ("htt", "http", 1),
            ("hhttp", "http", 1),
            ("tpc", "tcp", 1),
            ("", "tcp", 3),
            ("tcp", "", 3),
            ("window", "widnows", 2),
        ] {
            assert_eq!(distance(from, to), expected, "{from} → {to}");
        }
    }

    #[test]
    fn only_likely_names_are_offered() {
        let names = ["data", "http", "tcp", "udp", "log", "connections"];
        for (word, expected) in [
            ("htpp", Some("http")),
            ("TCP", Some("tcp")),
            ("tcp_port", Some("tcp")),
            ("max_connections", Some("connections")),
            ("conections", Some("connections")),
            ("colour", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, names), expected, "{word}");
        }
    }
}
