//! `https://` and `http://`: one file from a web server. In goes a URL; one staged file comes out.

use reqwest::header::HeaderMap;
use url::Url;

use super::{FetchOptions, error::FetchError, staging::Staging};
use crate::network::{
    address::AddressPolicy,
    client::{self, Client},
    credentials::{CredentialsError, Secret},
    host::HostPort,
};

/// Fetches the file under its last path segment.
pub async fn fetch(
    url: &Url,
    secret: Option<&Secret>,
    policy: AddressPolicy,
    options: &FetchOptions,
    staging: &mut Staging,
) -> Result<(), FetchError> {
    let client = Client::new(policy, options.timeouts, secret.and_then(Secret::ca_certificate))?;
    let authorization = match (secret, HostPort::of(url)) {
        (Some(secret), Some(host)) => {
            let default_port = if url.scheme() == "https" { 443 } else { 80 };
            let authorization = secret.authorization(secret.require_host(&host, default_port)?)?;
            if authorization.is_some() && url.scheme() == "http" && !secret.plain_http() {
                return Err(CredentialsError::KeyMissing {
                    secret: secret.label().to_owned(),
                    key: modelwright_contract::names::SECRET_PLAIN_HTTP,
                    expected: "must be `true` for credentials to cross the network unencrypted; better, use https",
                }
                .into());
            }
            authorization
        }
        _ => None,
    };
    let staging = tokio::sync::Mutex::new(staging);
    options
        .retry
        .run(
            || async {
                let response = client.get(url, &HeaderMap::new(), authorization.as_ref()).await?;
                let response = client::expect_success(response).await?;
                let announced = response.content_length();
                staging.lock().await.write("model.onnx", announced, client::Body::of(response)).await?;
                Ok(())
            },
            FetchError::is_transient,
        )
        .await
}
