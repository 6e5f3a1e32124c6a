//! The servers of the tests do what their paths say: otherwise a test of a fault would prove nothing.

use crate::harness::{Space, onnx::Affine};

/// Every fault of the file server really happens, and every server serves.
pub async fn the_servers_to_import_from_serve_and_fail_as_asked(space: Space) {
    let fixtures = &space.world.fixtures;
    let content = Affine { factor: 1.0, summand: 0.0 }.bytes();
    let path = format!("{}/model.onnx", space.name);
    fixtures.put(&path, content.clone()).await;
    let http = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a client can be made");
    let get = |path: String| http.get(fixtures.reachable(&path)).send();
    let status = |path: String| async { get(path).await.expect("the server answers").status().as_u16() };

    assert_eq!(status("forbidden".into()).await, 403);
    assert_eq!(status(format!("files/{path}.not")).await, 404);
    assert_eq!(status("files/../etc/passwd".into()).await, 404);
    assert_eq!(status(format!("redirect/1/{path}")).await, 302);
    assert_eq!(status(format!("basic-auth/ada/pw/{path}")).await, 401);
    let half = get(format!("truncated/{path}")).await.expect("its head is answered");
    assert_eq!(half.content_length(), Some(content.len() as u64));
    assert!(half.bytes().await.is_err(), "the other half must not come");
    let slow = std::time::Instant::now();
    let whole = get(format!("slow/400/{path}")).await.expect("it answers").bytes().await.expect("all of it");
    assert_eq!(whole, content);
    assert!(slow.elapsed().as_millis() >= 400, "it took only {:?}", slow.elapsed());

    fixtures.remove(&path).await;
    assert_eq!(status(format!("files/{path}")).await, 404);
    let seen = fixtures.requests(&path).await;
    assert!(seen.iter().any(|one| one["path"] == format!("/truncated/{path}")), "{seen:?}");

    for closed in [false, true] {
        let registry = fixtures.registry(closed);
        let digest = registry.push(&space.name, "v1", &content).await;
        let url = format!("http://{}/v2/{}/manifests/sha256:{digest}", registry.address, space.name);
        let anonymous = http
            .get(url)
            .header("accept", "application/vnd.oci.image.manifest.v1+json")
            .send()
            .await
            .expect("it answers");
        assert_eq!(anonymous.status().as_u16(), if closed { 401 } else { 200 });
    }
}
