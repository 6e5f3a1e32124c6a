//! A server of the same libraries that reads what it gets, keeps nothing and answers the same to all: what small requests
//! can keep at best beside others.

use std::{convert::Infallible, net::TcpListener, sync::mpsc};

use actix_web::{App, HttpResponse, HttpServer, web};
use bytes::Bytes;
use futures::StreamExt;
use hyper::{
    Request, Response,
    body::{Body as _, Incoming},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use modelwright_runtime::cores::cores;

use super::clients::Target;

const ANSWER: &str = r#"{"model_name":"identity_fp32","model_version":"1","outputs":[{"name":"y","datatype":"FP32","shape":[1,1],"data":[1.0]}]}"#;

async fn drain(mut payload: web::Payload) -> HttpResponse {
    while let Some(Ok(_)) = payload.next().await {}
    HttpResponse::Ok().content_type("application/json").body(ANSWER)
}

async fn drain_call(mut request: Request<Incoming>) -> Result<Response<tonic::body::Body>, Infallible> {
    let body = request.body_mut();
    while let Some(Ok(frame)) =
        std::future::poll_fn(|context| std::pin::Pin::new(&mut *body).poll_frame(context)).await
    {
        drop::<Bytes>(frame.into_data().unwrap_or_default());
    }
    Ok(tonic::Status::ok("").into_http())
}

/// Runs until the tests end.
pub fn start() -> Target {
    let (tells, told) = mpsc::channel();
    std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            let server = HttpServer::new(|| App::new().default_service(web::to(drain)))
                .workers(cores().clamp(2, 8))
                .disable_signals()
                .bind("127.0.0.1:0")
                .unwrap();
            tells.send(server.addrs()[0]).unwrap();
            server.run().await.unwrap();
        });
    });
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let grpc = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(cores().clamp(2, 8))
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            listener.set_nonblocking(true).unwrap();
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(
                    http2::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service_fn(drain_call)),
                );
            }
        });
    });
    Target { http: told.recv().unwrap(), grpc }
}
