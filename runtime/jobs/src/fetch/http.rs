//! `https://` and `http://`: one file from a web server. In goes a URL and a name; one staged file comes out.

use reqwest::header::HeaderMap;
use url::Url;

use super::{FetchOptions, error::FetchError, staging::Staging};
use crate::network::{
    address::AddressPolicy,
    client::Client,
    credentials::{CredentialsError, Secret},
    download::Download,
    host::HostPort,
};
use modelwright_core::path::check_path;

/// The name of data whose URL has none.
const DEFAULT_NAME: &str = "data";

/// What to fetch, and the name to stage it under.
pub struct File<'a> {
    pub url: &'a Url,
    pub name: &'a str,
    /// Whether its digest is checked.
    pub pinned: bool,
}

/// The name that a file has at its source: the last segment of the path, if that can be a file's name.
///
/// A name in the answer (`Content-Disposition`) is not asked for: the spec alone decides what `train` finds.
pub fn file_name(url: &Url) -> String {
    let last = url.path_segments().and_then(Iterator::last).unwrap_or_default();
    match decoded(last) {
        Some(name) if !name.contains('/') && check_path(&name).is_ok() => name,
        _ => DEFAULT_NAME.to_owned(),
    }
}

/// Text without its percent signs, if it is text then.
fn decoded(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

pub async fn fetch(
    File { url, name, pinned }: File<'_>,
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
    let open = async |headers: HeaderMap| client.get(url, &headers, authorization.as_ref()).await;
    let download = Download::new(open, name, options.retry).pinned(pinned);
    staging.write(name, None, download.pieces()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn data_keep_the_last_part_of_their_path_where_that_is_a_name() {
        for (url, name) in [
            ("https://host/a/digits.csv?token=x#y", "digits.csv"),
            ("https://host/my%20data.csv", "my data.csv"),
            ("https://host/Gr%C3%BC%C3%9Fe.csv", "Grüße.csv"),
            ("https://host", "data"),
            ("https://host/folder/", "data"),
            ("https://host/a%2Fb", "data"),
            ("https://host/%00", "data"),
            ("https://host/%ff", "data"),
            ("https://host/%zz", "data"),
            ("https://host/a%5Cb", "data"),
        ] {
            assert_eq!(file_name(&Url::parse(url).unwrap()), name, "{url}");
        }
        let long = format!("https://host/{}", "x".repeat(300));
        assert_eq!(file_name(&Url::parse(&long).unwrap()), "data");
    }
}
