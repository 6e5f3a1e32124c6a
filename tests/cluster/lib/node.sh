# shellcheck shell=bash
# containerd, the kubelet and kube-proxy, and what they are configured with.

# The folder of each hierarchy that pods' groups are made in; one on a system
# with a single hierarchy.
pod_groups() {
  local folder
  if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then
    printf '%s\n' "/sys/fs/cgroup/$namespace"
    return
  fi
  for folder in /sys/fs/cgroup/*/; do
    [[ ! -e $folder/cgroup.procs ]] || printf '%s\n' "$folder$namespace"
  done
}

make_pod_groups() {
  local folder file
  while read -r folder; do
    mkdir -p "$folder"
    # A group of processors starts with none, and nothing can run in it.
    for file in cpuset.cpus cpuset.mems; do
      if [[ -e $folder/$file && ! -e /sys/fs/cgroup/cgroup.controllers && -z "$(cat "$folder/$file")" ]]; then
        cat "$folder/../$file" >"$folder/$file"
      fi
    done
  done < <(pod_groups)
}

write_containerd_configuration() {
  mkdir -p "$state/containerd/certs.d/$registry"
  cat >"$state/containerd/certs.d/$registry/hosts.toml" <<TOML
server = "http://$registry"

[host."http://$registry"]
  capabilities = ["pull", "resolve"]
TOML
  # Without CAP_SYS_RESOURCE a score below the parent's is refused, and with it
  # every sandbox.
  cat >"$state/containerd/config.toml" <<TOML
version = 3
root = "$state/containerd/root"
state = "$runtime_state/containerd"

[grpc]
  address = "$containerd_socket"

[plugins.'io.containerd.internal.v1.opt']
  path = "$state/containerd/opt"

[plugins.'io.containerd.nri.v1.nri']
  disable = true

[plugins.'io.containerd.cri.v1.images']
  snapshotter = "overlayfs"
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = "$pause_image"
  [plugins.'io.containerd.cri.v1.images'.registry]
    config_path = "$state/containerd/certs.d"

[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ["/usr/lib/cni"]
    conf_dir = "$state/cni"
  [plugins.'io.containerd.cri.v1.runtime'.containerd]
    default_runtime_name = "runc"
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
        BinaryName = "$(command -v runc)"
        SystemdCgroup = false
TOML
}

start_containerd() {
  write_containerd_configuration
  start_program containerd env "PATH=$bin:$PATH" \
    "$bin/containerd" --config "$state/containerd/config.toml"
}

containerd_answers() {
  "$bin/ctr" --address "$containerd_socket" --connect-timeout 2s version
}

import_image() {
  local output
  output="$("$bin/ctr" --address "$containerd_socket" --namespace k8s.io images import --local "$1" 2>&1)" ||
    fail "importing $1 failed: $output"
}

write_kubelet_configuration() {
  mkdir -p "$state/kubelet" "$state/static-pods"
  # The host's name servers are out of reach from here.
  : >"$state/resolv.conf"
  # A share of the disk says nothing: it may be large, and others' for the most part. What is short of a few
  # megabytes ends with errors that say so, and a taint keeps every pod away with none.
  cat >"$state/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $node_address
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $pki/cluster-ca.crt}
authorization: {mode: Webhook}
tlsCertFile: $pki/kubelet-serving.crt
tlsPrivateKeyFile: $pki/kubelet-serving.key
cgroupDriver: cgroupfs
cgroupRoot: /$namespace
failCgroupV1: false
failSwapOn: false
clusterDNS: [$service_dns_address]
clusterDomain: cluster.local
containerRuntimeEndpoint: unix://$containerd_socket
resolvConf: $state/resolv.conf
staticPodPath: $state/static-pods
podLogsDir: $state/pod-logs
volumePluginDir: $state/volume-plugins
evictionHard: {memory.available: 50Mi, nodefs.available: 100Mi, imagefs.available: 100Mi, nodefs.inodesFree: 1k, imagefs.inodesFree: 1k}
imageGCHighThresholdPercent: 99
imageGCLowThresholdPercent: 98
enforceNodeAllocatable: [pods]
maxPods: 250
serializeImagePulls: false
registryPullQPS: 0
nodeStatusReportFrequency: 10s
nodeStatusUpdateFrequency: 5s
makeIPTablesUtilChains: false
oomScoreAdj: 0
YAML
}

start_kubelet() {
  write_kubelet_configuration
  make_pod_groups
  start_program kubelet env "PATH=$bin:$PATH" "$bin/kubelet" \
    --config="$state/kubelet.yaml" --kubeconfig="$pki/kubelet.kubeconfig" \
    --root-dir="$state/kubelet" --cert-dir="$state/kubelet/pki" \
    --hostname-override="$node_name" --node-ip="$node_address"
}

# The limits on connections are the host's, and read-only from a namespace.
start_proxy() {
  cat >"$state/kube-proxy.yaml" <<YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clusterCIDR: $pod_range
hostnameOverride: $node_name
clientConnection: {kubeconfig: $pki/kube-proxy.kubeconfig}
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
nftables: {minSyncPeriod: 100ms}
YAML
  start_program kube-proxy "$bin/kube-proxy" --config="$state/kube-proxy.yaml"
}
