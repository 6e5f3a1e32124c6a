//! The ordinary courses of a rollout one by one, and random ones.

#![allow(clippy::unwrap_used, clippy::panic)]

mod histories;

use super::{
    world::{Nature, Refused, Step, World},
    *,
};
use crate::{api::model_deployment::Action, serving::record::Outcome};

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

/// A ReplicaSet deletes what was told first, whichever of its pods the replicas fell for.
#[test]
fn a_pod_that_has_clients_holds_those_that_were_told_with_it_or_later() {
    let told = |name: &str, second: i64, drained: bool| Pod {
        leaving_since: Timestamp::from_second(second).ok(),
        drained,
        ..pod(name, true)
    };
    let replicas = |first: Pod, second: Pod| {
        let record =
            Record { number: 1, promoted: Some(1), outcome: Some(Outcome::Promoted), ..Record::default() };
        let draining = [&first, &second].map(|pod| pod.name.clone()).into();
        let revision = Revision {
            record,
            scale: Some(Scale { replicas: 3, settled: true }),
            drain_timeout: Duration::from_secs(30),
            pods: vec![pod("stays", false), first, second],
            ..Revision::default()
        };
        let revisions = [("a".to_owned(), revision)].into();
        let observed = Observed { revisions, draining, ..Observed::default() };
        let desired = Desired { replicas: 1, ..World::new(1).now.desired };
        decide(&desired, &observed, Timestamp::from_second(10).unwrap()).replicas.get("a").copied()
    };
    assert_eq!(replicas(told("one", 1, true), told("two", 2, false)), Some(2));
    assert_eq!(replicas(told("one", 1, true), told("two", 2, true)), Some(1));
    assert_eq!(replicas(told("one", 1, false), told("two", 2, true)), None);
    assert_eq!(replicas(told("one", 2, false), told("two", 2, true)), None);
    let unstarted = Pod { started: false, drained: false, ..told("two", 2, true) };
    assert_eq!(replicas(told("one", 1, false), unstarted), None, "it may start before it is chosen");
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

/// The way back is a pod that was told to leave, and all others serve: nothing is free for the next target.
#[test]
fn a_target_that_comes_just_before_the_promotion_of_another_gets_its_place_of_the_surge() {
    for replicas in 1..4 {
        let mut world = World::new(replicas);
        assert!(world.settle().is_some());
        rounds(&mut world, &[Step::Target(1)]);
        for _ in 0..40 {
            let told = |world: &World| world.now.pods.iter().any(|pod| pod.revision == "a" && pod.labelled);
            if world.serving_of("b") == replicas as usize && !told(&world) {
                break;
            }
            let steps = [LOOK, Step::ReplicaSets, Step::Pods, Step::Endpoints, Step::Proxy, Step::Kubelet];
            rounds(&mut world, &steps);
        }
        assert_eq!((world.stable().as_deref(), world.serving_of("b")), (Some("a"), replicas as usize));
        rounds(&mut world, &[Step::Target(2)]);
        assert!(world.settle().is_some());
        assert_eq!(world.stable().as_deref(), Some("c"), "{:?}", world.now);
    }
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
