"""YAML that remembers its lines: a file becomes plain data, with its environment variables filled in.

Values are typed as YAML 1.2 does, which is what editors check against: `yes`, `1:30` and `2026-01-01` are text.
`${VAR}` and `${VAR:-default}` are filled in before a value is typed, so `port: ${PORT:-8000}` is a number and
`"${PORT}"` in quotes stays text; `$${` stands for the characters `${`. Files are bounded in size, depth and, since
aliases multiply, in values, so no file can hang a server that reloads it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import yaml
from yaml.composer import ComposerError
from yaml.reader import ReaderError

from router_mcp.config.flaws import Flaw, FlawedFileError
from router_mcp.errors import ConfigError

Loc: TypeAlias = tuple[str | int, ...]

MAX_BYTES = 512 * 1024
"""Read in about three seconds; the largest sensible policy has a tenth of it."""
MAX_DEPTH = 32
MAX_EXPANDED = 2 * MAX_BYTES
"""Characters of a file once its aliases are written out, each value with what it costs to keep."""
COST_OF_A_VALUE = 8

_VARIABLE = re.compile(r"\$(\$\{)|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}]*))?\}|\$\{")
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]{1,40}|0o[0-7]{1,40}|0x[0-9a-fA-F]{1,40}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


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
        self._variables: dict[Loc, str] = {}
        self._problems: list[Problem] = []
        self._size = 0
        node = compose(path, text)
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError(f"{path}: the file must hold keys and values at its top. Start it with version: 1.")
        self.data: dict[str, Any] = self._mapping(node, ())
        if self._problems:
            raise self.error(self._problems)

    def error(self, problems: Sequence[Problem]) -> ConfigError:
        """Make one error that names the problems with their file and line, in the order of the file."""
        flaws = (Flaw(self.line(each.loc), ".".join(map(str, each.loc)), each.message) for each in problems)
        return FlawedFileError(self._path, flaws)

    def line(self, loc: Loc) -> int:
        """Return the line (from 1) of a value, or of the nearest thing around it that has one."""
        return self._lines.get(self.nearest(loc), 1)

    def nearest(self, loc: Loc) -> Loc:
        """Return the longest beginning of a path that the file has."""
        while loc and loc not in self._lines:
            loc = loc[:-1]
        return loc

    def variable(self, loc: Loc) -> str | None:
        """Return the name of a variable that went into a value: then the value is not to be shown."""
        return self._variables.get(loc)

    def _value(self, node: yaml.Node, loc: Loc) -> Any:
        self._lines.setdefault(loc, node.start_mark.line + 1)
        self._size += COST_OF_A_VALUE + (len(node.value) if isinstance(node, yaml.ScalarNode) else 0)
        if len(loc) > MAX_DEPTH or self._size > MAX_EXPANDED:
            message = "an alias makes this endless or far too large. Write the values out."
            raise self.error([Problem(loc[:2], message)])
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, loc)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(child, (*loc, index)) for index, child in enumerate(node.value)]
        return self._scalar(node, loc)

    def _mapping(self, node: yaml.MappingNode, loc: Loc) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, loc)
            if key is None:
                continue
            here = (*loc, key)
            self._lines[here] = key_node.start_mark.line + 1
            if key in out:
                self._problems.append(Problem(here, "this key stands twice; keep one of the two."))
            self._size += len(key)
            out[key] = self._value(value_node, here)
        return out

    def _key(self, node: yaml.Node, loc: Loc) -> str | None:
        """Return a key as it is written (a number too is a name here), or note why it cannot be one."""
        if not isinstance(node, yaml.ScalarNode):
            message = "a key must be plain text. Was a value meant, or a text in braces that needs quotes?"
        elif node.tag == "tag:yaml.org,2002:merge":
            message = "merge keys are not supported. Write the keys out, or give a whole value an alias."
        elif not _is_text(str(node.value)):
            message = "this key holds half of a Unicode character. Write it out."
        else:
            return str(node.value)
        here = (*loc, "<<" if "merge" in node.tag else "?")
        self._lines[here] = node.start_mark.line + 1
        self._problems.append(Problem(here, message))
        return None

    def _scalar(self, node: yaml.Node, loc: Loc) -> Any:
        text = _VARIABLE.sub(lambda match: self._fill(match, loc), str(node.value))
        if not _is_text(text):
            self._problems.append(Problem(loc, "this holds half of a Unicode character. Write it out."))
            return ""
        quoted = isinstance(node, yaml.ScalarNode) and node.style in {"'", '"', "|", ">"}
        return text if quoted else _typed(text)

    def _fill(self, match: re.Match[str], loc: Loc) -> str:
        literal, name, default = match.groups()
        if literal:
            return str(literal)
        if name is None:
            message = "write a variable as ${NAME} or ${NAME:-default}, its default without braces; $${ is a plain ${."
            self._problems.append(Problem(loc, message))
            return ""
        self._variables.setdefault(loc, name)
        if value := self._environ.get(name):
            return value
        if default is not None:
            return str(default)
        if name not in self._environ:
            message = f"the environment variable {name} is not set. Set it, or give a default: ${{{name}:-value}}."
            self._problems.append(Problem(loc, message))
        return ""


class _Composer(yaml.SafeLoader):
    """Makes a tree of nodes, but no deeper one than any configuration is, and none with tags."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]  # types-PyYAML has no types for it
        if getattr(event, "tag", None):
            raise ComposerError(None, None, "tags are not supported, use quotes for text", event.start_mark)
        if self.depth > MAX_DEPTH:
            raise ComposerError(None, None, f"nested deeper than {MAX_DEPTH} levels", event.start_mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def compose(path: Path, text: str) -> yaml.Node | None:
    """Return the tree of a YAML text, whose nodes know where they stand; raise `ConfigError` when it is none."""
    try:
        composer = _Composer(text)
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        message = f"{path}:{line}: not valid YAML: a control character stands there. Remove it."
        raise ConfigError(message) from None
    try:
        return composer.get_single_node()
    except (ValueError, OverflowError):  # PyYAML trusts the digits of escapes
        message = f"{path}:{composer.line + 1}: not valid YAML: an escape stands for no character. Correct it."
        raise ConfigError(message) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        problem = ", ".join(part for part in (error.context, error.problem) if part)
        remedy = "Indent with spaces, not tabs." if r"\t" in problem else "Check the indentation and quotes there."
        raise ConfigError(f"{path}:{line}: not valid YAML: {problem}. {remedy}") from None


def _typed(text: str) -> Any:
    """Type a plain scalar by YAML 1.2's core schema, but leave what JSON lacks as text."""
    if text in _NULL:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)
    if _FLOAT.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    return text


def _is_text(text: str) -> bool:
    """Tell whether a string can be written as UTF-8; escapes in YAML and bytes in variables may spoil it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_source(path: Path, environ: Mapping[str, str], named_by: str = "--config") -> Source:
    """Parse a YAML file, or raise `ConfigError` that says what is wrong with it and where.

    `named_by` is the option or variable that the path came from.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError(f"{path}: cannot be read ({reason}). Give the right path with {named_by}.") from None
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_BYTES // 1024} KiB, which no configuration needs. Shorten it.")
    try:
        return Source(path, raw.decode("utf-8-sig"), environ)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: not UTF-8 text. Save it as UTF-8.") from None
