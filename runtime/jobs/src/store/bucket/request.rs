//! Makes signed requests for an object store. In go a bucket, a key and a query; out comes a request to be sent. Needs no
//! network.

use modelwright_contract::names;
use object_store::{
    aws::{AwsAuthorizer, AwsCredential},
    client::HttpRequestBody,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{
    Request,
    header::{ACCEPT_ENCODING, HeaderValue},
};
use url::Url;

use super::{BucketError, Question};
use crate::network::credentials::{CredentialsError, Secret};

/// What stands in a query as it is.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// What stands in a key's path as it is.
const PATH: &AsciiSet = &VALUE.remove(b'/');

/// Who signs; nobody, for a bucket that everybody may read.
pub struct Signer {
    credential: Option<AwsCredential>,
    region: String,
}

impl Signer {
    /// Takes the keys of a Secret.
    pub fn new(secret: Option<&Secret>, region: String) -> Result<Self, BucketError> {
        let Some(secret) = secret else { return Ok(Self { credential: None, region }) };
        let keys = secret.s3();
        let credential = keys.access.clone().map(|(key_id, secret_key)| AwsCredential {
            key_id,
            secret_key,
            token: keys.session_token.clone(),
        });
        let texts = [
            (names::SECRET_REGION, Some(&region)),
            (names::SECRET_ACCESS_KEY_ID, credential.as_ref().map(|credential| &credential.key_id)),
            (names::SECRET_SESSION_TOKEN, keys.session_token.as_ref()),
        ];
        for (key, text) in texts {
            if text.is_some_and(|text| HeaderValue::from_str(text).is_err()) {
                let expected = "holds characters that no HTTP header may hold";
                let secret = secret.label().to_owned();
                return Err(CredentialsError::KeyMissing { secret, key, expected }.into());
            }
        }
        Ok(Self { credential, region })
    }

    /// The request for a question.
    pub(super) fn sign(
        &self,
        endpoint: &Url,
        bucket: &str,
        question: Question<'_>,
    ) -> Result<Request, String> {
        let url = url(endpoint, bucket, question.key, question.query)?;
        let mut signed = http::Request::builder()
            .method(question.method.clone())
            .uri(url.as_str())
            .body(HttpRequestBody::from(question.body.clone()))
            .map_err(|error| error.to_string())?;
        signed.headers_mut().extend(question.headers.clone());
        // Servers in between may change it, and then what was signed is not what arrives.
        let encoding = signed.headers_mut().remove(ACCEPT_ENCODING);
        if let Some(credential) = &self.credential {
            AwsAuthorizer::new(credential, "s3", &self.region)
                .try_authorize(&mut signed, None)
                .map_err(|error| error.to_string())?;
        }
        let mut request = Request::new(question.method.clone(), url);
        *request.headers_mut() = std::mem::take(signed.headers_mut());
        request.headers_mut().extend(encoding.map(|encoding| (ACCEPT_ENCODING, encoding)));
        Ok(request)
    }
}

fn url(endpoint: &Url, bucket: &str, key: Option<&str>, query: &[(&str, &str)]) -> Result<Url, String> {
    let mut text = format!("{}/{bucket}", endpoint.as_str().trim_end_matches('/'));
    if let Some(key) = key {
        // A part like that would be taken for a step up or down the path.
        if key.split('/').any(|part| matches!(part, "." | "..")) {
            return Err(format!("the key {key:?} has a `.` or `..` part, which no URL can hold"));
        }
        text.push('/');
        text.extend(utf8_percent_encode(key, PATH));
    }
    for (number, (name, value)) in query.iter().enumerate() {
        text.push(if number == 0 { '?' } else { '&' });
        text.extend(utf8_percent_encode(name, VALUE));
        text.push('=');
        text.extend(utf8_percent_encode(value, VALUE));
    }
    Url::parse(&text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_key_and_value_arrives_as_it_was_written(key in "(\\PC|/|%20| ){0,40}", value in "\\PC{0,20}") {
            let endpoint = Url::parse("http://store:9000").unwrap();
            match url(&endpoint, "bkt", Some(&key), &[("prefix", &value)]) {
                Ok(url) => {
                    let path = percent_encoding::percent_decode_str(url.path()).decode_utf8().unwrap().into_owned();
                    prop_assert_eq!(path, format!("/bkt/{}", key));
                    let pairs: Vec<_> = url.query_pairs().into_owned().collect();
                    prop_assert_eq!(pairs, vec![("prefix".to_owned(), value)]);
                }
                Err(why) => prop_assert!(key.split('/').any(|part| part == "." || part == ".."), "{}", why),
            }
        }
    }
}
