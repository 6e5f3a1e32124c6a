//! A web server for tests of imports: files that tests upload, served well and served badly. In goes a folder; needs no
//! Kubernetes client.
//!
//! | path | what it does |
//! | --- | --- |
//! | `PUT`, `GET`, `DELETE /files/PATH` | keeps, serves and forgets a file |
//! | `GET /redirect/N/PATH` | N redirects, then the file |
//! | `GET /redirect-to?url=URL` | one redirect to anywhere |
//! | `GET /forbidden` | 403 |
//! | `GET /basic-auth/USER/PASSWORD/PATH` | the file, with these credentials only |
//! | `GET /truncated/PATH` | promises the whole file and closes after its first half |
//! | `GET /slow/MILLISECONDS/PATH` | the file, its first half that much later |
//! | `GET /requests` | the requests so far: path, and whether they carried credentials |

mod answers;
mod log;

use std::{fs::File, io, io::BufReader, net::SocketAddr, path::PathBuf, sync::Arc};

use actix_web::{App, HttpServer, middleware::from_fn, web};
use clap::Parser;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

/// Serves files for tests.
#[derive(Debug, Parser)]
struct Arguments {
    /// Folder with the files.
    #[arg(long)]
    root: PathBuf,
    /// Address for HTTP.
    #[arg(long, default_value = "0.0.0.0:8080")]
    http: SocketAddr,
    /// Address for HTTPS.
    #[arg(long, default_value = "0.0.0.0:8443")]
    https: SocketAddr,
    /// Certificate chain, PEM.
    #[arg(long)]
    certificate: PathBuf,
    /// Private key, PEM.
    #[arg(long)]
    key: PathBuf,
}

#[actix_web::main]
async fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let tls = tls(&arguments)?;
    let root = web::Data::new(answers::Root(arguments.root));
    let seen = web::Data::new(log::Log::default());
    HttpServer::new(move || {
        App::new()
            .app_data(root.clone())
            .app_data(seen.clone())
            .app_data(web::PayloadConfig::new(256 << 20))
            .wrap(from_fn(log::record))
            .configure(answers::routes)
    })
    .workers(1)
    .bind(arguments.http)?
    .bind_rustls_0_23(arguments.https, tls)?
    .run()
    .await
}

fn tls(arguments: &Arguments) -> io::Result<ServerConfig> {
    let mut certificate = BufReader::new(File::open(&arguments.certificate)?);
    let chain = CertificateDer::pem_reader_iter(&mut certificate)
        .collect::<Result<Vec<_>, _>>()
        .map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_file(&arguments.key).map_err(io::Error::other)?;
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(io::Error::other)
}
