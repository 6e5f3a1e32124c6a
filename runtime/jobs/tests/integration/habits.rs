use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use modelwright_contract::fetch::FetchKind;
use modelwright_jobs::network::Timeouts;

use crate::support::{
    Volume,
    habits::{Asked, Reply, Store, reply},
    options, sha256, short,
};

const KEYS: [(&str, &str); 3] =
    [("accessKeyId", "ada"), ("secretAccessKey", "lovelace"), ("plainHttp", "true")];
const PAGE: &str = "<!DOCTYPE html><html><title>Sign in</title></html>";
const POINTER: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n";

fn web(store: &Store, path: &str) -> Volume {
    Volume::new(&format!("http://{}{path}", store.host()))
}

fn bucket(store: &Store, uri: &str) -> Volume {
    Volume::new(uri).with_secret(&[KEYS.as_slice(), &[("host", &store.host())]].concat())
}

/// The same file by the web and of a bucket, as a model and as data.
fn all(store: &Store, name: &str) -> Vec<Volume> {
    let mut volumes = Vec::new();
    for kind in [FetchKind::Source, FetchKind::Data] {
        for mut volume in [web(store, &format!("/bkt/{name}")), bucket(store, &format!("s3://bkt/{name}"))] {
            volume.config.kind = kind;
            volumes.push(volume);
        }
    }
    volumes
}

fn bytes(count: usize) -> Vec<u8> {
    (0..=250_u8).cycle().take(count).collect()
}

#[tokio::test]
async fn a_part_an_answer_without_content_and_compressed_bytes_are_never_the_file() {
    let cases = [
        (reply(206, "x,y\n").with("content-range", "bytes 0-3/99"), "a part of the file", false),
        (reply(206, "x,y\n"), "a part of the file", false),
        (reply(202, "soon"), "soon", true),
        (reply(204, ""), "204", false),
        (reply(205, "x"), "205", false),
        (reply(200, "x").with("content-encoding", "gzip"), "Content-Encoding: gzip", false),
        (reply(200, "x").with("content-encoding", "br, gzip"), "br, gzip", false),
    ];
    for (answer, word, may_pass) in cases {
        let store = Store::start(move |_| answer.clone());
        for volume in all(&store, "d.csv") {
            let error = volume.refusal().await;
            assert!(error.to_string().contains(word), "{word}: {error}");
            assert_eq!(error.is_transient(), may_pass, "{error}");
        }
        assert!(store.seen().iter().all(|asked| asked.header("accept-encoding") == Some("identity")));
    }
    // An archive by its own name is the file itself, however its server calls it.
    let store = Store::start(|_| reply(200, "zip").with("content-encoding", "x-gzip"));
    let mut volume = web(&store, "/d.csv.gz");
    volume.config.kind = FetchKind::Data;
    volume.fetch().await.unwrap();
    assert_eq!(volume.read("d.csv.gz"), "zip");
}

