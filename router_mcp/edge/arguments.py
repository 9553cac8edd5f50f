"""Tools whose arguments are taken literally: nothing guessed, nothing ignored, every failure readable.

The SDK parses string arguments that look like JSON (so a prompt `{"a": 1}` is broken and `null` is lost),
ignores arguments that it does not know, and answers bad ones with pydantic's own words (mcp-sdk.md 1.4).
"""

from __future__ import annotations

import difflib
import inspect
import json
import logging
import math
import re
import types
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, Unpack

from mcp.server.mcpserver.exceptions import UnexpectedToolError
from mcp.server.mcpserver.tools import Tool
from mcp.server.mcpserver.utilities.func_metadata import ArgModelBase, FuncMetadata
from mcp.types import CallToolResult
from pydantic import ValidationError

from router_mcp.edge.failure import ERROR_KEY, to_error_result, with_receipt
from router_mcp.edge.schemas import Schema, flat, flaws
from router_mcp.edge.unicode import is_well_formed, shown
from router_mcp.errors import InvalidArgumentsError, RouterError

if TYPE_CHECKING:
    from mcp.server.mcpserver import Context
    from mcp.types import Icon, ToolAnnotations

_log = logging.getLogger(__name__)
_MOST_PROBLEMS = 5
_LONGEST_PATH = 20
_SHOULD = re.compile(r"^(Input|String|List) should\b")
"""How pydantic begins; our sentences begin with the argument's name."""
_CONTAINERS: Mapping[str, type] = {"array": list, "object": dict}

_Place: TypeAlias = "tuple[_Place | None, str | int]"
"""Where a value stands: what holds it, and its key or index there. Made for each value, shown for one."""


