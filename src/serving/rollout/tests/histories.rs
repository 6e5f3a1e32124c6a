//! Properties of rollouts over random histories.

use proptest::prelude::*;

use super::super::{
    decide,
    world::{Nature, REVISIONS, Refused, Step, World},
};
use crate::{api::model_deployment::Action, serving::record::Outcome};

fn nature() -> impl Strategy<Value = Nature> {
    prop_oneof![4 => Just(Nature::Good), 2 => Just(Nature::Broken), 1 => Just(Nature::Impostor)]
}

fn refused() -> impl Strategy<Value = Refused> {
    prop_oneof![
        Just(Refused::Records),
        Just(Refused::List),
        Just(Refused::Pods),
        Just(Refused::Sets),
        (0_u8..4).prop_map(Refused::Some),
        (0_usize..4).prop_map(|index| Refused::Set(REVISIONS[index])),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let index = 0_usize..12;
    prop_oneof![
        30 => (0_usize..4, proptest::option::weighted(0.2, 0_usize..4))
            .prop_map(|(age, dies_after)| Step::Reconcile { age, dies_after }),
        14 => Just(Step::ReplicaSets),
        20 => Just(Step::Pods),
        8 => Just(Step::Kubelet),
        10 => Just(Step::Endpoints),
        10 => Just(Step::Proxy),
        2 => any::<bool>().prop_map(Step::ControllersAway),
        2 => any::<bool>().prop_map(Step::Quota),
        2 => (refused(), any::<bool>()).prop_map(|(what, is_so)| Step::Refuse(what, is_so)),
        3 => index.clone().prop_map(Step::Crash),
        2 => index.clone().prop_map(Step::NodeLoss),
        8 => (1_u16..700).prop_map(Step::Pass),
        1 => (-100_000_i32..100_000).prop_map(Step::ClockSteps),
        5 => (0_usize..4).prop_map(Step::Target),
        1 => Just(Step::NoTarget),
        3 => (0_u32..5).prop_map(Step::Replicas),
        1 => (1_u32..4).prop_map(Step::Surge),
        2 => any::<bool>().prop_map(Step::Pause),
        2 => prop_oneof![Just(Action::Abort), Just(Action::Retry)].prop_map(Step::Ask),
        1 => Just(Step::StatusDeleted),
        2 => (0_usize..4, nature()).prop_map(|(index, nature)| Step::Nature(index, nature)),
        1 => any::<bool>().prop_map(Step::Store),
        1 => index.clone().prop_map(Step::UserDeletesPod),
        2 => index.prop_map(Step::UserChangesTemplate),
    ]
}

/// What users do to the objects of the operator; R3 and R4 cannot hold against it, the rest must.
fn meddling() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => step(),
        1 => (0_usize..3, 0_u32..5).prop_map(|(index, replicas)| Step::UserScales(index, replicas)),
        1 => (0_usize..3).prop_map(Step::UserDeletesReplicaSet),
    ]
}

fn check_settled(world: &World) -> Result<(), TestCaseError> {
    let now = &world.now;
    let replicas = now.desired.replicas as usize;
    let stable = world.stable();
    let Some(target) = now.desired.target.clone() else { return Ok(()) };
    if world.natures[&target] == Nature::Good && stable.as_ref() != Some(&target) {
        prop_assert!(
            now.records[&target].value.quarantine.is_some(),
            "neither promoted nor refused: {now:?}"
        );
    }
    // what cannot start leaves service to whatever else is ready
    if let Some(stable) = stable.as_ref().filter(|stable| world.natures[*stable] != Nature::Broken) {
        let live: Vec<_> = now.sets.keys().collect();
        prop_assert_eq!(live, [stable], "another revision has a ReplicaSet (R6): {:?}", now);
        prop_assert!(now.list.value.is_empty(), "something drains for ever (R6): {now:?}");
        prop_assert!(now.changed.is_empty() && now.pods.iter().all(|pod| !pod.stray), "{now:?}");
        prop_assert_eq!(now.pods.len(), replicas, "{:?}", now);
        prop_assert_eq!(world.serving_of(stable), replicas, "{:?}", now);
    }
    let half_way = now
        .records
        .iter()
        .find(|(name, record)| **name != target && record.value.outcome == Some(Outcome::Progressing));
    prop_assert!(half_way.is_none(), "a revision stays half-way: {now:?}");
    let idle = now
        .records
        .keys()
        .filter(|name| !now.sets.contains_key(*name) && **name != target && stable.as_ref() != Some(*name));
    prop_assert!(idle.count() <= now.desired.keep, "the history grows: {now:?}");
    Ok(())
}

fn run(replicas: u32, steps: &[Step]) -> Result<World, TestCaseError> {
    let mut world = World::new(replicas);
    for step in steps {
        world.step(step);
        prop_assert!(world.broken.is_none(), "{:?}, after {step:?}\n{:?}", world.broken, world.now);
    }
    Ok(world)
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn every_history_keeps_the_invariants_and_settles(
        replicas in 0_u32..5,
        steps in proptest::collection::vec(step(), 1..160),
    ) {
        let mut world = run(replicas, &steps)?;
        prop_assert!(world.settle().is_some(), "it never settles:\n{:?}", world.now);
        prop_assert_eq!(&world.broken, &None);
        check_settled(&world)?;
    }

    #[test]
    fn whatever_users_do_to_our_objects_it_settles(
        replicas in 0_u32..5,
        steps in proptest::collection::vec(meddling(), 1..120),
    ) {
        let mut world = World::new(replicas);
        for step in &steps {
            world.step(step);
        }
        prop_assert!(world.settle().is_some(), "it never settles:\n{:?}", world.now);
        check_settled(&world)?;
    }

    #[test]
    fn a_settled_rollout_asks_for_no_write_at_any_later_time(
        steps in proptest::collection::vec(step(), 1..100), later in 0_i64..10_000_000,
    ) {
        let mut world = run(2, &steps)?;
        prop_assert!(world.settle().is_some(), "it never settles:\n{:?}", world.now);
        let observed = world.observe(&world.now);
        let decision = decide(&world.now.desired, &observed, world.time());
        prop_assert!(decision.is_settled(&observed), "{decision:#?}");
        // a first start goes on trying, and everything else rests
        if world.stable().is_some() {
            world.clock += later;
            let decision = decide(&world.now.desired, &observed, world.time());
            prop_assert!(decision.is_settled(&observed), "{decision:#?}");
        }
    }
}
