# shellcheck shell=bash
# The single proofs of `check`. Each is a function that fails when what it says
# does not hold.

# pod_manifest NAME SPEC_FIELD CONTAINER_FIELD COMMAND: a pod of busybox.
pod_manifest() {
  local name="$1" spec="$2" container="$3" command="$4"
  cat <<YAML
apiVersion: v1
kind: Pod
metadata: {name: $name, labels: {app: $name}}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  $spec
  containers:
  - name: main
    image: $busybox
    command: [sh, -c, $(jq -Rs . <<<"$command")]
    $container
YAML
}

# Runs a command in a new pod, and prints what it printed.
in_new_pod() {
  local name="$1" spec="$2" container="$3" command="$4"
  pod_manifest "$name" "$spec" "$container" "$command" | kubectl apply -f - >/dev/null
  kubectl wait --for=jsonpath='{.status.phase}'=Succeeded "pod/$name" --timeout=60s >/dev/null || {
    kubectl logs "$name" || true
    kubectl describe pod "$name" | tail -n 15
    return 1
  }
  kubectl logs "$name"
}

in_pod() {
  kubectl exec server -- sh -c "$1"
}

check_node_ready() {
  kubectl wait --for=condition=Ready "node/$node_name" --timeout=10s
}

check_server_pod() {
  pod_manifest server "" "ports: [{containerPort: 8080}]" \
    'mkdir /tmp/www && echo served >/tmp/www/index.html && echo started && exec httpd -f -p 8080 -h /tmp/www' |
    kubectl apply -f -
  kubectl expose pod server --name=web --port=80 --target-port=8080
  kubectl wait --for=condition=Ready pod/server --timeout=60s || {
    kubectl describe pod server | tail -n 15
    return 1
  }
  kubectl get events | grep -F "Successfully pulled image \"$busybox\"" ||
    kubectl get events | grep -F "Container image \"$busybox\" already present"
}

check_job() {
  kubectl create job counted --image="$busybox" -- sh -c 'echo counted'
  kubectl wait --for=condition=Complete job/counted --timeout=60s
  kubectl logs job/counted | grep -Fx counted
}

check_logs() {
  wait_until 10 bash -c 'kubectl logs server | grep -Fx started'
}

check_exec() {
  [[ "$(kubectl exec server -- id -u)" == 65532 ]]
}

check_port_forward() {
  local port answer forward
  kubectl port-forward pod/server :8080 >"$scratch/forward" 2>&1 &
  forward=$!
  wait_until 20 grep -q 'Forwarding from 127' "$scratch/forward" || cat "$scratch/forward"
  port="$(sed -n 's/^Forwarding from 127\.0\.0\.1:\([0-9]*\) .*/\1/p' "$scratch/forward")"
  answer="$(curl --silent --max-time 10 "http://127.0.0.1:$port/")" || true
  kill "$forward"
  [[ $answer == served ]]
}

check_dns_of_api() {
  in_pod 'nslookup kubernetes.default.svc.cluster.local' | grep -F "$service_api_address"
  in_pod 'ping -c 1 -W 2 kubernetes.default.svc 2>&1 || true' | grep -F "$service_api_address"
}

service_address() {
  kubectl get service web -o jsonpath='{.spec.clusterIP}'
}

check_dns_of_service() {
  in_pod "timeout 5 wget -q -O - http://web/" | grep -Fx served
}

check_service_from_pod() {
  [[ "$(in_new_pod client "" "" "timeout 5 wget -q -O - http://$(service_address)/")" == served ]]
}

check_service_from_itself() {
  in_pod "timeout 5 wget -q -O - http://$(service_address)/" | grep -Fx served
}

check_service_from_host() {
  [[ "$(curl --silent --max-time 5 "http://$(service_address)/")" == served ]]
}

check_pod_from_host() {
  local address
  address="$(kubectl get pod server -o jsonpath='{.status.podIP}')"
  [[ "$(curl --silent --max-time 5 "http://$address:8080/")" == served ]]
}

check_registry_from_pod() {
  in_pod "timeout 5 wget -q -O - http://$registry/v2/_catalog" | grep -F tests/busybox
}

# busybox has no client for the API's certificate: the token is a pod's, and
# the address the one that pods are given.
check_api_from_pod() {
  local token
  token="$(in_pod 'cat /var/run/secrets/kubernetes.io/serviceaccount/token')"
  in_pod "nc -w 5 \$KUBERNETES_SERVICE_HOST \$KUBERNETES_SERVICE_PORT </dev/null"
  curl --silent --fail --max-time 5 --cacert "$pki/cluster-ca.crt" -H "Authorization: Bearer $token" \
    "https://$service_api_address/version" | grep -F gitVersion
  refuses 'cannot list resource "pods"' kubectl --token="$token" --client-certificate="" --client-key="" \
    --kubeconfig=/dev/null --server="https://$node_address:6443" --certificate-authority="$pki/cluster-ca.crt" \
    --namespace "$space" get pods
}

# Where tests put servers of their own, such as a bucket.
check_host_from_pod() {
  local server versitygw
  versitygw="$("$here/program" versitygw)"
  mkdir -p "$scratch/bucket"
  ROOT_ACCESS_KEY=check ROOT_SECRET_KEY=checkcheck "$versitygw" --port "$MODELWRIGHT_HOST_ADDRESS:17070" --health /health \
    posix "$scratch/bucket" >"$scratch/versitygw.log" 2>&1 &
  server=$!
  wait_until 10 curl --silent --fail --max-time 2 "http://$MODELWRIGHT_HOST_ADDRESS:17070/health" || cat "$scratch/versitygw.log"
  in_pod "timeout 5 wget -q -O - http://$MODELWRIGHT_HOST_ADDRESS:17070/health && echo reached" | grep -F reached || {
    kill "$server"
    return 1
  }
  kill "$server"
}

check_node_port() {
  kubectl expose pod server --name=outside --type=NodePort --port=80 --target-port=8080
  wait_until 10 curl --silent --fail --max-time 2 \
    "http://$node_address:$(kubectl get service outside -o jsonpath='{.spec.ports[0].nodePort}')/"
}

# An address of a range for documentation, which nobody has.
check_no_way_out() {
  in_pod 'started=$(date +%s); ! nc -w 20 192.0.2.1 80 </dev/null 2>/dev/null && test $(($(date +%s) - started)) -lt 10'
}

restricted='securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}'

check_restricted_refuses() {
  kubectl create namespace "$space-restricted"
  kubectl label namespace "$space-restricted" pod-security.kubernetes.io/enforce=restricted
  wait_until 30 kubectl --namespace "$space-restricted" get serviceaccount default
  pod_manifest root "" "securityContext: {runAsUser: 0}" 'true' >"$scratch/root.yaml"
  refuses 'violates PodSecurity "restricted:latest"' kubectl --namespace "$space-restricted" apply -f "$scratch/root.yaml"
}

check_restricted_allows() {
  pod_manifest restricted "securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}" "$restricted" 'id' |
    kubectl --namespace "$space-restricted" apply -f -
  kubectl --namespace "$space-restricted" wait --for=jsonpath='{.status.phase}'=Succeeded pod/restricted --timeout=60s
}

check_admission_policy() {
  kubectl apply -f - <<YAML
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: $space}
spec:
  matchConstraints:
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}]
  validations: [{expression: "!has(object.data) || !('forbidden' in object.data)", message: this key is forbidden}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: $space}
spec:
  policyName: $space
  validationActions: [Deny]
  matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: $space}}}
YAML
  # The API server learns of a policy a moment after it was written.
  wait_until 30 refuses 'this key is forbidden' kubectl create configmap refused --from-literal=forbidden=1 --dry-run=server
  kubectl create configmap allowed --from-literal=other=1
}

