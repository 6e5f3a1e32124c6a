//! Publishing to an object store that refuses what is written, or loses it on the way.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::{
    publish::Work,
    support::{
        habits::{Asked, Reply, Store, reply},
        onnx, secret,
    },
};

/// Parts of a file by number.
type Parts = BTreeMap<u32, Vec<u8>>;

/// What an object store holds.
#[derive(Default)]
struct Kept {
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    /// Uploads in the making, by number; nothing once they have ended.
    uploads: Mutex<Vec<Option<Parts>>>,
}

impl Kept {
    /// Does what an object store does.
    fn answer(&self, asked: &Asked) -> Reply {
        let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
        let query: BTreeMap<_, _> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let key = path.trim_start_matches("/models").trim_start_matches('/').to_owned();
        let (mut objects, mut uploads) = (self.objects.lock().unwrap(), self.uploads.lock().unwrap());
        let upload = query.get("uploadId").map(|number| &mut uploads[number.parse::<usize>().unwrap()]);
        match (&*asked.method, upload) {
            ("GET", _) if key.is_empty() => {
                let row = |(key, bytes): (&String, &Vec<u8>)| {
                    format!("<Contents><Key>{key}</Key><Size>{}</Size></Contents>", bytes.len())
                };
                let rows = objects.iter().map(row).collect::<Vec<_>>().concat();
                reply(200, format!("<ListBucketResult>{rows}</ListBucketResult>"))
            }
            ("GET", _) => objects.get(&key).map_or_else(|| reply(404, ""), |object| reply(200, object)),
            ("PUT", None) => {
                objects.insert(key, asked.body.clone());
                reply(200, "")
            }
            ("POST", None) => {
                uploads.push(Some(BTreeMap::new()));
                let number = uploads.len() - 1;
                reply(200, format!("<Result><UploadId>{number}</UploadId></Result>"))
            }
            (_, Some(None)) => reply(404, "<Error><Code>NoSuchUpload</Code></Error>"),
            ("PUT", Some(Some(parts))) => {
                parts.insert(query["partNumber"].parse().unwrap(), asked.body.clone());
                reply(200, "").with("etag", "\"part\"")
            }
            ("POST", Some(upload)) => {
                objects.insert(key, upload.take().unwrap().into_values().flatten().collect());
                reply(200, "<CompleteMultipartUploadResult/>")
            }
            (_, Some(upload)) => {
                *upload = None;
                reply(204, "")
            }
            (_, None) => reply(405, ""),
        }
    }
}

/// An object store that is bent.
struct Bent {
    store: Store,
    kept: Arc<Kept>,
    _keys: tempfile::TempDir,
}

/// One, and a model of more than one part to publish there.
fn bent(bend: impl Fn(&Asked, &Kept) -> Option<Reply> + Send + Sync + 'static) -> (Bent, Work) {
    let kept = Arc::new(Kept::default());
    let own = kept.clone();
    let store = Store::start(move |asked| bend(asked, &own).unwrap_or_else(|| own.answer(asked)));
    let mut work = Work::new("127.0.0.1:1", &onnx::adder_with(onnx::elsewhere("w", &[3], "w.bin")));
    work.write("w.bin", [onnx::floats(&[1.0, 2.0, 3.0]), vec![7; 9_000_000]].concat());
    "s3://models/kept".clone_into(&mut work.config.store.uri);
    work.config.store.plain_http = false;
    let keys =
        [("host", &*store.host()), ("accessKeyId", "a"), ("secretAccessKey", "b"), ("plainHttp", "true")];
    let keys = secret(&keys);
    work.config.store.credentials_directory = Some(keys.path().to_str().unwrap().to_owned());
    (Bent { store, kept, _keys: keys }, work)
}

#[tokio::test]
async fn a_write_that_is_refused_is_told_at_once_by_the_stores_own_words() {
    let refused = "<Error><Code>AccessDenied</Code><Message>no right to write</Message></Error>";
    let (bucket, mut work) = bent(move |asked, _| (asked.method == "PUT").then(|| reply(403, refused)));
    work.config.store_retry_seconds = 6;
    let error = work.refusal().await;
    assert_eq!(error.reason(), "Forbidden");
    assert!(error.to_string().contains("AccessDenied: no right to write"), "{error}");
    // Whether only the answer was lost is asked once.
    assert_eq!((bucket.store.count("PUT", ""), bucket.store.count("GET", "/modelwright/")), (1, 1));
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_no_failure() {
    // It asks to be left alone for longer than there is patience.
    let busy = || reply(503, "").with("retry-after", "3600");
    let (bucket, work) = bent(move |asked, kept| {
        let written = kept.answer(asked);
        Some(if asked.method == "PUT" && !asked.path.contains('?') { busy() } else { written })
    });
    work.publish().await.unwrap();
    assert_eq!(
        (bucket.kept.objects.lock().unwrap().len(), bucket.store.count("PUT", "/modelwright/")),
        (4, 2)
    );
}

#[tokio::test]
async fn a_file_whose_last_step_goes_wrong_is_written_again_unless_it_is_there() {
    for (what, begun) in [("an error after 200", 2), ("a lost answer", 1), ("a lost upload", 2)] {
        let ends = Arc::new(AtomicUsize::new(0));
        let count = ends.clone();
        let (bucket, mut work) = bent(move |asked, kept| {
            let ends = asked.method == "POST" && asked.path.contains("uploadId");
            if !ends || count.fetch_add(1, Ordering::SeqCst) > 0 {
                return None;
            }
            match what {
                "an error after 200" => {
                    return Some(reply(200, " <Error><Code>InternalError</Code></Error>"));
                }
                "a lost answer" => drop(kept.answer(asked)),
                _ => kept.uploads.lock().unwrap().fill(None),
            }
            Some(reply(504, ""))
        });
        work.config.store_retry_seconds = 30;
        work.publish().await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(ends.load(Ordering::SeqCst) >= 2, "{what}");
        assert_eq!(
            (bucket.kept.objects.lock().unwrap().len(), bucket.store.count("POST", "uploads=")),
            (4, begun),
            "{what}"
        );
    }
}
