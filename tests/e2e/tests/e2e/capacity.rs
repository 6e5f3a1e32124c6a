//! A5: accelerators that are there and that are not, and how many pods may be missing.

use k8s_openapi::api::{core::v1::Pod, policy::v1::PodDisruptionBudget};
use kube::{ResourceExt as _, api::EvictParams};
use modelwright::api::{
    condition::{READY, RECONCILING, STALLED},
    model_deployment::ModelDeployment,
};
use serde_json::json;

use crate::harness::{
    Space,
    fixtures::is_ready,
    load::Load,
    onnx::Affine,
    resources::{Observed as _, deployment},
};

const AFFINE: Affine = Affine { factor: 2.0, summand: 1.0 };

/// The node has two GPUs.
pub async fn one_gpu_is_given_and_three_are_said_to_be_too_many(space: Space) {
    space.import("digits", AFFINE).await;
    let gpus = |count: u32| json!({"resources": {"limits": {"nvidia.com/gpu": count}}});
    let served = space.serve("one", "digits", gpus(1)).await;
    let pod = space.pods("one").await.pop().expect("a pod serves");
    let limit = pod.spec.as_ref().and_then(|spec| {
        let serving = spec.containers.first()?;
        serving.resources.as_ref()?.limits.as_ref()?.get("nvidia.com/gpu").map(|count| count.0.clone())
    });
    assert_eq!(limit.as_deref(), Some("1"));
    space.predict(&served, AFFINE).await;

    space.create_object::<ModelDeployment>(deployment("three", "digits", gpus(3))).await;
    let waiting = space
        .until("three", "told that there are too few GPUs", 30, |md: &ModelDeployment| {
            md.status
                .as_ref()
                .and_then(|status| status.message.as_deref())
                .is_some_and(|message| message.contains("Insufficient nvidia.com/gpu"))
        })
        .await;
    assert!(!waiting.is(READY));
    assert!(waiting.says(READY).contains("nvidia.com/gpu"), "{}", waiting.says(READY));

    // Fewer GPUs are a new revision that fits.
    space.patch::<ModelDeployment>("three", gpus_patch(1)).await;
    space.promoted("three").await;
}

fn gpus_patch(count: u32) -> serde_json::Value {
    json!({"spec": {"resources": {"limits": {"nvidia.com/gpu": count}}}})
}

/// A provider that was asked for and is not there.
pub async fn cuda_without_a_gpu_is_a_failure_unless_the_spec_allows_the_cpu(space: Space) {
    space.import("digits", AFFINE).await;
    let cuda = |fallback: bool, deadline: &str| {
        json!({
            "accelerator": {"executionProviders": ["CUDA"], "allowFallback": fallback},
            "strategy": {"rollingUpdate": {"progressDeadline": deadline}},
        })
    };
    space.create_object::<ModelDeployment>(deployment("strict", "digits", cuda(false, "15s"))).await;
    space.create_object::<ModelDeployment>(deployment("lenient", "digits", cuda(true, "2m"))).await;
    let served = space.promoted("lenient").await;
    space.until_reachable(&served).await;
    space.predict(&served, AFFINE).await;
    let pods = space
        .until("lenient", "reporting its pods", 30, |md: &ModelDeployment| {
            md.status.as_ref().is_some_and(|status| !status.pods.is_empty())
        })
        .await
        .status
        .unwrap_or_default()
        .pods;
    assert_eq!(pods[0].execution_provider, "CPU", "what is in use is reported, not what was asked for");

    let refused = space.until("strict", "stalled", 90, |md: &ModelDeployment| md.is(STALLED)).await;
    assert!(!refused.is(READY) && !refused.is(RECONCILING));
    let said = refused.says(STALLED);
    assert!(said.contains("CUDA"), "the provider is named: {said}");
}

/// Drains of nodes take one pod at a time.
pub async fn evictions_take_one_ready_pod_at_a_time(space: Space) {
    space.import("digits", AFFINE).await;
    let md = space.serve("digits", "digits", json!({"replicas": 2})).await;
    let budgets = space.list::<PodDisruptionBudget>().await;
    assert_eq!(budgets.len(), 1, "{budgets:?}");
    let budget = budgets[0].spec.clone().expect("it has a spec");
    assert_eq!(json!(budget.max_unavailable), json!(1));
    assert_eq!(budget.min_available, None);
    assert_eq!(budget.unhealthy_pod_eviction_policy.as_deref(), Some("AlwaysAllow"));
    space
        .until(&budgets[0].name_any(), "counting two pods", 30, |budget: &PodDisruptionBudget| {
            budget
                .status
                .as_ref()
                .is_some_and(|status| status.expected_pods == 2 && status.disruptions_allowed == 1)
        })
        .await;

    let mut load = Load::start(&space.endpoint(&md).await);
    load.answers(100).await;
    let pods = space.api::<Pod>();
    let names: Vec<String> = space.pods("digits").await.iter().map(kube::ResourceExt::name_any).collect();
    let evict = async |name: &str| pods.evict(name, &EvictParams::default()).await;
    evict(&names[0]).await.expect("the first pod may go");
    let refused = evict(&names[1]).await.expect_err("the second may not go before another is ready");
    assert!(refused.to_string().contains("disruption budget"), "{refused}");
    space.until_gone::<Pod>(&names[0], 60).await;
    space
        .until(&budgets[0].name_any(), "allowing another eviction", 60, |budget: &PodDisruptionBudget| {
            budget.status.as_ref().is_some_and(|status| status.disruptions_allowed == 1)
        })
        .await;
    evict(&names[1]).await.expect("the second pod may go now");
    space.until_gone::<Pod>(&names[1], 60).await;
    load.answers(100).await;
    load.stop().await.assert_nothing_lost(200);
    assert!(space.pods("digits").await.iter().any(is_ready));
}
