"""A client of the Tasks extension, made with the SDK's client extensions: it polls a handle until its call ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import anyio
from mcp import Client
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp.types import CallToolResult, Request, RequestParams, Result
from pydantic import ConfigDict, Field

from router_mcp.edge.tasks import EXTENSION


class HandleResult(Result):
    """What `tools/call` answers for a long call."""

    model_config = ConfigDict(extra="allow")

    result_type: Literal["task"] = Field(alias="resultType")
    task_id: str = Field(alias="taskId")
    status: str
    ttl_ms: int = Field(alias="ttlMs")
    poll_interval_ms: int = Field(alias="pollIntervalMs")


class Answer(Result):
    """What the extension's methods answer, whatever it is."""

    model_config = ConfigDict(extra="allow")

    def fields(self) -> dict[str, Any]:
        return self.model_dump(by_alias=True, exclude_none=True)


class TaskParams(RequestParams):
    task_id: str = Field(alias="taskId")


class TaskRequest(Request[TaskParams, str]):
    method: str
    params: TaskParams
    name_param = "taskId"


async def ask(client: Client, method: str, task_id: str) -> dict[str, Any]:
    """Send `tasks/get`, `tasks/update` or `tasks/cancel`."""
    request = TaskRequest(method=method, params=TaskParams(taskId=task_id))
    return (await client.session.send_request(request, Answer)).fields()


class PollingTasks(ClientExtension):
    """Declares the extension and waits for the end of every handle; `handles` are those that it was given."""

    identifier = EXTENSION

    def __init__(self, *, give_up: bool = False) -> None:
        self.handles: list[HandleResult] = []
        self.messages: list[str | None] = []
        self._give_up = give_up

    def claims(self) -> Sequence[ResultClaim[Any]]:
        return [ResultClaim(result_type="task", model=HandleResult, resolve=self._poll)]

    async def _poll(self, handle: HandleResult, ctx: ClaimContext) -> CallToolResult:
        self.handles.append(handle)
        while not self._give_up:
            await anyio.sleep(handle.poll_interval_ms / 1000)
            request = TaskRequest(method="tasks/get", params=TaskParams(taskId=handle.task_id))
            found = (await ctx.session.send_request(request, Answer)).fields()
            self.messages.append(found.get("statusMessage"))
            if found["status"] == "completed":
                return CallToolResult.model_validate(found["result"])
            if found["status"] != "working":
                break
        return CallToolResult(content=[], is_error=True)
