{{- /* The arguments of `vllm serve`. Which flag answers to which value: README.md. */ -}}
{{- define "vllm-runtime.args" -}}
{{- $v := .Values -}}
{{- $model := $v.model -}}
{{- $args := list $model.source "--served-model-name" -}}
{{- if $v.canary -}}
{{- $args = append $args (include "vllm-runtime.metricName" .) -}}
{{- end -}}
{{- $args = concat $args $model.servedNames -}}
{{- /* On loopback: the proxy in the same pod is the only door. */ -}}
{{- $args = concat $args (list "--host" "127.0.0.1" "--port" "8001") -}}
{{- $args = concat $args (list "--dtype" $model.dtype "--max-model-len" (toString (int $model.maxLen))) -}}
{{- with $model.revision }}{{ $args = concat $args (list "--revision" .) }}{{ end -}}
{{- with $model.quantization }}{{ $args = concat $args (list "--quantization" .) }}{{ end -}}
{{- with $model.loadFormat | default (ternary "runai_streamer" "" (eq "true" (include "vllm-runtime.objectStorage" $))) -}}
{{- $args = concat $args (list "--load-format" .) -}}
{{- end -}}
{{- $args = concat $args (list "--tokenizer-mode" $model.tokenizerMode) -}}
{{- $args = concat $args (list "--tensor-parallel-size" (toString (int $v.tensorParallelSize))) -}}
{{- $args = concat $args (list "--pipeline-parallel-size" (toString (int $v.pipelineParallelSize))) -}}
{{- if $v.multiNode.enabled }}{{ $args = concat $args (list "--distributed-executor-backend" "ray") }}{{ end -}}
{{- $args = concat $args (list "--max-num-seqs" (toString (int $v.maxNumSeqs))) -}}
{{- with int $v.maxNumBatchedTokens }}{{ $args = concat $args (list "--max-num-batched-tokens" (toString .)) }}{{ end -}}
{{- with int $v.maxNumQueuedReqs }}{{ $args = concat $args (list "--max-num-queued-reqs" (toString .)) }}{{ end -}}
{{- if $v.gpu.enabled -}}
{{- $args = concat $args (list "--gpu-memory-utilization" (toString $v.gpuMemoryUtilization)) -}}
{{- end -}}
{{- $args = concat $args (list "--kv-cache-dtype" $v.kvCacheDtype "--scheduling-policy" $v.schedulingPolicy) -}}
{{- if $v.promptCaching.enabled -}}
{{- $args = concat $args (list "--enable-prefix-caching" "--prefix-caching-hash-algo" $v.promptCaching.hashAlgo) -}}
{{- else -}}
{{- $args = append $args "--no-enable-prefix-caching" -}}
{{- end -}}
{{- $args = append $args "--enable-prompt-tokens-details" -}}
{{- $structured := dict "backend" $v.structuredOutputs.backend "disable_any_whitespace" $v.structuredOutputs.disableAnyWhitespace -}}
{{- $args = concat $args (list "--structured-outputs-config" (toJson $structured)) -}}
{{- if $v.lora.enabled -}}
{{- $args = concat $args (list "--enable-lora" "--max-loras" (toString (int $v.lora.maxLoras))) -}}
{{- $args = concat $args (list "--max-lora-rank" (toString (int $v.lora.maxRank))) -}}
{{- with $v.lora.adapters -}}
{{- $args = append $args "--lora-modules" -}}
{{- range . }}{{ $args = append $args (toJson (dict "name" .name "path" .path)) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- /* The policy decides on sampling, not the model's own defaults. */ -}}
{{- $args = concat $args (list "--generation-config" "vllm") -}}
{{- $args = concat $args (list "--shutdown-timeout" (toString (int $v.shutdown.timeoutSeconds))) -}}
{{- $args = concat $args (list "--disable-fastapi-docs" "--disable-access-log-for-endpoints" "/health,/metrics") -}}
{{- with $v.tracing.endpoint }}{{ $args = concat $args (list "--otlp-traces-endpoint" .) }}{{ end -}}
{{- concat $args $v.extraArgs | toYaml -}}
{{- end -}}
