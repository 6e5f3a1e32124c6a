//! Names that both sides must spell alike.

/// Environment variable with the JSON of [`crate::fetch::FetchConfig`].
pub const FETCH_ENV: &str = "MODELWRIGHT_FETCH";
/// Environment variable with the JSON of [`crate::prove::ProveConfig`].
pub const PROVE_ENV: &str = "MODELWRIGHT_PROVE";
/// Environment variable with the JSON of [`crate::publish::PublishConfig`].
pub const PUBLISH_ENV: &str = "MODELWRIGHT_PUBLISH";
/// Environment variable with what a run is known by: the UID of its Job (downward API). `publish` leaves the run's report in
/// the store under it.
pub const RUN_ENV: &str = "MODELWRIGHT_RUN";
/// Environment variable of the `fetch` of a training, with the JSON of the [`crate::publish::PublishConfig`] that finds the
/// report of the run: an earlier attempt of it may have published, and then nothing is trained again.
pub const EARLIER_ENV: &str = "MODELWRIGHT_EARLIER";
/// Label of a Job's pods with the Job's UID.
pub const JOB_UID_LABEL: &str = "batch.kubernetes.io/controller-uid";
/// Environment variable with the JSON of [`crate::serving::ServingConfig`].
pub const SERVING_ENV: &str = "MODELWRIGHT_SERVING";
/// Environment variable with the pod's own name (downward API).
pub const POD_NAME_ENV: &str = "MODELWRIGHT_POD_NAME";
/// Environment variable with the path of the ONNX Runtime shared library; the image sets it.
pub const ONNXRUNTIME_ENV: &str = "ORT_DYLIB_PATH";

/// Environment variable of `train` with the device that it was given beside processors: it must use it.
pub const DEVICE_ENV: &str = "MODELWRIGHT_DEVICE";

/// The server in the runtime's image, whose entrypoint runs jobs.
pub const SERVE_PROGRAM: &str = "/usr/local/bin/modelwright-serve";

/// Port of the Open Inference Protocol over HTTP.
pub const HTTP_PORT: u16 = 8080;
/// Port of the Open Inference Protocol over gRPC.
pub const GRPC_PORT: u16 = 9000;
/// Port of `/metrics` and `/status`, for the cluster's own use.
pub const METRICS_PORT: u16 = 9090;

