//! Everything that crosses the crate's modules without a cluster.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

// the operator in network namespaces of its own
mod addresses;
// objects of every state, on which the health checks for Argo CD are evaluated
mod argocd_health;
mod cache_scenarios;
// which revisions that nobody owns are taken over, and records that cannot be read
mod deployment_adopt;
// what people are told of a ModelDeployment, and when
mod deployment_events;
// ModelDeployments and what runs of them, as a cluster would hold them
mod deployment_fixtures;
// ModelDeployment → its objects, against committed files
mod deployment_golden;
// how pods leave, against a mock API server
mod deployment_leaving;
// a first start is promoted when its Service has answered
mod deployment_reach;
// what was left of a ModelDeployment of the same name
mod deployment_predecessors;
// what a serving pod looks like to a rollout
mod deployment_pods;
mod deployment_refusals;
// what a person asks of a rollout
mod deployment_requests;
// whole reconciles of a ModelDeployment against a mock API server
mod deployment_scenarios;
// what a version's size certificate does to the pods that serve it
mod deployment_size;
// what a policy or a person changed is recorded, put back or told
mod deployment_repairs;
// what a user sees of a ModelDeployment: the health table
mod deployment_status;
// templates of ReplicaSets as they were admitted and as somebody changed them, and whose pods are whose
mod deployment_templates;
// the pages for people name what the code says
mod documentation;
// events, on their way to the API server
mod events_scenarios;
// objects as a cluster would hold them
mod fixtures;
// conditions that somebody else keeps in a status of ours
mod foreign_conditions;
// Model → Job and run → ModelVersion, against committed files
mod golden;
// what a Model's run says of itself, from Jobs, pods and warnings
mod model_job;
// an import that is measured
mod model_evaluation;
// specs as large as an object can be
mod model_kept;
mod model_large;
// whole reconciles of a Model that removes old versions, or is being deleted
mod model_clean_up_scenarios;
// what a run says while it goes on, and why the bundled store is not up
mod model_phases;
// what is done next for a Model: every branch
mod model_plan;
mod model_queues;
// A run that succeeded and whose pod is gone.
mod model_recall;
// one write of a Model that is refused stops itself only
mod model_refusals;
// the same as whole reconciles, against a mock API server
mod model_recall_scenarios;
// which versions of a Model are not kept any longer
mod model_retention;
// whole reconciles of a Model against a mock API server: which requests, in which order
mod model_scenarios;
// pods of runs that do not answer
mod model_silent_pods;
// what a user sees of a Model, and which events
mod model_status;
// what is refused of a training before any pod
mod model_training_data;
mod model_training_layers;
mod model_training_networks;
mod model_training_refusals;
mod model_training_starts;
// what a training's run says of itself, and what is done next
mod model_training_runs;
// whole reconciles of a training
mod model_training_scenarios;
// variants of a Model, and which version has them
mod model_variants;
// an operator that dies between any two writes of a Model
mod model_writes;
// faults of ours that end what they came of, and nothing else
mod panics;
// what the proxy of the bundled store lets through
mod push_proxy;
// that nobody takes the places of others there
mod push_places;
// trainings with networks
mod network_fixtures;
// the page with every field, made from the definitions
mod reference;
// writes and the Lease against a mock API server
mod apply_scenarios;
mod lease_scenarios;
// which part of the operator may know which other
mod layers;
// what many Models cost while nothing happens
mod model_idle;
// the mock API server
mod scenario;
mod writes_while_leading;
mod written_scenarios;
// instances drawn at random by the schemas
mod schema_instances;
// what depends on an object that does not parse
mod unreadable_holds;
// objects that do not parse: what is told of them, and that the others go on
mod unreadable_scenarios;
