"""What shows only when sections are read together: names that lead nowhere, fallbacks that can never help."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from router_mcp.config.base import Problem, nearest
from router_mcp.config.policy_file import PolicyFile, RuntimeConfig
from router_mcp.config.yaml_source import Loc


def problems(policy: PolicyFile) -> list[Problem]:
    """List everything that would make this policy fail later, in words that say what to change."""
    return [
        *_runtimes(policy),
        *_models(policy),
        *_tasks(policy),
        *_windows(policy),
        *_silence(policy),
        *_defaults(policy),
    ]


def is_loopback(host: str | None) -> bool:
    """Tell whether a host name or address can only mean this machine."""
    if host is None:
        return False
    if host.lower() == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def _runtimes(policy: PolicyFile) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for name, runtime in policy.runtimes.items():
        yield from _kind(name, runtime)
        for index, url in enumerate(runtime.endpoints):
            loc = ("runtimes", name, "endpoints", index)
            same = url.replace("//localhost", "//127.0.0.1", 1).replace("//[::1]", "//127.0.0.1", 1)
            if same in seen:
                yield Problem(loc, f"this endpoint already belongs to runtime {seen[same]!r}. List a replica once.")
            seen[same] = name
            yield from _endpoint(loc, url, runtime)


def _endpoint(loc: Loc, url: str, runtime: RuntimeConfig) -> Iterator[Problem]:
    parts = urlsplit(url)
    insecure = parts.scheme == "http" and not is_loopback(parts.hostname)
    if runtime.kind == "ollama" and insecure and not runtime.allow_insecure:
        message = (
            "Ollama has no authentication, so it is reached on loopback or through https. "
            "Use https, or say allow_insecure: true for a network that you trust."
        )
        yield Problem(loc, message)
    if parts.path.endswith(("/v1", "/api")):
        last = parts.path.rsplit("/", 1)[1]
        yield Problem(loc, f"an endpoint is the server's base URL, to which /{last} is added. Remove /{last}.")


def _kind(name: str, runtime: RuntimeConfig) -> Iterator[Problem]:
    embedded = runtime.kind == "embedded"
    if embedded and runtime.endpoints:
        yield Problem(("runtimes", name, "endpoints"), "the embedded runtime starts its own process; remove endpoints.")
    if not embedded and not runtime.endpoints:
        port = 11434 if runtime.kind == "ollama" else 8000
        yield Problem(("runtimes", name), f'this runtime has no endpoints. Add endpoints: ["http://127.0.0.1:{port}"].')
    for key, value, kind in (
        ("gguf", runtime.gguf, "embedded"),
        ("threads", runtime.threads, "embedded"),
        ("keep_alive", runtime.keep_alive, "ollama"),
    ):
        if value is not None and runtime.kind != kind:
            yield Problem(("runtimes", name, key), f"only runtimes of kind {kind} take this; remove it.")


def _models(policy: PolicyFile) -> Iterator[Problem]:
    for name, model in policy.models.items():
        if model.runtime not in policy.runtimes:
            hint = nearest(model.runtime, list(policy.runtimes))
            yield Problem(("models", name, "runtime"), f"there is no runtime {model.runtime!r}. {hint}")


def _tasks(policy: PolicyFile) -> Iterator[Problem]:
    for name, task in policy.tasks.items():
        loc = ("tasks", name)
        if bool(task.models) == bool(task.served_by):
            yield Problem(loc, "a task has either models or served_by. Give it one of the two.")
        served: dict[tuple[str, str], str] = {}
        for index, model in enumerate(task.models):
            here = (*loc, "models", index)
            if model not in policy.models:
                yield Problem(here, f"there is no model {model!r}. {nearest(model, list(policy.models))}")
                continue
            served_by = _served_by(policy, model)
            if served_by in served:
                message = f"this is the same model on the same runtime as {served[served_by]!r}, so it can never help."
                yield Problem(here, f"{message} Remove one.")
            served[served_by] = model


def _windows(policy: PolicyFile) -> Iterator[Problem]:
    """Find models that have no room for a prompt beside the answer that the task asks for."""
    for name, task in policy.tasks.items():
        limit = task.max_output_tokens or policy.defaults.max_output_tokens
        for index, model in enumerate(task.models):
            window = policy.models[model].context_window if model in policy.models else None
            if window is not None and window <= limit:
                message = (
                    f"{model} has a context window of {window} tokens and the task's answers may have {limit}, so no "
                    f"prompt fits. Lower max_output_tokens, or use a model with a larger window."
                )
                yield Problem(("tasks", name, "models", index), message)


def _silence(policy: PolicyFile) -> Iterator[Problem]:
    """Find a limit on silence that no call lives to see: a stream that stalls would never go to the fallback."""
    slow = sorted({task.timeout for task in policy.tasks.values() if len(task.models) > 1})
    for timeout in slow:
        deadline = getattr(policy.timeouts, timeout)
        if policy.timeouts.silence(deadline) >= deadline:
            message = (
                f"calls end after {deadline:g} s ({timeout}), so a stream that falls silent would never go to the "
                f"fallback. Make it shorter than that."
            )
            yield Problem(("timeouts", "inter_token"), message)


def _served_by(policy: PolicyFile, model: str) -> tuple[str, str]:
    """Return the runtime and the name by which a model is asked of it; models that share both fail together."""
    runtime, name = policy.models[model].runtime, policy.served_name(model)
    kind = policy.runtimes[runtime].kind if runtime in policy.runtimes else None
    if kind == "ollama":
        return runtime, name.removesuffix(":latest")
    return runtime, "" if kind == "embedded" else name  # an embedded runtime runs one file under any name


def _defaults(policy: PolicyFile) -> Iterator[Problem]:
    task = policy.defaults.task
    generative = list(policy.generative_tasks())
    if task not in policy.tasks:
        yield Problem(("defaults", "task"), f"there is no task {task!r}. {nearest(task, generative)}")
    elif task not in generative:
        yield Problem(("defaults", "task"), f"the default task must have models. {nearest(task, generative)}")
