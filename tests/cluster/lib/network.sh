# shellcheck shell=bash
# The node's network namespace: one link to the host, no way to anywhere else.

make_network() {
  ip netns add "$namespace"
  ip link add "$host_link" type veth peer name "$node_link" netns "$namespace"
  ip address add "$host_address/30" dev "$host_link"
  ip link set "$host_link" up
  # What the host sends to pods and Services goes through the node, where
  # kube-proxy's rules turn a Service's address into a pod's.
  ip route add "$pod_range" via "$node_address" dev "$host_link"
  ip route add "$service_range" via "$node_address" dev "$host_link"

  in_namespace ip link set lo up
  in_namespace ip address add "$node_address/30" dev "$node_link"
  in_namespace ip link set "$node_link" up
  # Nothing may leak out, and a forgotten pull fails at once instead of after
  # a timeout. Only the host's end of the link is reachable.
  in_namespace ip route add unreachable default
  # The node's own processes need some route to a Service before kube-proxy's
  # rules give the packet another address.
  in_namespace ip route add "$service_range" dev lo src "$node_address"
  # A process in the namespace writes the namespace's own copy. Pods on one
  # bridge must pass the rules too, or the replies of a Service would skip the
  # translation back.
  in_namespace bash -c '
    echo 1 >/proc/sys/net/ipv4/ip_forward
    [[ ! -e /proc/sys/net/bridge/bridge-nf-call-iptables ]] || echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables
  '
}

# Pods' addresses and links live in the namespace and go with it.
remove_network() {
  if [[ -e /run/netns/$namespace ]]; then
    ip netns delete "$namespace"
  fi
  if ip link show "$host_link" >/dev/null 2>&1; then
    ip link delete "$host_link"
  fi
}

write_network_configuration() {
  mkdir -p "$state/cni"
  cat >"$state/cni/10-pods.conflist" <<JSON
{
  "cniVersion": "1.0.0",
  "name": "$namespace",
  "plugins": [
    {
      "type": "bridge",
      "bridge": "pods",
      "isGateway": true,
      "isDefaultGateway": true,
      "hairpinMode": true,
      "ipMasq": false,
      "ipam": {"type": "host-local", "dataDir": "$runtime_state/cni", "ranges": [[{"subnet": "$pod_range"}]]}
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
JSON
}
