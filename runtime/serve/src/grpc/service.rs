//! The methods of the Open Inference Protocol and of gRPC's health service. In go messages; out come messages.

use std::{
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use modelwright_contract::signature::TensorSpec;
use prost::Message as _;
use tonic::{Request, Response, Status, Streaming};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus, health_server::Health,
};

use super::{
    contents::{self, Envelope},
    message::NO_MESSAGE,
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
    status::status,
    weight::weigh,
};
use crate::{
    budget::{Permit, REQUEST},
    error::ApiError,
    metadata::{
        BACKEND, EXTENSIONS, PLATFORM, SERVER, check_names, data_type, kind_of, parameters, readiness,
    },
    metrics::Total,
    pipeline::{self, Deadline},
    state::{Served, State},
};

/// How often who watches the health service is told.
const WATCH: Duration = Duration::from_millis(250);

/// How long somebody watches before he must ask again.
const WATCHED: Duration = Duration::from_hours(1);

/// Predictions are answered by the frontend, which reads their messages within the memory that there is.
fn elsewhere() -> Status {
    Status::internal("the call came past the server's frontend")
}

type Result<T> = std::result::Result<Response<T>, Status>;

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

    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// A message, decoded, and the memory that it takes beside its bytes where that is not small.
    pub async fn read(
        &self,
        message: Bytes,
        deadline: Instant,
    ) -> std::result::Result<(ModelInferRequest, Option<Permit>), ApiError> {
        let weight = weigh(&message);
        let memory = if weight > REQUEST { Some(self.state.budget.take(weight)?) } else { None };
        pipeline::offload(weight, Deadline::new(&self.state, deadline), move || {
            match ModelInferRequest::decode(message) {
                Ok(message) => Ok((message, memory)),
                Err(_) => Err(ApiError::BadRequest(NO_MESSAGE.to_owned())),
            }
        })
        .await
    }

    /// A prediction, and the memory that it takes beside its tensors where that is not small.
    pub async fn predict(
        &self,
        message: ModelInferRequest,
        mut memory: Option<Permit>,
        deadline: Instant,
    ) -> std::result::Result<(ModelInferResponse, Option<Permit>), ApiError> {
        let served = self.named(&message.model_name, &message.model_version)?;
        let until = Deadline::new(&self.state, deadline);
        let size = memory.as_ref().map_or(0, Permit::bytes);
        let (for_reader, budget) = (Arc::clone(&served), Arc::clone(&self.state.budget));
        let (raw, mut decoded) = pipeline::offload(size, until, move || {
            let mut raw = false;
            let mut decoded = pipeline::decode(&budget, &for_reader, || {
                let (request, is_raw) = contents::decode(message)?;
                raw = is_raw;
                Ok(request)
            })?;
            // From now on, what lists became is all that is left of them. Raw contents have theirs.
            if let Some(memory) = memory.as_mut().filter(|_| !raw) {
                for input in &mut decoded.request.inputs {
                    let data = std::mem::take(&mut input.data);
                    input.data = memory.split(data.len()).hold(data);
                }
            }
            Ok((raw, decoded))
        })
        .await?;
        let outputs = pipeline::run(&self.state, &served, &mut decoded, deadline).await?;
        let weight = contents::weight(&outputs.tensors, raw);
        let memory = self.state.budget.take_large(weight)?;
        let (state, id) = (Arc::clone(&self.state), decoded.request.id);
        pipeline::offload(weight, until, move || {
            let answer = pipeline::encode(&state, outputs, |outputs| {
                let settings = &state.settings;
                let envelope = Envelope { model: &settings.model, version: settings.version, raw };
                contents::encode(envelope, id, outputs)
            })?;
            Ok((answer, memory))
        })
        .await
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

    async fn model_infer(&self, _: Request<ModelInferRequest>) -> Result<ModelInferResponse> {
        Err(elsewhere())
    }

    type ModelStreamInferStream =
        Pin<Box<dyn Stream<Item = std::result::Result<ModelStreamInferResponse, Status>> + Send>>;

    async fn model_stream_infer(
        &self,
        _: Request<Streaming<ModelInferRequest>>,
    ) -> Result<Self::ModelStreamInferStream> {
        Err(elsewhere())
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
        Ok(Response::new(Box::pin(changes.take_until(tokio::time::sleep(WATCHED)))))
    }
}
