//! A server of the same libraries that reads what it gets, keeps nothing and answers the same to all: what small requests
//! can keep at best beside others.

use std::{
    convert::Infallible,
    net::TcpListener,
    pin::Pin,
    sync::mpsc,
    task::{Context, Poll},
};

use actix_web::{App, HttpResponse, HttpServer, web};
use bytes::Bytes;
use futures::StreamExt;
use hyper::{
    HeaderMap, Request, Response,
    body::{Body, Frame, Incoming},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use modelwright_core::cores::cores;
use modelwright_serve::grpc::proto::{ModelInferResponse, model_infer_response::InferOutputTensor};

use super::clients::Target;

const ANSWER: &str = r#"{"model_name":"identity_fp32","model_version":"1","outputs":[{"name":"y","datatype":"FP32","shape":[1,1],"data":[1.0]}]}"#;

async fn drain(mut payload: web::Payload) -> HttpResponse {
    while let Some(Ok(_)) = payload.next().await {}
    HttpResponse::Ok().content_type("application/json").body(ANSWER)
}

/// A message that is the same for all, and the end of a call.
struct Said {
    message: Option<Bytes>,
    end: Option<HeaderMap>,
}

impl Body for Said {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(message) = self.message.take() {
            return Poll::Ready(Some(Ok(Frame::data(message))));
        }
        Poll::Ready(self.end.take().map(|end| Ok(Frame::trailers(end))))
    }
}

fn message() -> Bytes {
    let answer = ModelInferResponse {
        model_name: "identity_fp32".to_owned(),
        model_version: "1".to_owned(),
        outputs: vec![InferOutputTensor {
            name: "y".to_owned(),
            datatype: "FP32".to_owned(),
            shape: vec![1, 1],
            ..InferOutputTensor::default()
        }],
        raw_output_contents: vec![vec![0; 4].into()],
        ..ModelInferResponse::default()
    };
    let answer = prost::Message::encode_to_vec(&answer);
    [&[0], &u32::try_from(answer.len()).unwrap().to_be_bytes()[..], &answer].concat().into()
}

async fn drain_call(mut request: Request<Incoming>, message: Bytes) -> Result<Response<Said>, Infallible> {
    let body = request.body_mut();
    while let Some(Ok(frame)) = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await
    {
        drop::<Bytes>(frame.into_data().unwrap_or_default());
    }
    let end = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
    let said = Said { message: Some(message), end: Some(end) };
    Ok(Response::builder().header("content-type", "application/grpc").body(said).unwrap())
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
            let message = message();
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let message = message.clone();
                let calls = service_fn(move |request| drain_call(request, message.clone()));
                tokio::spawn(
                    http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), calls),
                );
            }
        });
    });
    Target { http: told.recv().unwrap(), grpc }
}
