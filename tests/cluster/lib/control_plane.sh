# shellcheck shell=bash
# etcd, the API server, the controller manager, the scheduler and the registry.

# A command may add some.
more_api_server_flags=()

api_answers() {
  curl --silent --fail --max-time 5 --cacert "$pki/cluster-ca.crt" --cert "$pki/admin.crt" --key "$pki/admin.key" \
    "https://$node_address:6443/$1"
}

etcd_answers() {
  in_namespace curl --silent --fail --max-time 5 --cacert "$pki/etcd-ca.crt" \
    --cert "$pki/etcd-client.crt" --key "$pki/etcd-client.key" https://127.0.0.1:2379/health
}

registry_answers() {
  curl --silent --fail --max-time 5 "http://$registry/v2/"
}

# The state is thrown away at `down`, so etcd need not wait for the disk.
start_etcd() {
  start_program etcd "$bin/etcd" --name=node --data-dir="$state/etcd" --unsafe-no-fsync --log-level=warn \
    --listen-client-urls=https://127.0.0.1:2379 --advertise-client-urls=https://127.0.0.1:2379 \
    --listen-peer-urls=https://127.0.0.1:2380 --initial-advertise-peer-urls=https://127.0.0.1:2380 \
    --initial-cluster=node=https://127.0.0.1:2380 \
    --client-cert-auth --trusted-ca-file="$pki/etcd-ca.crt" --cert-file="$pki/etcd.crt" --key-file="$pki/etcd.key" \
    --peer-client-cert-auth --peer-trusted-ca-file="$pki/etcd-ca.crt" \
    --peer-cert-file="$pki/etcd.crt" --peer-key-file="$pki/etcd.key"
}

start_api_server() {
  start_program kube-apiserver "$bin/kube-apiserver" \
    --advertise-address="$node_address" --bind-address=0.0.0.0 --secure-port=6443 \
    --service-cluster-ip-range="$service_range" \
    --etcd-servers=https://127.0.0.1:2379 --etcd-cafile="$pki/etcd-ca.crt" \
    --etcd-certfile="$pki/etcd-client.crt" --etcd-keyfile="$pki/etcd-client.key" \
    --authorization-mode=Node,RBAC --anonymous-auth=true \
    --enable-admission-plugins=NodeRestriction,PodSecurity,ValidatingAdmissionPolicy \
    --client-ca-file="$pki/cluster-ca.crt" \
    --tls-cert-file="$pki/kube-apiserver.crt" --tls-private-key-file="$pki/kube-apiserver.key" \
    --kubelet-preferred-address-types=InternalIP --kubelet-certificate-authority="$pki/cluster-ca.crt" \
    --kubelet-client-certificate="$pki/kubelet-client.crt" --kubelet-client-key="$pki/kubelet-client.key" \
    --service-account-issuer=https://kubernetes.default.svc.cluster.local \
    --service-account-key-file="$pki/service-account.key" \
    --service-account-signing-key-file="$pki/service-account.key" \
    --requestheader-client-ca-file="$pki/front-proxy-ca.crt" --requestheader-allowed-names=front-proxy-client \
    --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
    --requestheader-extra-headers-prefix=X-Remote-Extra- \
    --proxy-client-cert-file="$pki/front-proxy-client.crt" --proxy-client-key-file="$pki/front-proxy-client.key" \
    --enable-bootstrap-token-auth=false --allow-privileged=true --shutdown-delay-duration=0s "${more_api_server_flags[@]}"
}

start_controller_manager() {
  start_program kube-controller-manager "$bin/kube-controller-manager" \
    --kubeconfig="$pki/kube-controller-manager.kubeconfig" \
    --authentication-kubeconfig="$pki/kube-controller-manager.kubeconfig" \
    --authorization-kubeconfig="$pki/kube-controller-manager.kubeconfig" \
    --bind-address=127.0.0.1 --leader-elect=false --controllers='*' --use-service-account-credentials=true \
    --root-ca-file="$pki/cluster-ca.crt" --client-ca-file="$pki/cluster-ca.crt" \
    --requestheader-client-ca-file="$pki/front-proxy-ca.crt" \
    --service-account-private-key-file="$pki/service-account.key" \
    --cluster-signing-cert-file="$pki/cluster-ca.crt" --cluster-signing-key-file="$pki/cluster-ca.key" \
    --allocate-node-cidrs=true --cluster-cidr="$pod_range" --node-cidr-mask-size=24 \
    --service-cluster-ip-range="$service_range" --cluster-name="$namespace"
}

start_scheduler() {
  start_program kube-scheduler "$bin/kube-scheduler" \
    --kubeconfig="$pki/kube-scheduler.kubeconfig" \
    --authentication-kubeconfig="$pki/kube-scheduler.kubeconfig" \
    --authorization-kubeconfig="$pki/kube-scheduler.kubeconfig" \
    --bind-address=127.0.0.1 --leader-elect=false
}

# Its blobs outlive `down`: an image whose content is there already is not
# pushed again.
start_registry() {
  mkdir -p "$state/registry"
  cat >"$state/registry.yaml" <<YAML
version: 0.1
log: {level: info, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: $state/registry}
  delete: {enabled: true}
http:
  addr: $registry
  secret: not-a-secret-one-process-only
YAML
  start_program registry env OTEL_TRACES_EXPORTER=none "$bin/registry" serve "$state/registry.yaml"
}
