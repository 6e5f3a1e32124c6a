# shellcheck shell=bash
# Names, places and addresses of a cluster, and how the scripts speak. Sourced
# by every command; takes MODELWRIGHT_CLUSTER_NAME and CLUSTER from outside.

readonly here="${here:?the sourcing script sets it}"
readonly cache="${MODELWRIGHT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/modelwright}"
readonly programs_cache="$cache/programs"

say() {
  printf '[%5ss] %s\n' "$SECONDS" "$*" >&2
}

fail() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# Fails where the cache's disk has less free than a step needs.
require_disk() { # GIGABYTES STEP
  local free
  mkdir -p "$cache"
  free="$(df --output=avail --block-size=1G "$cache" | tail -1 | tr -d ' ')"
  ((free >= $1)) ||
    fail "$2 needs $1 GB of free disk, and $cache has $free GB: free some space, or set MODELWRIGHT_CACHE to another disk"
}

# Ends with its command's success, or with 1 once the seconds are over.
wait_until() {
  local until=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < until)) || return 1
    sleep 0.1
  done
}

uses_current_cluster() {
  [[ ${CLUSTER:-} == current ]]
}

refuse_current_cluster() {
  if uses_current_cluster; then
    fail "CLUSTER=current means your own cluster, which is never started, stopped or changed from here"
  fi
}

require_root() {
  [[ $EUID == 0 ]] || fail "needs root: it makes a network namespace, mounts and cgroups"
}

# Two clusters on one machine need ranges of their own, since the host has
# routes to both: every address comes from the index, and the index from the
# name.
name_cluster() { # [NAME]
  cluster="${1:-${MODELWRIGHT_CLUSTER_NAME:-default}}"
  [[ $cluster =~ ^[a-z][a-z0-9-]{0,11}$ ]] ||
    fail "a cluster's name is 1 to 12 of a-z, 0-9 and '-', and starts with a letter: '$cluster'"
  cluster_index=0
  if [[ $cluster != default ]]; then
    cluster_index=$((1 + $(cksum <<<"$cluster" | cut -d' ' -f1) % 60))
  fi
  host_address="198.18.0.$((4 * cluster_index + 1))"
  node_address="198.18.0.$((4 * cluster_index + 2))"
  pod_range="10.244.$cluster_index.0/24"
  service_range="10.$((96 + cluster_index)).0.0/16"
  service_api_address="10.$((96 + cluster_index)).0.1"
  service_dns_address="10.$((96 + cluster_index)).0.10"
  registry="$node_address:5000"
  node_name="modelwright"
  if [[ $cluster != default ]]; then
    node_name="modelwright-$cluster"
  fi
  namespace="modelwright-$cluster"
  host_link="mw$cluster_index-host"
  node_link="mw$cluster_index-node"

  state="$cache/cluster/$cluster"
  runtime_state="/run/modelwright/$cluster"
  containerd_socket="$runtime_state/containerd.sock"
  pki="$state/pki"
  logs="$state/logs"
  admin_kubeconfig="$state/admin.kubeconfig"

  # The kubelet makes sockets below its root, and a socket's path has 107 bytes.
  local longest="$state/kubelet/pod-resources/kubelet.sock"
  ((${#longest} <= 100)) || fail "the path $state is too long for the kubelet's sockets: set MODELWRIGHT_CACHE to a shorter one"
}

in_namespace() {
  nsenter --net="/run/netns/$namespace" -- "$@"
}

# Every command of a cluster holds this lock for as long as it runs; programs
# are started with the descriptor closed, or they would hold it too.
lock_cluster() {
  mkdir -p "$cache/cluster"
  exec 9>"$cache/cluster/$cluster.lock"
  flock --wait 600 9 || fail "another command has held the cluster '$cluster' for 10 minutes"
}
