# shellcheck shell=bash
# What the cluster starts with: DNS, volumes, the node's pretended GPUs.

readonly volume_count=16

kubectl_here() {
  "$bin/kubectl" --kubeconfig "$admin_kubeconfig" "$@"
}

# Prints a manifest with ${name} replaced by the variable of that name.
render() {
  local text name
  text="$(cat "$here/manifests/$1")"
  while [[ $text =~ \$\{([a-z_]+)\} ]]; do
    name="${BASH_REMATCH[1]}"
    text="${text//"\${$name}"/"${!name}"}"
  done
  printf '%s\n---\n' "$text"
}

# Used by `render` through their names.
# shellcheck disable=SC2034
render_volumes() {
  local volume path
  for volume in "$@"; do
    path="$state/volumes/$volume"
    rm -rf "$path"
    # Images run as users of their own, and not each pod sets fsGroup.
    install -d -m 0777 "$path"
    render volume.yaml
  done
}

volume_names() {
  seq -f 'local-%02g' 1 "$volume_count"
}

create_objects() {
  local volumes
  mapfile -t volumes < <(volume_names)
  {
    render dns.yaml
    render storage-class.yaml
    render_volumes "${volumes[@]}"
  } | kubectl_here apply --server-side -f - >/dev/null
}

# A volume whose claim is gone keeps its bytes and takes no other claim. Here
# nobody wants the bytes.
renew_released_volumes() {
  local volumes
  mapfile -t volumes < <(kubectl_here get persistentvolumes \
    -o jsonpath='{range .items[?(@.status.phase=="Released")]}{.metadata.name}{"\n"}{end}')
  ((${#volumes[@]})) || return 0
  kubectl_here delete persistentvolume "${volumes[@]}" >/dev/null
  render_volumes "${volumes[@]}" | kubectl_here apply --server-side -f - >/dev/null
  say "made ${#volumes[@]} released volumes anew"
}

node_registered() {
  kubectl_here get node "$node_name"
}

# The kubelet keeps a resource that it does not know, so that this is what the
# scheduler sees of a real device.
set_node_gpus() {
  kubectl_here patch node "$node_name" --subresource=status --type=merge \
    --patch '{"status":{"capacity":{"nvidia.com/gpu":"2"},"allocatable":{"nvidia.com/gpu":"2"}}}' >/dev/null
}

node_has_gpus() {
  [[ "$(kubectl_here get node "$node_name" -o 'jsonpath={.status.allocatable.nvidia\.com/gpu}')" == 2 ]]
}