/// The bounded volume that the containers of a run share.
pub const WORK_DIRECTORY: &str = "/modelwright";
/// Where `fetch` puts what it fetched in a run: the source model's files.
pub const SOURCE_DIRECTORY: &str = "/modelwright/data";
/// Where `fetch` puts a test set of its own, for `train`.
pub const TEST_DIRECTORY: &str = "/modelwright/test";
/// Where `fetch` puts the version that a training starts from, or whose model is taken over.
pub const FROM_DIRECTORY: &str = "/modelwright/from";
/// Where the claim that keeps what a training goes on from is mounted, into `train` alone.
pub const CHECKPOINT_DIRECTORY: &str = "/modelwright/checkpoint";
/// Where code of a user's own is mounted, into `train` alone.
pub const CODE_DIRECTORY: &str = "/modelwright-code";
/// Name of the code's file there.
pub const CODE_FILE: &str = "main.py";
/// The code itself, where it stands in the spec: an environment variable of `train`.
pub const CODE_ENV: &str = "MODELWRIGHT_CODE";
/// A volume that only `fetch` writes and only `publish` reads: what `train` and `prove` run may be anybody's, and what was
/// fetched is not theirs to say.
pub const FETCHED_DIRECTORY: &str = "/modelwright-fetched";
/// Name of the [`crate::report::FetchReport`] that `fetch` leaves there, for the report of the run.
pub const FETCH_REPORT_FILE: &str = "fetch.json";
/// Where `prove` leaves for `publish` what it has proven.
pub const PROOF_DIRECTORY: &str = "/modelwright/proof";
/// Where `fetch` puts the artifact in a serving pod.
pub const MODEL_DIRECTORY: &str = "/modelwright/model";
/// Where the claim of a `pvc://` source or store is mounted: into `fetch` read-only, into `publish` for writing.
pub const CLAIM_DIRECTORY: &str = "/modelwright-claim";
/// Where the claim of a test set of its own is mounted, if it is none of the others: into `fetch`, read-only.
pub const TEST_CLAIM_DIRECTORY: &str = "/modelwright-test-claim";
/// Where the claim of the version that a training starts from is mounted, if a store is one: into `fetch`, read-only.
pub const FROM_CLAIM_DIRECTORY: &str = "/modelwright-from-claim";
/// Where the Secret of a test set of its own is mounted, one file a key.
pub const TEST_CREDENTIALS_DIRECTORY: &str = "/etc/modelwright/test-credentials";
/// Where the Secret of a source is mounted, one file a key.
pub const CREDENTIALS_DIRECTORY: &str = "/etc/modelwright/credentials";
/// Where the store's Secret is mounted, one file a key; an empty or absent folder means no credentials.
pub const STORE_CREDENTIALS_DIRECTORY: &str = "/etc/modelwright/store-credentials";
/// Where `publish` alone finds the token that lets it push to the chart's own store.
pub const STORE_TOKEN_DIRECTORY: &str = "/etc/modelwright/store-token";
/// Name of the token's file there.
pub const STORE_TOKEN_FILE: &str = "token";
/// What the audience of such a token begins with: behind it stands the repository, within the namespace, that may be pushed to.
pub const STORE_AUDIENCE: &str = "modelwright-store:";
/// Where the optional traffic ConfigMap is mounted.
pub const TRAFFIC_DIRECTORY: &str = "/etc/modelwright/traffic";
/// Key of the traffic ConfigMap, and so the file's name; holds the JSON of [`crate::traffic::Traffic`].
pub const TRAFFIC_KEY: &str = "traffic.json";
/// The kubelet reads a container's report here.
pub const TERMINATION_LOG: &str = "/dev/termination-log";

/// Exit code for input that no retry can mend; the Job fails at once.
pub const EXIT_BAD_INPUT: i32 = 64;
/// Exit code for a failure that a retry may mend (a store that does not answer).
pub const EXIT_TRANSIENT: i32 = 75;

/// Response header with the version number that answered.
pub const VERSION_HEADER: &str = "x-modelwright-version";
/// Response header with the model digest that answered (64 hex digits).
pub const DIGEST_HEADER: &str = "x-modelwright-digest";

/// Secret key, for every scheme: the only `host[:port]` that the credentials may be sent to. Mandatory.
pub const SECRET_HOST: &str = "host";
/// Secret key for `oci`, `https`, `http`: user name.
pub const SECRET_USERNAME: &str = "username";
/// Secret key for `oci`, `https`, `http`: password.
pub const SECRET_PASSWORD: &str = "password";
/// Secret key for `https`, `http`: a bearer token, instead of user name and password.
pub const SECRET_TOKEN: &str = "token";
/// Secret key for `s3`: access key ID.
pub const SECRET_ACCESS_KEY_ID: &str = "accessKeyId";
/// Secret key for `s3`: secret access key.
pub const SECRET_SECRET_ACCESS_KEY: &str = "secretAccessKey";
/// Secret key for `s3`, optional: session token.
pub const SECRET_SESSION_TOKEN: &str = "sessionToken";
/// Secret key for `s3`, optional: region (`us-east-1` if absent).
pub const SECRET_REGION: &str = "region";
/// Secret key for `oci`, optional: the host that hands out the registry's tokens, if it is not `host` itself.
pub const SECRET_TOKEN_HOST: &str = "tokenHost";
/// Secret key, optional: `true` to speak plain HTTP to the host (`oci`, `s3`), or to let the credentials of an `http`
/// source cross the network unencrypted.
pub const SECRET_PLAIN_HTTP: &str = "plainHttp";
/// Secret key for every TLS scheme, optional: PEM certificates to trust besides the system's.
pub const SECRET_CA_CERTIFICATE: &str = "ca.crt";
