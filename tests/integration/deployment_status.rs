//! What a user sees of a ModelDeployment: every state of the health table.

use std::{collections::BTreeMap, time::Duration};

use modelwright::{
    api::{ConditionStatus, ModelDeployment, ModelDeploymentStatus},
    problem::Problem,
    serving::{
        pods::Answer,
        record::{Outcome, Progress, Record},
        rollout::{Desired, Observed, Pod, Revision, Scale, decide},
        status::{Blocked, Inputs, deployment_status},
        version::Missing,
    },
};
use serde_json::json;

use crate::deployment_fixtures::{broken, data, deployment, desired, observed, pod, revision, said, time};

pub const OLD: &str = "0000000001";
pub const NEW: &str = "0000000002";

pub fn stable() -> Record {
    Record {
        number: 1,
        outcome: Some(Outcome::Promoted),
        promoted: Some(1),
        proven: true,
        ..Record::default()
    }
}

pub fn rolling(since: i64) -> Record {
    Record {
        number: 2,
        outcome: Some(Outcome::Progressing),
        progress: Some(Progress { since: time(since), ready: 0, wanted: 1, stands: false, stood: 0 }),
        ..Record::default()
    }
}

pub fn quarantined() -> Record {
    Record {
        outcome: Some(Outcome::RolledBack),
        quarantine: Some("ProgressDeadlineExceeded".into()),
        message: Some("no further pod became ready within 600 s".into()),
        progress: None,
        ..rolling(0)
    }
}

fn waiting(reason: &str, waits: bool) -> Blocked {
    Blocked::Missing(Missing { problem: problem(reason), waits })
}

pub fn problem(reason: &str) -> Problem {
    Problem { reason: reason.into(), message: "words".into() }
}

pub struct Case {
    desired: Desired,
    observed: Observed,
    blocked: Option<Blocked>,
}

pub fn case(target: Option<&str>, replicas: u32, observed: Observed) -> Case {
    Case { desired: desired(target, replicas), observed, blocked: None }
}

impl Case {
    fn but(mut self, change: impl FnOnce(&mut Desired)) -> Self {
        change(&mut self.desired);
        self
    }

    pub fn with(mut self, blocked: Blocked) -> Self {
        self.blocked = Some(blocked);
        self
    }

