# shellcheck shell=bash
# The cluster's certificates and kubeconfigs: an authority for the API, one for
# etcd and one for aggregated APIs, so that none of them is trusted as another.

make_authority() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 \
    -subj "/CN=$2" -addext "keyUsage=critical,keyCertSign,cRLSign,digitalSignature" \
    -keyout "$pki/$1.key" -out "$pki/$1.crt" 2>/dev/null
}

# make_certificate NAME AUTHORITY SUBJECT USAGES [ALTERNATIVE_NAMES]
make_certificate() {
  local name="$1" authority="$2" subject="$3" usages="$4" alternatives="${5:-}"
  {
    echo "extendedKeyUsage=$usages"
    echo "keyUsage=critical,digitalSignature"
    [[ -z $alternatives ]] || echo "subjectAltName=$alternatives"
  } >"$pki/$name.extensions"
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$subject" \
    -keyout "$pki/$name.key" -out "$pki/$name.request" 2>/dev/null
  openssl x509 -req -in "$pki/$name.request" -days 365 -extfile "$pki/$name.extensions" \
    -CA "$pki/$authority.crt" -CAkey "$pki/$authority.key" -set_serial "0x$(openssl rand -hex 12)" \
    -out "$pki/$name.crt" 2>/dev/null
  rm "$pki/$name.extensions" "$pki/$name.request"
}

make_kubeconfig() {
  local path="$1" certificate="$2"
  (
    umask 077
    cat >"$path" <<YAML
apiVersion: v1
kind: Config
current-context: $namespace
clusters:
- name: $namespace
  cluster:
    server: https://$node_address:6443
    certificate-authority-data: $(base64 -w0 "$pki/cluster-ca.crt")
contexts:
- name: $namespace
  context: {cluster: $namespace, user: $certificate}
users:
- name: $certificate
  user:
    client-certificate-data: $(base64 -w0 "$pki/$certificate.crt")
    client-key-data: $(base64 -w0 "$pki/$certificate.key")
YAML
  )
}

make_pki() {
  local program
  install -d -m 700 "$pki"
  make_authority cluster-ca "modelwright test cluster"
  make_authority etcd-ca "modelwright test etcd"
  make_authority front-proxy-ca "modelwright test front proxy"

  make_certificate etcd etcd-ca /CN=etcd serverAuth,clientAuth "IP:127.0.0.1,DNS:localhost"
  make_certificate etcd-client etcd-ca /CN=kube-apiserver clientAuth
  make_certificate front-proxy-client front-proxy-ca /CN=front-proxy-client clientAuth
  make_certificate kube-apiserver cluster-ca /CN=kube-apiserver serverAuth \
    "IP:$node_address,IP:$service_api_address,IP:127.0.0.1,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local"
  make_certificate kubelet-client cluster-ca "/O=system:masters/CN=kube-apiserver-kubelet-client" clientAuth
  make_certificate kubelet-serving cluster-ca "/O=system:nodes/CN=system:node:$node_name" serverAuth \
    "IP:$node_address,DNS:$node_name"

  make_certificate admin cluster-ca "/O=system:masters/CN=admin" clientAuth
  make_certificate kubelet cluster-ca "/O=system:nodes/CN=system:node:$node_name" clientAuth
  for program in kube-controller-manager kube-scheduler kube-proxy; do
    make_certificate "$program" cluster-ca "/CN=system:$program" clientAuth
  done
  for program in kubelet kube-controller-manager kube-scheduler kube-proxy; do
    make_kubeconfig "$pki/$program.kubeconfig" "$program"
  done
  openssl ecparam -name prime256v1 -genkey -noout -out "$pki/service-account.key" 2>/dev/null
  make_kubeconfig "$admin_kubeconfig" admin
}
