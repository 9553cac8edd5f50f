{{- /* A pod of the runtime. Takes (dict "root" $ "component" "server" or "worker"). */ -}}
{{- define "vllm-runtime.podTemplate" -}}
{{- $root := .root -}}
{{- $v := $root.Values -}}
{{- $server := eq .component "server" -}}
metadata:
  labels:
    {{- include "vllm-runtime.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
    {{- if eq $v.cloudIdentity.provider "azure" }}
    azure.workload.identity/use: "true"
    {{- end }}
    {{- with $v.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    {{- /* A change of the proxy's file restarts the pod, since nginx reads it at start only. */}}
    checksum/proxy: {{ $root.Files.Get "files/runtime-proxy.conf.template" | sha256sum }}
    {{- with $v.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "vllm-runtime.serviceAccountName" $root }}
  automountServiceAccountToken: false
  enableServiceLinks: false {{- /* its variables are called VLLM_… and would be taken for settings */}}
  terminationGracePeriodSeconds: {{ add $v.shutdown.preStopSeconds $v.shutdown.timeoutSeconds $v.shutdown.marginSeconds }}
  {{- with $v.imagePullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  {{- with $v.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: {{ $v.security.runAsUser }}
    runAsGroup: {{ $v.security.runAsGroup }}
    fsGroup: {{ $v.security.fsGroup }}
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: { type: RuntimeDefault }
  {{- if $server }}
  initContainers:
    - {{ include "vllm-runtime.proxyContainer" $root | nindent 6 | trim }}
  {{- end }}
  containers:
    - {{ include "vllm-runtime.vllmContainer" . | nindent 6 | trim }}
  volumes:
    {{- include "vllm-runtime.volumes" . | nindent 4 }}
  {{- with $v.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if and $server $v.topologySpread.enabled }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: {{ $v.topologySpread.topologyKey }}
      whenUnsatisfiable: {{ $v.topologySpread.whenUnsatisfiable }}
      labelSelector:
        matchLabels: {{- include "vllm-runtime.serverLabels" $root | nindent 10 }}
  {{- end }}
{{- end -}}

{{- define "vllm-runtime.vllmContainer" -}}
{{- $root := .root -}}
{{- $v := $root.Values -}}
{{- $server := eq .component "server" -}}
name: vllm
image: {{ include "vllm-runtime.image" (list $v.image $root.Chart.AppVersion) }}
imagePullPolicy: {{ $v.image.pullPolicy }}
{{- if $v.multiNode.enabled }}
command: [/bin/bash, {{ printf "/etc/ray/%s.sh" (ternary "leader" "worker" $server) }}]
{{- else }}
command: [vllm, serve]
{{- end }}
{{- if $server }}
args: {{- include "vllm-runtime.args" $root | nindent 2 }}
{{- end }}
env: {{- include "vllm-runtime.env" $root | nindent 2 }}
{{- with $v.objectStorage.secretName }}
envFrom:
  - secretRef: { name: {{ . }} }
{{- end }}
resources: {{- include "vllm-runtime.resources" $root | nindent 2 }}
securityContext:
  allowPrivilegeEscalation: false
  capabilities: { drop: [ALL] }
  readOnlyRootFilesystem: {{ $v.security.readOnlyRootFilesystem }}
{{- if $server }}
{{- /* Through the proxy: what is probed is what callers get. */}}
startupProbe:
  httpGet: { path: /healthz, port: 8000 }
  timeoutSeconds: 5
  {{- toYaml $v.probes.startup | nindent 2 }}
readinessProbe:
  httpGet: { path: /healthz, port: 8000 }
  timeoutSeconds: 5
  {{- toYaml $v.probes.readiness | nindent 2 }}
livenessProbe:
  httpGet: { path: /healthz, port: 8000 }
  timeoutSeconds: 5
  {{- toYaml $v.probes.liveness | nindent 2 }}
{{- end }}
lifecycle:
  preStop:
    {{- /* A worker stays until its leader has drained: without its part of the model no answer ends. */}}
    sleep: { seconds: {{ ternary $v.shutdown.preStopSeconds (add $v.shutdown.preStopSeconds $v.shutdown.timeoutSeconds) $server }} }
volumeMounts:
  - { name: home, mountPath: /home/vllm }
  - { name: cache, mountPath: /home/vllm/.cache }
  - { name: tmp, mountPath: /tmp }
  - { name: shm, mountPath: /dev/shm }
  {{- if $v.model.volume.claim }}
  - { name: model, mountPath: {{ $v.model.volume.path }}, readOnly: true }
  {{- end }}
  {{- if $v.multiNode.enabled }}
  - { name: ray, mountPath: /etc/ray, readOnly: true }
  {{- end }}
{{- end -}}

{{- /* GPUs are asked for by their limit; the equal request is written out for whoever reads the pod. */ -}}
{{- define "vllm-runtime.resources" -}}
{{- $resources := deepCopy .Values.resources -}}
{{- if .Values.gpu.enabled -}}
{{- $gpus := get $resources.limits .Values.gpu.resource -}}
{{- $_ := set $resources "requests" (merge (dict .Values.gpu.resource $gpus) ($resources.requests | default dict)) -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}

{{- define "vllm-runtime.env" -}}
{{- $v := .Values -}}
- { name: HOME, value: /home/vllm }
- { name: HF_HOME, value: /home/vllm/.cache/huggingface }
- { name: VLLM_CACHE_ROOT, value: /home/vllm/.cache/vllm }
- { name: VLLM_NO_USAGE_STATS, value: "1" }
- { name: DO_NOT_TRACK, value: "1" }
{{- if $v.promptCaching.reset }}
- { name: VLLM_SERVER_DEV_MODE, value: "1" }
{{- end }}
{{- with $v.apiKey.secretName }}
- name: VLLM_API_KEY
  valueFrom: { secretKeyRef: { name: {{ . }}, key: {{ $v.apiKey.secretKey }} } }
{{- end }}
{{- with $v.hubToken.secretName }}
- name: HF_TOKEN
  valueFrom: { secretKeyRef: { name: {{ . }}, key: {{ $v.hubToken.secretKey }} } }
{{- end }}
{{- with $v.objectStorage.endpointUrl }}
- { name: AWS_ENDPOINT_URL, value: {{ . | quote }} }
{{- end }}
{{- if $v.multiNode.enabled }}
- name: VLLM_HOST_IP
  valueFrom: { fieldRef: { fieldPath: status.podIP } }
- { name: RAY_PORT, value: {{ $v.multiNode.rayPort | quote }} }
{{- end }}
{{- with $v.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "vllm-runtime.proxyContainer" -}}
{{- $v := .Values -}}
name: proxy
image: {{ include "vllm-runtime.image" (list $v.proxy.image "") }}
imagePullPolicy: {{ $v.proxy.image.pullPolicy }}
restartPolicy: Always {{- /* a sidecar: it starts before vLLM and ends after it, so that drained answers still leave */}}
env:
  - { name: NGINX_ENVSUBST_FILTER, value: ^PROXY_ }
  - { name: PROXY_LISTEN, value: "8000" }
  - { name: PROXY_UPSTREAM, value: "127.0.0.1:8001" }
  - { name: PROXY_HEALTH_PATH, value: /health }
  - name: PROXY_OPEN_PATHS
    value: ^/(health|metrics|version|tokenize{{ if $v.promptCaching.reset }}|reset_prefix_cache{{ end }}|v1/(models|chat/completions|completions|embeddings))\z
  {{- /* Any name: probes call the pod by its address. Who may connect at all is for the NetworkPolicy. */}}
  - { name: PROXY_HOSTS, value: "~." }
  - { name: PROXY_RESOLVER, value: "127.0.0.1" }
ports:
  - { name: http, containerPort: 8000, protocol: TCP }
livenessProbe:
  tcpSocket: { port: http }
  periodSeconds: 10
  timeoutSeconds: 3
resources: {{- toYaml $v.proxy.resources | nindent 2 }}
securityContext:
  runAsUser: 101
  runAsGroup: 101
  allowPrivilegeEscalation: false
  capabilities: { drop: [ALL] }
  readOnlyRootFilesystem: true
volumeMounts:
  - { name: proxy, mountPath: /etc/nginx/templates, readOnly: true }
  - { name: proxy-conf, mountPath: /etc/nginx/conf.d }
  - { name: proxy-tmp, mountPath: /tmp }
{{- end -}}

{{- define "vllm-runtime.volumes" -}}
{{- $root := .root -}}
{{- $v := $root.Values -}}
- { name: home, emptyDir: { sizeLimit: 1Gi } }
- { name: tmp, emptyDir: { sizeLimit: 8Gi } }
- { name: shm, emptyDir: { medium: Memory, sizeLimit: {{ $v.shmSize }} } }
{{- if eq $v.cache.type "emptyDir" }}
- { name: cache, emptyDir: { sizeLimit: {{ $v.cache.size }} } }
{{- else if eq $v.cache.type "hostPath" }}
- { name: cache, hostPath: { path: {{ $v.cache.hostPath }}, type: Directory } }
{{- else if or $v.cache.claim (ne (include "vllm-runtime.claimEach" $root) "true") }}
- { name: cache, persistentVolumeClaim: { claimName: {{ $v.cache.claim | default (printf "%s-cache" (include "vllm-runtime.fullname" $root)) }} } }
{{- end }}
{{- if $v.model.volume.claim }}
- { name: model, persistentVolumeClaim: { claimName: {{ $v.model.volume.claim }}, readOnly: true } }
{{- end }}
{{- if $v.multiNode.enabled }}
- { name: ray, configMap: { name: {{ include "vllm-runtime.fullname" $root }}-ray } }
{{- end }}
{{- if eq .component "server" }}
- { name: proxy, configMap: { name: {{ include "vllm-runtime.fullname" $root }}-proxy } }
- { name: proxy-conf, emptyDir: { medium: Memory, sizeLimit: 1Mi } }
- { name: proxy-tmp, emptyDir: { medium: Memory, sizeLimit: 64Mi } }
{{- end }}
{{- end -}}

{{- /* "true" where each replica has a claim of its own, made by the StatefulSet. */ -}}
{{- define "vllm-runtime.claimEach" -}}
{{- if and (eq .Values.cache.type "pvc") (not .Values.cache.claim) (eq .Values.workload "StatefulSet") (not .Values.multiNode.enabled) }}true{{ end -}}
{{- end -}}

{{- define "vllm-runtime.claimSpec" -}}
accessModes: {{- toYaml .Values.cache.accessModes | nindent 2 }}
{{- with .Values.cache.storageClass }}
storageClassName: {{ . }}
{{- end }}
resources:
  requests: { storage: {{ .Values.cache.size }} }
{{- end -}}
