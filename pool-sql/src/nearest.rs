//! [`nearest`]: what somebody may have meant by a word that is not known.

/// The known word that takes the fewest changes of a letter to become this one. `None` if none is
/// known.
///
/// ```
/// assert_eq!(pool_sql::nearest("ssl_mode", &["host", "sslmode"]), Some("sslmode"));
/// ```
pub fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    known.iter().copied().min_by_key(|known| distance(known, word))
}

/// How many letters to change to make one word of the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            let replaced = diagonal + usize::from(x != *y);
            row[j + 1] = replaced.min(above + 1).min(row[j] + 1);
            diagonal = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_letters() {
        for (a, b, far) in [("", "abc", 3), ("kitten", "sitting", 3), ("é", "e", 1), ("x", "x", 0)]
        {
            assert_eq!((distance(a, b), distance(b, a)), (far, far));
        }
        assert_eq!(nearest("x", &[]), None);
    }
}