#[tokio::test]
async fn a_page_a_pointer_and_a_compressed_file_are_told_by_their_names_from_every_kind_of_source() {
    for (content, word) in
        [(PAGE.as_bytes(), "HTML"), (POINTER.as_bytes(), "LFS"), (b"\x1f\x8b\x08\0", "gzip")]
    {
        let store = Store::start(move |_| reply(200, content));
        let claim = tempfile::tempdir().unwrap();
        std::fs::write(claim.path().join("m.onnx"), content).unwrap();
        let mut volumes = all(&store, "m.onnx");
        let mut of_claim = Volume::new("pvc://claim/m.onnx");
        of_claim.options.claim_directory = claim.path().to_owned();
        volumes.push(of_claim);
        for volume in volumes {
            let error = volume.refusal().await;
            assert_eq!((error.reason(), error.is_transient()), ("NoContent", false), "{error}");
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}

/// Gives 30,000 bytes a connection, of a file that is another one after so many requests.
fn cutting(ranges: bool, changes_after: usize) -> (Store, Vec<u8>, Vec<u8>) {
    let (old, new) = (bytes(100_000), vec![7; 90_000]);
    let files = (old.clone(), new.clone());
    let count = AtomicUsize::new(0);
    let store = Store::start(move |asked: &Asked| {
        let changed = count.fetch_add(1, Ordering::SeqCst) >= changes_after;
        let (file, tag) = if changed { (&files.1, "\"new\"") } else { (&files.0, "\"old\"") };
        let first = if ranges { asked.first() } else { 0 };
        if asked.header("if-match").is_some_and(|wanted| ranges && wanted != tag) {
            return reply(412, "");
        }
        let answer = if first > 0 {
            let range = format!("bytes {first}-{}/{}", file.len() - 1, file.len());
            reply(206, &file[first..]).with("content-range", range)
        } else {
            reply(200, file)
        };
        answer.with("etag", tag).cut(30_000)
    });
    (store, old, new)
}

#[tokio::test]
async fn a_download_that_is_cut_goes_on_where_it_was_cut() {
    for of_bucket in [false, true] {
        let (store, old, _) = cutting(true, usize::MAX);
        let volume = if of_bucket { bucket(&store, "s3://bkt/m") } else { web(&store, "/m") };
        let report = volume.pinned(&sha256(&old)).fetch().await.unwrap();
        assert_eq!(report.size_bytes, 100_000);
        let ranges: Vec<_> = store.seen().iter().map(Asked::first).collect();
        assert_eq!(ranges, [0, 30_000, 60_000, 90_000]);
        assert!(store.seen().iter().skip(1).all(|asked| asked.header("if-match") == Some("\"old\"")));
    }
}

#[tokio::test]
async fn a_file_that_changes_meanwhile_is_never_made_of_two() {
    let (store, _, new) = cutting(true, 2);
    let mut volume = web(&store, "/m");
    // What was read of the old file is no progress of the new one.
    volume.options.retry.retries = 4;
    assert_eq!(volume.fetch().await.unwrap().sha256, sha256(new));
    let ranges: Vec<_> = store.seen().iter().map(Asked::first).collect();
    assert_eq!(ranges, [0, 30_000, 60_000, 0, 30_000, 60_000], "after 412 it begins anew");
}

#[tokio::test]
async fn a_rest_that_nothing_proves_to_be_of_the_same_file_is_not_taken() {
    // The server has ranges and heeds no condition; the file is another one after the first answer.
    let (earlier, later) = ("Sun, 29 Nov 2026 11:00:00 GMT", "Sun, 29 Nov 2026 11:30:00 GMT");
    let time = |time| ("last-modified", time);
    for (known, then, size) in [
        (time(earlier), time(later), 100_000),
        (time(earlier), time(earlier), 90_000),
        (time(earlier), ("x-nothing", "of it"), 100_000),
        (("etag", "\"old\""), ("etag", "\"new\""), 100_000),
        (("etag", "\"old\""), time(earlier), 100_000),
    ] {
        let (old, new, count) = (bytes(100_000), vec![7; size], AtomicUsize::new(0));
        let sha256_of_new = sha256(&new);
        let store = Store::start(move |asked| {
            let changed = count.fetch_add(1, Ordering::SeqCst) > 0;
            let (file, (name, value)) = if changed { (&new, then) } else { (&old, known) };
            let first = asked.first();
            let answer = match first {
                0 => reply(200, file),
                _ => reply(206, &file[first..])
                    .with("content-range", format!("bytes {first}-{}/{}", file.len() - 1, file.len())),
            };
            let answer = answer.with("date", "Sun, 29 Nov 2026 12:00:00 GMT").with(name, value);
            if changed { answer } else { answer.cut(60_000) }
        });
        let fetched = web(&store, "/m").fetch().await.unwrap();
        assert_eq!(fetched.sha256, sha256_of_new, "{known:?}, then {then:?}");
        let ranges: Vec<_> = store.seen().iter().map(Asked::first).collect();
        assert_eq!(ranges, [0, 60_000, 0], "{known:?}, then {then:?}");
    }
}

#[tokio::test]
async fn a_small_answer_that_drips_ends_within_the_time_for_answers() {
    // A byte at a time, each well within the time for a piece: all of it would take minutes.
    let drip =
        |status: u16, body: &str| reply(status, body.repeat(2000)).dripping(Duration::from_millis(100));
    let words = Store::start(move |_| drip(500, "no!"));
    let page = Store::start(move |_| drip(200, "<ListBucketResult>"));
    let manifest = Store::start(move |_| drip(200, " "));
    let token = Store::start(move |asked| {
        let realm = format!("Bearer realm=\"http://{}/token\"", asked.header("host").unwrap());
        if asked.path.starts_with("/token") {
            drip(200, " ")
        } else {
            reply(401, "").with("www-authenticate", realm)
        }
    });
    let oci = |store: &Store| {
        let mut volume = Volume::new(&format!("oci://{}/models/digits:v1", store.host()));
        volume.config.plain_http = true;
        volume
    };
    let volumes = [web(&words, "/m"), bucket(&page, "s3://bkt/m/"), oci(&manifest), oci(&token)];
    for (mut volume, word) in
        volumes.into_iter().zip(["no!", "did not end within", "did not end within", "did not end within"])
    {
        volume.options.retry.retries = 1;
        let refused = tokio::time::timeout(Duration::from_mins(1), volume.refusal()).await;
        let error = refused.unwrap_or_else(|_| panic!("{}: it is read to its end", volume.config.uri));
        assert!(error.to_string().contains(word) && error.is_transient(), "{}: {error}", volume.config.uri);
    }
}

#[tokio::test]
async fn a_server_without_ranges_that_cuts_every_time_is_given_up() {
    let (store, ..) = cutting(false, usize::MAX);
    let error = web(&store, "/m").refusal().await;
    assert_eq!((error.reason(), error.is_transient()), ("Unreachable", true), "{error}");
    // One try with progress, then as many as the policy allows without.
    assert_eq!(store.seen().len(), 2 + options().retry.retries - 1);
}

#[tokio::test]
async fn a_server_that_names_a_time_is_left_alone_for_it() {
    for of_bucket in [false, true] {
        let count = AtomicUsize::new(0);
        let store = Store::start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
            0 => reply(503, "").with("retry-after", "1"),
            1 => reply(429, "")
                .with("date", "Sun, 29 Nov 2026 12:00:00 GMT")
                .with("retry-after", "Sun, 29 Nov 2026 12:00:01 GMT"),
            _ => reply(200, "model"),
        });
        let mut volume = if of_bucket { bucket(&store, "s3://bkt/m") } else { web(&store, "/m") };
        volume.options.retry.retries = 0;
        volume.fetch().await.unwrap();
        let times: Vec<Instant> = store.seen().iter().map(|asked| asked.at).collect();
        assert_eq!(times.len(), 3);
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_secs(1)), "{times:?}");
    }
    let store = Store::start(|_| reply(429, "").with("retry-after", "3600"));
    let error = web(&store, "/m").refusal().await;
    assert!(error.to_string().contains("left alone for 3600 s"), "{error}");
    assert_eq!(store.seen().len(), 1);
}

