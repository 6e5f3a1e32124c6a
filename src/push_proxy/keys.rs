//! The keys that the cluster signs its ServiceAccount tokens with, as the API server tells them to every ServiceAccount.
//! Needs a client; what a key says of a signature is pure.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use kube::Client;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use serde::Deserialize;
use tokio::time::Instant;

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
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    P256(Vec<u8>),
    P384(Vec<u8>),
    /// Signs by an algorithm that nothing here checks: ES512, which an API server may sign with.
    Other(String),
}

#[derive(Deserialize)]
struct Told {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct One {
    kid: String,
    kty: String,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// Reads a set of keys; what is none is left out.
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
            ("EC", Some("P-521")) => Kind::Other("ES512".into()),
            (kind, _) => Kind::Other(one.alg.clone().unwrap_or_else(|| kind.to_owned())),
        };
        Some(Self { id: one.kid, kind })
    }

    /// The only algorithm that it is used with: a token does not choose.
    fn algorithm(&self) -> &str {
        match &self.kind {
            Kind::Rsa { .. } => "RS256",
            Kind::P256(_) => "ES256",
            Kind::P384(_) => "ES384",
            Kind::Other(algorithm) => algorithm,
        }
    }

    /// Its name and the algorithm, where nothing here checks that.
    pub fn unchecked(&self) -> Option<(&str, &str)> {
        matches!(self.kind, Kind::Other(_)).then(|| (self.id.as_str(), self.algorithm()))
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
            Kind::Other(_) => return false,
        };
        checked.is_ok()
    }
}

/// The cluster's keys, as far as they are known.
pub struct Keys {
    client: Client,
    known: Mutex<Known>,
    /// Held by the only one that asks.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Known {
    keys: Vec<Key>,
    /// When they were asked for, and when they were told.
    asked: Option<Instant>,
    told: Option<Instant>,
    /// Why they were not told when they were asked for last.
    problem: Option<String>,
}

impl Known {
    fn find(&self, id: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == id)
    }

    fn is_old(&self) -> bool {
        self.told.is_none_or(|told| told.elapsed() >= BELIEVED)
    }
}

impl Keys {
    /// None yet.
    pub fn new(client: Client) -> Self {
        Self { client, known: Mutex::default(), asking: tokio::sync::Mutex::default() }
    }

    /// The key with this name, if the cluster has it. A cluster that does not answer changes nothing of what it told; nor
    /// does whoever names a key that nobody has make others wait for it.
    pub async fn find(&self, id: &str) -> Result<Option<Key>, String> {
        if let Some(key) = self.believed(id) {
            return Ok(Some(key));
        }
        let _alone = self.asking.lock().await;
        // another may have asked meanwhile
        if let Some(key) = self.believed(id) {
            return Ok(Some(key));
        }
        if self.known().asked.is_none_or(|asked| asked.elapsed() >= PAUSE) {
            let answer = self.ask().await;
            let mut known = self.known();
            // whoever waited meanwhile does not wait for the next
            let now = Some(Instant::now());
            known.asked = now;
            match answer {
                Ok(keys) => {
                    for (key, algorithm) in keys.iter().filter_map(Key::unchecked) {
                        tracing::warn!(key, algorithm, "tokens by a key of the cluster cannot be checked");
                    }
                    *known = Known { keys, told: now, asked: now, problem: None };
                }
                Err(error) => {
                    tracing::warn!(error, "the cluster does not tell its keys");
                    known.problem = Some(error);
                }
            }
        }
        let known = self.known();
        match (known.find(id), &known.problem, known.told) {
            (Some(key), ..) => Ok(Some(key.clone())),
            (None, Some(problem), _) => Err(problem.clone()),
            (None, None, None) => Err("they were asked for just now".into()),
            (None, None, Some(_)) => Ok(None),
        }
    }

