# Modelwright. `make` lists what there is.
# CLUSTER=current uses the cluster of your KUBECONFIG, with IMAGES=<registry that it pulls from>.

SHELL := /bin/bash
.DEFAULT_GOAL := help
export CLUSTER IMAGES IMAGES_TLS_VERIFY

.PHONY: help demo test test-unit test-trainer test-keras test-runtime test-rows families test-full test-faults test-gpu test-clients test-chart test-cluster mutants fuzz bench bench-gpu bench-operator images install generate lint

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Show the whole chain on a real Kubernetes: train, serve, predict, roll out under load, roll back
	@tests/demo/run

test: ## Run every test; sets up all that they need
	@tests/run

test-unit: ## Run the operator's tests
	@tests/run unit

test-faults: ## Run the operator against an API server in memory, with a share of all faults; FAULTS_SHARE=1 for every one
	@tests/run faults

test-trainer: ## Run the trainer's tests: every algorithm, exported and compared row by row
	@tests/run trainer

test-keras: ## Run the tests of networks: every layer, exported and compared row by row
	@tests/run keras

test-runtime: ## Run the runtime's tests, on ONNX Runtime, a registry and an S3 server
	@tests/run runtime

test-rows: ## Hold what graphs say about rows against ONNX Runtime
	@tests/run rows

test-full: ## Run what takes long or is built from the sources of others: every family of models, also on other processors and on a cluster, every backend case, real models, skl2onnx, Argo CD, Kueue
	@tests/run full

test-gpu: ## Run the runtime's tests that need a GPU with CUDA
	@tests/run gpu

test-clients: ## Run the clients of Triton and KServe against the runtime
	@tests/run clients

test-chart: ## Render, check and dry-run the chart and the examples
	@tests/run chart

test-cluster: ## Run the tests on a real Kubernetes
	@tests/run cluster

mutants: ## Take features out, one at a time, and see their tests fail; ONLY="A5" for those of a line
	@tests/mutants/run $(ONLY)

fuzz: ## Fuzz what reads strangers' bytes, with RUNS=10000000 of each target; TARGETS="rest_body" for one
	@RUNS=$(RUNS) tests/fuzz $(TARGETS)

families: ## Train an example of each family of models, and write docs/families.md
	@tests/families/run --page

bench: ## Measure the serving runtime beside other servers, into docs/benchmarks.md; QUICK=1 to try it, PEERS=mosec for some
	@tests/bench/serving/run

bench-gpu: ## Measure the serving runtime on this machine's GPU beside ONNX Runtime by itself there
	@tests/bench/gpu/run

bench-operator: ## Measure what the operator costs an API server, with N=1000 resources of each kind
	@tests/bench/operator/run $(N)

images: ## Build the images, and push them to the test cluster's registry or to IMAGES; with GPU=1 those for CUDA, too
	@images/build --keras $(if $(GPU),--gpu)

install: ## Install the chart with these images
	@tests/install --keras

generate: ## Write again everything that is generated
	@tests/generate

lint: ## Check formats, lints, licences and advisories
	@tests/lint

include tests/cluster/make.mk
