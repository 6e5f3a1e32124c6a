//! What a failed test's namespace looks like. In goes the namespace; out comes text for people.

use std::fmt::Write as _;

use super::{Space, kubectl::kubectl, release};

/// Resources, pods, events and logs of the namespace, and what the operator said about it.
pub async fn collect(space: &Space) -> String {
    let namespace = space.name.as_str();
    let mut text = format!("===== {namespace} =====\n");
    for arguments in [
        &["get", "models,modelversions,modeldeployments", "--output", "yaml"] as &[&str],
        &["get", "controllerrevisions,replicasets,jobs,pods,services,pdb,configmaps", "--output", "wide"],
        &["get", "events", "--sort-by", ".lastTimestamp"],
        &[
            "logs",
            "--all-pods",
            "--all-containers",
            "--prefix",
            "--tail",
            "40",
            "--selector",
            "app.kubernetes.io/managed-by=modelwright",
        ],
    ] {
        let mut all = vec!["--namespace", namespace];
        all.extend(arguments);
        let output = kubectl(&all).await;
        let _ = writeln!(text, "----- kubectl {}\n{}{}", arguments.join(" "), output.stdout, output.stderr);
    }
    let logs = kubectl(&[
        "--namespace",
        release::NAMESPACE,
        "logs",
        "--selector",
        "app.kubernetes.io/component=operator",
        "--tail",
        "2000",
        "--prefix",
    ])
    .await;
    let about: Vec<&str> = logs.stdout.lines().filter(|line| line.contains(namespace)).collect();
    let last = about.len().saturating_sub(60);
    let _ = writeln!(text, "----- the operator's log\n{}", about[last..].join("\n"));
    text
}