    /// The key with this name, if it needs no look.
    fn believed(&self, id: &str) -> Option<Key> {
        let known = self.known();
        known.find(id).filter(|_| !known.is_old()).cloned()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(&self) -> Result<Vec<Key>, String> {
        let request = hyper::Request::get(PATH).body(Vec::new()).map_err(|error| error.to_string())?;
        let text = self.client.request_text(request).await;
        let text = text.map_err(|error| format!("GET {PATH}: {}", crate::k8s::controller::chain(&error)))?;
        parse(&text).map_err(|error| format!("GET {PATH} answered with what is no set of keys: {error}"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use kube::client::Body;

    use super::*;

    type Cluster = tower_test::mock::Handle<hyper::Request<Body>, hyper::Response<Body>>;

    fn keys() -> (Keys, Cluster) {
        let (service, cluster) = tower_test::mock::pair();
        (Keys::new(Client::new(service, "default")), cluster)
    }

    async fn told(cluster: &mut Cluster, id: &str) {
        let key = serde_json::json!({"kid": id, "kty": "EC", "crv": "P-256", "x": "AQ", "y": "Ag"});
        let set = serde_json::json!({"keys": [key]}).to_string();
        let (_, answer) = cluster.next_request().await.unwrap();
        answer.send_response(hyper::Response::new(Body::from(set.into_bytes())));
    }

    async fn failed(cluster: &mut Cluster) {
        let (_, answer) = cluster.next_request().await.unwrap();
        answer.send_error("no route");
    }

    /// A push that was refused for good would lose a training: the key may be one of the next set.
    #[tokio::test(start_paused = true)]
    async fn a_new_key_is_not_called_unknown_while_the_cluster_does_not_answer() {
        let (keys, mut cluster) = keys();
        let (found, ()) = tokio::join!(keys.find("a"), told(&mut cluster, "a"));
        assert!(found.unwrap().is_some());
        tokio::time::advance(PAUSE).await;
        let (found, ()) = tokio::join!(keys.find("b"), failed(&mut cluster));
        assert!(found.unwrap_err().contains("no route"));
        // nor before it is asked again
        assert!(keys.find("b").await.unwrap_err().contains("no route"));
        assert!(keys.find("a").await.unwrap().is_some(), "what it told counts on");
        tokio::time::advance(PAUSE).await;
        let (found, ()) = tokio::join!(keys.find("b"), told(&mut cluster, "b"));
        assert!(found.unwrap().is_some());
        assert!(keys.find("c").await.unwrap().is_none(), "this set is known");
    }

    /// Each would wait for all before it.
    #[tokio::test(start_paused = true)]
    async fn those_that_wait_for_a_cluster_that_is_slow_to_fail_do_not_ask_one_after_the_other() {
        let (keys, mut cluster) = keys();
        let slow = async {
            let (_, answer) = cluster.next_request().await.unwrap();
            tokio::time::sleep(Duration::from_secs(5)).await;
            answer.send_error("no route");
            assert!(tokio::time::timeout(PAUSE / 2, cluster.next_request()).await.is_err(), "asked at once");
        };
        let (one, other, ()) = tokio::join!(keys.find("a"), keys.find("b"), slow);
        assert!(one.is_err() && other.is_err());
    }

    /// Whoever shows a token of no key would otherwise hold up every push for as long as the cluster takes to answer.
    #[tokio::test(start_paused = true)]
    async fn a_known_key_is_found_while_the_cluster_is_asked_for_another() {
        let (keys, mut cluster) = keys();
        let (found, ()) = tokio::join!(keys.find("a"), told(&mut cluster, "a"));
        assert!(found.unwrap().is_some());
        tokio::time::advance(PAUSE).await;
        let mut other = std::pin::pin!(keys.find("b"));
        let question = tokio::select! {
            _ = &mut other => panic!("nobody answered"),
            question = cluster.next_request() => question.unwrap(),
        };
        let known = tokio::time::timeout(Duration::ZERO, keys.find("a")).await;
        assert!(known.expect("it waits for the cluster").unwrap().is_some());
        question.1.send_error("no route");
        assert!(other.await.is_err());
    }

    #[test]
    fn keys_of_other_kinds_are_known_by_name_and_what_is_no_set_is_an_error() {
        let text = r#"{"keys": [{"kid": "a", "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": "AA"}, {"kty": "RSA"},
            {"kid": "b", "kty": "EC", "crv": "P-256", "x": "AQ", "y": "Ag"},
            {"kid": "c", "kty": "EC", "crv": "P-521", "alg": "ES512", "x": "AQ", "y": "Ag"}]}"#;
        let keys = parse(text).unwrap();
        let other = |id: &str, algorithm: &str| Key { id: id.into(), kind: Kind::Other(algorithm.into()) };
        let known = Key { id: "b".into(), kind: Kind::P256(vec![4, 1, 2]) };
        assert_eq!(keys, [other("a", "EdDSA"), known, other("c", "ES512")]);
        assert!(parse("{}").is_err());
    }
}
