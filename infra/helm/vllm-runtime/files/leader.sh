#!/bin/bash
# Head of a group: starts Ray, waits for the other nodes, then becomes vLLM. Its arguments are those of `vllm serve`.
# LWS_GROUP_SIZE comes from the LeaderWorkerSet, RAY_PORT and VLLM_HOST_IP from the chart.
set -euo pipefail

if ! command -v ray >/dev/null; then
    echo "this image has no Ray. Build infra/docker/vllm.Dockerfile with EXTRA_PACKAGES='ray[default]'." >&2
    exit 1
fi

ray start --head --port="${RAY_PORT}" --node-ip-address="${VLLM_HOST_IP}" --include-dashboard=false --disable-usage-stats
until python3 -c "
import os, ray
ray.init(address='auto', log_to_driver=False)
raise SystemExit(sum(node['Alive'] for node in ray.nodes()) < int(os.environ['LWS_GROUP_SIZE']))
"; do
    echo "waiting for ${LWS_GROUP_SIZE} nodes" >&2
    sleep 5
done
exec vllm serve "$@"
