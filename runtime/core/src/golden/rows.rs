//! Makes golden samples of real rows: the test part of a training. In go a session and rows; out come samples whose
//! answers are finite and do not move with the last bit of the inputs. Needs no client.

use std::collections::BTreeMap;

use modelwright_contract::artifact::{GoldenSamples, GoldenSource};

use super::{
    generate::DRAWS,
    random::SplitMix64,
    record::{Recorder, Recording},
};
use crate::{session::Session, tensor::Tensor};

/// Records up to `count` samples of rows, in their order; none if no answer is stable.
pub fn record_rows(
    session: &Session,
    rows: impl Iterator<Item = Vec<Tensor>>,
    count: u32,
    recording: &Recording,
) -> GoldenSamples {
    let mut recorder = Recorder::new(session, recording);
    for inputs in rows.take(count.saturating_mul(DRAWS) as usize) {
        if recorder.count() == count as usize {
            break;
        }
        recorder.offer(&inputs);
    }
    recorder.finish(GoldenSource::Test)
}

/// An order of rows in which every group has its turn, the same one for the same seed. `groups` has the group of each
/// row.
pub fn spread(groups: &[u32], seed: u64) -> impl Iterator<Item = usize> {
    let mut random = SplitMix64(seed);
    let mut rows: Vec<usize> = (0..groups.len()).collect();
    for end in (1..rows.len()).rev() {
        let other = usize::try_from(random.below(end as u64 + 1)).unwrap_or(end);
        rows.swap(end, other);
    }
    let mut turns: BTreeMap<u32, usize> = BTreeMap::new();
    let mut order: Vec<(usize, usize)> = rows
        .into_iter()
        .map(|row| {
            let turn = turns.entry(groups.get(row).copied().unwrap_or_default()).or_default();
            *turn += 1;
            (*turn, row)
        })
        .collect();
    // Stable: within a turn, the rows keep their random order.
    order.sort_by_key(|(turn, _)| *turn);
    order.into_iter().map(|(_, row)| row)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_label_has_a_row_among_the_first() {
        let mut groups = vec![0; 1000];
        groups.extend([1, 2, 3]);
        let first: BTreeSet<u32> = spread(&groups, 7).take(4).map(|row| groups[row]).collect();
        assert_eq!(first, BTreeSet::from([0, 1, 2, 3]));
        assert_eq!(spread(&groups, 7).collect::<Vec<_>>(), spread(&groups, 7).collect::<Vec<_>>());
        assert_ne!(spread(&groups, 7).collect::<Vec<_>>(), spread(&groups, 8).collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn every_row_comes_once(groups in prop::collection::vec(0_u32..5, 0..50), seed: u64) {
            let mut rows: Vec<usize> = spread(&groups, seed).collect();
            rows.sort_unstable();
            prop_assert_eq!(rows, (0..groups.len()).collect::<Vec<_>>());
        }
    }
}
