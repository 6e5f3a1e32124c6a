//! What the operator says about traffic while the pod runs. In goes the traffic file; out comes whether to drain.
//!
//! The kubelet swaps a symbolic link when the ConfigMap changes, and the file may come and go with it, so it is read
//! again by the clock instead of being watched.

use std::{io, path::Path, sync::Arc, time::Duration};

use modelwright_contract::traffic::Traffic;

use super::state::State;

const INTERVAL: Duration = Duration::from_millis(500);

/// A traffic file that says nothing.
#[derive(Debug, thiserror::Error)]
pub enum TrafficError {
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("it is no traffic file: {0}")]
    Content(#[from] serde_json::Error),
}

/// Reads the file; an absent one means to serve.
pub fn is_drained_by(file: &Path, pod: &str) -> Result<bool, TrafficError> {
    match std::fs::read(file) {
        Ok(text) => Ok(serde_json::from_slice::<Traffic>(&text)?.drain.contains(pod)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Follows the file for ever. What cannot be read changes nothing.
pub async fn follow(state: Arc<State>) {
    let Some(pod) = state.settings.pod_name.clone() else { return };
    let mut interval = tokio::time::interval(INTERVAL);
    let mut complained = false;
    loop {
        interval.tick().await;
        match is_drained_by(&state.settings.traffic_file, &pod) {
            Ok(drain) => {
                complained = false;
                if state.drain_by_traffic(drain) {
                    let outcome = if drain { "draining" } else { "serving again" };
                    tracing::info!(outcome, by = "traffic file");
                }
            }
            Err(error) if !complained => {
                complained = true;
                tracing::warn!(file = %state.settings.traffic_file.display(), %error, "the traffic file is ignored");
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_pod_drains_only_while_its_own_name_is_listed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("traffic.json");
        assert!(!is_drained_by(&file, "a").unwrap());
        std::fs::write(&file, r#"{"drain":["a","b"]}"#).unwrap();
        assert!(is_drained_by(&file, "a").unwrap());
        assert!(!is_drained_by(&file, "c").unwrap());
        std::fs::write(&file, "{}").unwrap();
        assert!(!is_drained_by(&file, "a").unwrap());
        std::fs::write(&file, "{").unwrap();
        assert!(is_drained_by(&file, "a").is_err());
    }
}
