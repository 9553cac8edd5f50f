{{- /* What a schema cannot say: values that contradict each other. Each message names the values and the remedy. */ -}}
{{- define "vllm-runtime.checks" -}}
{{- include "vllm-runtime.checkGpus" . -}}
{{- include "vllm-runtime.checkModel" . -}}
{{- include "vllm-runtime.checkCache" . -}}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) -}}
{{- fail (printf "autoscaling.minReplicas (%d) is above autoscaling.maxReplicas (%d). Lower the one or raise the other." (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) -}}
{{- end -}}
{{- if and (eq .Values.workload "Deployment") (eq (toString .Values.rollout.maxSurge) "0") (eq (toString .Values.rollout.maxUnavailable) "0") -}}
{{- fail "rollout.maxSurge and rollout.maxUnavailable are both 0, so no rollout could ever move. Set one of them to 1." -}}
{{- end -}}
{{- if and (ne .Values.cloudIdentity.provider "none") (not .Values.cloudIdentity.role) -}}
{{- fail (printf "cloudIdentity.provider is %s, but cloudIdentity.role is empty. Name the role that the pods take on." .Values.cloudIdentity.provider) -}}
{{- end -}}
{{- range .Values.extraArgs -}}
{{- if hasPrefix "--api-key" . -}}
{{- fail "extraArgs holds --api-key, which everyone who may read pods could see. Put the key in a Secret and name it in apiKey.secretName." -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "vllm-runtime.checkGpus" -}}
{{- $v := .Values -}}
{{- $wanted := mul (int $v.tensorParallelSize) (int $v.pipelineParallelSize) -}}
{{- $limits := $v.resources.limits | default dict -}}
{{- $given := int (get $limits $v.gpu.resource | default 0) -}}
{{- $nodes := include "vllm-runtime.nodes" . | int -}}
{{- if $v.gpu.enabled -}}
{{- if ne (int $wanted) (int (mul $given $nodes)) -}}
{{- fail (printf "tensorParallelSize %d × pipelineParallelSize %d needs %d GPUs, but resources.limits has %s: %d on %d node(s), that is %d. Make the two equal." (int $v.tensorParallelSize) (int $v.pipelineParallelSize) $wanted $v.gpu.resource $given $nodes (mul $given $nodes)) -}}
{{- end -}}
{{- $requested := get ($v.resources.requests | default dict) $v.gpu.resource -}}
{{- if and $requested (ne (int $requested) $given) -}}
{{- fail (printf "resources.requests has %s: %d and resources.limits %d; Kubernetes refuses GPU requests that differ from their limit. Remove the request." $v.gpu.resource (int $requested) $given) -}}
{{- end -}}
{{- else -}}
{{- if or (gt $given 0) (gt $wanted 1) $v.multiNode.enabled -}}
{{- fail "gpu.enabled is false, so there can be no GPU limit, no tensor or pipeline parallelism and no multiNode. Remove them, or set gpu.enabled." -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "vllm-runtime.checkModel" -}}
{{- $model := .Values.model -}}
{{- if hasPrefix "/" $model.source -}}
{{- if not $model.volume.claim -}}
{{- fail (printf "model.source is the path %s, but no volume holds it. Name the claim with the weights in model.volume.claim." $model.source) -}}
{{- else if not (hasPrefix (printf "%s/" (trimSuffix "/" $model.volume.path)) $model.source) -}}
{{- fail (printf "model.source %s does not lie below model.volume.path %s, where the claim is mounted." $model.source $model.volume.path) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "vllm-runtime.checkCache" -}}
{{- $v := .Values -}}
{{- $most := ternary (int $v.autoscaling.maxReplicas) (int $v.replicaCount) $v.autoscaling.enabled -}}
{{- $own := and (eq $v.workload "StatefulSet") (not $v.multiNode.enabled) (not $v.cache.claim) -}}
{{- if and (eq $v.cache.type "pvc") (not $own) (not (has "ReadWriteMany" $v.cache.accessModes)) -}}
{{- if or (gt $most 1) $v.multiNode.enabled -}}
{{- fail "cache is one claim for several pods, but its accessModes lack ReadWriteMany, so all but the first could hang. Use ReadWriteMany, workload: StatefulSet (a claim each), or cache.type: hostPath." -}}
{{- end -}}
{{- end -}}
{{- if and (eq $v.cache.type "hostPath") (not $v.cache.hostPath) -}}
{{- fail "cache.type is hostPath, but cache.hostPath is empty. Name the folder." -}}
{{- end -}}
{{- end -}}
