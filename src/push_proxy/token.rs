//! What a ServiceAccount token lets whoever shows it push to. In go the token, the cluster's keys and the time; out come the
//! repositories, or why there are none. Pure.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use modelwright_contract::names::STORE_AUDIENCE;
use serde::Deserialize;

use super::keys::Key;

/// How far the clocks of two nodes may be apart, in seconds.
const LEEWAY: i64 = 60;
/// Longest token that is looked at.
const MAX_BYTES: usize = 16 * 1024;

/// Algorithms of API servers that are checked. The fourth is ES512.
const CHECKED: &str = "RS256, ES256 and ES384";

/// Why a token lets nobody push.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Refused {
    /// It is no token.
    #[error("the token is none of a ServiceAccount: {0}")]
    Malformed(&'static str),
    /// The cluster does not know the key that it names.
    #[error("the token is signed by a key that this cluster does not have")]
    UnknownKey,
    /// The key is of a kind that is not known here.
    #[error(
        "the token is signed by {algorithm} with the cluster's key {key}, which cannot be checked here: {CHECKED} can"
    )]
    Algorithm {
        /// The key's.
        algorithm: String,
        /// Its name.
        key: String,
    },
    /// The signature is not that key's.
    #[error("the token's signature does not hold")]
    Signature,
    /// It is too late.
    #[error("the token has expired")]
    Expired,
    /// It is too early.
    #[error("the token holds later only: compare the clocks of the nodes")]
    Early,
    /// It was made for others.
    #[error("the token is for others: an audience {STORE_AUDIENCE}NAME was expected")]
    Audience,
}

/// What a token lets push to.
#[derive(Debug, PartialEq, Eq)]
pub struct Grant {
    /// The namespace that it was made for.
    pub namespace: String,
    /// The last part of each repository.
    pub names: Vec<String>,
}

/// A token whose signature is yet to be checked.
pub struct Token<'a> {
    message: &'a str,
    signature: Vec<u8>,
    header: Header,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
}

#[derive(Deserialize)]
struct Claims {
    aud: Audiences,
    exp: i64,
    #[serde(default)]
    nbf: i64,
    #[serde(rename = "kubernetes.io")]
    kubernetes: Kubernetes,
}

#[derive(Deserialize)]
struct Kubernetes {
    namespace: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audiences {
    One(String),
    Many(Vec<String>),
}

impl<'a> Token<'a> {
    /// Takes a token apart.
    pub fn parse(text: &'a str) -> Result<Self, Refused> {
        if text.len() > MAX_BYTES {
            return Err(Refused::Malformed("it is too long"));
        }
        let parts = Refused::Malformed("three parts with dots between were expected");
        let Some((message, signature)) = text.rsplit_once('.') else { return Err(parts) };
        let Some((header, _)) = message.split_once('.') else { return Err(parts) };
        let header = decoded(header).ok_or(Refused::Malformed("its header cannot be read"))?;
        let signature = URL_SAFE_NO_PAD.decode(signature);
        let signature = signature.map_err(|_| Refused::Malformed("its signature cannot be read"))?;
        Ok(Self { message, signature, header })
    }

    /// Name of the key that it says to be signed by.
    pub fn key(&self) -> &str {
        &self.header.kid
    }