check_gpu_count() {
  [[ "$(kubectl get node "$node_name" -o 'jsonpath={.status.capacity.nvidia\.com/gpu} {.status.allocatable.nvidia\.com/gpu}')" == "2 2" ]]
}

check_gpu_scheduling() {
  pod_manifest gpu-three "" "resources: {limits: {nvidia.com/gpu: 3}}" 'true' | kubectl apply -f -
  in_new_pod gpu-two "" "resources: {limits: {nvidia.com/gpu: 2}}" 'true'
  kubectl wait --for=condition=PodScheduled=false pod/gpu-three --timeout=30s
  kubectl get pod gpu-three -o jsonpath='{.status.conditions[?(@.type=="PodScheduled")].message}' |
    grep -F 'Insufficient nvidia.com/gpu'
}

check_memory_limit() {
  pod_manifest greedy "" "resources: {limits: {memory: 32Mi}}" 'dd if=/dev/zero of=/dev/null bs=256M count=1' | kubectl apply -f -
  kubectl wait --for=jsonpath='{.status.phase}'=Failed pod/greedy --timeout=60s
  kubectl get pod greedy -o jsonpath='{.status.containerStatuses[0].state.terminated}' | grep -E 'OOMKilled|"exitCode":137'
}

check_read_only_root() {
  in_new_pod read-only "securityContext: {runAsNonRoot: true}" "$restricted" \
    'test "$(id -u)" = 65532 && ! touch /tmp/written 2>/dev/null && echo refused' | grep -Fx refused
}

check_volume_claim() {
  local volume='volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]' mount='volumeMounts: [{name: data, mountPath: /data}]'
  kubectl apply -f - <<YAML
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
YAML
  in_new_pod writer "$volume" "$mount" 'echo kept >/data/file'
  kubectl delete pod writer --wait
  in_new_pod reader "$volume" "$mount" 'cat /data/file' | grep -Fx kept
  [[ "$(kubectl get persistentvolumeclaim data -o jsonpath='{.status.phase}')" == Bound ]]
}

check_image_volume() {
  in_new_pod image-volume "volumes: [{name: image, image: {reference: \"$busybox\"}}]" \
    'volumeMounts: [{name: image, mountPath: /image, readOnly: true}]' 'cat /image/etc/passwd' | grep -F nonroot
}

check_node_restriction() {
  local as_kubelet=(kubectl --kubeconfig "$pki/kubelet.kubeconfig")
  "${as_kubelet[@]}" get node "$node_name"
  refuses 'is not allowed to modify labels' \
    "${as_kubelet[@]}" label node "$node_name" node-restriction.kubernetes.io/check=refused
  refuses 'only its own Node object' "${as_kubelet[@]}" get node "$space"
  refuses 'cannot list resource "secrets"' "${as_kubelet[@]}" get secrets --all-namespaces
}

check_garbage_collection() {
  kubectl create deployment owner --image="$busybox" --replicas=1 -- sleep 1000
  wait_until 30 bash -c 'kubectl get replicasets -l app=owner -o name | grep -q .'
  kubectl delete deployment owner --wait
  kubectl wait --for=delete replicasets -l app=owner --timeout=60s
}

check_ttl() {
  kubectl apply -f - <<YAML
apiVersion: batch/v1
kind: Job
metadata: {name: short-lived}
spec:
  ttlSecondsAfterFinished: 1
  template:
    spec:
      restartPolicy: Never
      containers: [{name: main, image: "$busybox", command: ["true"]}]
YAML
  kubectl wait --for=delete job/short-lived --timeout=60s
}
