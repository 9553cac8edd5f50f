#!/bin/sh
# Pulls the models that are missing, under the names that the policy files use.
# OLLAMA_MODELS_WANTED: "name=source name=source", such as "phi3-mini-4k=phi3:mini".
# With a number of seconds as its argument it looks again for ever (a sidecar); without, it ends (a job).
set -eu

pull_missing() {
    failed=0
    for wanted in ${OLLAMA_MODELS_WANTED}; do
        name=${wanted%%=*}
        source=${wanted#*=}
        if ollama show "${name}" >/dev/null 2>&1; then
            echo "${name}: already there"
        elif ollama pull "${source}" && { [ "${name}" = "${source}" ] || ollama cp "${source}" "${name}"; }; then
            echo "${name}: ready"
        else
            echo "${name}: could not be pulled from ${source}; check the name and the network" >&2
            failed=1
        fi
    done
    return "${failed}"
}

if [ "$#" -eq 0 ]; then
    pull_missing
else
    while true; do
        pull_missing || true
        sleep "$1"
    done
fi
