use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use modelwright_jobs::{
    network::{RetryPolicy, Timeouts, address::AddressPolicy, credentials::Secret},
    store::{Access, Reference, RegistryError},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::support::{
    habits::{Asked, Bend, Kept, Pace, Registry, Reply, reply},
    options,
    programs::Program,
    secret,
    server::Authority,
    sha256, short,
};

const CHUNK: u64 = 64 * 1024;

/// A file, and a client of a repository.
struct Pushed {
    _folder: TempDir,
    path: PathBuf,
    bytes: Vec<u8>,
    digest: String,
    client: modelwright_jobs::store::Registry,
}

impl Pushed {
    fn new<'a>(host: &str, size: usize, change: impl FnOnce(&mut Access<'a>)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..=250_u8).cycle().take(size).collect();
        let path = folder.path().join("blob");
        fs::write(&path, &bytes).unwrap();
        let mut access = Access {
            secret: None,
            plain_http: true,
            policy: AddressPolicy { allow_private: false, allow_loopback: true },
            timeouts: Timeouts { answer: Duration::from_secs(30), ..short() },
            retry: RetryPolicy { limit: Duration::from_secs(20), ..options().retry },
            chunk: CHUNK,
        };
        change(&mut access);
        let reference = Reference::parse(&format!("{host}/models/digits")).unwrap();
        let client = modelwright_jobs::store::Registry::new(reference, access).unwrap();
        Self { _folder: folder, path, digest: format!("sha256:{}", sha256(&bytes)), bytes, client }
    }

    /// Writes the file and reads it back.
    async fn push(&self) -> Result<(), RegistryError> {
        let sent = self.client.push_blob(&self.path, &self.digest, self.bytes.len() as u64).await?;
        self.client.prove_blob(&self.digest, "the blob", sent).await
    }

    fn is_in(&self, registry: &Registry) -> bool {
        registry.kept.blobs.lock().unwrap().get(&self.digest) == Some(&self.bytes)
    }
}

fn straight() -> Bend {
    Box::new(|_, _| None)
}

#[tokio::test]
async fn an_upload_that_moves_is_not_cut_however_long_it_takes() {
    // 16 MB at 2 MB/s, which is longer than the deadline for a piece and for the answer. The kernel holds up to 4 MB.
    let registry = Registry::start(
        |asked| if asked.method == "PUT" { Pace::Rate(2_000_000) } else { Pace::Full },
        straight(),
    );
    let pushed = Pushed::new(&registry.host(), 16_000_000, |access| {
        access.chunk = u64::MAX;
        access.timeouts.answer = Duration::from_secs(7);
        access.retry.limit = Duration::ZERO;
    });
    let started = std::time::Instant::now();
    pushed.push().await.unwrap();
    assert!(started.elapsed() > Duration::from_secs(7), "the registry was to be slow");
    assert!(pushed.is_in(&registry) && registry.store.count("POST", "/uploads/") == 1);
}

#[tokio::test]
async fn an_upload_that_does_not_move_is_given_up_with_words() {
    let registry =
        Registry::start(|asked| if asked.method == "PUT" { Pace::Stuck } else { Pace::Full }, straight());
    let pushed = Pushed::new(&registry.host(), 20_000_000, |access| {
        access.chunk = u64::MAX;
        access.timeouts = short();
        access.retry.limit = Duration::ZERO;
    });
    let error = pushed.push().await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(error.to_string().contains("no byte of what was sent was taken for 500ms"), "{error}");
}

#[tokio::test]
async fn a_slow_commit_is_waited_for_and_the_blob_sent_once() {
    let slow: Bend = Box::new(|asked, kept| {
        (asked.method == "PUT").then(|| kept.answer(asked).after(Duration::from_millis(1500)))
    });
    let registry = Registry::start(|_| Pace::Full, slow);
    let pushed = Pushed::new(&registry.host(), 200_000, |_| {});
    pushed.push().await.unwrap();
    assert_eq!((registry.store.count("PUT", "/uploads/"), registry.store.count("PATCH", "")), (1, 4));
}

