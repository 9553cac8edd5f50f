#!/bin/bash
# Another node of a group: joins the leader's Ray, and ends with it.
set -euo pipefail

until ray start --block --address="${LWS_LEADER_ADDRESS}:${RAY_PORT}" --node-ip-address="${VLLM_HOST_IP}" --disable-usage-stats; do
    echo "the leader at ${LWS_LEADER_ADDRESS}:${RAY_PORT} does not answer yet" >&2
    sleep 5
done