    /// What it lets push to.
    pub fn grant(&self, key: &Key, now: i64) -> Result<Grant, Refused> {
        if let Some((key, algorithm)) = key.unchecked() {
            return Err(Refused::Algorithm { algorithm: algorithm.to_owned(), key: key.to_owned() });
        }
        if !key.signed(&self.header.alg, self.message.as_bytes(), &self.signature) {
            return Err(Refused::Signature);
        }
        let claims = self.message.split_once('.').and_then(|(_, claims)| decoded::<Claims>(claims));
        let claims = claims.ok_or(Refused::Malformed("its claims are not those of a ServiceAccount"))?;
        if now > claims.exp.saturating_add(LEEWAY) {
            return Err(Refused::Expired);
        }
        if now < claims.nbf.saturating_sub(LEEWAY) {
            return Err(Refused::Early);
        }
        let audiences = match claims.aud {
            Audiences::One(audience) => vec![audience],
            Audiences::Many(audiences) => audiences,
        };
        let namespace = claims.kubernetes.namespace;
        let names = audiences.iter().filter_map(|audience| audience.strip_prefix(STORE_AUDIENCE));
        let names = names.filter(|name| is_name(name) && is_name(&namespace));
        let names: Vec<_> = names.map(str::to_owned).collect();
        if names.is_empty() { Err(Refused::Audience) } else { Ok(Grant { namespace, names }) }
    }
}

fn decoded<T: serde::de::DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

/// Whether a text is one part of a repository.
fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.first().is_some_and(|byte| plain(*byte))
        && bytes.last().is_some_and(|byte| plain(*byte))
        && bytes.iter().all(|byte| plain(*byte) || matches!(byte, b'-' | b'.' | b'_'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use ring::{
        rand::SystemRandom,
        signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
    };
    use serde_json::{Value, json};

    use super::{super::keys, *};

    const NOW: i64 = 1_800_000_000;

    /// A key pair of a cluster.
    struct Cluster {
        pair: EcdsaKeyPair,
        key: Key,
    }

    impl Cluster {
        fn new() -> Self {
            let random = SystemRandom::new();
            let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
            let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
            let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap();
            let point = pair.public_key().as_ref()[1..].to_vec();
            let [x, y] = [&point[..32], &point[32..]].map(|part| URL_SAFE_NO_PAD.encode(part));
            let set = json!({"keys": [{"kid": "k", "kty": "EC", "crv": "P-256", "x": x, "y": y}]});
            let key = keys::parse(&set.to_string()).unwrap().remove(0);
            Self { pair, key }
        }

        fn token(&self, header: &Value, claims: &Value) -> String {
            let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            let message = format!("{}.{}", part(header), part(claims));
            let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
            format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
        }
    }

    fn header() -> Value {
        json!({"alg": "ES256", "kid": "k"})
    }

    fn claims(change: Value) -> Value {
        let mut claims = json!({"aud": ["modelwright-store:digits"], "exp": NOW + 600, "nbf": NOW - 10,
            "kubernetes.io": {"namespace": "team"}});
        claims.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        claims
    }

    fn judged(text: &str, key: &Key) -> Result<Vec<String>, Refused> {
        let Grant { namespace, names } = Token::parse(text)?.grant(key, NOW)?;
        Ok(names.iter().map(|name| format!("{namespace}/{name}")).collect())
    }

    #[test]
    fn a_token_is_for_the_repository_of_its_audience_in_its_own_namespace() {
        let cluster = Cluster::new();
        let of = |change| judged(&cluster.token(&header(), &claims(change)), &cluster.key);
        assert_eq!(of(json!({})), Ok(vec!["team/digits".into()]));
        assert_eq!(of(json!({"aud": "modelwright-store:a.b"})), Ok(vec!["team/a.b".into()]));
        let many = json!({"aud": ["https://kubernetes", "modelwright-store:a", "modelwright-store:b"]});
        assert_eq!(of(many), Ok(vec!["team/a".into(), "team/b".into()]));
    }

    #[test]
    fn a_token_that_is_not_for_the_store_or_not_for_now_is_refused() {
        let cluster = Cluster::new();
        let of = |change| judged(&cluster.token(&header(), &claims(change)), &cluster.key);
        for audience in ["https://kubernetes.default.svc", "modelwright-store:", "modelwright-store:a/b"] {
            assert_eq!(of(json!({"aud": [audience]})), Err(Refused::Audience), "{audience}");
        }
        for name in ["..", "a%2fb", "A", "a\\b", "-a", "a b"] {
            let audience = format!("modelwright-store:{name}");
            assert_eq!(of(json!({"aud": audience})), Err(Refused::Audience), "{audience}");
        }
        assert_eq!(of(json!({"kubernetes.io": {"namespace": "a/b"}})), Err(Refused::Audience));
        assert_eq!(of(json!({"exp": NOW - LEEWAY - 1})), Err(Refused::Expired));
        assert!(of(json!({"exp": NOW - LEEWAY})).is_ok());
        assert_eq!(of(json!({"nbf": NOW + LEEWAY + 1})), Err(Refused::Early));
        for without in ["aud", "exp", "kubernetes.io"] {
            let mut claims = claims(json!({}));
            claims.as_object_mut().unwrap().remove(without);
            let refused = judged(&cluster.token(&header(), &claims), &cluster.key);
            assert!(matches!(refused, Err(Refused::Malformed(_))), "{without}: {refused:?}");
        }
    }

    #[test]
    fn only_the_clusters_key_and_only_its_own_algorithm_count() {
        let (cluster, other) = (Cluster::new(), Cluster::new());
        let whole = cluster.token(&header(), &claims(json!({})));
        assert!(judged(&whole, &cluster.key).is_ok());
        assert_eq!(judged(&whole, &other.key), Err(Refused::Signature));
        for algorithm in ["none", "HS256", "RS256", "ES384", ""] {
            let token = cluster.token(&json!({"alg": algorithm, "kid": "k"}), &claims(json!({})));
            assert_eq!(judged(&token, &cluster.key), Err(Refused::Signature), "{algorithm}");
        }
        let (head, rest) = whole.split_once('.').unwrap();
        let (_, signature) = rest.split_once('.').unwrap();
        let richer = URL_SAFE_NO_PAD.encode(claims(json!({"aud": "modelwright-store:other"})).to_string());
        let refused = judged(&format!("{head}.{richer}.{signature}"), &cluster.key);
        assert_eq!(refused, Err(Refused::Signature));
        assert_eq!(judged(&format!("{head}.{richer}."), &cluster.key), Err(Refused::Signature));
    }

    #[test]
    fn a_token_of_a_key_that_cannot_be_checked_is_refused_with_its_algorithm_and_key() {
        let cluster = Cluster::new();
        let set = json!({"keys": [{"kid": "k", "kty": "EC", "crv": "P-521", "alg": "ES512", "x": "AQ", "y": "Ag"}]});
        let key = keys::parse(&set.to_string()).unwrap().remove(0);
        let token = cluster.token(&json!({"alg": "ES512", "kid": "k"}), &claims(json!({})));
        let refused = judged(&token, &key).unwrap_err();
        assert_eq!(refused, Refused::Algorithm { algorithm: "ES512".into(), key: "k".into() });
        assert!(refused.to_string().contains("signed by ES512 with the cluster's key k,"), "{refused}");
    }

    /// Made by another program: `openssl dgst -sha256 -sign`.
    #[test]
    fn a_token_signed_with_rsa_as_most_clusters_do_is_taken() {
        let set = include_str!("rsa/keys.json");
        let token = include_str!("rsa/token").trim();
        let key = keys::parse(set).unwrap().remove(0);
        assert_eq!(judged(token, &key), Ok(vec!["team/digits".into()]));
        let other = token.replacen(&token[token.len() - 20..token.len() - 10], "AAAAAAAAAA", 1);
        assert_eq!(judged(&other, &key), Err(Refused::Signature));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "[A-Za-z0-9_.-]{0,80}") {
            let cluster = Cluster::new();
            let _ = judged(&text, &cluster.key);
        }
    }
}