class StrictMetadata(FuncMetadata):
    """The SDK's description of a function, with arguments checked our way."""

    tool: str
    parameters: dict[str, Schema]
    required: frozenset[str]

    def validate_arguments(self, arguments_to_validate: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments as the function takes them, or raise `InvalidArgumentsError` that says all."""
        given = self._without_nulls(arguments_to_validate)
        strangers = [name for name in given if name not in self.parameters]
        problems = [self._unknown(name) for name in strangers]
        known = {name: self._read(name, value) for name, value in given.items() if name in self.parameters}
        problems += [problem for name, value in known.items() if (problem := _unsendable(name, value))]
        if not problems:
            try:
                return self.arg_model.model_validate(known).model_dump_one_level()
            except ValidationError as error:
                problems = [_problem(dict(detail)) for detail in error.errors(include_url=False, include_input=False)]
        raise InvalidArgumentsError(self._sentence(problems, list_known=bool(strangers)))

    def _without_nulls(self, given: dict[str, Any]) -> dict[str, Any]:
        """Drop nulls for what is not required: several clients send one for every argument left out."""
        return {name: value for name, value in given.items() if value is not None or name in self.required}

    def _read(self, name: str, value: Any) -> Any:
        """Decode an array or object that came as JSON text (Claude Desktop does so); leave all else alone."""
        kind = str(self.parameters[name].get("type"))
        if isinstance(value, float) and kind == "integer" and value.is_integer():
            return int(value)
        if not isinstance(value, str) or kind not in _CONTAINERS:
            return value
        try:
            decoded = json.loads(value)
        except (ValueError, RecursionError):
            return value
        return decoded if isinstance(decoded, _CONTAINERS[kind]) else value

    def _unknown(self, name: str) -> str:
        near = difflib.get_close_matches(name, list(self.parameters), n=1, cutoff=0.5)
        return f"{shown(name)}: unknown argument{f', did you mean {near[0]!r}?' if near else '.'}"

    def _sentence(self, problems: list[str], *, list_known: bool) -> str:
        more = len(problems) - _MOST_PROBLEMS
        parts = [f"Invalid arguments for {self.tool}:", *problems[:_MOST_PROBLEMS]]
        if more > 0:
            parts.append(f"And {more} more.")
        if list_known:
            parts.append(f"It takes: {', '.join(self.parameters) or 'none'}.")
        return " ".join(parts)


def _problem(detail: dict[str, Any]) -> str:
    where = ".".join(shown(str(part)) for part in detail["loc"])
    if detail["type"] == "missing":
        return f"{where}: this argument is required."
    if detail["type"] == "extra_forbidden":
        return f"{where}: unknown here; leave it out."
    said = _SHOULD.sub("must", str(detail["msg"]).removeprefix("Value error, ")).replace(" after validation", "")
    return f"{where}: {said.rstrip('.')}."


def _unsendable(name: str, value: Any) -> str | None:
    """Say what in an argument cannot be passed on as JSON; without recursion, as depth is the caller's choice."""
    rest: list[tuple[_Place, Any]] = [((None, name), value)]
    while rest:
        place, item = rest.pop()
        if isinstance(item, str) and not is_well_formed(item):
            return f"{_path(place)}: holds half of a surrogate pair, which is not valid Unicode. Send whole characters."
        if isinstance(item, float) and not math.isfinite(item):
            return f"{_path(place)}: NaN and Infinity are not JSON. Send a finite number."
        if isinstance(item, dict):
            rest += [((place, " (a key)"), key) for key in item]
            rest += [((place, key), child) for key, child in item.items()]
        elif isinstance(item, list):
            rest += [((place, index), child) for index, child in enumerate(item)]
    return None


def _path(place: _Place) -> str:
    steps: list[str] = []
    parent: _Place | None = place
    while parent is not None and len(steps) < _LONGEST_PATH:
        parent, step = parent
        steps.append(f"[{step}]" if isinstance(step, int) else step if step == " (a key)" else f".{shown(step)}")
    return "".join(reversed(steps)).removeprefix(".")


class StrictTool(Tool):
    """A tool whose anticipated failures are error results with a stable code; a crash stays masked and logged.

    Every result has a receipt (CONTRACT §4), an empty one when no model was asked.
    """

    error_key: str = ERROR_KEY

    async def run(self, arguments: dict[str, Any], context: Context[Any, Any], convert_result: bool = False) -> Any:
        """Run the tool; every `RouterError` comes back as an error result, everything else as the SDK has it."""
        try:
            result = await super().run(arguments, context, convert_result)
        except UnexpectedToolError as crash:
            if not isinstance(crash.__cause__, RouterError):
                raise
            _log.info("tool %s: %s", self.name, crash.__cause__.code)
            result = to_error_result(crash.__cause__, error_key=self.error_key)
        return with_receipt(result, self.error_key) if isinstance(result, CallToolResult) else result

    def offer(self, parameter: str, values: Sequence[str], *, default: str | None = None) -> None:
        """Publish these values as a parameter's `enum`, replacing the last ones.

        They are a hint to the caller and are not checked here, so that a stale one reaches the function, which
        knows the better answer (`unknown_task`). The new schema replaces the old one whole, so that a listing
        never sees half of it.
        """
        changed = {key: value for key, value in self.parameters["properties"][parameter].items() if key != "default"}
        changed["enum"] = list(values)
        if default is not None:
            changed["default"] = default
        self.parameters = {**self.parameters, "properties": {**self.parameters["properties"], parameter: changed}}


class ToolOptions(TypedDict, total=False):
    """What a tool says of itself; see the SDK's `Tool`."""

    name: str
    title: str
    description: str
    annotations: ToolAnnotations
    icons: list[Icon]
    meta: dict[str, Any]


def strict_tool(fn: Callable[..., Any], *, error_key: str = ERROR_KEY, **options: Unpack[ToolOptions]) -> StrictTool:
    """Make a tool of a coroutine function whose return annotation is `Annotated[CallToolResult, Model]`.

    Raises `TypeError` for a plain function, which could be neither cancelled nor shut down, and `ValueError`
    for parameters or results without a flat schema.
    """
    if not inspect.iscoroutinefunction(fn):
        raise TypeError(f"{fn!r} must be async: a thread can be neither cancelled nor shut down")
    options.setdefault("description", inspect.getdoc(fn) or "")  # the SDK would send the indentation too
    tool = StrictTool.from_function(fn, **options)
    assert isinstance(tool, StrictTool)
    given, model = tool.fn_metadata, _closed(tool.fn_metadata.arg_model)
    tool.error_key = error_key
    tool.parameters = {"properties": {}, **_checked(tool.name, model.model_json_schema(by_alias=True), unions=False)}
    tool.fn_metadata = StrictMetadata(
        tool=tool.name,
        parameters=tool.parameters["properties"],
        required=frozenset(tool.parameters.get("required", ())),
        arg_model=model,
        output_schema=_checked(tool.name, given.output_schema, unions=True) if given.output_schema else None,
        output_model=given.output_model,
        wrap_output=given.wrap_output,
    )
    return tool


def _closed(model: type[ArgModelBase]) -> type[ArgModelBase]:
    """Return the same arguments, strict about types and closed to others (`additionalProperties: false`)."""
    closed = types.new_class(model.__name__, (model,), {"extra": "forbid", "strict": True})
    assert issubclass(closed, ArgModelBase)
    return closed


def _checked(tool: str, schema: Schema, *, unions: bool) -> Schema:
    plain = flat(schema)
    if found := flaws(plain, unions=unions):
        raise ValueError(f"{tool}: clients may refuse its schema: {'; '.join(found)}")
    return plain
