//! Properties of rollouts over random histories, and the ordinary courses one by one.

#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;

use super::{
    world::{Nature, REVISIONS, Refused, Step, World},
    *,
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

pub(super) fn pod(name: &str, leaving: bool) -> Pod {
    Pod {
        name: name.into(),
        created: None,
        terminating: false,
        started: true,
        ready: !leaving,
        taken_up: true,
        labelled: !leaving,
        routed: !leaving,
        leaving_since: leaving.then_some(Timestamp::UNIX_EPOCH),
        verified: !leaving,
        drained: leaving,
        problem: None,
    }
}

#[test]
fn a_target_is_promoted_when_the_pods_of_the_old_revision_say_that_no_client_is_left() {
    let desired = Desired { target: Some("b".into()), replicas: 1, ..World::new(1).now.desired };
    let promoted = |drained: bool, seconds: i64| {
        let old = Revision {
            record: Record {
                number: 1,
                promoted: Some(1),
                outcome: Some(Outcome::Promoted),
                ..Record::default()
            },
            scale: Some(Scale { replicas: 1, settled: true }),
            drain_timeout: Duration::from_secs(30),
            pods: vec![Pod { drained, ..pod("old", true) }],
            ..Revision::default()
        };
        let new = Revision {
            record: Record { number: 2, outcome: Some(Outcome::Progressing), ..Record::default() },
            scale: Some(Scale { replicas: 1, settled: true }),
            pods: vec![pod("new", false)],
            ..Revision::default()
        };
        let observed = Observed {
            revisions: [("a".to_owned(), old), ("b".to_owned(), new)].into(),
            draining: ["old".to_owned()].into(),
            ..Observed::default()
        };
        decide(&desired, &observed, Timestamp::from_second(seconds).unwrap()).stable
    };
    assert_eq!(promoted(false, 29).as_deref(), Some("a"));
    assert_eq!(promoted(true, 1).as_deref(), Some("b"));
    assert_eq!(promoted(false, 30).as_deref(), Some("b"), "a client that stays is not waited for for ever");
}

#[test]
fn a_first_start_waits_for_its_service_and_a_later_rollout_does_not() {
    let decided = |promoted: Option<u64>, unreached: bool| {
        let stable =
            Revision { record: Record { number: 1, promoted, ..Record::default() }, ..Revision::default() };
        let target = Revision {
            scale: Some(Scale { replicas: 1, settled: true }),
            pods: vec![pod("new", false)],
            ..Revision::default()
        };
        let revisions = [("a".to_owned(), stable), ("b".to_owned(), target)].into();
        let observed = Observed { revisions, unreached, ..Observed::default() };
        let desired = Desired { target: Some("b".into()), replicas: 1, ..World::new(1).now.desired };
        decide(&desired, &observed, Timestamp::UNIX_EPOCH)
    };
    let waits = decided(None, true);
    assert_eq!((waits.stable, waits.overdue), (None, false));
    assert!(waits.again.is_some_and(|again| again <= ASK_AGAIN), "{:?}", waits.again);
    for (promoted, unreached) in [(None, false), (Some(1), true)] {
        assert_eq!(decided(promoted, unreached).stable.as_deref(), Some("b"));
    }
}

#[test]
fn replicas_fall_only_when_the_controllers_have_done_what_was_asked_before() {
    let desired = Desired { replicas: 1, ..World::new(1).now.desired };
    let decided = |settled: bool| {
        let record =
            Record { number: 1, promoted: Some(1), outcome: Some(Outcome::Promoted), ..Record::default() };
        let revision = Revision {
            record,
            scale: Some(Scale { replicas: 2, settled }),
            pods: vec![pod("one", false), pod("two", true)],
            ..Revision::default()
        };
        let observed = Observed {
            revisions: [("a".to_owned(), revision)].into(),
            draining: ["two".to_owned()].into(),
            ..Observed::default()
        };
        decide(&desired, &observed, Timestamp::UNIX_EPOCH).replicas
    };
    assert_eq!(decided(true), [("a".to_owned(), 1)].into());
    assert_eq!(decided(false), BTreeMap::new());
}

/// A stable revision `a` with these pods, beside what was born of its changed template, and `b` as the target.
fn with_a_stray(stable: Vec<Pod>, stray: Pod, target: &str) -> Decision {
    let record =
        Record { number: 1, promoted: Some(1), outcome: Some(Outcome::Promoted), ..Record::default() };
    let scale = Scale { replicas: count(stable.len()), settled: true };
    let stable = Revision { record, scale: Some(scale), pods: stable, ..Revision::default() };
    let draining = [&stray].into_iter().filter(|pod| !pod.labelled).map(|pod| pod.name.clone()).collect();
    let aside = Revision { is_aside: true, pods: vec![stray], ..Revision::default() };
    let observed = Observed {
        revisions: [("a".to_owned(), stable), (SET_ASIDE.to_owned(), aside)].into(),
        draining,
        ..Observed::default()
    };
    let desired = Desired { target: Some(target.into()), replicas: 2, ..World::new(2).now.desired };
    decide(&desired, &observed, Timestamp::UNIX_EPOCH)
}

#[test]
fn a_pod_of_a_changed_template_takes_no_place_of_the_surge_and_goes() {
    let pending = Pod { started: false, ready: false, verified: false, ..pod("stray", false) };
    let two = || vec![pod("one", false), pod("two", false)];
    let decision = with_a_stray(two(), pending, "b");
    assert_eq!(decision.replicas, [("b".to_owned(), 1)].into(), "the rollout goes on");
    assert_eq!(decision.drain, ["stray".to_owned()].into());
    assert!(decision.remove.is_empty(), "not before it was told");
    let told = Pod { started: false, drained: false, ..pod("stray", true) };
    assert_eq!(with_a_stray(two(), told, "a").remove, ["stray".to_owned()].into());
}

#[test]
fn a_pod_of_a_changed_template_that_serves_gives_way_only_to_one_that_takes_its_place() {
    let starting = || Pod { started: false, ready: false, verified: false, ..pod("two", false) };
    let decision = with_a_stray(vec![pod("one", false), starting()], pod("stray", false), "a");
    assert!(decision.drain.is_empty(), "{decision:?}");
    let decision = with_a_stray(vec![pod("one", false), pod("two", false)], pod("stray", false), "a");
    assert_eq!(decision.drain, ["stray".to_owned()].into());
}

#[test]
fn what_was_refused_stays_so_when_the_spec_leaves_it_and_returns() {
    let mut world = World::new(1);
    assert!(world.settle().is_some());
    world.step(&Step::Nature(1, Nature::Broken));
    world.step(&Step::Target(1));
    assert!(world.settle().is_some());
    let refused = |world: &World| world.now.records["b"].value.quarantine.clone();
    assert!(refused(&world).is_some(), "{:?}", world.now);
    for target in [0, 1, 0, 1] {
        world.step(&Step::Target(target));
        assert!(world.settle().is_some());
        assert!(refused(&world).is_some(), "{:?}", world.now);
        assert!(!world.now.sets.contains_key("b"), "and nothing of it is started: {:?}", world.now);
    }
    world.step(&Step::Nature(1, Nature::Good));
    world.step(&Step::Ask(Action::Retry));
    world.step(&Step::Reconcile { age: 0, dies_after: None });
    assert!(world.settle().is_some());
    assert_eq!((world.stable().as_deref(), refused(&world)), (Some("b"), None), "a retry lifts it");
}

fn rounds(world: &mut World, steps: &[Step]) {
    for step in steps {
        world.step(step);
        assert_eq!(world.broken, None, "after {step:?}");
    }
}

const LOOK: Step = Step::Reconcile { age: 0, dies_after: None };

/// Shown: after an outage of the API server the controller manager took another minute, and a harmless revision was rolled
/// back without a reason.
#[test]
fn a_deadline_does_not_run_while_the_cluster_owes_what_it_was_asked_for() {
    for lost_before in [false, true] {
        let mut world = World::new(1);
        assert!(world.settle().is_some());
        rounds(&mut world, &[Step::Target(1), LOOK]);
        if lost_before {
            // its pod was there once, and is lost as the outage begins
            let b = world.now.pods.len();
            rounds(&mut world, &[Step::Nature(1, Nature::Broken), LOOK, Step::ReplicaSets, Step::Pods, LOOK]);
            rounds(&mut world, &[Step::ControllersAway(true), Step::UserDeletesPod(b), LOOK]);
            rounds(&mut world, &[Step::Nature(1, Nature::Good)]);
        } else {
            rounds(&mut world, &[Step::ControllersAway(true), LOOK]);
        }
        for _ in 0..5 {
            rounds(&mut world, &[Step::Pass(500), LOOK, Step::ReplicaSets, Step::Pods]);
        }
        let progress = world.now.records["b"].value.progress.unwrap();
        assert!(progress.stands && progress.stood == 1, "{progress:?}");
        // what was owed is done, and the revision gets its whole deadline
        rounds(
            &mut world,
            &[Step::ControllersAway(false), Step::ReplicaSets, Step::Pods, LOOK, Step::Pass(500), LOOK],
        );
        assert!(world.settle().is_some());
        assert_eq!(world.stable().as_deref(), Some("b"), "{:?}", world.now);
    }
}

#[test]
fn a_revision_whose_pods_are_made_anew_for_ever_is_judged_in_the_end() {
    let mut world = World::new(1);
    assert!(world.settle().is_some());
    rounds(
        &mut world,
        &[Step::Nature(1, Nature::Broken), Step::Target(1), LOOK, LOOK, Step::ReplicaSets, Step::Pods],
    );
    let refused = |world: &World| world.now.records["b"].value.quarantine.clone();
    let mut evictions = 0;
    while refused(&world).is_none() {
        let b = world.now.pods.iter().position(|pod| pod.revision == "b").unwrap();
        rounds(
            &mut world,
            &[Step::Pass(20), Step::UserDeletesPod(b), LOOK, Step::ReplicaSets, Step::Pods, LOOK],
        );
        evictions += 1;
        assert!(evictions < 60, "{:?}", world.now.records["b"]);
    }
    assert_eq!(refused(&world).as_deref(), Some(outcome::DEADLINE_EXCEEDED));
    assert!(evictions > 10, "{evictions}");
}

/// A new revision was promoted while no client could reach it (field case 36).
#[test]
fn nothing_is_promoted_and_nobody_leaves_while_the_service_has_no_endpoint_of_the_new_pods() {
    let mut world = World::new(2);
    assert!(world.settle().is_some());
    let before = world.serving_of("a");
    rounds(&mut world, &[Step::Target(1)]);
    for _ in 0..20 {
        rounds(&mut world, &[LOOK, Step::ReplicaSets, Step::Pods, Step::Kubelet, Step::Pass(100)]);
    }
    assert_eq!((world.stable().as_deref(), world.serving_of("a")), (Some("a"), before), "{:?}", world.now);
    assert!(world.settle().is_some());
    assert_eq!(world.stable().as_deref(), Some("b"), "it goes on as soon as the endpoints are there");
}

/// Whichever writes are refused for how long ever: what was promoted serves, and no pod is lost.
#[test]
fn a_record_that_cannot_be_written_gives_up_no_way_back() {
    let mut world = World::new(2);
    assert!(world.settle().is_some());
    rounds(&mut world, &[Step::Target(1), LOOK, Step::Refuse(Refused::Records, true)]);
    for _ in 0..40 {
        rounds(
            &mut world,
            &[
                LOOK,
                Step::ReplicaSets,
                Step::Pods,
                Step::Endpoints,
                Step::Proxy,
                Step::Kubelet,
                Step::Pods,
                Step::Endpoints,
                Step::Proxy,
                Step::Pods,
                Step::Pass(20),
            ],
        );
    }
    assert_eq!(world.stable().as_deref(), Some("a"));
    assert_eq!(world.serving_of("b"), 2, "the rollout goes on as far as nothing is justified by the record");
    assert!(world.now.sets["a"].value > 0, "the way back stays: {:?}", world.now);
    assert!(world.settle().is_some());
    assert_eq!(world.stable().as_deref(), Some("b"));
}

#[test]
fn a_first_start_that_the_cluster_keeps_waiting_is_not_overdue_and_costs_no_write_within_its_deadline() {
    let mut world = World::new(1);
    rounds(&mut world, &[Step::ControllersAway(true), LOOK]);
    let begun = world.now.records["a"].clone();
    for _ in 0..5 {
        rounds(&mut world, &[Step::Pass(100), LOOK]);
    }
    assert_eq!(world.now.records["a"], begun, "nothing is written");
    rounds(&mut world, &[Step::Pass(200), LOOK]);
    let decision = decide(&world.now.desired, &world.observe(&world.now), world.time());
    assert!(decision.waits_for_cluster && !decision.overdue, "{decision:?}");
    rounds(
        &mut world,
        &[Step::Nature(0, Nature::Broken), Step::ControllersAway(false), Step::ReplicaSets, Step::Pods, LOOK],
    );
    let overdue =
        |world: &World| decide(&world.now.desired, &world.observe(&world.now), world.time()).overdue;
    assert!(!overdue(&world), "it gets its whole deadline");
    rounds(&mut world, &[Step::Pass(601)]);
    assert!(overdue(&world), "and no more");
}