#[tokio::test]
async fn a_late_first_byte_is_waited_for_by_a_time_of_its_own() {
    let store = Store::start(|_| reply(200, "model").after(Duration::from_millis(900)));
    let mut volume = web(&store, "/m");
    volume.options.timeouts = Timeouts { answer: Duration::from_secs(30), ..short() };
    volume.fetch().await.unwrap();
    assert_eq!(store.seen().len(), 1);
    volume.options.timeouts = short();
    std::fs::remove_dir_all(volume.folder.path().join("data")).unwrap();
    let error = volume.refusal().await;
    assert!(error.to_string().contains("no answer began within 500ms"), "{error}");
}

#[tokio::test]
async fn an_answer_without_a_length_is_read_to_its_end() {
    let store = Store::start(|_| reply(200, bytes(70_000)).without_length());
    for volume in all(&store, "m.bin") {
        assert_eq!(volume.fetch().await.unwrap().sha256, sha256(bytes(70_000)));
    }
}

/// A bucket's list, in one page.
fn list(keys: &[&str]) -> Reply {
    let row = |key: &&str| {
        let size = if key.ends_with('/') { 0 } else { key.len() };
        format!("<Contents><Key>{key}</Key><Size>{size}</Size></Contents>")
    };
    let rows = keys.iter().map(row).collect::<Vec<_>>().concat();
    reply(200, format!("<ListBucketResult><IsTruncated>false</IsTruncated>{rows}</ListBucketResult>"))
}

