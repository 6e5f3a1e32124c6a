{{/* Name of the release's objects. */}}
{{- define "modelwright.fullname" -}}
{{- if contains "modelwright" .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-modelwright" .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels of every object; takes a dict of root and component. */}}
{{- define "modelwright.labels" -}}
{{ include "modelwright.selector" . }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: modelwright
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{/* Labels that select a component's pods. */}}
{{- define "modelwright.selector" -}}
app.kubernetes.io/name: modelwright
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "modelwright.storeUri" -}}
{{- if .Values.store.bundled.enabled -}}
{{- if .Values.store.uri -}}
{{- fail "store.uri is set, and store.bundled.enabled is true: set store.bundled.enabled=false to use a store of your own, or leave store.uri empty" -}}
{{- end -}}
oci://{{ include "modelwright.fullname" . }}-store.{{ .Release.Namespace }}.svc:5000/modelwright
{{- else -}}
{{- required "store.uri is empty, and store.bundled.enabled is false: set store.uri to oci://host[:port]/prefix of your registry, to s3://bucket/prefix, or to pvc://claim/prefix" .Values.store.uri -}}
{{- end -}}
{{- end -}}

{{/* Whether the release has objects of the whole cluster, and so whoever installs it may read some. */}}
{{- define "modelwright.clusterWide" -}}
{{- if or (not .Values.watchNamespaces) .Values.crds.install .Values.rbac.userRoles }}true{{ end }}
{{- end -}}

{{/* Ends where another release looks after the same namespaces: both would write to the same objects. Only Helm itself can
     ask the cluster, so `helm template` and Argo CD see nothing of it. */}}
{{- define "modelwright.oneOperator" -}}
{{- $root := . }}
{{- $api := "rbac.authorization.k8s.io/v1" }}
{{- $bindings := list }}
{{- if include "modelwright.clusterWide" . }}
{{- $bindings = (lookup $api "ClusterRoleBinding" "" "").items | default list }}
{{- end }}
{{- if not .Values.watchNamespaces }}
{{- $bindings = concat $bindings ((lookup $api "RoleBinding" "" "").items | default list) }}
{{- end }}
{{- range .Values.watchNamespaces }}
{{- $bindings = concat $bindings ((lookup $api "RoleBinding" . "").items | default list) }}
{{- end }}
{{- range $bindings }}
{{- $labels := .metadata.labels | default dict }}
{{- if and (eq (get $labels "app.kubernetes.io/name") "modelwright") (eq (get $labels "app.kubernetes.io/component") "operator") (hasSuffix "-operator" .metadata.name) }}
{{- range .subjects | default list }}
{{- if or (ne .name (include "modelwright.fullname" $root)) (ne .namespace $root.Release.Namespace) }}
{{- fail (printf "the release with the ServiceAccount %s in namespace %s looks after the same namespaces: two operators would write to the same objects. Give watchNamespaces of both releases, without a namespace in common, or uninstall one of them" .name .namespace) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* For NOTES: why the bundled store will not come up, or is not, as far as a cluster can be asked. */}}
{{- define "modelwright.storeTrouble" -}}
{{- $store := printf "%s-store" (include "modelwright.fullname" .) }}
{{- $persistence := .Values.store.bundled.persistence }}
{{- if and $persistence.enabled (lookup "v1" "Namespace" "" .Release.Namespace) }}
{{- $name := $persistence.existingClaim | default $store }}
{{- $claim := lookup "v1" "PersistentVolumeClaim" .Release.Namespace $name }}
{{- $phase := dig "status" "phase" "" (deepCopy ($claim | default dict)) }}
{{- if and $persistence.existingClaim (not $claim) }}

WARNING: the bundled store does not start: store.bundled.persistence.existingClaim is {{ $name }}, and namespace {{ .Release.Namespace }} has no such PersistentVolumeClaim.
{{- else if and (ne $phase "Bound") (not $persistence.existingClaim) (include "modelwright.clusterWide" .) }}
{{- $classes := (lookup "storage.k8s.io/v1" "StorageClass" "" "").items | default list }}
{{- $wanted := dig "spec" "storageClassName" $persistence.storageClassName (deepCopy ($claim | default dict)) }}
{{- $names := list }}
{{- $default := "" }}
{{- range $classes }}
{{- $names = append $names .metadata.name }}
{{- if eq (get (.metadata.annotations | default dict) "storageclass.kubernetes.io/is-default-class") "true" }}{{ $default = .metadata.name }}{{ end }}
{{- end }}
{{- $has := $names | join ", " | default "none" }}
{{- if and $wanted (not (has $wanted $names)) }}

WARNING: the bundled store does not start: its claim {{ $name }} asks for the StorageClass {{ $wanted }}, and the cluster has {{ $has }}. Set store.bundled.persistence.storageClassName to one that it has.
{{- else if and (not $wanted) (not $default) }}

WARNING: the bundled store does not start: its claim {{ $name }} names no StorageClass, and the cluster has no default one, so nothing gives it a volume. Set store.bundled.persistence.storageClassName to one of the cluster's ({{ $has }}), persistence.enabled=false for a store that forgets with its pod, or store.uri to a store of your own.
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* What every container of the chart runs under. */}}
{{- define "modelwright.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "modelwright.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "modelwright.pullSecrets" -}}
{{- with .Values.images.pullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
{{- end -}}
