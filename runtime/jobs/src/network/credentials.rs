//! The keys of a Secret, mounted as one file each. In goes a folder; out come credentials that know the only host
//! they may be sent to. Without that rule, whoever may create a Model could have a Secret of the namespace sent to a
//! host of their own.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use base64::Engine;
use modelwright_contract::names;
use reqwest::header::HeaderValue;

use super::host::HostPort;

/// Longest value of one key.
const MAX_VALUE_BYTES: u64 = 256 * 1024;

/// A Secret that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CredentialsError {
    #[error(
        "{secret} has no key `host`: credentials are sent only to the host that the Secret itself names; add `host: \
         {source_host}` to it if that is where they belong"
    )]
    HostMissing { secret: String, source_host: String },
    /// `host` is another one.
    #[error(
        "{secret} is for the host {secret_host} (its key `host`), and the source is at {source_host}; name a Secret \
         whose `host` is {source_host}, or correct the address"
    )]
    HostMismatch { secret: String, secret_host: String, source_host: String },
    /// `host` is no host.
    #[error("{secret}: its key `host` is {value:?}, where `host` or `host:port` was expected")]
    HostInvalid { secret: String, value: String },
    /// The registry wants its tokens from another host.
    #[error(
        "the registry asks to log in at {realm_host}, and {secret} is for {secret_host}; if you trust that host with \
         the password, add `tokenHost: {realm_host}` to the Secret"
    )]
    TokenHostMismatch {
        secret: String,
        secret_host: String,
        /// Where the password would go.
        realm_host: String,
    },
    /// No Secret at all.
    #[error("{secret} is not in the namespace, or empty; create it there with the keys {keys}")]
    Missing {
        secret: String,
        /// What it is to hold.
        keys: &'static str,
    },
    /// One key without its partner, or a key with a wrong value.
    #[error("{secret}: key `{key}` {expected}")]
    KeyMissing {
        secret: String,
        key: &'static str,
        /// What was expected of it.
        expected: &'static str,
    },
    /// A file that cannot be read.
    #[error("{secret}: key `{key}` cannot be read: {cause}")]
    Unreadable { secret: String, key: &'static str, cause: String },
}

impl CredentialsError {
    pub fn reason(&self) -> &'static str {
        match self {
            Self::HostMissing { .. } => "CredentialsHostMissing",
            Self::HostMismatch { .. } | Self::TokenHostMismatch { .. } => "CredentialsHostMismatch",
            Self::HostInvalid { .. } => "CredentialsHostInvalid",
            Self::Missing { .. } => "CredentialsMissing",
            Self::KeyMissing { .. } => "CredentialsKeyMissing",
            Self::Unreadable { .. } => "CredentialsUnreadable",
        }
    }
}

#[derive(Clone)]
pub struct Secret {
    label: String,
    host: Option<String>,
    token_host: Option<String>,
    username: Option<String>,
    password: Option<String>,
    token: Option<String>,
    /// A token that is renewed, in place of one that stays.
    token_file: Option<PathBuf>,
    plain_http: bool,
    ca_certificate: Option<String>,
    s3: S3Keys,
}

/// What only `s3` uses.
#[derive(Clone, Default)]
pub struct S3Keys {
    /// Access key ID and secret access key.
    pub access: Option<(String, String)>,
    pub session_token: Option<String>,
    pub region: Option<String>,
}

/// An `Authorization` header and the only host that may see it.
#[derive(Clone)]
pub struct Authorization {
    /// The header's value, marked as sensitive.
    pub header: HeaderValue,
    pub host: HostPort,
    /// Whether it may go there without TLS.
    pub plain_http: bool,
}

