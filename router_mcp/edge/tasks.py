"""Calls that outlive their client's patience: the Tasks extension, `io.modelcontextprotocol/tasks` (SEP-2663).

A client that declares it gets a short call's result as ever, and for a long one a handle that it asks for the
result later; a report of 120 s then outlives a client's 60 s. To all others nothing changes. The SDK has the
frame for extensions, but not this one.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import anyio
from mcp import MCPError
from mcp.server.extension import Extension, MethodBinding
from mcp.server.mcpserver import require_client_extension
from mcp.types import INTERNAL_ERROR, INVALID_PARAMS, RequestParams
from mcp_types.jsonrpc import HEADER_MISMATCH
from pydantic import BaseModel, Field

from router_mcp.edge.guard import caller_of
from router_mcp.edge.task_store import Handle, TaskStore

if TYPE_CHECKING:
    from anyio.abc import TaskGroup
    from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
    from mcp.server.session import ServerSession
    from mcp.types import CallToolRequestParams

_log = logging.getLogger(__name__)

EXTENSION = "io.modelcontextprotocol/tasks"
VERSIONS = frozenset({"2026-07-28"})
"""Older protocols have no way to say `resultType: task`."""
PATIENCE_S = 2.0
"""A call that ends sooner needs no handle: asking for it would take longer than the call."""
_ACK: dict[str, Any] = {"resultType": "complete"}


class TaskParams(RequestParams):
    """What the three methods take. Of an update, the responses are ignored: our calls ask for nothing."""

    task_id: str = Field(alias="taskId")


class Tasks(Extension):
    """The extension, for the named tools. `running` must be entered for as long as the server serves."""

    identifier = EXTENSION

    def __init__(
        self,
        tool_names: Collection[str],
        *,
        required: Collection[str] = (),
        patience_s: float = PATIENCE_S,
        store: TaskStore | None = None,
    ) -> None:
        """Calls of `required` tools are refused to clients that do not declare the extension."""
        self._names = frozenset(tool_names)
        self._required = frozenset(required)
        self._patience_s = patience_s
        self._store = store or TaskStore(anyio.current_time)
        self._group: TaskGroup | None = None

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Let calls go on after their request was answered; those still running at the end are cancelled."""
        async with anyio.create_task_group() as group:
            self._group = group
            try:
                yield
            finally:
                self._group = None
                group.cancel_scope.cancel()

    def methods(self) -> list[MethodBinding]:
        """Return the three methods of the extension."""
        handlers = {"tasks/get": self._get, "tasks/update": self._update, "tasks/cancel": self._cancel}
        return [MethodBinding(name, TaskParams, handler, VERSIONS) for name, handler in handlers.items()]

    async def intercept_tool_call(
        self, params: CallToolRequestParams, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        """Answer with the result if it comes soon, else with a handle for it."""
        if params.name in self._required:
            require_client_extension(ctx, EXTENSION)
        group = self._group
        if params.name not in self._names or group is None or not _declared(ctx):
            return await call_next(ctx)
        job = _Job(self._store)
        group.start_soon(job.run, call_next, ctx)
        try:
            with anyio.move_on_after(self._patience_s):
                await job.ended.wait()
            if not job.ended.is_set():
                job.handle = self._store.create(caller_of(ctx), job.scope.cancel)
            if job.handle is not None:
                return job.handle.wire("task")
            await job.ended.wait()
        except anyio.get_cancelled_exc_class():
            job.scope.cancel()  # nobody has a handle, so nobody can ask for the result
            raise
        return job.answer()

    async def _get(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> HandlerResult:
        return self._find(ctx, params).wire("complete")

    async def _update(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> HandlerResult:
        self._find(ctx, params)
        return dict(_ACK)

    async def _cancel(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> HandlerResult:
        self._store.cancel(self._find(ctx, params))
        return dict(_ACK)

    def _find(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> Handle:
        require_client_extension(ctx, EXTENSION)
        routed = None if ctx.request is None else ctx.request.headers.get("mcp-name")
        if routed is not None and routed != params.task_id:
            raise MCPError(HEADER_MISMATCH, "The Mcp-Name header names another task than params.taskId. Send the same.")
        handle = self._store.find(params.task_id, caller_of(ctx))
        if handle is None:
            raise MCPError(INVALID_PARAMS, "There is no such task, or not any more. Make the call again.")
        return handle


@dataclass(slots=True)
class _Job:
    """One call that runs beside its request, which may be answered before it ends."""

    store: TaskStore
    handle: Handle | None = None
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    ended: anyio.Event = field(default_factory=anyio.Event)
    result: HandlerResult = None
    error: Exception | None = None

    async def run(self, call_next: CallNext, ctx: ServerRequestContext[Any, Any]) -> None:
        """Make the call; what comes of it goes to the request while it waits, and to the handle afterwards."""
        session = cast("ServerSession", _Session(ctx.session, self))
        with self.scope:
            try:
                self.result = await call_next(replace(ctx, session=session))
            except Exception as error:  # noqa: BLE001 - the request, or the handle, has to tell it
                self.error = error
            finally:
                self.ended.set()
        if self.handle is not None:
            self._settle(self.handle)

    def answer(self) -> HandlerResult:
        """Return what the call returned, or raise what it raised."""
        if self.error is not None:
            raise self.error
        if self.result is None:
            raise MCPError(INTERNAL_ERROR, "The server is shutting down. Make the call again.")
        return self.result

    def _settle(self, handle: Handle) -> None:
        if self.scope.cancelled_caught:
            self.store.cancel(handle)
        elif self.error is None:
            self.store.complete(handle, _json(self.result))
        elif isinstance(self.error, MCPError):
            self.store.fail(handle, self.error.error.model_dump(exclude_none=True))
        else:
            _log.error("a call failed after its request was answered", exc_info=self.error)
            self.store.fail(handle, {"code": INTERNAL_ERROR, "message": "Internal error"})


class _Session:
    """A session whose progress becomes the handle's message once there is one: the request must hear no more then."""

    def __init__(self, session: ServerSession, job: _Job) -> None:
        self._session = session
        self._job = job

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    async def report_progress(self, progress: float, total: float | None = None, message: str | None = None) -> None:
        """Tell the request while it waits, and whoever asks with the handle afterwards."""
        handle = self._job.handle
        if handle is None:
            await self._session.report_progress(progress, total, message)
        elif message is not None:
            self._job.store.note(handle, message)


def _declared(ctx: ServerRequestContext[Any, Any]) -> bool:
    capabilities = ctx.session.client_capabilities
    return ctx.protocol_version in VERSIONS and EXTENSION in ((capabilities and capabilities.extensions) or {})


def _json(result: HandlerResult) -> bytes:
    if isinstance(result, BaseModel):
        return result.model_dump_json(by_alias=True, exclude_none=True).encode()
    return json.dumps(result or {}).encode()
