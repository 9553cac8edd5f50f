#!/bin/sh
# Writes .env from .env.example with a fresh random value for every secret. Refuses to overwrite one.
set -eu
cd "$(dirname "$0")"

if [ -e .env ]; then
    echo ".env is already there; move it away to start afresh" >&2
    exit 1
fi

umask 077
while IFS= read -r line; do
    case "${line}" in
        ROUTER_MCP_TOKEN= | EMBEDDINGS_MCP_TOKEN= | ROUTER_MCP_SALT_SECRET= | GRAFANA_PASSWORD=)
            echo "${line}$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')"
            ;;
        *) echo "${line}" ;;
    esac
done <.env.example >.env
echo "Wrote .env. The router's token is in it: clients send it as 'Authorization: Bearer ...'."
