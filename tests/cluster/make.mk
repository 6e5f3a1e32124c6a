# The test cluster. Included by the Makefile at the top.
# CLUSTER=current uses your own KUBECONFIG, and IMAGES its registry.

.PHONY: cluster clean-cluster cluster-status

cluster: ## Bring up the one-node test cluster (CLUSTER=current: use your own)
	@if [ "$(CLUSTER)" = current ]; then kubectl version; else tests/cluster/up; fi

cluster-status: ## Say what of the test cluster runs
	@tests/cluster/status

clean-cluster: ## End the test cluster and remove its state; built programs stay
	@tests/cluster/down --all
