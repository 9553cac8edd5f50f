# syntax=docker/dockerfile:1
# Ollama's own image at one version, made to run without root: a new volume takes over the folder's owner.
#   docker build -f infra/docker/ollama.Dockerfile -t router-mcp-ollama infra/docker
ARG OLLAMA_VERSION=0.32.15

FROM ollama/ollama:${OLLAMA_VERSION}
USER 0:0
RUN mkdir -p /var/lib/ollama && chown 10001:10001 /var/lib/ollama
LABEL org.opencontainers.image.title="Ollama for Router MCP" \
      org.opencontainers.image.description="The Ollama server without root" \
      org.opencontainers.image.licenses="MIT"
# Loopback unless a compose file says otherwise.
ENV HOME=/var/lib/ollama \
    OLLAMA_HOST=127.0.0.1:11434
USER 10001:10001
WORKDIR /var/lib/ollama
EXPOSE 11434
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["ollama", "list"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["ollama"]
CMD ["serve"]
