{{- /* Labels and annotations of a pod. Takes (dict "root" $ "component" "router"). */ -}}
{{- define "router-mcp.podMetadata" -}}
{{- $v := .root.Values -}}
labels:
  {{- include "router-mcp.labels" .root | nindent 2 }}
  app.kubernetes.io/component: {{ .component }}
  {{- with $v.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $v.podAnnotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* What every pod's spec begins with. */ -}}
{{- define "router-mcp.podSpec" -}}
{{- $root := .root -}}
{{- $v := $root.Values -}}
serviceAccountName: {{ include "router-mcp.serviceAccountName" $root }}
automountServiceAccountToken: false
enableServiceLinks: false {{- /* its variables are called ROUTER_MCP_… and would be taken for settings */}}
{{- with $v.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $v.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: { type: RuntimeDefault }
{{- with $v.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $v.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $v.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- if and $v.topologySpread.enabled (ne .component "warming") }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: {{ $v.topologySpread.topologyKey }}
    whenUnsatisfiable: {{ $v.topologySpread.whenUnsatisfiable }}
    labelSelector:
      matchLabels:
        {{- include "router-mcp.selectorLabels" $root | nindent 8 }}
        app.kubernetes.io/component: {{ .component }}
{{- end }}
{{- end -}}

{{- define "router-mcp.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities: { drop: [ALL] }
readOnlyRootFilesystem: true
{{- end -}}

{{- /* A server over HTTP. Takes root, component, command, prefix (of its variables), resources, env (YAML), config. */ -}}
{{- define "router-mcp.serverContainer" -}}
{{- $root := .root -}}
{{- $v := $root.Values -}}
name: {{ .component }}
image: {{ include "router-mcp.image" (list $v.image $root.Chart.AppVersion) }}
imagePullPolicy: {{ $v.image.pullPolicy }}
command: [{{ .command }}]
args: [serve, --transport, http, --host, 0.0.0.0, --port, "8080", --log-format, json]
env:
  - name: POD_IP
    valueFrom: { fieldRef: { fieldPath: status.podIP } }
  - name: {{ .prefix }}_TOKEN
    valueFrom: { secretKeyRef: { name: {{ $v.auth.secretName }}, key: {{ $v.auth.secretKey }} } }
  - { name: {{ .prefix }}_ALLOWED_HOSTS, value: {{ include "router-mcp.allowedHosts" (dict "root" $root "service" .service) | quote }} }
  - { name: {{ .prefix }}_CONFIG, value: {{ .config }} }
  {{- include "router-mcp.tracingEnv" (dict "root" $root "service" .command) | nindent 2 }}
  {{- with .env }}
  {{- . | nindent 2 }}
  {{- end }}
ports:
  - { name: http, containerPort: 8080, protocol: TCP }
resources: {{- toYaml .resources | nindent 2 }}
securityContext: {{- include "router-mcp.containerSecurity" $root | nindent 2 }}
startupProbe:
  httpGet: { path: /healthz, port: http }
  periodSeconds: 2
  failureThreshold: 30
{{- /* Ready when a task can be served; alive while the process answers, so that dead runtimes restart no router. */}}
readinessProbe:
  httpGet: { path: /readyz, port: http }
  periodSeconds: 5
  failureThreshold: 2
livenessProbe:
  httpGet: { path: /healthz, port: http }
  periodSeconds: 10
  timeoutSeconds: 3
  failureThreshold: 3
lifecycle:
  preStop:
    sleep: { seconds: {{ $v.shutdown.preStopSeconds }} }
volumeMounts:
  {{- /* The folder, not the file: a file mounted by subPath would never change. */}}
  - { name: config, mountPath: {{ dir .config }}, readOnly: true }
  - { name: tmp, mountPath: /tmp }
  {{- with .mounts }}
  {{- . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "router-mcp.tracingEnv" -}}
{{- $tracing := .root.Values.tracing -}}
- { name: LLM_TRACE_EXPORTER, value: {{ $tracing.exporter }} }
{{- if $tracing.endpoint }}
- { name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ $tracing.endpoint | quote }} }
{{- end }}
- { name: OTEL_SERVICE_NAME, value: {{ .service }} }
{{- end -}}

{{- /* What the router and the warming job know of the runtimes. */ -}}
{{- define "router-mcp.runtimeEnv" -}}
{{- $v := .Values -}}
- { name: ROUTER_MCP_STATE, value: /var/lib/router-mcp }
{{- with $v.tenantSalt.secretName }}
- name: ROUTER_MCP_SALT_SECRET
  valueFrom: { secretKeyRef: { name: {{ . }}, key: {{ $v.tenantSalt.secretKey }} } }
{{- end }}
{{- range $name, $value := $v.env }}
- { name: {{ $name }}, value: {{ $value | quote }} }
{{- end }}
{{- range $v.secretEnv }}
- name: {{ .name }}
  valueFrom: { secretKeyRef: { name: {{ .secretName }}, key: {{ .secretKey }} } }
{{- end }}
{{- end -}}

{{- /* Where operators' orders are read and written: by every router, and by the jobs. */ -}}
{{- define "router-mcp.stateMount" -}}
- { name: state, mountPath: /var/lib/router-mcp }
{{- end -}}

{{- define "router-mcp.stateVolume" -}}
- name: state
  {{- if .Values.state.existingClaim }}
  persistentVolumeClaim: { claimName: {{ .Values.state.existingClaim }} }
  {{- else }}
  emptyDir: { sizeLimit: 64Mi }
  {{- end }}
{{- end -}}

{{- define "router-mcp.routerMounts" -}}
{{ include "router-mcp.stateMount" . }}
{{- if .Values.tenantTokens.secretName }}
- { name: tenant-tokens, mountPath: /etc/router-mcp-tokens, readOnly: true }
{{- end }}
{{- end -}}

{{- define "router-mcp.routerEnv" -}}
{{ include "router-mcp.runtimeEnv" . | trim }}
{{- if .Values.tenantTokens.secretName }}
- { name: ROUTER_MCP_TOKENS_FILE, value: /etc/router-mcp-tokens/{{ .Values.tenantTokens.secretKey }} }
{{- end }}
{{- end -}}
