//! "Did you mean": the known name nearest to what was written.

/// The candidate nearest to `word`, if one is near enough to be what was meant.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // The distance costs the product of both lengths.
    const WORD_MAX: usize = 200;
    if word.len() > WORD_MAX {
        return None;
    }
    let lower = word.to_lowercase();
    let length = word.chars().count();
    // Another letter is no slip of a name of one letter.
    let allowed = (1 + length / 4).min(length.saturating_sub(1));
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `did you mean "x"?`, or the list of what is possible.
pub(crate) fn help(word: &str, candidates: &[&str], noun: &str) -> String {
    match nearest(word, candidates.iter().copied()) {
        Some(candidate) => format!("did you mean \"{candidate}\"?"),
        None if candidates.is_empty() => format!("there are no {noun} here"),
        None => format!("known {noun}: {}", candidates.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_of_the_finger_is_recognised_and_another_word_is_not() {
        let names = ["condition", "fields", "type"];
        assert_eq!(nearest("conditon", names), Some("condition"));
        assert_eq!(nearest("tpye", names), Some("type"));
        assert_eq!(nearest("colour", names), None);
    }
}
