"""Structured calls for those who think in pydantic: a type goes in, a value of that type comes out.

    result = await router.structured(Invoice, "Read this invoice: …", task="extraction")
    result.data.total

The type's JSON Schema is the constraint, so everything that holds for `structured_generate` holds here. What a schema
cannot say, the type's own validators, is checked afterwards, and shown to the model once.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final, Generic, Protocol, TypedDict, TypeVar, Unpack

from pydantic import PydanticUserError, TypeAdapter, ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema

from router_mcp.domain import GenerateRequest, GenerateResult, JsonSchema, Message
from router_mcp.errors import InvalidArgumentsError, OutputInvalidError

T = TypeVar("T")
SHOWN: Final = 5
"""Violations that an error and a repair name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedResult(GenerateResult, Generic[T]):
    """What `Router.generate` returns, with data of the type that was asked for."""

    data: T


class Asked(TypedDict, total=False):
    """What else a call may say; `GenerateRequest` has what each means."""

    task: str | None
    system: str | None
    history: tuple[Message, ...]
    temperature: float | None
    max_output_tokens: int | None
    seed: int | None
    timeout_s: float | None
    tenant: str | None
    model: str | None


class Generates(Protocol):
    """What is used of a router."""

    async def generate(self, request: GenerateRequest) -> GenerateResult:
        """Answer a request."""
        ...


async def structured(router: Generates, shape: type[T], prompt: str, /, **asked: Unpack[Asked]) -> TypedResult[T]:
    """Return an answer whose `data` is a `shape`: a pydantic model, a dataclass, or any type that pydantic knows.

    Raises what `Router.generate` raises; `OutputInvalidError` also when the type's validators refuse the answer
    twice; and `InvalidArgumentsError` for a type that has no JSON Schema.
    """
    adapter = TypeAdapter(shape)
    request = GenerateRequest(prompt=prompt, constraint=JsonSchema(_schema(adapter, shape)), **asked)
    result = await router.generate(request)
    try:
        return _typed(result, adapter)
    except ValidationError as refused:
        left_s = result.receipt.deadline_s - result.receipt.seconds
        if left_s <= 0:
            raise _invalid(shape, refused, result) from refused
        first, wrong = result, refused
    again = GenerateRequest(
        prompt="That answer is not valid:\n" + "\n".join(_violations(wrong)) + "\nGive the whole answer again.",
        constraint=request.constraint,
        **{  # type: ignore[arg-type] # the keys are those of `Asked`
            **asked,
            "history": (*request.history, Message(role="user", content=prompt), _said(first)),
            "timeout_s": left_s,
        },
    )
    result = await router.generate(again)
    try:
        return _typed(result, adapter, before=first.attempts)
    except ValidationError as refused:
        raise _invalid(shape, refused, result) from refused


def _schema(adapter: TypeAdapter[Any], shape: Any) -> dict[str, Any]:
    try:
        return adapter.json_schema()
    except (PydanticInvalidForJsonSchema, PydanticUserError) as error:
        name = getattr(shape, "__name__", "The type")
        raise InvalidArgumentsError(
            f"{name} has no JSON Schema. Use fields of types that JSON has, or give them a schema of their own."
        ) from error


def _typed(result: GenerateResult, adapter: TypeAdapter[T], *, before: int = 0) -> TypedResult[T]:
    """Raise `ValidationError` for data that the schema takes and the type does not. Dates and the like come as JSON."""
    data = adapter.validate_json(_text(result))
    known = {field.name: getattr(result, field.name) for field in fields(result)}
    return TypedResult(**known | {"data": data, "attempts": before + result.attempts})


def _text(result: GenerateResult) -> bytes:
    return TypeAdapter(Any).dump_json(result.data)


def _said(result: GenerateResult) -> Message:
    return Message(role="assistant", content=_text(result).decode())


def _violations(refused: ValidationError) -> list[str]:
    errors = refused.errors(include_url=False, include_context=False, include_input=False)[:SHOWN]
    return [f"- {'/'.join(('', *map(str, error['loc']))) or '/'}: {error['msg']}" for error in errors]


def _invalid(shape: Any, refused: ValidationError, result: GenerateResult) -> OutputInvalidError:
    violations = tuple(line.removeprefix("- ") for line in _violations(refused))
    name = getattr(shape, "__name__", "the type")
    error = OutputInvalidError(
        f"The answer is not a valid {name}: {'; '.join(violations)}. Try again, or say it in the prompt.",
        violations=violations,
    )
    error.receipt = result.receipt
    return error
