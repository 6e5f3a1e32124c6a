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
