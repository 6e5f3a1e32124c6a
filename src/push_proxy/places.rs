//! Whose connections are kept, and which one goes when there are too many: nobody takes the places of others. Whoever has
//! shown no token yet is a stranger, of whom the first of the address with most goes; a token makes a connection one of its
//! namespace, which has so many, and no more than others want to have where all are taken. Pure, but for whom it wakes.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

/// Most connections of a namespace.
pub const OF_NAMESPACE: usize = 32;
/// Most connections of all namespaces together. Each needs two descriptors, and there may be 1024.
const OF_ALL: usize = 320;

/// A namespace has all the connections that it may have.
#[derive(Debug, PartialEq, Eq)]
pub struct Crowded;

/// All connections.
pub struct Places {
    /// Most of those without a token.
    strangers: usize,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    next: u64,
    /// In the order in which they came.
    holders: BTreeMap<u64, Holder>,
}

struct Holder {
    address: IpAddr,
    namespace: Option<String>,
    leave: Arc<Notify>,
}

/// That of one connection, for as long as it is kept.
pub struct Place {
    places: Arc<Places>,
    id: u64,
    leave: Arc<Notify>,
}

impl Places {
    /// With so many for those without a token.
    pub fn new(strangers: usize) -> Arc<Self> {
        Arc::new(Self { strangers, held: Mutex::default() })
    }

    /// One more, of this address, that has shown no token.
    pub fn enter(self: &Arc<Self>, address: IpAddr) -> Place {
        let mut held = self.held();
        let first = held.stranger_too_many(self.strangers, address);
        held.send_away(first);
        let (id, leave) = (held.next, Arc::new(Notify::new()));
        held.next += 1;
        held.holders.insert(id, Holder { address, namespace: None, leave: Arc::clone(&leave) });
        Place { places: Arc::clone(self), id, leave }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn send_away(&mut self, id: Option<u64>) {
        if let Some(holder) = id.and_then(|id| self.holders.remove(&id)) {
            holder.leave.notify_one();
        }
    }

    /// The stranger that goes for one more of an address where there may be so many: the first of the address that would have
    /// most.
    fn stranger_too_many(&self, most: usize, address: IpAddr) -> Option<u64> {
        let strangers = || self.holders.iter().filter(|(_, holder)| holder.namespace.is_none());
        if strangers().count() < most {
            return None;
        }
        let mut counts = HashMap::from([(address, 1)]);
        for (_, holder) in strangers() {
            *counts.entry(holder.address).or_insert(0_usize) += 1;
        }
        let of = |holder: &Holder| counts.get(&holder.address).copied();
        let largest = strangers().map(|(_, holder)| of(holder)).max()?;
        strangers().find(|(_, holder)| of(holder) == largest).map(|(id, _)| *id)
    }

    /// How many each namespace has.
    fn counts(&self) -> HashMap<&str, usize> {
        let mut counts = HashMap::new();
        for namespace in self.holders.values().filter_map(|holder| holder.namespace.as_deref()) {
            *counts.entry(namespace).or_insert(0) += 1;
        }
        counts
    }

    /// What makes room for one more of a namespace that has `own`: nothing where there is room, or the last of a namespace
    /// that would still have as many.
    fn room(&self, own: usize) -> Result<Option<u64>, Crowded> {
        let counts = self.counts();
        if counts.values().sum::<usize>() < OF_ALL {
            return Ok(None);
        }
        let (most, _) = counts
            .into_iter()
            .filter(|(_, count)| *count > own + 1)
            .max_by_key(|most| most.1)
            .ok_or(Crowded)?;
        let of_it = |holder: &Holder| holder.namespace.as_deref() == Some(most);
        Ok(self.holders.iter().rev().find(|(_, holder)| of_it(holder)).map(|(id, _)| *id))
    }
}

impl Place {
    /// Makes it one of a namespace, whose token was shown and holds.
    pub fn claim(&self, namespace: &str) -> Result<(), Crowded> {
        let mut held = self.places.held();
        let holder = held.holders.get(&self.id).ok_or(Crowded)?;
        if holder.namespace.as_deref() == Some(namespace) {
            return Ok(());
        }
        let own = held.counts().get(namespace).copied().unwrap_or(0);
        if own >= OF_NAMESPACE {
            return Err(Crowded);
        }
        let other = held.room(own)?;
        held.send_away(other);
        if let Some(holder) = held.holders.get_mut(&self.id) {
            holder.namespace = Some(namespace.to_owned());
        }
        Ok(())
    }

