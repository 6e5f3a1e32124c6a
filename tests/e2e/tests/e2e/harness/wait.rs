//! Waiting for an object's state, by watch. In goes a predicate and a limit; out comes the object, or a panic that shows
//! its last state.

use std::{fmt::Debug, time::Duration};

use kube::{Api, Resource, runtime::wait::await_condition};
use serde::{Serialize, de::DeserializeOwned};

/// Waits until the object exists and `holds`.
pub async fn until<K>(
    api: &Api<K>,
    name: &str,
    what: &str,
    limit: Duration,
    holds: impl Fn(&K) -> bool + Send,
) -> K
where
    K: Clone + Debug + Send + Serialize + DeserializeOwned + Resource + 'static,
{
    within(api, name, what, limit, holds).await.unwrap_or_else(|error| panic!("{error}"))
}

/// [`until`], for those who go on when it does not come.
pub async fn within<K>(
    api: &Api<K>,
    name: &str,
    what: &str,
    limit: Duration,
    holds: impl Fn(&K) -> bool + Send,
) -> Result<K, String>
where
    K: Clone + Debug + Send + Serialize + DeserializeOwned + Resource + 'static,
{
    let condition = |object: Option<&K>| object.is_some_and(&holds);
    match tokio::time::timeout(limit, await_condition(api.clone(), name, condition)).await {
        Ok(Ok(Some(object))) => Ok(object),
        Ok(Ok(None)) => unreachable!("the condition holds for an object only"),
        Ok(Err(error)) => Err(format!("{name} cannot be watched: {error}")),
        Err(_) => {
            let last = api.get_opt(name).await;
            let shown = match last {
                Ok(Some(object)) => serde_yaml::to_string(&object).unwrap_or_else(|error| error.to_string()),
                Ok(None) => "not there".to_owned(),
                Err(error) => error.to_string(),
            };
            Err(format!("{name} is not {what} after {limit:?}; it is {shown}"))
        }
    }
}

/// Waits until no object has this name.
pub async fn until_gone<K>(api: &Api<K>, name: &str, limit: Duration) -> Result<(), String>
where
    K: Clone + Debug + Send + Serialize + DeserializeOwned + Resource + 'static,
{
    let gone = |object: Option<&K>| object.is_none();
    match tokio::time::timeout(limit, await_condition(api.clone(), name, gone)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(format!("{name} cannot be watched: {error}")),
        Err(_) => {
            let left = api.get_opt(name).await;
            Err(format!("{name} is still there after {limit:?}: {left:?}"))
        }
    }
}