#[tokio::test]
async fn marks_of_folders_spaces_and_double_slashes_are_what_they_are_in_a_bucket() {
    const KEYS: [&str; 6] =
        ["m y/", "m y/data/", "m y/data/w 1.bin", "m y//b.bin", "m y/net.onnx", "m y/old/"];
    // Every object holds its own key.
    let store = Store::start(|asked| {
        if asked.path.contains("list-type") {
            return list(&KEYS);
        }
        let key = asked.path.trim_start_matches("/bkt/").replace("%20", " ");
        if KEYS.contains(&key.as_str()) { reply(200, &key) } else { reply(404, "") }
    });
    let volume = bucket(&store, "s3://bkt/m y/");
    volume.fetch().await.unwrap();
    assert_eq!(volume.files(), ["b.bin", "data/w 1.bin", "model.onnx"]);
    assert_eq!(volume.read("b.bin"), "m y//b.bin");
    for key in ["m y//b.bin", "m y/data/w 1.bin"] {
        let volume = bucket(&store, &format!("s3://bkt/{key}"));
        volume.fetch().await.unwrap();
        assert_eq!(volume.read("model.onnx"), key);
    }
    let error = bucket(&store, "s3://bkt/m%20y/net.onnx").refusal().await;
    assert!(error.to_string().contains("write a space as a space"), "{error}");
}

#[tokio::test]
async fn a_list_that_does_not_get_on_ends() {
    let page = "<ListBucketResult><IsTruncated>true</IsTruncated>\
                <NextContinuationToken>again</NextContinuationToken></ListBucketResult>";
    let store = Store::start(move |_| reply(200, page));
    let error = bucket(&store, "s3://bkt/m/").refusal().await;
    assert!(error.to_string().contains("does not get on"), "{error}");
    assert_eq!((error.is_transient(), store.seen().len()), (false, 2));
    // Neither is a page a list, or what nobody asked for.
    for (answer, word) in [(reply(200, PAGE), "Sign in"), (reply(206, page), "206")] {
        let store = Store::start(move |_| answer.clone());
        let error = bucket(&store, "s3://bkt/m/").refusal().await;
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[tokio::test]
async fn the_servers_own_words_and_the_places_scheme_are_in_the_message() {
    let xml = "<Error><Code>AccessDenied</Code><Message>the link has expired</Message></Error>";
    for status in [400, 401, 403, 409, 500] {
        let store = Store::start(move |_| reply(status, xml));
        for volume in all(&store, "m.onnx") {
            let error = volume.refusal().await.to_string();
            assert!(error.contains("AccessDenied: the link has expired"), "{status}: {error}");
            assert!(error.contains(&format!("http://{}", store.host())), "{status}: {error}");
        }
    }
    // A server of plain HTTP that is spoken to by TLS, and a server of TLS that says so to plain HTTP.
    let plain = Store::start(|_| reply(200, "model"));
    let error = Volume::new(&format!("https://{}/m", plain.host())).refusal().await.to_string();
    assert!(error.contains("does not speak TLS") && error.contains("plainHttp"), "{error}");
    let tls = Store::start(|_| reply(400, "Client sent an HTTP request to an HTTPS server."));
    let error = web(&tls, "/m").refusal().await.to_string();
    assert!(error.contains("an answer to plain HTTP"), "{error}");
}

#[tokio::test]
async fn what_is_cut_after_the_patience_but_moved_until_then_is_tried_again() {
    let tries = Arc::new(AtomicUsize::new(0));
    let count = tries.clone();
    let store = Store::start(move |_| {
        let answer = reply(200, bytes(50_000));
        if count.fetch_add(1, Ordering::SeqCst) == 0 {
            answer.cut(20_000).after(Duration::from_millis(400))
        } else {
            answer
        }
    });
    let mut volume = web(&store, "/m");
    volume.options.retry.limit = Duration::from_millis(300);
    volume.fetch().await.unwrap();
    assert_eq!(tries.load(Ordering::SeqCst), 2);
}
