//! What the topics share beside [`modelwright_testing`]: what a command is asked to do.

pub mod publishing;
pub mod training;

use std::{fs, path::PathBuf, time::Duration};

use modelwright_contract::{
    fetch::{FetchConfig, FetchKind, Waits},
    report::{FetchReport, PublishReport},
};
use modelwright_jobs::{
    fetch::{self, FetchError, FetchOptions},
    network::{RetryPolicy, Timeouts},
};
pub use modelwright_testing::{
    browser, disk, files, habits, models, npz, onnx, programs, secret, server, serving, sha256,
};
use tempfile::TempDir;

/// A volume to fetch into, and everything that a config can say.
pub struct Volume {
    pub folder: TempDir,
    pub config: FetchConfig,
    pub options: FetchOptions,
    secret: Option<TempDir>,
}

impl Volume {
    /// The config for a source on this machine, as a user without Secret would have it.
    pub fn new(uri: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = FetchConfig {
            claim_directory: None,
            further: Vec::new(),
            credentials_secret: None,
            kind: FetchKind::Source,
            uri: uri.to_owned(),
            sha256: None,
            destination: folder.path().join("data").to_str().unwrap().to_owned(),
            credentials_directory: None,
            max_bytes: 1_000_000,
            allow_private_networks: false,
            plain_http: false,
            run: None,
            waits: Waits::default(),
        };
        Self { folder, config, options: options(), secret: None }
    }

    /// The same with a Secret.
    pub fn with_secret(mut self, keys: &[(&str, &str)]) -> Self {
        let secret = secret(keys);
        self.config.credentials_directory = Some(secret.path().to_str().unwrap().to_owned());
        self.secret = Some(secret);
        self
    }

    /// The same with an expected digest.
    pub fn pinned(mut self, sha256: &str) -> Self {
        self.config.sha256 = Some(sha256.to_owned());
        self
    }

    pub async fn fetch(&self) -> Result<FetchReport, FetchError> {
        fetch::run(&self.config, &self.options).await
    }

    /// Fetches, expects a failure that leaves nothing behind, and gives its reason.
    pub async fn refused(&self) -> &'static str {
        self.refusal().await.reason()
    }

    /// Fetches, and expects a failure that leaves nothing behind.
    pub async fn refusal(&self) -> FetchError {
        let error = self.fetch().await.expect_err("the fetch was expected to fail");
        assert_eq!(files(self.folder.path()), Vec::<String>::new(), "left behind after: {error}");
        error
    }

    /// A fetched file.
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.folder.path().join("data").join(path)).unwrap()
    }

    /// All fetched files.
    pub fn files(&self) -> Vec<String> {
        assert_eq!(
            fs::read_dir(self.folder.path()).unwrap().count(),
            1,
            "there is more than the destination"
        );
        files(&self.folder.path().join("data"))
    }
}

/// Options for servers on this machine, with short waits.
pub fn options() -> FetchOptions {
    FetchOptions {
        allow_loopback: true,
        claim_directory: PathBuf::from("/nowhere"),
        timeouts: short(),
        retry: RetryPolicy {
            first_delay: Duration::from_millis(5),
            longest_delay: Duration::from_millis(20),
            retries: 2,
            limit: Duration::from_secs(10),
        },
    }
}

/// Waits that a test can wait for.
pub fn short() -> Timeouts {
    Timeouts {
        connect: Duration::from_secs(2),
        read: Duration::from_millis(500),
        answer: Duration::from_millis(500),
    }
}

/// A report without what depends on the machine, to be compared with another of the same bytes.
pub fn unmeasured(report: PublishReport) -> PublishReport {
    assert!(report.size.is_some(), "nothing was measured: {report:?}");
    PublishReport { size: None, ..report }
}
