use std::{collections::BTreeMap, fs, sync::Mutex};

use modelwright_contract::fetch::FetchKind;

use crate::{
    publish::Work,
    support::{
        Volume,
        habits::{Bend, Kept, Pace, Registry, reply},
        onnx,
        programs::Program,
        sha256,
    },
};

#[tokio::test]
async fn what_a_registry_does_not_give_back_whole_is_not_stored() {
    let lies: Bend = Box::new(|asked, _| (asked.method == "HEAD").then(|| reply(200, "")));
    let short: Bend = Box::new(|asked, kept| {
        let done = kept.answer(asked);
        if asked.method == "PUT" && asked.path.contains("/uploads/") {
            kept.blobs.lock().unwrap().values_mut().for_each(|blob| blob.truncate(10));
        }
        Some(done)
    });
    let loses: Bend = Box::new(|asked, kept: &Kept| {
        let done = kept.answer(asked);
        kept.blobs.lock().unwrap().clear();
        Some(done)
    });
    for (bend, reason) in [(lies, "StoreRefused"), (short, "DigestMismatch"), (loses, "StoreFailed")] {
        let registry = Registry::start(|_| Pace::Full, bend);
        let error = Work::new(&registry.host(), &onnx::adder()).publish().await.unwrap_err();
        assert_eq!(error.reason(), reason, "{error}");
        assert!(
            registry.kept.manifests.lock().unwrap().is_empty(),
            "{reason}: nothing names what is not there"
        );
    }
}

#[tokio::test]
async fn what_takes_its_time_to_appear_is_waited_for() {
    // Whatever was written is not there for the first two questions.
    let asked_for = Mutex::new(BTreeMap::<String, usize>::new());
    let slow: Bend = Box::new(move |asked, _| {
        let written = asked.method == "GET" && !asked.path.contains("/uploads/");
        let mut asked_for = asked_for.lock().unwrap();
        let count = asked_for.entry(asked.path.clone()).or_default();
        *count += usize::from(written);
        (written && *count <= 2).then(|| reply(404, ""))
    });
    let registry = Registry::start(|_| Pace::Full, slow);
    let mut work = Work::new(&registry.host(), &onnx::adder());
    work.config.store_retry_seconds = 60;
    work.publish().await.unwrap();
    let tag =
        registry.kept.manifests.lock().unwrap().keys().find(|name| name.starts_with("sha256-")).cloned();
    assert_eq!(registry.store.count("GET", &tag.unwrap()), 3);
}

#[tokio::test]
async fn the_registrys_words_are_told_of_what_is_written() {
    let words = r#"{"errors":[{"code":"DENIED","message":"over its upper limit of 10 GiB"}]}"#;
    for status in [403, 413, 429, 507] {
        let bend: Bend = Box::new(move |asked, _| (asked.method == "POST").then(|| reply(status, words)));
        let registry = Registry::start(|_| Pace::Full, bend);
        let error = Work::new(&registry.host(), &onnx::adder()).publish().await.unwrap_err().to_string();
        assert!(error.contains("DENIED: over its upper limit of 10 GiB"), "{error}");
        assert!(error.contains(&format!("http://{}/v2/", registry.host())), "{error}");
        assert!(!error.contains("may not read"), "{error}");
    }
}

/// An index of manifests, each with the fields that are given.
fn index(registry: &Registry, entries: &[(&str, &str)]) -> String {
    let manifests: Vec<String> = entries
        .iter()
        .map(|(content, more)| {
            let layer = registry.kept.blob(content.as_bytes());
            let title = r#""annotations":{"org.opencontainers.image.title":"net.onnx"}"#;
            let descriptor = |digest: &str, size: usize, more: &str| {
                format!(
                    r#"{{"mediaType":"application/octet-stream","digest":"{digest}","size":{size}{more}}}"#
                )
            };
            let manifest = format!(
                r#"{{"schemaVersion":2,"config":{},"layers":[{}]}}"#,
                descriptor(&registry.kept.blob(b"{}"), 2, ""),
                descriptor(&layer, content.len(), &format!(",{title}")),
            );
            let digest = format!("sha256:{}", sha256(&manifest));
            registry.kept.manifests.lock().unwrap().insert(digest.clone(), manifest.clone().into());
            descriptor(&digest, manifest.len(), more)
        })
        .collect();
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{}]}}"#,
        manifests.join(",")
    );
    registry.kept.manifests.lock().unwrap().insert("v1".to_owned(), index.clone().into());
    sha256(index)
}

#[tokio::test]
async fn an_index_of_one_manifest_is_that_manifest_and_one_of_several_is_told() {
    let amd64 = r#","platform":{"os":"linux","architecture":"amd64"}"#;
    let attestation = r#","platform":{"os":"unknown","architecture":"unknown"}"#;
    let registry = Registry::honest();
    let mut volume = Volume::new(&format!("oci://{}/models/digits:v1", registry.host()));
    volume.config.plain_http = true;
    let digest = index(&registry, &[("graph", amd64), ("what built it", attestation)]);
    let report = volume.fetch().await.unwrap();
    assert_eq!((report.sha256, volume.read("model.onnx")), (digest, "graph".to_owned()));
    fs::remove_dir_all(volume.folder.path().join("data")).unwrap();
    index(&registry, &[("graph", amd64), ("other", amd64)]);
    let error = volume.refusal().await;
    assert!(error.to_string().contains("an index of 2 manifests"), "{error}");
}

#[tokio::test]
async fn an_artifact_that_is_there_is_served_while_its_store_is_down_and_a_damaged_one_is_not() {
    let registry = Program::registry("").await;
    let report = Work::new(&registry.host(), &onnx::adder()).publish().await.unwrap();
    let mut volume = Volume::new(&report.artifact_uri).pinned(&report.artifact_sha256);
    volume.config.kind = FetchKind::Artifact;
    volume.config.plain_http = true;
    let fetched = volume.fetch().await.unwrap();
    let files = volume.files();
    drop(registry);
    let again = volume.fetch().await.unwrap();
    assert_eq!(
        (again.sha256, again.size_bytes, again.files),
        (fetched.sha256, fetched.size_bytes, fetched.files)
    );
    assert_eq!(volume.files(), files);

    let model = volume.folder.path().join("data/model.onnx");
    let whole = fs::read(&model).unwrap();
    let flipped: Vec<u8> = whole.iter().enumerate().map(|(at, byte)| byte ^ u8::from(at == 20)).collect();
    for (damage, content) in [("another bit", &flipped[..]), ("a shorter file", &whole[..9])] {
        fs::write(&model, content).unwrap();
        let error = volume.fetch().await.expect_err(damage);
        assert_eq!(error.reason(), "Unreachable", "{damage}: {error}");
    }
    fs::write(&model, &whole).unwrap();
    fs::write(volume.folder.path().join("data/more.txt"), "x").unwrap();
    assert_eq!(volume.fetch().await.unwrap_err().reason(), "Unreachable");
    fs::remove_file(volume.folder.path().join("data/more.txt")).unwrap();
    volume.fetch().await.unwrap();
    // Nothing but an artifact is known by what is there: a source is asked.
    volume.config.kind = FetchKind::Source;
    assert_eq!(volume.fetch().await.unwrap_err().reason(), "Unreachable");
}
