//! Hands the guarded client to the object store's library, and notes what came back.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU16, Ordering},
};

use async_trait::async_trait;
use object_store::{
    ClientOptions,
    client::{HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService},
};
use url::Url;

use crate::network::{NetworkError, address::AddressRefused, client::Client, find};

/// What the last request came to. Only one request runs at a time.
#[derive(Debug, Default)]
pub struct Observed {
    status: AtomicU16,
    refused: Mutex<Option<AddressRefused>>,
}

impl Observed {
    /// The status of the last answer; 0 without one.
    pub fn status(&self) -> u16 {
        self.status.load(Ordering::Relaxed)
    }

    /// The address that was not connected to, if that is why the request failed.
    pub fn refused(&self, error: &object_store::Error) -> Option<AddressRefused> {
        let noted = self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone();
        noted.or_else(|| find::<AddressRefused>(error).cloned())
    }
}

/// The guarded client.
#[derive(Clone, Debug)]
pub struct Connector {
    /// Obeys [`crate::network`].
    pub client: Client,
    /// Where what came back is noted.
    pub observed: Arc<Observed>,
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Connector {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.observed.status.store(0, Ordering::Relaxed);
        let url = Url::parse(&request.uri().to_string())
            .map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        self.client.check(&url).map_err(|error| {
            if let NetworkError::AddressRefused { refused, .. } = &error {
                *self.observed.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(refused.clone());
            }
            HttpError::new(HttpErrorKind::Unknown, error)
        })?;
        let response = HttpService::call(self.client.guarded(), request).await?;
        self.observed.status.store(response.status().as_u16(), Ordering::Relaxed);
        Ok(response)
    }
}