#[tokio::test]
async fn a_large_blob_goes_in_parts_and_a_cut_part_does_not_undo_the_others() {
    // The third part is cut in its middle; what follows begins elsewhere.
    let third = |asked: &Asked| asked.header("content-range") == Some("131072-196607");
    let pace = move |asked: &Asked| if third(asked) { Pace::Cut(10_000) } else { Pace::Full };
    let registry = Registry::start(pace, straight());
    let pushed = Pushed::new(&registry.host(), 300_000, |_| {});
    pushed.push().await.unwrap();
    assert!(pushed.is_in(&registry));
    assert_eq!(registry.store.count("POST", "/uploads/"), 1, "it went on, and did not begin anew");
    let ranges: Vec<_> = registry
        .store
        .seen()
        .iter()
        .filter_map(|asked| asked.header("content-range").map(str::to_owned))
        .collect();
    let expected =
        ["0-65535", "65536-131071", "131072-196607", "141072-206607", "206608-272143", "272144-299999"];
    assert_eq!(ranges, expected);
}

#[tokio::test]
async fn an_upload_that_the_registry_forgets_begins_anew_and_ends_if_it_always_does() {
    for always in [false, true] {
        let forgotten = AtomicUsize::new(0);
        let forgetful: Bend = Box::new(move |asked, _| {
            let second = asked.method == "PATCH" && !asked.header("content-range").unwrap().starts_with("0-");
            let asks = asked.method == "GET" && asked.path.contains("/uploads/");
            let forgets = (second || asks) && (always || forgotten.fetch_add(1, Ordering::SeqCst) < 2);
            forgets.then(|| reply(404, ""))
        });
        let registry = Registry::start(|_| Pace::Full, forgetful);
        let pushed = Pushed::new(&registry.host(), 200_000, |_| {});
        let outcome = pushed.push().await;
        assert_eq!(outcome.is_err(), always, "{outcome:?}");
        assert!(registry.store.count("POST", "/uploads/") >= 2);
    }
}

