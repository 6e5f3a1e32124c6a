//! The methods of the Open Inference Protocol and of gRPC's health service. In go messages; out come messages.

use std::{
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::Stream;
use modelwright_contract::signature::TensorSpec;
use tonic::{Request, Response, Status, Streaming};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus, health_server::Health,
};

use super::{
    contents::{self, Envelope},
    front::{Context, status},
    proto::{
        DataType, InferStatistics, ModelConfig, ModelConfigRequest, ModelConfigResponse, ModelInferRequest,
        ModelInferResponse, ModelInput, ModelInstanceGroup, ModelMetadataRequest, ModelMetadataResponse,
        ModelOutput, ModelParameter, ModelReadyRequest, ModelReadyResponse, ModelStatistics,
        ModelStatisticsRequest, ModelStatisticsResponse, ModelStreamInferResponse, RepositoryIndexRequest,
        RepositoryIndexResponse, ServerLiveRequest, ServerLiveResponse, ServerMetadataRequest,
        ServerMetadataResponse, ServerReadyRequest, ServerReadyResponse, StatisticDuration,
        grpc_inference_service_server::GrpcInferenceService, model_instance_group::Kind,
        model_metadata_response::TensorMetadata, repository_index_response::ModelIndex,
    },
    stream,
};
use crate::{
    metrics::{Outcome, Total},
    serve::{
        error::ApiError,
        metadata::{
            BACKEND, EXTENSIONS, PLATFORM, SERVER, check_names, data_type, kind_of, parameters, readiness,
        },
        pipeline,
        state::{Served, State},
    },
};

/// How often who watches the health service is told.
const WATCH: Duration = Duration::from_millis(250);

type Result<T> = std::result::Result<Response<T>, Status>;

/// The Open Inference Protocol.
#[derive(Clone)]
pub struct Inference {
    state: Arc<State>,
}

impl Inference {
    /// Over the shared state.
    pub fn new(state: Arc<State>) -> Self {
        Self { state }
    }

    /// The model that a message names.
    fn named(&self, model: &str, version: &str) -> std::result::Result<Arc<Served>, ApiError> {
        check_names(&self.state, model, Some(version).filter(|version| !version.is_empty()))?;
        self.state.served().map_err(ApiError::NotReady)
    }

    /// The shared state.
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// A prediction.
    pub async fn predict(
        &self,
        message: ModelInferRequest,
        deadline: Instant,
    ) -> std::result::Result<ModelInferResponse, ApiError> {
        let served = self.named(&message.model_name, &message.model_version)?;
        let mut raw = false;
        let mut decoded = pipeline::decode(&served, || {
            let (request, is_raw) = contents::decode(message)?;
            raw = is_raw;
            Ok(request)
        })?;
        let outputs = pipeline::run(&self.state, &served, &mut decoded, deadline).await?;
        pipeline::encode(&self.state, outputs, |outputs| {
            let settings = &self.state.settings;
            let envelope = Envelope { model: &settings.model, version: settings.version, raw };
            contents::encode(envelope, decoded.request.id, outputs)
        })
    }
}

#[tonic::async_trait]
impl GrpcInferenceService for Inference {
    async fn server_live(&self, _: Request<ServerLiveRequest>) -> Result<ServerLiveResponse> {
        Ok(Response::new(ServerLiveResponse { live: true }))
    }

    async fn server_ready(&self, _: Request<ServerReadyRequest>) -> Result<ServerReadyResponse> {
        Ok(Response::new(ServerReadyResponse { ready: self.state.ready().is_ok() }))
    }

    async fn model_ready(&self, request: Request<ModelReadyRequest>) -> Result<ModelReadyResponse> {
        let ModelReadyRequest { name, version } = request.into_inner();
        let version = Some(version.as_str()).filter(|version| !version.is_empty());
        check_names(&self.state, &name, version).map_err(|error| status(&error))?;
        Ok(Response::new(ModelReadyResponse { ready: self.state.ready().is_ok() }))
    }

    async fn server_metadata(&self, _: Request<ServerMetadataRequest>) -> Result<ServerMetadataResponse> {
        Ok(Response::new(ServerMetadataResponse {
            name: SERVER.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            extensions: EXTENSIONS.map(str::to_owned).to_vec(),
        }))
    }

    async fn model_metadata(&self, request: Request<ModelMetadataRequest>) -> Result<ModelMetadataResponse> {
        let ModelMetadataRequest { name, version } = request.into_inner();
        let served = self.named(&name, &version).map_err(|error| status(&error))?;
        let tensors = |tensors: &[TensorSpec]| {
            let tensor = |tensor: &TensorSpec| TensorMetadata {
                name: tensor.name.clone(),
                datatype: tensor.datatype.clone(),
                shape: tensor.shape.clone(),
            };
            tensors.iter().map(tensor).collect()
        };
        Ok(Response::new(ModelMetadataResponse {
            name,
            versions: vec![self.state.settings.version.to_string()],
            platform: PLATFORM.to_owned(),
            inputs: tensors(&served.signature.inputs),
            outputs: tensors(&served.signature.outputs),
        }))
    }

    async fn model_infer(&self, mut request: Request<ModelInferRequest>) -> Result<ModelInferResponse> {
        let context = request
            .extensions_mut()
            .remove::<Context>()
            .ok_or_else(|| Status::internal("the call came past the server's front"))?;
        match self.predict(request.into_inner(), context.deadline).await {
            Ok(answer) => {
                context.ended(Outcome::Predicted);
                Ok(Response::new(answer))
            }
            Err(error) => {
                tracing::debug!(%error, "refused");
                context.ended(error.outcome());
                Err(status(&error))
            }
        }
    }

