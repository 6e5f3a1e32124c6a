//! The driver of Models.

use std::sync::Arc;

use tokio::sync::watch;

use crate::context::Context;

/// Reconciles the Models of a scope until `shutdown` says so.
pub async fn run(_context: Arc<Context>, mut shutdown: watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}
