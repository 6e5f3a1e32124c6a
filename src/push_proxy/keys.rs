//! The keys that the cluster signs its ServiceAccount tokens with, as the API server tells them to every ServiceAccount.
//! Needs a client; what a key says of a signature is pure.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use kube::Client;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use serde::Deserialize;
use tokio::{sync::Mutex, time::Instant};

/// Where the API server tells its keys.
const PATH: &str = "/openid/v1/jwks";
/// How long keys are believed without another look: one that was withdrawn is refused from then on.
const BELIEVED: Duration = Duration::from_mins(5);
/// Shortest time between two looks, whatever tokens are shown.
const PAUSE: Duration = Duration::from_secs(2);

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    id: String,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
}

#[derive(Deserialize)]
struct Told {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct One {
    kid: String,
    kty: String,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// Reads a set of keys; those of kinds that no cluster signs tokens with are left out.
pub fn parse(text: &str) -> Result<Vec<Key>, serde_json::Error> {
    let told: Told = serde_json::from_str(text)?;
    Ok(told.keys.into_iter().filter_map(Key::read).collect())
}

impl Key {
    fn read(value: serde_json::Value) -> Option<Self> {
        let one: One = serde_json::from_value(value).ok()?;
        let bytes = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_ref()?).ok();
        let point = || Some([vec![4], bytes(&one.x)?, bytes(&one.y)?].concat());
        let kind = match (one.kty.as_str(), one.crv.as_deref()) {
            ("RSA", _) => Kind::Rsa { modulus: bytes(&one.n)?, exponent: bytes(&one.e)? },
            ("EC", Some("P-256")) => Kind::P256(point()?),
            ("EC", Some("P-384")) => Kind::P384(point()?),
            _ => return None,
        };
        Some(Self { id: one.kid, kind })
    }

    /// The only algorithm that it is used with: a token does not choose.
    fn algorithm(&self) -> &'static str {
        match self.kind {
            Kind::Rsa { .. } => "RS256",
            Kind::P256(_) => "ES256",
            Kind::P384(_) => "ES384",
        }
    }

    /// Whether the signature is this key's.
    pub fn signed(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
        if algorithm != self.algorithm() {
            return false;
        }
        let checked = match &self.kind {
            Kind::Rsa { modulus, exponent } => RsaPublicKeyComponents { n: modulus, e: exponent }.verify(
                &RSA_PKCS1_2048_8192_SHA256,
                message,
                signature,
            ),
            Kind::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            Kind::P384(point) => {
                UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point).verify(message, signature)
            }
        };
        checked.is_ok()
    }
}

/// The cluster's keys, as far as they are known.
pub struct Keys {
    client: Client,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    keys: Vec<Key>,
    /// When they were asked for, and when they were told.
    asked: Option<Instant>,
    told: Option<Instant>,
}

impl Keys {
    /// None yet.
    pub fn new(client: Client) -> Self {
        Self { client, known: Mutex::default() }
    }

    /// The key with this name, if the cluster has it. A cluster that does not answer changes nothing of what it told.
    pub async fn find(&self, id: &str) -> Result<Option<Key>, String> {
        let mut known = self.known.lock().await;
        let known = &mut *known;
        let is_old = known.told.is_none_or(|told| told.elapsed() >= BELIEVED);
        let is_known = known.keys.iter().any(|key| key.id == id);
        let may_ask = known.asked.is_none_or(|asked| asked.elapsed() >= PAUSE);
        let mut problem = None;
        if (is_old || !is_known) && may_ask {
            known.asked = Some(Instant::now());
            match self.ask().await {
                Ok(keys) => (known.keys, known.told) = (keys, Some(Instant::now())),
                Err(error) => {
                    tracing::warn!(error, "the cluster does not tell its keys");
                    problem = Some(error);
                }
            }
        }
        let found = known.keys.iter().find(|key| key.id == id).cloned();
        match (found, known.told) {
            (None, None) => Err(problem.unwrap_or_else(|| "they were asked for just now".into())),
            (found, _) => Ok(found),
        }
    }

    async fn ask(&self) -> Result<Vec<Key>, String> {
        let request = hyper::Request::get(PATH).body(Vec::new()).map_err(|error| error.to_string())?;
        let text = self.client.request_text(request).await;
        let text = text.map_err(|error| format!("GET {PATH}: {}", crate::controller::chain(&error)))?;
        parse(&text).map_err(|error| format!("GET {PATH} answered with what is no set of keys: {error}"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn keys_of_other_kinds_are_left_out_and_what_is_no_set_is_an_error() {
        let text = r#"{"keys": [{"kid": "a", "kty": "OKP", "crv": "Ed25519", "x": "AA"}, {"kty": "RSA"},
            {"kid": "b", "kty": "EC", "crv": "P-256", "x": "AQ", "y": "Ag"}]}"#;
        let keys = parse(text).unwrap();
        assert_eq!(keys, [Key { id: "b".into(), kind: Kind::P256(vec![4, 1, 2]) }]);
        assert!(parse("{}").is_err());
    }
}
