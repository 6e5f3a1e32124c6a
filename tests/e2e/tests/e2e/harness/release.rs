//! The operator under test, installed by Helm. In go the images and values; the release is that of the demo, so that two
//! operators never share a cluster.

use tokio::sync::Mutex;

use super::{
    World,
    images::Images,
    kubectl::{Output, kubectl, run},
};

/// Name of the release and of its objects.
pub const NAME: &str = "modelwright";
/// Its namespace.
pub const NAMESPACE: &str = "modelwright-system";

/// The values that the release has, besides those that every test wants.
static PRESENT: Mutex<Option<Vec<String>>> = Mutex::const_new(None);

impl World {
    /// Gives the release these values, if it does not have them yet.
    pub async fn release(&self, values: &[&str]) {
        if let Err(error) = install(&self.images, values).await {
            panic!("the release cannot be changed to {values:?}: {error}");
        }
    }
}

/// [`install_chart`] for the repository's chart, unless the release is just so.
pub async fn install(images: &Images, values: &[&str]) -> Result<(), String> {
    let mut present = PRESENT.lock().await;
    if present.as_ref().is_some_and(|present| present == values) {
        return Ok(());
    }
    *present = None;
    install_chart("charts/modelwright", images, values).await?;
    *present = Some(values.iter().map(|value| (*value).to_owned()).collect());
    Ok(())
}

/// Installs or upgrades the release, and waits until it runs; `values` are further `--set` arguments.
pub async fn install_chart(chart: &str, images: &Images, values: &[&str]) -> Result<(), String> {
    let namespace = format!(
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {NAMESPACE}\n  labels:\n    \
         pod-security.kubernetes.io/enforce: restricted\n"
    );
    succeeded(run("kubectl", &["apply", "-f", "-"], &namespace).await)?;
    let operator = format!("images.operator={}", images.operator);
    let runtime = format!("images.runtime={}", images.runtime);
    let store = format!("images.store={}", images.store);
    let trainer = format!("images.trainer={}", images.trainer);
    let trainer_keras = format!("images.trainerKeras={}", images.trainer_keras);
    // As `tests/install` does, so that each may follow the other.
    let mut set = vec![
        operator.as_str(),
        &runtime,
        &store,
        &trainer,
        &trainer_keras,
        "fetch.allowPrivateNetworks=true",
        "store.bundled.persistence.size=1Gi",
    ];
    set.extend(values);
    let mut arguments = vec!["upgrade", "--install", NAME, chart, "--namespace", NAMESPACE, "--reset-values"];
    for value in set {
        arguments.extend(["--set", value]);
    }
    // A test that failed may have left a field to somebody else, and must not take the others along.
    arguments.extend(["--force-conflicts", "--wait", "--timeout", "180s"]);
    if let Err(error) = succeeded(run("helm", &arguments, "").await) {
        let pods = kubectl(&["describe", "pods", "--namespace", NAMESPACE]).await.stdout;
        return Err(format!("{error}\n{pods}"));
    }
    Ok(())
}

/// The release is not what [`install`] made of it any more.
pub async fn forget() {
    *PRESENT.lock().await = None;
}

/// Removes the release; what it keeps stays.
pub async fn uninstall() -> Result<(), String> {
    forget().await;
    succeeded(
        run("helm", &["uninstall", NAME, "--namespace", NAMESPACE, "--wait", "--timeout", "120s"], "").await,
    )
}

fn succeeded(output: Output) -> Result<(), String> {
    if output.success { Ok(()) } else { Err(format!("{}{}", output.stdout, output.stderr)) }
}
