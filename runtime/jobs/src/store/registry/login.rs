//! How a registry is logged in to. In goes an answer 401 with its challenges; out comes what further requests say, to the
//! registry's own host only. Of several challenges, one that can be met is met: a token first, then a password.

use std::sync::PoisonError;

use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use serde::Deserialize;
use url::Url;

use super::Registry;
use crate::{
    network::{
        NetworkError,
        client::{self, Answer},
        content,
        credentials::{Authorization, CredentialsError},
        host::HostPort,
        words,
    },
    store::{RegistryError, challenge::Challenge},
};

/// Most bytes of a token answer.
const MAX_TOKEN_BYTES: usize = 256 * 1024;

/// What a token service answers; some hand out the same token under both names, some leave one of them empty.
#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl Registry {
    /// Meets a challenge, or says why none can be met. `writes` tells for what, where the challenge does not.
    pub(super) async fn log_in(&self, refused: Answer, writes: bool) -> Result<(), RegistryError> {
        // Only the registry itself may ask: a host that it redirects to is a stranger.
        let asks = HostPort::of(refused.response.url()).is_some_and(|host| host.matches(&self.host));
        let headers = refused.response.headers().get_all(WWW_AUTHENTICATE).iter();
        let headers: Vec<String> =
            headers.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect();
        let said = words::said(&client::read_words(refused).await);
        let unauthorized =
            || NetworkError::Unauthorized { url: self.reference.to_string(), words: said.clone() }.into();
        if !asks || headers.is_empty() {
            return Err(unauthorized());
        }
        let mut challenges: Vec<_> = headers.iter().flat_map(|header| Challenge::parse_all(header)).collect();
        // A token before a password, which then is told to fewer.
        challenges.sort_by_key(|challenge| matches!(challenge, Challenge::Basic));
        let mut problem = None;
        for challenge in challenges {
            let outcome = match challenge {
                Challenge::Basic => self.password().and_then(|basic| basic.ok_or_else(unauthorized)),
                Challenge::Bearer { realm, service, scope } => {
                    let scope = scope.unwrap_or_else(|| self.scope(writes));
                    self.token(&realm, service, scope).await
                }
            };
            match outcome {
                Ok(authorization) => {
                    *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(authorization);
                    return Ok(());
                }
                Err(error) => problem = problem.or(Some(error)),
            }
        }
        let expected = "Basic, or Bearer with a realm,";
        Err(problem.unwrap_or_else(|| self.challenge_error(&headers.join(", "), expected)))
    }

    /// What the Secret has for the registry itself; what is renewed is read anew.
    fn password(&self) -> Result<Option<Authorization>, RegistryError> {
        match &self.secret {
            Some(secret) if secret.is_renewed() => {
                let renewed = secret.authorization(self.host.clone())?;
                Ok(renewed.map(|renewed| Authorization { plain_http: self.plain_http, ..renewed }))
            }
            _ => Ok(self.basic.clone()),
        }
    }

    /// The rights that are asked for.
    fn scope(&self, writes: bool) -> String {
        let rights = if writes { "pull,push" } else { "pull" };
        format!("repository:{}:{rights}", self.reference.repository())
    }

    /// Gets a token, with the password only if the Secret trusts the host that hands it out.
    async fn token(
        &self,
        realm: &str,
        service: Option<String>,
        scope: String,
    ) -> Result<Authorization, RegistryError> {
        let invalid = || self.challenge_error(realm, "the URL of a token service, with https,");
        let mut url = Url::parse(realm)
            .ok()
            .filter(|url| url.scheme() == "https" || (url.scheme() == "http" && self.plain_http))
            .ok_or_else(invalid)?;
        let realm_host = HostPort::of(&url).ok_or_else(invalid)?;
        for (key, value) in [("service", service), ("scope", Some(scope))] {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(key, &value);
            }
        }
        let basic = match (&self.basic, &self.secret) {
            (Some(basic), Some(secret)) => {
                let token_host = secret.token_host()?;
                let trusted = realm_host.matches(&basic.host)
                    || token_host.is_some_and(|token_host| token_host.matches(&realm_host));
                if !trusted {
                    return Err(CredentialsError::TokenHostMismatch {
                        secret: secret.label().to_owned(),
                        secret_host: basic.host.to_string(),
                        realm_host: realm_host.to_string(),
                    }
                    .into());
                }
                Some(Authorization { host: realm_host, ..basic.clone() })
            }
            _ => None,
        };
        let answer = self.client.get(&url, &HeaderMap::new(), basic.as_ref()).await?;
        let body = content::small(answer, MAX_TOKEN_BYTES).await?;
        let answer: Option<Token> = serde_json::from_slice(&body).ok();
        let header = answer
            .and_then(|answer| {
                [answer.token, answer.access_token].into_iter().flatten().find(|token| !token.is_empty())
            })
            .and_then(|token| HeaderValue::from_str(&format!("Bearer {token}")).ok());
        let mut header = header
            .ok_or_else(|| self.challenge_error(realm, "a token from there (`token` or `access_token`)"))?;
        header.set_sensitive(true);
        Ok(Authorization { header, host: self.host.clone(), plain_http: self.plain_http })
    }

    fn challenge_error(&self, challenge: &str, expected: &'static str) -> RegistryError {
        RegistryError::Challenge {
            uri: self.reference.to_string(),
            challenge: challenge.chars().take(200).collect(),
            expected,
        }
    }
}
