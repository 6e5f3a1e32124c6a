//! The garbage collector: what has lost all its owners goes.

use std::collections::BTreeSet;

use super::BY;
use crate::{
    json::{is_terminating, items, text},
    kinds::{Kind, WATCHED},
    store::{Key, Store},
};

pub(super) fn step(store: &mut Store) {
    let living: BTreeSet<_> = WATCHED
        .into_iter()
        .flat_map(|kind| store.all(kind))
        .map(|object| text(object, "/metadata/uid").to_owned())
        .collect();
    let orphans: Vec<Key> = WATCHED
        .into_iter()
        .filter(|kind| *kind != Kind::Model)
        .flat_map(|kind| store.entries(kind))
        .filter(|(_, object)| {
            let mut owners = items(object, "/metadata/ownerReferences").peekable();
            !is_terminating(object)
                && owners.peek().is_some()
                && owners.all(|owner| !living.contains(text(owner, "/uid")))
        })
        .map(|(key, _)| key.clone())
        .collect();
    for key in orphans {
        let _ = store.delete(&key, &serde_json::Value::Null, BY);
    }
}
