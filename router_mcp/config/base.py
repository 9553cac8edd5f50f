"""Strict YAML: a file becomes a frozen, validated value, or a list of problems with line, key and remedy.

Both servers read their configuration with this. `${VAR}` and `${VAR:-default}` are expanded in values
before they are typed, so `port: ${PORT:-8000}` is a number and `"${PORT}"` in quotes stays text.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from router_mcp.errors import ConfigError

Loc: TypeAlias = tuple[str | int, ...]
ModelT = TypeVar("ModelT", bound=BaseModel)

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_MAX_BYTES = 4 * 1024 * 1024


class Strict(BaseModel):
    """Base of every configuration section: frozen, and unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a configuration: where, and what to do."""

    loc: Loc
    message: str


class Source:
    """A parsed file that still knows on which line each value stands."""

    def __init__(self, path: Path, text: str, environ: Mapping[str, str]) -> None:
        self._path = path
        self._environ = environ
        self._lines: dict[Loc, int] = {}
        self._problems: list[Problem] = []
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = f":{mark.line + 1}" if mark else ""
            problem = getattr(error, "problem", None) or "not readable as YAML"
            raise ConfigError(
                f"{path}{line}: not valid YAML: {problem}. Check the indentation and quotes there."
            ) from None
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError(f"{path}: the file must hold keys and values at its top; it holds none.")
        self.data: dict[str, Any] = self._mapping(node, ())
        if self._problems:
            raise self.error(self._problems)

    def error(self, problems: list[Problem]) -> ConfigError:
        """Make one error that names every problem with its file and line, in the order of the file."""
        lines = sorted({(self.line(problem.loc), self._sentence(problem)) for problem in problems})
        return ConfigError("\n".join(text for _, text in lines))

    def line(self, loc: Loc) -> int:
        """Return the line (from 1) of a value, or of the nearest thing around it that has one."""
        while loc and loc not in self._lines:
            loc = loc[:-1]
        return self._lines.get(loc, 1)

    def _sentence(self, problem: Problem) -> str:
        where = ".".join(str(part) for part in problem.loc)
        return f"{self._path}:{self.line(problem.loc)}: {where + ': ' if where else ''}{problem.message}"

    def _value(self, node: yaml.Node, loc: Loc) -> Any:
        self._lines.setdefault(loc, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, loc)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(child, (*loc, index)) for index, child in enumerate(node.value)]
        return self._scalar(node, loc)

    def _mapping(self, node: yaml.MappingNode, loc: Loc) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node.value, Hashable) else "?"
            here = (*loc, str(key))
            if not isinstance(key_node, yaml.ScalarNode) or key == "<<":
                self._problems.append(Problem(loc, "merge keys and keys that are not plain text are not supported."))
                continue
            self._lines[here] = key_node.start_mark.line + 1
            if key in out:
                self._problems.append(Problem(here, "this key stands twice; keep one of the two."))
            out[str(key)] = self._value(value_node, here)
        return out

    def _scalar(self, node: yaml.Node, loc: Loc) -> Any:
        text = str(node.value)
        expanded = _VARIABLE.sub(lambda match: self._variable(match, loc), text)
        if isinstance(node, yaml.ScalarNode) and node.style in {"'", '"', "|", ">"}:
            return expanded
        return _typed(expanded) if expanded else (None if not text else "")

    def _variable(self, match: re.Match[str], loc: Loc) -> str:
        name, default = match.group(1), match.group(2)
        value = self._environ.get(name)
        if value:
            return value
        if default is not None:
            return default
        if value is None:
            message = f"the environment variable {name} is not set. Set it, or give a default: ${{{name}:-value}}."
            self._problems.append(Problem(loc, message))
        return ""


def _typed(text: str) -> Any:
    """Type a plain scalar as YAML does, but leave dates and everything else that JSON lacks as text."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    return value if value is None or isinstance(value, (bool, int, float)) else text


def read_source(path: Path, environ: Mapping[str, str]) -> Source:
    """Parse a YAML file, or raise `ConfigError` that says what is wrong with it and where."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError(f"{path}: cannot be read ({reason}). Give the right path with --config.") from None
    if len(raw) > _MAX_BYTES:
        raise ConfigError(f"{path}: larger than {_MAX_BYTES // 2**20} MiB, which no configuration needs.")
    try:
        return Source(path, raw.decode(), environ)
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text. Save it as UTF-8.") from None


def validate(source: Source, model: type[ModelT]) -> ModelT:
    """Turn a parsed file into `model`; raise `ConfigError` with every problem that there is."""
    try:
        # Through JSON, because pydantic is strict about types there and still takes arrays for tuples.
        return model.model_validate_json(json.dumps(source.data), strict=True)
    except ValidationError as error:
        raise source.error([_problem(model, dict(detail)) for detail in error.errors(include_url=False)]) from None


def _problem(model: type[BaseModel], detail: dict[str, Any]) -> Problem:
    loc: Loc = tuple(part for part in detail["loc"] if part != "[key]")
    if detail["type"] == "extra_forbidden":
        return Problem(loc, f"unknown key. {_suggestion(str(loc[-1]), _fields_at(model, loc[:-1]))}")
    if detail["type"] == "missing":
        return Problem(loc, f"this key is missing. Add {loc[-1]!r}.")
    message = str(detail["msg"]).removeprefix("Value error, ")
    given = detail.get("input")
    shown = f" (it is {json.dumps(given, ensure_ascii=False)})" if isinstance(given, (str, int, float, bool)) else ""
    return Problem(loc, f"{message.rstrip('.')}{shown}.")


def _suggestion(key: str, allowed: list[str]) -> str:
    near = difflib.get_close_matches(key, allowed, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    return f"{hint}Known keys here: {', '.join(allowed)}."


def nearest(name: str, known: list[str]) -> str:
    """Say which known name was probably meant, and which there are."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    return f"{hint}There are: {', '.join(known) or 'none'}."


def _fields_at(model: type[BaseModel], loc: Loc) -> list[str]:
    """List the keys that a section may have, by walking the models along a path."""
    current: Any = model
    for part in loc:
        if isinstance(current, type) and issubclass(current, BaseModel):
            field = current.model_fields.get(str(part))
            current = field.annotation if field else None
        else:
            current = get_args(current)[-1] if get_args(current) else None
    return list(current.model_fields) if isinstance(current, type) and issubclass(current, BaseModel) else []
