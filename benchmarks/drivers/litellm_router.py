"""`litellm.Router` in process, with two deployments and a fallback configured, as its documentation has it."""

from __future__ import annotations

import os
from functools import partial

import anyio

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import litellm  # type: ignore[import-not-found] # in an environment of its own

from benchmarks.drivers.common import answer_questions, cost_of

URL = os.environ["UPSTREAM"] + "/v1"


def deployment(name: str) -> dict[str, object]:
    """Return one entry of a model list."""
    return {"model_name": name, "litellm_params": {"model": f"hosted_vllm/{name}", "api_base": URL, "api_key": "x"}}


async def main() -> None:
    """Answer questions."""
    names = ["first", "first", "second"]
    router = litellm.Router([deployment(name) for name in names], fallbacks=[{"first": ["second"]}])

    async def call(prompt: str) -> None:
        messages = [{"role": "user", "content": prompt}]
        answer = await router.acompletion(model="first", messages=messages, max_tokens=64)
        assert answer.choices[0].message.content

    await answer_questions(partial(cost_of, call))


anyio.run(main)
