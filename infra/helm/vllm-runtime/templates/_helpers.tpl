{{- /* The release's name, at most 45 characters: a StatefulSet's name, suffix and all, has 52. */ -}}
{{- define "vllm-runtime.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $release := ternary (trimSuffix "-canary" .Release.Name) .Release.Name .Values.canary -}}
{{- $full := .Values.fullnameOverride -}}
{{- if not $full -}}
{{- $full = ternary $release (printf "%s-%s" $release $name) (contains $name $release) -}}
{{- end -}}
{{- $full = $full | trunc 45 | trimSuffix "-" -}}
{{- if .Values.canary -}}
{{- printf "%s-canary" (trimSuffix "-canary" $full) -}}
{{- else -}}
{{- $full -}}
{{- end -}}
{{- end -}}

{{- define "vllm-runtime.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 }}
app.kubernetes.io/instance: {{ .Release.Name }}
router-mcp/track: {{ ternary "canary" "stable" .Values.canary }}
{{- end -}}

{{- define "vllm-runtime.labels" -}}
{{ include "vllm-runtime.selectorLabels" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: router-mcp
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- /* The pods that take calls: of a multi-node group only its leader. */ -}}
{{- define "vllm-runtime.serverLabels" -}}
{{ include "vllm-runtime.selectorLabels" . }}
app.kubernetes.io/component: server
{{- end -}}

{{- define "vllm-runtime.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "vllm-runtime.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- /* An image reference out of repository, tag and digest. */ -}}
{{- define "vllm-runtime.image" -}}
{{- $image := index . 0 -}}
{{- $tag := $image.tag | default (index . 1) -}}
{{- printf "%s:%s" $image.repository $tag }}{{ with $image.digest }}@{{ . }}{{ end -}}
{{- end -}}

{{- /* The name that metrics carry: the first served one. */ -}}
{{- define "vllm-runtime.metricName" -}}
{{- $first := first .Values.model.servedNames -}}
{{- ternary (printf "%s-canary" $first) $first .Values.canary -}}
{{- end -}}

{{- /* What scales: kind and API version of the workload. */ -}}
{{- define "vllm-runtime.scaleTarget" -}}
{{- if .Values.multiNode.enabled -}}
apiVersion: leaderworkerset.x-k8s.io/v1
kind: LeaderWorkerSet
{{- else -}}
apiVersion: apps/v1
kind: {{ .Values.workload }}
{{- end }}
name: {{ include "vllm-runtime.fullname" . }}
{{- end -}}

{{- define "vllm-runtime.nodes" -}}
{{- ternary (int .Values.multiNode.nodes) 1 .Values.multiNode.enabled -}}
{{- end -}}

{{- define "vllm-runtime.objectStorage" -}}
{{- if regexMatch "^(s3|gs|az)://" .Values.model.source }}true{{ end -}}
{{- end -}}
