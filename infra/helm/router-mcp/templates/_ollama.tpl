{{- /*
Ollama beside the router, in three sidecars of its pod: the engine on 127.0.0.1:11435, the proxy in front of it on
127.0.0.1:11434, and one that pulls models in the background, so that no router waits for gigabytes to start.
None has a port: nothing outside the pod can reach them.
*/ -}}
{{- define "router-mcp.ollamaSidecars" -}}
{{- $v := .Values -}}
- name: ollama
  image: {{ include "router-mcp.image" (list $v.ollama.image "") }}
  imagePullPolicy: {{ $v.ollama.image.pullPolicy }}
  restartPolicy: Always
  env: {{- include "router-mcp.ollamaEnv" . | nindent 4 }}
  resources: {{- toYaml $v.ollama.resources | nindent 4 }}
  securityContext: {{- include "router-mcp.containerSecurity" . | nindent 4 }}
  {{- /* From inside: the kubelet cannot reach a loopback port. */}}
  livenessProbe:
    exec: { command: [ollama, list] }
    initialDelaySeconds: 20
    periodSeconds: 20
    timeoutSeconds: 10
  volumeMounts:
    - { name: ollama, mountPath: /var/lib/ollama }
    - { name: ollama-tmp, mountPath: /tmp }
- name: ollama-proxy
  image: {{ include "router-mcp.image" (list $v.proxy.image "") }}
  imagePullPolicy: {{ $v.proxy.image.pullPolicy }}
  restartPolicy: Always
  env:
    - { name: NGINX_ENVSUBST_FILTER, value: ^PROXY_ }
    - { name: PROXY_LISTEN, value: "127.0.0.1:11434" }
    - { name: PROXY_UPSTREAM, value: "127.0.0.1:11435" }
    - { name: PROXY_HEALTH_PATH, value: /api/version }
    - name: PROXY_OPEN_PATHS
      value: ^/(|api/(chat|generate|embed|tags|show|ps|version)|v1/(models|chat/completions|embeddings))\z
    - { name: PROXY_HOSTS, value: localhost 127.0.0.1 }
    - { name: PROXY_RESOLVER, value: "127.0.0.1" }
  resources: {{- toYaml $v.proxy.resources | nindent 4 }}
  securityContext:
    runAsUser: 101
    runAsGroup: 101
    {{- include "router-mcp.containerSecurity" . | nindent 4 }}
  volumeMounts:
    - { name: ollama-files, mountPath: /etc/nginx/templates/runtime-proxy.conf.template, subPath: runtime-proxy.conf.template, readOnly: true }
    - { name: proxy-conf, mountPath: /etc/nginx/conf.d }
    - { name: proxy-tmp, mountPath: /tmp }
- name: ollama-models
  image: {{ include "router-mcp.image" (list $v.ollama.image "") }}
  imagePullPolicy: {{ $v.ollama.image.pullPolicy }}
  restartPolicy: Always
  command: [/bin/sh, /opt/pull-models.sh, "300"]
  env:
    {{- include "router-mcp.ollamaEnv" . | nindent 4 }}
    {{- $wanted := list }}
    {{- range $v.ollama.models }}{{ $wanted = append $wanted (printf "%s=%s" .name .source) }}{{ end }}
    - { name: OLLAMA_MODELS_WANTED, value: {{ join " " $wanted | quote }} }
  resources: { requests: { cpu: 10m, memory: 32Mi }, limits: { memory: 256Mi } }
  securityContext: {{- include "router-mcp.containerSecurity" . | nindent 4 }}
  volumeMounts:
    - { name: ollama-files, mountPath: /opt/pull-models.sh, subPath: pull-models.sh, readOnly: true }
    - { name: ollama-client, mountPath: /var/lib/ollama }
{{- end -}}

{{- define "router-mcp.ollamaEnv" -}}
- { name: HOME, value: /var/lib/ollama }
- { name: OLLAMA_HOST, value: "127.0.0.1:11435" }
- { name: OLLAMA_NO_CLOUD, value: "1" }
{{- end -}}

{{- define "router-mcp.ollamaVolumes" -}}
{{- $cache := .Values.ollama.cache -}}
{{- if eq $cache.type "hostPath" }}
- { name: ollama, hostPath: { path: {{ $cache.hostPath }}, type: Directory } }
{{- else }}
- { name: ollama, emptyDir: { sizeLimit: {{ $cache.size }} } }
{{- end }}
- { name: ollama-tmp, emptyDir: { sizeLimit: 2Gi } }
- { name: ollama-client, emptyDir: { medium: Memory, sizeLimit: 1Mi } }
- { name: ollama-files, configMap: { name: {{ include "router-mcp.fullname" . }}-ollama } }
- { name: proxy-conf, emptyDir: { medium: Memory, sizeLimit: 1Mi } }
- { name: proxy-tmp, emptyDir: { medium: Memory, sizeLimit: 64Mi } }
{{- end -}}
