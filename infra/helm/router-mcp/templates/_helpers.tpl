{{- /* The release's name, at most 47 characters: a CronJob's name, suffix and all, has 52. */ -}}
{{- define "router-mcp.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := .Values.fullnameOverride -}}
{{- if not $full -}}
{{- $full = ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- end -}}
{{- $full | trunc 47 | trimSuffix "-" -}}
{{- end -}}

{{- define "router-mcp.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "router-mcp.labels" -}}
{{ include "router-mcp.selectorLabels" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: router-mcp
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- /* An image reference out of repository, tag and digest. */ -}}
{{- define "router-mcp.image" -}}
{{- $image := index . 0 -}}
{{- $tag := $image.tag | default (index . 1) -}}
{{- printf "%s:%s" $image.repository $tag }}{{ with $image.digest }}@{{ . }}{{ end -}}
{{- end -}}

{{- define "router-mcp.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "router-mcp.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- define "router-mcp.policyConfigMap" -}}
{{- .Values.policy.existingConfigMap | default (printf "%s-policy" (include "router-mcp.fullname" .)) -}}
{{- end -}}

{{- /* Names that clients may call a server by. $(POD_IP) is what Prometheus and the kubelet call it. */ -}}
{{- define "router-mcp.allowedHosts" -}}
{{- $root := .root -}}
{{- $service := .service -}}
{{- $hosts := list $service (printf "%s.%s" $service $root.Release.Namespace) (printf "%s.%s.svc" $service $root.Release.Namespace) (printf "%s.%s.svc.cluster.local" $service $root.Release.Namespace) "$(POD_IP)" -}}
{{- if $root.Values.ingress.enabled }}{{ $hosts = append $hosts $root.Values.ingress.host }}{{ end -}}
{{- if $root.Values.httpRoute.enabled }}{{ $hosts = concat $hosts $root.Values.httpRoute.hostnames }}{{ end -}}
{{- concat $hosts $root.Values.allowedHosts | uniq | join "," -}}
{{- end -}}

{{- /* Values that contradict each other, which a schema cannot say. */ -}}
{{- define "router-mcp.checks" -}}
{{- $v := .Values -}}
{{- if and $v.autoscaling.enabled (gt (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas)) -}}
{{- fail (printf "autoscaling.minReplicas (%d) is above autoscaling.maxReplicas (%d). Lower the one or raise the other." (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas)) -}}
{{- end -}}
{{- if and $v.ingress.enabled (not (and $v.ingress.host $v.ingress.tlsSecret)) -}}
{{- fail "ingress.enabled needs ingress.host and ingress.tlsSecret: without TLS the bearer token would travel in the clear." -}}
{{- end -}}
{{- if and $v.httpRoute.enabled (not (and $v.httpRoute.parentRefs $v.httpRoute.hostnames)) -}}
{{- fail "httpRoute.enabled needs httpRoute.parentRefs and httpRoute.hostnames. Name the Gateway and the names that clients use." -}}
{{- end -}}
{{- if and $v.ollama.enabled (eq $v.ollama.cache.type "hostPath") (not $v.ollama.cache.hostPath) -}}
{{- fail "ollama.cache.type is hostPath, but ollama.cache.hostPath is empty. Name the folder." -}}
{{- end -}}
{{- if and (eq $v.tracing.exporter "otlp") (not $v.tracing.endpoint) -}}
{{- fail "tracing.exporter is otlp, but tracing.endpoint is empty. Name the Collector's address." -}}
{{- end -}}
{{- range $name, $_ := $v.env -}}
{{- if regexMatch "(?i)(token|secret|password|api_?key)" $name -}}
{{- fail (printf "env.%s looks like a secret, which everyone who may read pods could see. Name it in secretEnv." $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
