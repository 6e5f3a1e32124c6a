//! The chart's own store, where others are in the way of a push.

use std::{fs, io::ErrorKind};

use modelwright_jobs::publish;
use reqwest::Method;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::bundled::{Bundled, asked, until};

/// Where new pods read, whoever is there and whatever becomes of it.
#[tokio::test]
async fn no_publishing_waits_for_those_who_read() {
    let bundled = Bundled::start().await;
    let work = bundled.work(&bundled.token());
    let mut readers = Vec::new();
    for _ in 0..200 {
        let mut reader = TcpStream::connect(bundled.read.address).await.unwrap();
        reader.write_all(b"GET /v2/ HTTP/1.1\r\n").await.unwrap();
        readers.push(reader);
    }
    let published = publish::run(&work.config, &work.options).await.unwrap();
    for reader in &readers {
        let held = reader.try_read(&mut [0; 1]);
        assert!(held.is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "nobody ends a reader");
    }
    let read = bundled.read.address;
    drop(bundled.read);
    TcpStream::connect(read).await.unwrap_err();
    let again = publish::run(&work.config, &work.options).await.unwrap();
    assert_eq!(again.artifact_uri, published.artifact_uri);
}

#[tokio::test]
async fn a_push_that_finds_no_place_of_its_namespace_is_tried_again() {
    let bundled = Bundled::start().await;
    let work = bundled.work(&bundled.token());
    let head =
        format!("GET /v2/ HTTP/1.1\r\nhost: store\r\nauthorization: Bearer {}\r\n\r\n", bundled.token());
    let mut others = Vec::new();
    while asked(Method::GET, &format!("http://{}/v2/", bundled.push), Some(&bundled.token())).await.0 != 429 {
        let mut other = TcpStream::connect(bundled.push).await.unwrap();
        other.write_all(head.as_bytes()).await.unwrap();
        others.push(other);
        assert!(others.len() < 100, "a namespace has no end of places");
    }
    let words = bundled.proxy.as_ref().unwrap().words();
    let refusals = || fs::read_to_string(&words).unwrap().matches("all of its connections").count();
    let before = refusals();
    let freed = async {
        until(|| refusals() > before, "the push is refused").await;
        drop(others);
    };
    let (published, ()) = tokio::join!(publish::run(&work.config, &work.options), freed);
    published.unwrap();
}
