"""The policies under measurement, over the stub runtime."""

from __future__ import annotations

from pathlib import Path

POLICY = """\
version: 1
runtimes:
  stub: {{ kind: vllm, endpoints: ["{url}/instant"], max_concurrency: 512, max_queue: 1024 }}
  spare: {{ kind: vllm, endpoints: ["{url}/delayed"], max_concurrency: 512, max_queue: 1024 }}
  slow: {{ kind: vllm, endpoints: ["{url}/paced"], max_concurrency: 512, max_queue: 1024 }}
models:
  first: {{ runtime: stub, served_name: mixtral-8x7b-instruct, context_window: 131072 }}
  second: {{ runtime: spare, served_name: model-1, context_window: 131072 }}
  paced: {{ runtime: slow, served_name: model-2, context_window: 131072 }}
tasks:
  reasoning: {{ models: [first, second] }}
  delayed: {{ models: [second, first] }}
  paced: {{ models: [paced, second] }}
defaults: {{ task: reasoning }}
"""


def written(folder: str, url: str, *, models: int = 5) -> Path:
    """Write a policy with so many models, and return its path."""
    more = "".join(
        f"  extra-{n}: {{ runtime: stub, served_name: model-{n}, context_window: 131072 }}\n" for n in range(models - 3)
    )
    path = Path(folder, f"policy-{models}.yaml")
    path.write_text(POLICY.format(url=url).replace("tasks:\n", more + "tasks:\n"))
    return path