#[tokio::test]
async fn a_commit_that_ends_after_a_proxy_has_given_it_up_is_no_failure() {
    // The second commit finds no upload: the first one has ended meanwhile, or the registry has forgotten all of it.
    for ended in [true, false] {
        let commits = Arc::new(AtomicUsize::new(0));
        let count = commits.clone();
        let slow: Bend = Box::new(move |asked, kept| {
            if asked.method != "PUT" || !asked.path.contains("/uploads/") {
                return None;
            }
            match count.fetch_add(1, Ordering::SeqCst) {
                0 => return Some(reply(504, "")),
                1 if ended => drop(kept.answer(asked)),
                1 => kept.uploads.lock().unwrap().clear(),
                _ => return None,
            }
            Some(reply(404, r#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"no such upload"}]}"#))
        });
        let registry = Registry::start(|_| Pace::Full, slow);
        let pushed = Pushed::new(&registry.host(), 200_000, |_| {});
        pushed.push().await.unwrap_or_else(|error| panic!("ended: {ended}: {error}"));
        assert!(pushed.is_in(&registry));
        let begun = registry.store.count("POST", "/uploads/");
        assert_eq!((commits.load(Ordering::SeqCst), begun), if ended { (2, 1) } else { (3, 2) });
    }
}

#[tokio::test]
async fn a_registry_that_knows_no_parts_gets_the_blob_whole() {
    for status in [404, 405, 400, 403, 416, 501] {
        for unread in [false, true] {
            let refuses: Bend =
                Box::new(move |asked, _| (asked.method == "PATCH").then(|| reply(status, "no parts")));
            let pace = move |asked: &Asked| {
                if unread && asked.method == "PATCH" { Pace::Unread } else { Pace::Full }
            };
            let registry = Registry::start(pace, refuses);
            let pushed = Pushed::new(&registry.host(), 300_000, |_| {});
            pushed.push().await.unwrap_or_else(|error| panic!("{status}, unread: {unread}: {error}"));
            assert!(pushed.is_in(&registry), "{status}");
        }
    }
}

#[tokio::test]
async fn a_part_is_never_smaller_than_the_registry_asks_for() {
    let least: Bend = Box::new(|asked, kept| {
        (asked.method == "POST").then(|| kept.answer(asked).with("oci-chunk-min-length", "100000"))
    });
    let registry = Registry::start(|_| Pace::Full, least);
    let pushed = Pushed::new(&registry.host(), 300_000, |_| {});
    pushed.push().await.unwrap();
    assert_eq!(registry.store.count("PATCH", "/uploads/"), 3);
}

/// Tokens, each for so many requests.
struct Tokens {
    given: AtomicUsize,
    used: AtomicUsize,
    uses: usize,
}

impl Tokens {
    /// Whether a request has a token that is good for it.
    fn fit(&self, asked: &Asked) -> bool {
        let needs = if matches!(&*asked.method, "GET" | "HEAD") { "pull" } else { "push" };
        let given = self.given.load(Ordering::SeqCst);
        let token = asked.header("authorization").and_then(|header| header.strip_prefix("Bearer "));
        let own = token.is_some_and(|token| {
            token == format!("push{given}") || (needs == "pull" && token == format!("pull{given}"))
        });
        own && self.used.load(Ordering::SeqCst) < self.uses
    }

    fn answer(&self, asked: &Asked) -> Option<Reply> {
        if asked.path.starts_with("/token") {
            self.used.store(0, Ordering::SeqCst);
            let scope = if asked.path.contains("push") { "push" } else { "pull" };
            let number = self.given.fetch_add(1, Ordering::SeqCst) + 1;
            return Some(reply(200, format!(r#"{{"token":"","access_token":"{scope}{number}"}}"#)));
        }
        if self.fit(asked) {
            self.used.fetch_add(1, Ordering::SeqCst);
            return None;
        }
        // Without a scope, which is the client's to know.
        let realm = format!("Bearer realm=\"http://{}/token\",service=\"r\"", asked.header("host").unwrap());
        Some(reply(401, "").with("www-authenticate", "Negotiate").with("www-authenticate", realm))
    }
}

#[tokio::test]
async fn a_token_that_ends_in_the_middle_is_replaced_and_the_upload_goes_on() {
    // Some refuse before they have read what is sent to them, and close the connection on it.
    for unread in [false, true] {
        let tokens = Arc::new(Tokens { given: AtomicUsize::new(0), used: AtomicUsize::new(0), uses: 3 });
        let own = tokens.clone();
        let pace = move |asked: &Asked| {
            let refused = !asked.path.starts_with("/token") && !own.fit(asked);
            if unread && refused { Pace::Unread } else { Pace::Full }
        };
        let registry = Registry::start(pace, Box::new(move |asked, _| tokens.answer(asked)));
        let pushed = Pushed::new(&registry.host(), 600_000, |_| {});
        pushed.push().await.unwrap_or_else(|error| panic!("unread: {unread}: {error}"));
        assert!(pushed.is_in(&registry));
        // Once to be told to log in.
        assert_eq!(registry.store.count("POST", "/uploads/"), 2, "it went on");
        assert!(registry.store.count("GET", "/token?") >= 4, "tokens ended in the middle");
        assert!(
            registry
                .store
                .seen()
                .iter()
                .any(|asked| { asked.path.ends_with("scope=repository%3Amodels%2Fdigits%3Apull%2Cpush") })
        );
    }
}

#[tokio::test]
async fn a_challenge_that_can_be_met_is_met_in_whatever_form_and_order_it_comes() {
    let bearer = "Bearer realm=\"http://HOST/token\",service=\"r\"";
    for (headers, with_secret) in [
        (vec!["Negotiate", "Basic realm=\"x\""], true),
        (vec!["Negotiate, Basic realm=\"x\""], true),
        (vec!["Basic realm=\"x\"", bearer], false),
        (vec!["Basic realm=\"x\", Bearer realm=\"http://HOST/token\",service=\"r\""], false),
        (vec!["Bearer realm=\"http://elsewhere.example/token\"", "Basic realm=\"x\""], true),
    ] {
        let headers: Vec<String> = headers.into_iter().map(str::to_owned).collect();
        let bend: Bend = Box::new(move |asked, _| {
            if asked.path.starts_with("/token") {
                return Some(reply(200, r#"{"token":"T"}"#));
            }
            let fits = [Some("Bearer T"), Some("Basic YWRhOnB3")].contains(&asked.header("authorization"));
            let host = asked.header("host").unwrap();
            let refused = headers.iter().fold(reply(401, ""), |answer, header| {
                answer.with("www-authenticate", header.replace("HOST", host))
            });
            (!fits).then_some(refused)
        });
        let registry = Registry::start(|_| Pace::Full, bend);
        let host = registry.host();
        let keys = secret(&[("host", &host), ("username", "ada"), ("password", "pw"), ("plainHttp", "true")]);
        let keys = Secret::read(keys.path().to_str(), "s").unwrap();
        let pushed = Pushed::new(&host, 10, |access| access.secret = keys.as_ref().filter(|_| with_secret));
        pushed.push().await.unwrap();
    }
}

#[tokio::test]
async fn an_upload_is_sent_on_by_307_and_a_question_that_is_refused_is_not_asked_for_ever() {
    for head in [200, 400, 403, 405, 501] {
        let bend: Bend = Box::new(move |asked, kept| {
            if asked.method == "HEAD" && head != 200 {
                return Some(reply(head, ""));
            }
            let moves = asked.method == "POST" && !asked.path.starts_with("/moved");
            let answer = match asked.path.strip_prefix("/moved") {
                Some(path) => kept.answer(&Asked { path: path.to_owned(), ..asked.clone() }),
                None if moves => reply(307, "").with("location", format!("/moved{}", asked.path)),
                None => return None,
            };
            Some(answer)
        });
        let registry = Registry::start(|_| Pace::Full, bend);
        let pushed = Pushed::new(&registry.host(), 100_000, |_| {});
        pushed.push().await.unwrap_or_else(|error| panic!("HEAD {head}: {error}"));
        assert!(registry.store.count("POST", "/moved/v2/") == 1 && pushed.is_in(&registry));
    }
    // What is written is not sent on by a status that turns it into a question.
    let bend: Bend =
        Box::new(|asked, _| (asked.method == "POST").then(|| reply(302, "").with("location", "/login")));
    let registry = Registry::start(|_| Pace::Full, bend);
    let error = Pushed::new(&registry.host(), 10, |_| {}).push().await.unwrap_err();
    assert!(error.reason() == "RedirectRefused" && error.to_string().contains("/login"), "{error}");
}

#[tokio::test]
async fn the_real_registry_takes_a_blob_in_parts() {
    let registry = Program::registry("").await;
    let pushed = Pushed::new(&registry.host(), 500_000, |_| {});
    pushed.push().await.unwrap();
    // And has it then.
    assert!(!pushed.client.push_blob(&pushed.path, &pushed.digest, 500_000).await.unwrap());
}

/// Stands before a server, and ends the connection that carries the byte of this number, once.
async fn cutting_proxy(to: std::net::SocketAddr, at: usize) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let (count, cuts) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let noted = cuts.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(to).await.unwrap();
            let (count, cuts) = (count.clone(), noted.clone());
            tokio::spawn(async move {
                let ((mut from, mut back), (mut answers, mut forward)) =
                    (client.into_split(), server.into_split());
                let answers = tokio::spawn(async move { tokio::io::copy(&mut answers, &mut back).await });
                let mut piece = vec![0; 4096];
                while let Ok(read @ 1..) = from.read(&mut piece).await {
                    let before = count.fetch_add(read, Ordering::SeqCst);
                    if before < at && before + read >= at {
                        cuts.fetch_add(1, Ordering::SeqCst);
                        answers.abort();
                        return;
                    }
                    if forward.write_all(&piece[..read]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (host, cuts)
}

#[tokio::test]
async fn the_real_registry_gets_a_blob_whose_upload_is_cut_in_the_middle() {
    let registry = Program::registry("").await;
    for at in [1_000, 100_000, 150_000, 490_000] {
        let (host, cuts) = cutting_proxy(registry.address, at).await;
        let pushed = Pushed::new(&host, 480_000 + at, |_| {});
        pushed.push().await.unwrap_or_else(|error| panic!("cut at {at}: {error}"));
        assert_eq!(cuts.load(Ordering::SeqCst), 1, "cut at {at}");
    }
}

#[tokio::test]
async fn a_place_to_upload_to_keeps_the_registrys_own_tls() {
    let authority = Authority::new();
    let keys = |host: &str| secret(&[("host", host), ("ca.crt", &authority.certificate)]);
    let kept = Arc::new(Kept::default());
    let server = crate::support::server::Server::start_tls(&authority, {
        let kept = kept.clone();
        move |request| {
            // It takes itself for a server of plain HTTP.
            let host = request.header("host").unwrap();
            let location = format!("http://{host}/v2/models/digits/blobs/uploads/1");
            let status = match &*request.path {
                path if path.ends_with("/uploads/") => 202,
                path if path.contains("/uploads/1") => {
                    kept.blob(b"asked by TLS");
                    201
                }
                _ => 404,
            };
            crate::support::server::with_headers(status, &[("location", &location)])
        }
    })
    .await;
    let folder = keys(&server.host());
    let secret = Secret::read(folder.path().to_str(), "s").unwrap();
    let pushed = Pushed::new(&server.host(), 10, |access| {
        access.plain_http = false;
        access.secret = secret.as_ref();
    });
    pushed.client.push_blob(&pushed.path, &pushed.digest, 10).await.unwrap();
    assert_eq!(kept.blobs.lock().unwrap().len(), 1);
}