    /// Ends when it is given to another.
    pub async fn is_lost(&self) {
        self.leave.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.held().holders.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use futures::FutureExt as _;

    use super::*;

    impl Places {
        /// Of an address that all share.
        fn another(self: &Arc<Self>) -> Place {
            self.enter([10, 0, 0, 1].into())
        }
    }

    fn of(places: &Arc<Places>, namespace: &str, count: usize) -> Vec<Place> {
        let enter = |_| {
            let place = places.another();
            place.claim(namespace).unwrap();
            place
        };
        (0..count).map(enter).collect()
    }

    fn lost(places: &[Place]) -> usize {
        places.iter().filter(|place| place.is_lost().now_or_never().is_some()).count()
    }

    #[test]
    fn strangers_displace_strangers_alone_and_the_first_goes_first() {
        let places = Places::new(2);
        let own = of(&places, "team", 1);
        let strangers: Vec<_> = (0..4).map(|_| places.another()).collect();
        assert_eq!((lost(&own), lost(&strangers[..2]), lost(&strangers[2..])), (0, 2, 0));
        assert_eq!(strangers[0].claim("team"), Err(Crowded), "who was sent away comes back by no token");
        strangers[3].claim("team").unwrap();
        let more = places.another();
        assert_eq!((lost(&strangers[2..]), lost(&[more])), (0, 0), "one of them is no stranger any more");
    }

    #[test]
    fn of_strangers_those_of_the_address_with_most_go() {
        let places = Places::new(8);
        let enter = |last: u8, count: usize| -> Vec<_> {
            (0..count).map(|_| places.enter([10, 0, 0, last].into())).collect()
        };
        let (one, many) = (enter(1, 2), enter(2, 100));
        assert_eq!((lost(&one), lost(&many)), (0, 94));
        let others: Vec<_> = (3..20).flat_map(|last| enter(last, 1)).collect();
        assert_eq!((lost(&one), lost(&many[94..])), (2, 6), "one is less than two");
        assert_eq!((lost(&others[..9]), lost(&others[9..])), (9, 0), "who came last is there");
    }

    #[test]
    fn a_namespace_has_its_own_and_gets_them_back() {
        let places = Places::new(8);
        let mut team = of(&places, "team", OF_NAMESPACE);
        let one = places.another();
        assert_eq!(one.claim("team"), Err(Crowded));
        assert_eq!(team[0].claim("team"), Ok(()), "it has its place already");
        assert_eq!(one.claim("other"), Ok(()));
        team.pop();
        assert_eq!(one.claim("team"), Ok(()), "a place goes along with the token that is shown last");
        assert_eq!(places.another().claim("team"), Err(Crowded));
        assert_eq!(lost(&team), 0);
    }

    #[test]
    fn where_all_are_taken_those_with_most_make_room_until_others_have_as_many() {
        let places = Places::new(8);
        let many = OF_ALL / OF_NAMESPACE;
        let all: Vec<_> =
            (0..many).map(|number| of(&places, &format!("team-{number}"), OF_NAMESPACE)).collect();
        assert_eq!(all.iter().map(Vec::len).sum::<usize>(), OF_ALL);
        let mut other = Vec::new();
        let refused = loop {
            let place = places.another();
            match place.claim("other") {
                Ok(()) => other.push(place),
                Err(full) => break full,
            }
        };
        assert_eq!(refused, Crowded);
        let left: Vec<_> = all.iter().map(|of| OF_NAMESPACE - lost(of)).collect();
        assert_eq!(left.iter().sum::<usize>() + other.len(), OF_ALL);
        let (least, most) = (left.iter().min().unwrap(), left.iter().max().unwrap());
        assert!(most - least <= 1 && most - other.len() <= 1, "{left:?} and {}", other.len());
        assert_eq!(lost(&other), 0);
    }
}
