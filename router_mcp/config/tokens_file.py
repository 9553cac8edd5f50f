"""The tokens file: which bearer token stands for which tenant."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from router_mcp.config.base import Problem, Strict, read_source, validate

SHORTEST = 16


def _token(value: Any) -> Any:
    """Refuse what is no token in words that do not show it."""
    if not isinstance(value, str):
        raise ValueError("a token is text; put it in quotes")  # noqa: TRY004 - pydantic shows a TypeError to nobody
    if len(value.strip()) < SHORTEST or not value.isascii():
        raise ValueError(f"a token has at least {SHORTEST} ASCII characters, such as `openssl rand -hex 32` makes")
    return value.strip()


Token = Annotated[str, BeforeValidator(_token)]


class TokensFile(Strict):
    """The whole file."""

    version: Literal[1]
    tenants: dict[Annotated[str, Field(min_length=1, max_length=256)], Token] = Field(min_length=1)


def load_tokens(path: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the token of each tenant; raise `ConfigError`, which never shows one."""
    source = read_source(path, environ, "the variable that names it")
    tokens = validate(source, TokensFile).tenants
    seen: dict[str, str] = {}
    problems = []
    for tenant, token in tokens.items():
        if tenant == "default":
            problems.append(Problem(("tenants", tenant), "this name is the operator's own. Name the tenant otherwise."))
        if token in seen:
            problems.append(Problem(("tenants", tenant), f"this is the token of {seen[token]!r} too. Make another."))
        seen[token] = tenant
    if problems:
        raise source.error(problems)
    return tokens
