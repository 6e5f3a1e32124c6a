//! What a user probably meant. In go a word and the known ones; out comes the nearest, if one is near. Pure.

/// ` (did you mean `word`?)`, or nothing.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, known).map(|near| format!(" (did you mean `{near}`?)")).unwrap_or_default()
}

/// The known word with the fewest edits, if they are at most a third of it.
fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| -> Vec<char> {
        text.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).take(64).flat_map(char::to_lowercase).collect()
    };
    let word = plain(word);
    known
        .into_iter()
        .map(|candidate| {
            let other = plain(candidate);
            (edits(&word, &other), other.len().max(word.len()), candidate)
        })
        .filter(|(edits, length, _)| *edits <= (length / 3).max(1) && edits < length)
        .min_by_key(|(edits, ..)| *edits)
        .map(|(.., candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours that make one of the other.
fn edits(from: &[char], to: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (row, &letter) in from.iter().enumerate() {
        let mut line = vec![row + 1];
        for (column, &other) in to.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX / 2);
            let mut best = (at(&last, column) + usize::from(letter != other))
                .min(at(&last, column + 1) + 1)
                .min(at(&line, column) + 1);
            let swapped = row > 0
                && column > 0
                && from.get(row - 1) == Some(&other)
                && to.get(column - 1) == Some(&letter);
            if swapped {
                best = best.min(at(&before, column - 1) + 1);
            }
            line.push(best);
        }
        before = std::mem::replace(&mut last, line);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_near_word_is_suggested_and_a_far_one_is_not() {
        let known = ["RandomForest", "DecisionTree", "SVM", "SGD", "n_estimators", "max_depth"];
        for (word, expected) in [
            ("RandomForrest", "RandomForest"),
            ("randomforest", "RandomForest"),
            ("n_estimator", "n_estimators"),
            ("max_dpeth", "max_depth"),
            ("maxDepth", "max_depth"),
            ("SVN", "SVM"),
        ] {
            assert_eq!(did_you_mean(word, known), format!(" (did you mean `{expected}`?)"), "{word}");
        }
        for word in ["XGBoost", "", "gamma", "K"] {
            assert_eq!(did_you_mean(word, known), "", "{word}");
        }
    }

    proptest! {
        #[test]
        fn no_word_panics(word in ".{0,80}", known in ".{0,80}") {
            let _ = did_you_mean(&word, [known.as_str(), ""]);
        }
    }
}
