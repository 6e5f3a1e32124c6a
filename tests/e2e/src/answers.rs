//! The server's answers. In goes a request; out comes a file from the root folder, or the fault that its path asks for.

use std::{
    io,
    path::{Component, Path, PathBuf},
    time::Duration,
};

use actix_web::{
    HttpRequest, HttpResponse,
    body::SizedStream,
    http::header::{AUTHORIZATION, LOCATION, WWW_AUTHENTICATE},
    web,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use serde::Deserialize;

/// Folder with the files.
pub struct Root(pub PathBuf);

/// Registers every path.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/healthz", web::get().to(HttpResponse::Ok))
        .route("/requests", web::get().to(crate::log::list))
        .route("/forbidden", web::get().to(HttpResponse::Forbidden))
        .route("/redirect-to", web::get().to(redirect_to))
        .route("/redirect/{count}/{path:.*}", web::get().to(redirect))
        .route("/basic-auth/{user}/{password}/{path:.*}", web::get().to(basic_auth))
        .route("/truncated/{path:.*}", web::get().to(truncated))
        .route("/slow/{milliseconds}/{path:.*}", web::get().to(slow))
        .service(
            web::resource("/files/{path:.*}")
                .route(web::get().to(get))
                .route(web::put().to(put))
                .route(web::delete().to(delete)),
        );
}

impl Root {
    /// The file at a relative path, which must not leave the folder.
    fn file(&self, path: &str) -> io::Result<PathBuf> {
        let relative = Path::new(path);
        if relative.components().all(|part| matches!(part, Component::Normal(_))) && !path.is_empty() {
            Ok(self.0.join(relative))
        } else {
            Err(io::Error::new(io::ErrorKind::NotFound, format!("{path} is no path within the folder")))
        }
    }

    async fn read(&self, path: &str) -> io::Result<Bytes> {
        Ok(tokio::fs::read(self.file(path)?).await?.into())
    }

    async fn write(&self, path: &str, content: &[u8]) -> io::Result<()> {
        let file = self.file(path)?;
        if let Some(folder) = file.parent() {
            tokio::fs::create_dir_all(folder).await?;
        }
        let part = file.with_extension("part");
        tokio::fs::write(&part, content).await?;
        tokio::fs::rename(part, file).await
    }
}

async fn get(root: web::Data<Root>, path: web::Path<String>) -> HttpResponse {
    answer(root.read(&path).await)
}

async fn put(root: web::Data<Root>, path: web::Path<String>, content: Bytes) -> HttpResponse {
    match root.write(&path, &content).await {
        Ok(()) => HttpResponse::Created().finish(),
        Err(error) => refuse(&error),
    }
}

async fn delete(root: web::Data<Root>, path: web::Path<String>) -> HttpResponse {
    let removed = async { tokio::fs::remove_file(root.file(&path)?).await };
    match removed.await {
        Ok(()) => HttpResponse::NoContent().finish(),
        Err(error) => refuse(&error),
    }
}

async fn redirect(path: web::Path<(u32, String)>) -> HttpResponse {
    let (count, path) = path.into_inner();
    let target = match count {
        0 => format!("/files/{path}"),
        more => format!("/redirect/{}/{path}", more - 1),
    };
    HttpResponse::Found().insert_header((LOCATION, target)).finish()
}

#[derive(Deserialize)]
struct Target {
    url: String,
}

async fn redirect_to(target: web::Query<Target>) -> HttpResponse {
    HttpResponse::Found().insert_header((LOCATION, target.url.as_str())).finish()
}

async fn basic_auth(
    root: web::Data<Root>,
    path: web::Path<(String, String, String)>,
    request: HttpRequest,
) -> HttpResponse {
    let (user, password, path) = path.into_inner();
    let expected = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    let given = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    if given == Some(expected.as_str()) {
        answer(root.read(&path).await)
    } else {
        HttpResponse::Unauthorized().insert_header((WWW_AUTHENTICATE, "Basic realm=\"fixtures\"")).finish()
    }
}

async fn truncated(root: web::Data<Root>, path: web::Path<String>) -> HttpResponse {
    match root.read(&path).await {
        Ok(content) => {
            let half = content.slice(..content.len() / 2);
            let gone = async {
                // Head and first half must have left before the connection breaks.
                tokio::time::sleep(Duration::from_millis(100)).await;
                Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the other half is kept back"))
            };
            let body = stream::iter([Ok(half)]).chain(stream::once(gone));
            HttpResponse::Ok().body(SizedStream::new(content.len() as u64, Box::pin(body)))
        }
        Err(error) => refuse(&error),
    }
}

async fn slow(root: web::Data<Root>, path: web::Path<(u64, String)>) -> HttpResponse {
    let (milliseconds, path) = path.into_inner();
    match root.read(&path).await {
        Ok(content) => {
            let mut rest = content.clone();
            let half = rest.split_to(content.len() / 2);
            let body = stream::iter([half, rest]).then(move |part| async move {
                tokio::time::sleep(Duration::from_millis(milliseconds / 2)).await;
                Ok::<_, io::Error>(part)
            });
            HttpResponse::Ok().body(SizedStream::new(content.len() as u64, Box::pin(body)))
        }
        Err(error) => refuse(&error),
    }
}

fn answer(content: io::Result<Bytes>) -> HttpResponse {
    match content {
        Ok(content) => HttpResponse::Ok().content_type("application/octet-stream").body(content),
        Err(error) => refuse(&error),
    }
}

fn refuse(error: &io::Error) -> HttpResponse {
    match error.kind() {
        io::ErrorKind::NotFound => HttpResponse::NotFound().body(error.to_string()),
        _ => HttpResponse::InternalServerError().body(error.to_string()),
    }
}