impl Secret {
    /// Reads a mounted Secret; a folder that is absent or empty is no Secret. `label` names it in messages.
    pub fn read(directory: Option<&str>, label: &str) -> Result<Option<Self>, CredentialsError> {
        let Some(directory) = directory.map(Path::new).filter(|directory| holds_files(directory)) else {
            return Ok(None);
        };
        let read = |key: &'static str| read_key(directory, key, label);
        let missing =
            |key, expected| CredentialsError::KeyMissing { secret: label.to_owned(), key, expected };
        let access = match (read(names::SECRET_ACCESS_KEY_ID)?, read(names::SECRET_SECRET_ACCESS_KEY)?) {
            (Some(id), Some(secret)) => Some((id, secret)),
            (None, None) => None,
            (Some(_), None) => {
                return Err(missing(names::SECRET_SECRET_ACCESS_KEY, "is missing beside `accessKeyId`"));
            }
            (None, Some(_)) => {
                return Err(missing(names::SECRET_ACCESS_KEY_ID, "is missing beside `secretAccessKey`"));
            }
        };
        let plain_http = match read(names::SECRET_PLAIN_HTTP)?.as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(missing(names::SECRET_PLAIN_HTTP, "must be `true` or `false`")),
        };
        Ok(Some(Self {
            label: label.to_owned(),
            host: read(names::SECRET_HOST)?,
            token_host: read(names::SECRET_TOKEN_HOST)?,
            username: read(names::SECRET_USERNAME)?,
            password: read(names::SECRET_PASSWORD)?,
            token: read(names::SECRET_TOKEN)?,
            token_file: None,
            plain_http,
            ca_certificate: read(names::SECRET_CA_CERTIFICATE)?,
            s3: S3Keys {
                access,
                session_token: read(names::SECRET_SESSION_TOKEN)?,
                region: read(names::SECRET_REGION)?,
            },
        }))
    }

    /// A token for one host that lies in a file and is renewed there.
    pub fn of_token(host: &str, file: &Path, label: &str) -> Self {
        Self {
            label: label.to_owned(),
            host: Some(host.to_owned()),
            token_host: None,
            username: None,
            password: None,
            token: None,
            token_file: Some(file.to_owned()),
            plain_http: false,
            ca_certificate: None,
            s3: S3Keys::default(),
        }
    }

    /// Whether what it holds is renewed, so that what is refused now may be taken later.
    pub fn is_renewed(&self) -> bool {
        self.token_file.is_some()
    }

    /// The host that the Secret is for, refused unless the source is there.
    pub fn require_host(&self, source: &HostPort, default_port: u16) -> Result<HostPort, CredentialsError> {
        let host = self.host_or(&source.to_string(), default_port)?;
        if host.matches(source) {
            return Ok(host);
        }
        Err(CredentialsError::HostMismatch {
            secret: self.label.clone(),
            secret_host: host.to_string(),
            source_host: source.to_string(),
        })
    }

    /// The host that the Secret is for; `source_host` is what a message suggests if there is none.
    pub fn host_or(&self, source_host: &str, default_port: u16) -> Result<HostPort, CredentialsError> {
        let text = self.host.as_deref().filter(|text| !text.is_empty()).ok_or_else(|| {
            CredentialsError::HostMissing { secret: self.label.clone(), source_host: source_host.to_owned() }
        })?;
        HostPort::parse(text, default_port).ok_or_else(|| CredentialsError::HostInvalid {
            secret: self.label.clone(),
            value: text.to_owned(),
        })
    }

    /// The header for user name and password, or for a bearer token, if the Secret has them.
    pub fn authorization(&self, host: HostPort) -> Result<Option<Authorization>, CredentialsError> {
        let missing =
            |key, expected| CredentialsError::KeyMissing { secret: self.label.clone(), key, expected };
        let renewed =
            self.token_file.as_deref().map(|file| read_file(file, names::SECRET_TOKEN, &self.label));
        let renewed = renewed.transpose()?;
        let value = match (renewed.as_ref().or(self.token.as_ref()), &self.username, &self.password) {
            (Some(token), None, None) => format!("Bearer {token}"),
            (Some(_), ..) => {
                return Err(missing(
                    names::SECRET_TOKEN,
                    "stands beside `username` or `password`; keep one of both",
                ));
            }
            (None, Some(username), Some(password)) => {
                let pair = base64::engine::general_purpose::STANDARD.encode(format!("{username}:{password}"));
                format!("Basic {pair}")
            }
            (None, None, None) => return Ok(None),
            (None, Some(_), None) => {
                return Err(missing(names::SECRET_PASSWORD, "is missing beside `username`"));
            }
            (None, None, Some(_)) => {
                return Err(missing(names::SECRET_USERNAME, "is missing beside `password`"));
            }
        };
        let mut header = HeaderValue::from_str(&value)
            .map_err(|_| missing(names::SECRET_TOKEN, "holds characters that no HTTP header may hold"))?;
        header.set_sensitive(true);
        Ok(Some(Authorization { header, host, plain_http: self.plain_http }))
    }

    /// The host that hands out a registry's tokens, if it is another one.
    pub fn token_host(&self) -> Result<Option<HostPort>, CredentialsError> {
        self.token_host
            .as_deref()
            .map(|text| {
                HostPort::parse(text, 443).ok_or_else(|| CredentialsError::KeyMissing {
                    secret: self.label.clone(),
                    key: names::SECRET_TOKEN_HOST,
                    expected: "is no `host` or `host:port`",
                })
            })
            .transpose()
    }

    /// Whether the host is spoken to by plain HTTP.
    pub fn plain_http(&self) -> bool {
        self.plain_http
    }

    /// PEM certificates to trust besides the system's.
    pub fn ca_certificate(&self) -> Option<&str> {
        self.ca_certificate.as_deref()
    }

    /// What only `s3` uses.
    pub fn s3(&self) -> &S3Keys {
        &self.s3
    }

    pub fn label(&self) -> &str {
        &self.label
    }
}

