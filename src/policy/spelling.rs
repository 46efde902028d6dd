//! Which word was probably meant by a misspelt one, and which form of a word goes with a count.

/// A count with the words that go with it: `1 copy waits`, `4 copies wait`.
#[must_use]
pub fn counted(count: impl Into<u64>, one: &str, many: &str) -> String {
    let count = count.into();
    format!("{count} {}", if count == 1 { one } else { many })
}

/// The word of `words` that `typed` is a probable misspelling of: at most a third of its letters wrong, missing, added
/// or swapped with their neighbour.
#[must_use]
pub fn nearest<'w>(typed: &str, words: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let typed = typed.to_lowercase();
    let allowed = typed.chars().count().div_ceil(3);
    words
        .into_iter()
        .map(|word| (distance(&typed, &word.to_lowercase()), word))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// How many letters must be added, removed, replaced or swapped with their neighbour to make `b` of `a` (optimal
/// string alignment).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    let mut previous = None;
    for (number, letter) in a.chars().enumerate() {
        let mut next = vec![number.saturating_add(1)];
        for (column, other) in b.iter().enumerate() {
            let at = |row: &[usize], column: Option<usize>| {
                column.and_then(|column| row.get(column).copied()).unwrap_or(usize::MAX)
            };
            let replaced = at(&row, Some(column)).saturating_add(usize::from(letter != *other));
            let removed = at(&row, column.checked_add(1)).saturating_add(1);
            let added = at(&next, Some(column)).saturating_add(1);
            let crossed = previous == Some(*other)
                && column.checked_sub(1).and_then(|before| b.get(before)) == Some(&letter);
            let swapped =
                if crossed { at(&before, column.checked_sub(1)).saturating_add(1) } else { usize::MAX };
            next.push(replaced.min(removed).min(added).min(swapped));
        }
        before = std::mem::replace(&mut row, next);
        previous = Some(letter);
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelling_finds_its_word_and_another_word_does_not() {
        let words = ["originator", "source", "source_name", "to"];
        let near = |typed| nearest(typed, words);
        assert_eq!(near("orignator"), Some("originator"));
        assert_eq!(near("Source"), Some("source"));
        assert_eq!(near("suorce"), Some("source"));
        assert_eq!(near("source-name"), Some("source_name"));
        assert_eq!(near("ot"), Some("to"));
        assert_eq!(near("password"), None);
    }

    #[test]
    fn one_of_a_kind_is_no_plural() {
        let spelt = [0_u64, 1, 2].map(|count| counted(count, "copy waits", "copies wait"));
        assert_eq!(spelt, ["0 copies wait", "1 copy waits", "2 copies wait"]);
    }
}