    type ModelStreamInferStream =
        Pin<Box<dyn Stream<Item = std::result::Result<ModelStreamInferResponse, Status>> + Send>>;

    async fn model_stream_infer(
        &self,
        request: Request<Streaming<ModelInferRequest>>,
    ) -> Result<Self::ModelStreamInferStream> {
        Ok(Response::new(Box::pin(stream::answer(self.clone(), request))))
    }

    async fn model_config(&self, request: Request<ModelConfigRequest>) -> Result<ModelConfigResponse> {
        let ModelConfigRequest { name, version } = request.into_inner();
        let served = self.named(&name, &version).map_err(|error| status(&error))?;
        let kind = |tensor: &TensorSpec| {
            DataType::from_str_name(&data_type(&tensor.datatype)).unwrap_or_default().into()
        };
        let input = |tensor: &TensorSpec| ModelInput {
            name: tensor.name.clone(),
            data_type: kind(tensor),
            dims: tensor.shape.clone(),
        };
        let output = |tensor: &TensorSpec| ModelOutput {
            name: tensor.name.clone(),
            data_type: kind(tensor),
            dims: tensor.shape.clone(),
        };
        Ok(Response::new(ModelConfigResponse {
            config: Some(ModelConfig {
                name,
                platform: PLATFORM.to_owned(),
                max_batch_size: 0,
                input: served.signature.inputs.iter().map(input).collect(),
                output: served.signature.outputs.iter().map(output).collect(),
                instance_group: vec![ModelInstanceGroup {
                    name: self.state.settings.model.clone(),
                    count: i32::try_from(served.threads.runs).unwrap_or(i32::MAX),
                    kind: Kind::from_str_name(kind_of(&served)).unwrap_or_default().into(),
                }],
                parameters: parameters(&served)
                    .into_iter()
                    .map(|(name, string_value)| (name.to_owned(), ModelParameter { string_value }))
                    .collect(),
                backend: BACKEND.to_owned(),
            }),
        }))
    }

    async fn model_statistics(
        &self,
        request: Request<ModelStatisticsRequest>,
    ) -> Result<ModelStatisticsResponse> {
        let ModelStatisticsRequest { name, version } = request.into_inner();
        // Without a name, every model is meant.
        if !name.is_empty() {
            let version = Some(version.as_str()).filter(|version| !version.is_empty());
            check_names(&self.state, &name, version).map_err(|error| status(&error))?;
        }
        let found = self.state.metrics.statistics();
        let durations = found.inference_stats;
        let total = |total: Total| Some(StatisticDuration { count: total.count, ns: total.ns });
        Ok(Response::new(ModelStatisticsResponse {
            model_stats: vec![ModelStatistics {
                name: self.state.settings.model.clone(),
                version: self.state.settings.version.to_string(),
                last_inference: found.last_inference,
                inference_count: found.inference_count,
                execution_count: found.execution_count,
                inference_stats: Some(InferStatistics {
                    success: total(durations.success),
                    fail: total(durations.fail),
                    queue: total(durations.queue),
                    compute_input: total(durations.compute_input),
                    compute_infer: total(durations.compute_infer),
                    compute_output: total(durations.compute_output),
                }),
            }],
        }))
    }

    async fn repository_index(
        &self,
        request: Request<RepositoryIndexRequest>,
    ) -> Result<RepositoryIndexResponse> {
        let (word, reason) = readiness(&self.state);
        let only_ready = request.into_inner().ready;
        let model = ModelIndex {
            name: self.state.settings.model.clone(),
            version: self.state.settings.version.to_string(),
            state: word.to_owned(),
            reason: reason.clone(),
        };
        let models = if only_ready && !reason.is_empty() { Vec::new() } else { vec![model] };
        Ok(Response::new(RepositoryIndexResponse { models }))
    }
}

/// gRPC's own health service.
pub struct Readiness(pub Arc<State>);

impl Readiness {
    fn now(state: &State, service: &str) -> Option<ServingStatus> {
        if !matches!(service, "" | "inference.GRPCInferenceService") {
            return None;
        }
        Some(if state.ready().is_ok() { ServingStatus::Serving } else { ServingStatus::NotServing })
    }
}

#[tonic::async_trait]
impl Health for Readiness {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<HealthCheckResponse> {
        let service = request.into_inner().service;
        let found =
            Self::now(&self.0, &service).ok_or_else(|| Status::not_found("there is no such service"))?;
        Ok(Response::new(HealthCheckResponse { status: found.into() }))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = std::result::Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Self::WatchStream> {
        let (state, service) = (Arc::clone(&self.0), request.into_inner().service);
        let changes = futures::stream::unfold(None, move |last| {
            let (state, service) = (Arc::clone(&state), service.clone());
            async move {
                loop {
                    let now = Self::now(&state, &service).unwrap_or(ServingStatus::ServiceUnknown);
                    if last != Some(now) {
                        return Some((Ok(HealthCheckResponse { status: now.into() }), Some(now)));
                    }
                    tokio::time::sleep(WATCH).await;
                }
            }
        });
        Ok(Response::new(Box::pin(changes)))
    }
}