    pub fn snapshot<T>(&self, read: impl FnOnce(&Inputs<'_>) -> T) -> T {
        self.look_as(&deployment(json!({"model": "digits"})), &BTreeMap::new(), read)
    }

    pub fn look_as<T>(
        &self,
        deployment: &ModelDeployment,
        answers: &BTreeMap<String, Answer>,
        read: impl FnOnce(&Inputs<'_>) -> T,
    ) -> T {
        let decision = decide(&self.desired, &self.observed, time(100));
        read(&Inputs {
            deployment,
            blocked: self.blocked.as_ref(),
            desired: &self.desired,
            observed: &self.observed,
            decision: &decision,
            data: &[(OLD.to_owned(), data(1)), (NEW.to_owned(), data(2))].into(),
            answers,
            nodes: &[("a".to_owned(), "node-1".to_owned())].into(),
            cluster_domain: "cluster.local",
            now: time(100),
        })
    }

    pub fn status(&self) -> ModelDeploymentStatus {
        self.snapshot(deployment_status)
    }
}

pub fn serving(revision_record: Record) -> Observed {
    observed([(OLD, revision(revision_record, 2, vec![pod("a", true), pod("b", true)]))])
}

pub fn rollout(record: Record, target_pod: Pod) -> Observed {
    observed([
        (OLD, revision(stable(), 2, vec![pod("a", true), pod("b", true)])),
        (NEW, revision(record, 1, vec![target_pod])),
    ])
}

/// `T`, `F` or `–`, in the order Ready, Reconciling, Stalled, Promoted.
fn letters(status: &ModelDeploymentStatus) -> String {
    ["Ready", "Reconciling", "Stalled", "Promoted"]
        .map(|type_| match status.conditions.iter().find(|condition| condition.type_ == type_) {
            Some(condition) if condition.status == ConditionStatus::True => 'T',
            Some(_) => 'F',
            None => '–',
        })
        .iter()
        .collect()
}

/// Every state with its conditions in [`letters`], its phase, and the reason of Promoted.
#[expect(clippy::too_many_lines, reason = "a row for each state")]
pub fn health_table() -> Vec<(&'static str, Case, &'static str, &'static str, &'static str)> {
    let starting = || observed([(OLD, revision(rolling(90), 1, vec![pod("a", false)]))]);
    let first = || Record { number: 1, ..rolling(90) };
    vec![
        ("first start", case(Some(OLD), 1, starting()), "FT–F", "Progressing", "Starting"),
        ("nothing is there yet", case(Some(OLD), 1, Observed::default()), "FT–F", "Progressing", "Starting"),
        (
            "first start, no GPU",
            case(
                Some(OLD),
                1,
                observed([(
                    OLD,
                    revision(first(), 1, vec![broken("a", "Unschedulable", "Insufficient nvidia.com/gpu")]),
                )]),
            ),
            "FT–F",
            "Progressing",
            "Unschedulable",
        ),
        (
            "first start, over its deadline",
            case(Some(OLD), 1, observed([(OLD, revision(rolling(-900), 1, vec![pod("a", false)]))])),
            "F–TF",
            "Degraded",
            "ProgressDeadlineExceeded",
        ),
        (
            "first start, paused",
            case(Some(OLD), 1, starting()).but(|i| i.paused = true),
            "FT–F",
            "Paused",
            "Paused",
        ),
        (
            "rolling",
            case(Some(NEW), 2, rollout(rolling(90), pod("c", false))),
            "TT–F",
            "Progressing",
            "RollingOut",
        ),
        (
            "rolling, no GPU",
            case(
                Some(NEW),
                2,
                rollout(rolling(90), broken("c", "Unschedulable", "Insufficient nvidia.com/gpu")),
            ),
            "TT–F",
            "Progressing",
            "Unschedulable",
        ),
        (
            "rolling, paused",
            case(Some(NEW), 2, rollout(rolling(90), pod("c", false))).but(|i| i.paused = true),
            "TT–F",
            "Paused",
            "Paused",
        ),
        (
            "rolling, over its deadline without a way back",
            case(Some(NEW), 2, rollout(rolling(-900), pod("c", false))).but(|i| i.auto_rollback = false),
            "T–TF",
            "Degraded",
            "ProgressDeadlineExceeded",
        ),
        ("target is stable", case(Some(OLD), 2, serving(stable())), "T––T", "Healthy", "Promoted"),
        (
            "reverted in the middle, and clients reach the other revision",
            case(Some(OLD), 2, rollout(rolling(90), pod("c", true))),
            "TT–F",
            "Progressing",
            "Draining",
        ),
        (
            "reverted in the middle, and the other revision never started",
            case(Some(OLD), 2, rollout(rolling(90), pod("c", false))),
            "T––T",
            "Healthy",
            "Promoted",
        ),
        (
            "stable, a pod is missing",
            case(Some(OLD), 3, serving(stable())),
            "TT–T",
            "Progressing",
            "PodsNotReady",
        ),
        (
            "stable, no pod is ready",
            case(
                Some(OLD),
                1,
                observed([(OLD, revision(stable(), 1, vec![broken("a", "CrashLoopBackOff", "words")]))]),
            ),
            "FT–T",
            "Progressing",
            "CrashLoopBackOff",
        ),
        (
            "scaled to zero",
            case(Some(OLD), 0, observed([(OLD, revision(stable(), 0, vec![]))])),
            "T––T",
            "Healthy",
            "Promoted",
        ),
        (
            "rolled back",
            case(Some(NEW), 2, rollout(quarantined(), pod("c", false))),
            "T–TF",
            "Degraded",
            "ProgressDeadlineExceeded",
        ),
        (
            "rolling back just now",
            case(Some(NEW), 2, rollout(rolling(-900), pod("c", false))),
            "T–TF",
            "Degraded",
            "ProgressDeadlineExceeded",
        ),
        (
            "refused, stable serves",
            case(None, 2, serving(stable())).with(Blocked::Invalid("words".into())),
            "T–TF",
            "Degraded",
            "InvalidSpec",
        ),
        (
            "a write is refused, stable serves",
            case(Some(NEW), 2, serving(stable())).with(Blocked::Refused(problem("Refused"))),
            "T–TF",
            "Degraded",
            "Refused",
        ),
        (
            "refused, nothing serves",
            case(None, 2, Observed::default()).with(Blocked::Invalid("words".into())),
            "F–TF",
            "Degraded",
            "InvalidSpec",
        ),
        (
            "a version that cannot come",
            case(None, 2, Observed::default()).with(waiting("VersionNotFound", false)),
            "F–TF",
            "Degraded",
            "VersionNotFound",
        ),
        (
            "a version that may come",
            case(None, 2, Observed::default()).with(waiting("VersionNotReady", true)),
            "FT–F",
            "Progressing",
            "VersionNotReady",
        ),
        (
            "a version that may come, stable serves",
            case(None, 2, serving(stable())).with(waiting("ModelNotFound", true)),
            "TT–F",
            "Progressing",
            "ModelNotFound",
        ),
        (
            "a write that is tried again",
            case(Some(OLD), 2, serving(stable())).with(Blocked::Unwritten(problem("Unwritten"))),
            "TT–F",
            "Progressing",
            "Unwritten",
        ),
    ]
}

#[test]
fn every_state_has_the_conditions_and_the_phase_of_the_health_table() {
    for (name, case, conditions, phase, reason) in health_table() {
        let status = case.status();
        assert_eq!(letters(&status), conditions, "{name}: {status:#?}");
        assert_eq!(status.phase.as_deref(), Some(phase), "{name}");
        let promoted = status.conditions.iter().find(|condition| condition.type_ == "Promoted").unwrap();
        assert_eq!(promoted.reason, reason, "{name}");
        assert_eq!(status.observed_generation, Some(2), "{name}");
        assert!(status.conditions.iter().all(|condition| condition.observed_generation == Some(2)), "{name}");
    }
}

#[test]
fn a_gpu_that_is_not_there_is_named_in_the_message() {
    let pod = broken(
        "c",
        "Unschedulable",
        "no node takes the pod: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu",
    );
    let status = case(Some(NEW), 2, rollout(rolling(90), pod)).status();
    let message = status.message.unwrap();
    assert!(
        message.contains("0 of 2 pods of version 2") && message.contains("Insufficient nvidia.com/gpu"),
        "{message}"
    );
    assert!(message.contains("version 1 (revision 0000000001) serves on"), "{message}");
}

#[test]
fn what_is_said_to_be_served_comes_from_the_pods_own_answers() {
    let case = case(Some(OLD), 2, serving(stable()));
    let answers = said("a", &"c".repeat(64), "CPU");
    let status = case.look_as(&deployment(json!({"model": "digits"})), &answers, deployment_status);
    assert_eq!(status.pods.len(), 1, "a pod that said nothing is not listed");
    assert_eq!((status.pods[0].name.as_str(), status.pods[0].execution_provider.as_str()), ("a", "CPU"));
    assert_eq!(status.pods[0].node.as_deref(), Some("node-1"));
    assert_eq!((status.replicas, status.ready_replicas), (Some(2), Some(2)));
    assert_eq!(status.replicas_summary.as_deref(), Some("2/2"));
    assert_eq!(status.url.as_deref(), Some("http://digits.space.svc.cluster.local:8080"));
    assert_eq!(status.grpc_address.as_deref(), Some("digits.space.svc.cluster.local:9000"));
    assert_eq!(status.selector.as_deref(), Some("modelwright.dev/deployment=digits"));
}

#[test]
fn a_status_that_somebody_deleted_or_forged_is_made_again_from_the_objects() {
    let case = case(Some(NEW), 2, rollout(rolling(90), pod("c", false)));
    let fresh = case.status();
    let mut forged = deployment(json!({"model": "digits"}));
    forged.status = Some(ModelDeploymentStatus {
        phase: Some("Healthy".into()),
        stable: fresh.target.clone(),
        history: vec![],
        ..fresh.clone()
    });
    let again = case.look_as(&forged, &BTreeMap::new(), deployment_status);
    assert_eq!(again, fresh);
}

#[test]
fn the_history_is_newest_first_and_has_no_more_than_the_crd_takes() {
    let records = (0_u64..80).map(|number| {
        let record = Record { number: number + 1, outcome: Some(Outcome::Superseded), ..Record::default() };
        (format!("{number:010}"), modelwright::serving::rollout::Revision { record, ..Default::default() })
    });
    let observed = Observed { revisions: records.collect(), ..Observed::default() };
    let case = Case { desired: Desired { keep: 100, ..desired(None, 1) }, observed, blocked: None };
    let data: BTreeMap<_, _> =
        (0_u64..80).map(|number| (format!("{number:010}"), data(number + 1))).collect();
    let status = case.snapshot(|inputs| deployment_status(&Inputs { data: &data, ..inputs.clone() }));
    assert_eq!(status.history.len(), 60);
    assert_eq!(status.history[0].version, 80);
    assert!(case.desired.progress_deadline > Duration::ZERO);
}

/// Field case 36: pods are ready, and nobody can reach them.
#[test]
fn ready_is_never_said_while_the_service_has_no_endpoint_of_ours() {
    let unrouted = |name: &str| Pod {
        routed: false,
        problem: Some(Problem { reason: "NoEndpoint".into(), message: "no EndpointSlice names it".into() }),
        ..pod(name, true)
    };
    let none = observed([(OLD, revision(stable(), 2, vec![unrouted("a"), unrouted("b")]))]);
    let status = case(Some(OLD), 2, none).status();
    assert_eq!(letters(&status), "FT–T", "{status:?}");
    assert_eq!(status.message.as_deref(), Some("0 of 2 pods take traffic: no EndpointSlice names it"));
    let half = observed([(OLD, revision(stable(), 2, vec![unrouted("a"), pod("b", true)]))]);
    let status = case(Some(OLD), 2, half).status();
    assert_eq!(letters(&status), "TT–T", "{status:?}");
    assert_eq!(status.message.as_deref(), Some("1 of 2 pods take traffic: no EndpointSlice names it"));
}

/// No rollout hangs without a word: whose turn it is, is said.
#[test]
fn a_rollout_that_the_cluster_keeps_waiting_says_so() {
    let mut record = rolling(-900);
    record.progress = record.progress.map(|progress| Progress { stands: true, stood: 1, ..progress });
    let owed = revision(record, 1, vec![]);
    let owed = Revision { scale: Some(Scale { replicas: 1, settled: false }), ..owed };
    let status = case(
        Some(NEW),
        2,
        observed([(OLD, revision(stable(), 2, vec![pod("a", true), pod("b", true)])), (NEW, owed)]),
    )
    .status();
    assert_eq!(letters(&status), "TT–F", "{status:?}");
    let promoted = status.conditions.iter().find(|condition| condition.type_ == "Promoted").unwrap();
    assert_eq!(promoted.reason, "WaitingForCluster");
    assert!(promoted.message.contains("the progress deadline waits for them"), "{}", promoted.message);
}

/// Somebody deletes the ReplicaSets, or the stable ControllerRevision, in the middle of a rollout.
#[test]
fn a_revision_is_said_to_serve_only_while_a_pod_of_it_takes_traffic() {
    let ready = |name: &str| pod(name, true);
    let none = || revision(stable(), 0, vec![]);
    let not = || revision(stable(), 2, vec![pod("a", false)]);
    let records: [fn() -> Record; 2] = [|| rolling(90), quarantined];
    let mut seen = 0;
    for record in records {
        for old in [none(), not(), revision(stable(), 2, vec![ready("a"), pod("b", false)])] {
            for new in [vec![], vec![pod("c", false)], vec![ready("c")]] {
                for target in [OLD, NEW] {
                    let old_serves = old.pods.iter().any(|pod| pod.ready);
                    let new_serves = new.iter().any(|pod| pod.ready);
                    let seen_now = observed([(OLD, old.clone()), (NEW, revision(record(), 1, new.clone()))]);
                    let status = case(Some(target), 2, seen_now).status();
                    for condition in &status.conditions {
                        let said = &condition.message;
                        for (name, serves) in [(OLD, old_serves), (NEW, new_serves)] {
                            let is_said = said.contains(&format!("(revision {name}) serves"));
                            assert!(serves || !is_said, "{name} serves not: {}: {said}", condition.type_);
                        }
                        seen += usize::from(said.contains(") serves"));
                    }
                }
            }
        }
    }
    assert!(seen > 20, "it is said of those that do: {seen}");
}
