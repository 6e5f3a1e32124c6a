//! A web server of our own that answers with any bytes, wrong ones too, with or without TLS, and notes what it was
//! asked.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer},
    },
};

#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    pub headers: BTreeMap<String, String>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

pub enum Reply {
    /// These bytes, then the end of the connection.
    Bytes(Vec<u8>),
    /// These bytes, then nothing more, for as long as the client waits.
    Stall(Vec<u8>),
}

pub fn ok(body: &str) -> Reply {
    file(body.as_bytes())
}

pub fn file(body: &[u8]) -> Reply {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    Reply::Bytes([head.as_bytes(), body].concat())
}

pub fn status(code: u16) -> Reply {
    with_headers(code, &[])
}

pub fn redirect(target: &str) -> Reply {
    with_headers(302, &[("location", target)])
}

pub fn with_headers(code: u16, headers: &[(&str, &str)]) -> Reply {
    let lines =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect::<Vec<_>>().concat();
    Reply::Bytes(
        format!("HTTP/1.1 {code} Some\r\ncontent-length: 0\r\nconnection: close\r\n{lines}\r\n").into(),
    )
}

pub struct Server {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub async fn start(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::listen(None, handler).await
    }

    pub async fn start_tls(
        authority: &Authority,
        handler: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::listen(Some(authority.acceptor()), handler).await
    }

    async fn listen(
        acceptor: Option<TlsAcceptor>,
        handler: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (handler, notes) = (Arc::new(handler), seen.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (handler, notes, acceptor) = (handler.clone(), notes.clone(), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                answer(stream, &*handler, &notes).await;
                            }
                        }
                        None => answer(stream, &*handler, &notes).await,
                    }
                });
            }
        });
        Self { address, seen, task }
    }

    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Everything that was asked so far.
    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    handler: &(impl Fn(&Request) -> Reply + ?Sized),
    notes: &Mutex<Vec<Request>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let path = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let request = Request { path, headers };
    notes.lock().unwrap().push(request.clone());
    let (bytes, stall) = match handler(&request) {
        Reply::Bytes(bytes) => (bytes, false),
        Reply::Stall(bytes) => (bytes, true),
    };
    // The client may have left by now.
    let _ = stream.write_all(&bytes).await;
    let _ = stream.flush().await;
    if stall {
        let _ = stream.read_u8().await;
    }
    let _ = stream.shutdown().await;
}

/// A certificate authority that no system trusts, with one certificate for this machine.
pub struct Authority {
    pub certificate: String,
    pub server_certificate: String,
    pub server_key: String,
    der: (CertificateDer<'static>, Vec<u8>),
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let server = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
        Self {
            certificate: authority.pem(),
            server_certificate: server.pem(),
            server_key: key.serialize_pem(),
            der: (server.der().clone(), key.serialize_der()),
        }
    }

    fn acceptor(&self) -> TlsAcceptor {
        let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.der.0.clone()], PrivateKeyDer::try_from(self.der.1.clone()).unwrap())
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}
