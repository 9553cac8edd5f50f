# syntax=docker/dockerfile:1
# vLLM's own image at one version, made to run without root. vLLM serves through uvicorn on port 8000.
#   docker build -f infra/docker/vllm.Dockerfile -t router-mcp-vllm infra/docker
ARG VLLM_VERSION=v0.32.0

FROM vllm/vllm-openai:${VLLM_VERSION}
# What a deployment needs beyond the image: "ray[default]" for models on several nodes,
# "runai-model-streamer[s3,gcs,azure]" for weights in object storage, should the image lack them.
ARG EXTRA_PACKAGES=""
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
USER 0:0
# Group 0 may write what the user may, for platforms that choose the user themselves.
# hadolint ignore=DL3013
RUN if [ -n "${EXTRA_PACKAGES}" ]; then python3 -m pip install --no-cache-dir ${EXTRA_PACKAGES}; fi \
    && mkdir -p /home/vllm/.cache \
    && chown -R 2000:0 /home/vllm \
    && chmod -R g=u /home/vllm
LABEL org.opencontainers.image.title="vLLM for Router MCP" \
      org.opencontainers.image.description="The vLLM server without root" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV HOME=/home/vllm \
    HF_HOME=/home/vllm/.cache/huggingface \
    VLLM_CACHE_ROOT=/home/vllm/.cache/vllm \
    VLLM_NO_USAGE_STATS=1 \
    DO_NOT_TRACK=1
USER 2000:0
WORKDIR /home/vllm
EXPOSE 8000
# Weights take minutes to load: 30 of them before a failure counts.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30m --retries=3 \
    CMD ["python3", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["vllm", "serve"]