/// Whether the folder holds any key; the kubelet's own links start with `..`.
fn holds_files(directory: &Path) -> bool {
    fs::read_dir(directory).is_ok_and(|entries| {
        entries.flatten().any(|entry| !entry.file_name().as_encoded_bytes().starts_with(b".."))
    })
}

fn read_key(directory: &Path, key: &'static str, label: &str) -> Result<Option<String>, CredentialsError> {
    let path = directory.join(key);
    match fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        _ => read_file(&path, key, label).map(Some),
    }
}

fn read_file(path: &Path, key: &'static str, label: &str) -> Result<String, CredentialsError> {
    let unreadable = |cause: String| CredentialsError::Unreadable { secret: label.to_owned(), key, cause };
    if let Ok(metadata) = fs::metadata(path)
        && metadata.len() > MAX_VALUE_BYTES
    {
        let bytes = metadata.len();
        return Err(unreadable(format!("it has {bytes} bytes, at most {MAX_VALUE_BYTES} are read")));
    }
    let text = fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    // `kubectl create secret --from-file` keeps the newline that editors leave at the end.
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn secret(keys: &[(&str, &str)]) -> Result<Option<Secret>, CredentialsError> {
        let folder = tempfile::tempdir().unwrap();
        for (key, value) in keys {
            fs::write(folder.path().join(key), value).unwrap();
        }
        Secret::read(folder.path().to_str(), "the Secret")
    }

    fn host(text: &str) -> HostPort {
        HostPort::parse(text, 443).unwrap()
    }

    #[test]
    fn no_folder_and_an_empty_folder_are_no_secret() {
        assert!(Secret::read(None, "s").unwrap().is_none());
        assert!(Secret::read(Some("/nowhere/at/all"), "s").unwrap().is_none());
        assert!(secret(&[]).unwrap().is_none());
    }

    #[test]
    fn a_secret_without_host_is_refused_and_the_message_names_the_key() {
        let secret = secret(&[("username", "ada"), ("password", "pw")]).unwrap().unwrap();
        let error = secret.require_host(&host("example.com"), 443).unwrap_err();
        assert_eq!(error.reason(), "CredentialsHostMissing");
        assert!(error.to_string().contains("`host`") && error.to_string().contains("example.com"), "{error}");
    }

    #[test]
    fn a_secret_for_another_host_is_refused_and_the_message_names_both() {
        let secret = secret(&[("host", "example.com:8443\n")]).unwrap().unwrap();
        let error = secret.require_host(&host("example.com"), 443).unwrap_err();
        assert_eq!(error.reason(), "CredentialsHostMismatch");
        assert!(error.to_string().contains("example.com:8443"), "{error}");
        assert!(secret.require_host(&host("example.com:8443"), 443).is_ok());
    }

    #[test]
    fn half_a_pair_is_refused_by_the_name_of_the_missing_key() {
        let reason = |keys: &[(&str, &str)]| match secret(keys) {
            Err(error) => error.to_string(),
            Ok(secret) => secret.unwrap().authorization(host("h")).err().unwrap().to_string(),
        };
        assert!(reason(&[("username", "ada")]).contains("`password`"));
        assert!(reason(&[("password", "pw")]).contains("`username`"));
        assert!(reason(&[("accessKeyId", "a")]).contains("`secretAccessKey`"));
        assert!(reason(&[("secretAccessKey", "a")]).contains("`accessKeyId`"));
        assert!(reason(&[("plainHttp", "yes")]).contains("`plainHttp`"));
        assert!(reason(&[("token", "t"), ("username", "u"), ("password", "p")]).contains("`token`"));
    }

    #[test]
    fn user_name_and_password_become_a_header_that_debug_does_not_show() {
        let secret = secret(&[("username", "ada"), ("password", "pw")]).unwrap().unwrap();
        let authorization = secret.authorization(host("h")).unwrap().unwrap();
        assert_eq!(authorization.header.to_str().unwrap(), "Basic YWRhOnB3");
        assert!(!format!("{:?}", authorization.header).contains("YWRhOnB3"));
    }
}
