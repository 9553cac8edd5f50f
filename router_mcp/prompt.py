"""What a model is sent: turns that its template accepts, in which user text cannot forge a role.

Runtimes tokenise control tokens inside content as control tokens, and models obey them (vLLM B1 #14).
So every control token of the model's template family is broken by a space: `<|im_end|>` becomes
`< |im_end|>`, which reads the same to a model and is plain text to its tokenizer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from router_mcp.domain import Message

_PIPED = r"<\|[^\s|<>]{1,64}\|>"
_OWN: dict[str, str] = {
    "phi3": r"</?s>",
    "mistral": r"\[/?(?:INST|SYSTEM_PROMPT|MODEL_SETTINGS|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|CALL_ID"
    r"|ARGS|THINK|PREFIX|MIDDLE|SUFFIX|IMG|IMG_BREAK|IMG_END|BEGIN_AUDIO|AUDIO)\]"
    r"|<</?SYS>>|</?s>|<unk>|<pad>|<SPECIAL_\d+>",
    "gemma": r"</?(?:start_of_turn|end_of_turn|bos|eos|pad|unk|mask|start_of_image|end_of_image|image_soft_token"
    r"|start_of_audio|end_of_audio|audio_soft_token|unused\d+)>",
    "deepseek": r"<[｜|][^\s｜|<>]{1,64}[｜|]>",
}
_FAMILIES = {"chatml": "", "llama3": "", **_OWN, "any": "|".join(_OWN.values())}
# Piped tokens are broken for every family: fine-tunes bring ChatML to bases of any name.
_PATTERNS = {family: re.compile(f"{_PIPED}|{own}" if own else _PIPED) for family, own in _FAMILIES.items()}
_WITHOUT_SYSTEM_ROLE = frozenset({"mistral", "gemma"})
"""Families whose templates refuse or ignore a system turn; it is put before the first user turn instead."""
OPENING = "(The conversation begins.)"
"""What the user of a family that must speak first is given to say when an assistant's greeting comes first."""


def neutralise(text: str, family: str) -> str:
    """Return the text with every control token of the family made plain text."""
    if "<" not in text and "[" not in text:  # which every token begins with; a look at 100 kB then takes no time
        return text
    return _PATTERNS[family].sub(lambda match: f"{match[0][0]} {match[0][1:]}", text)


def turns(
    *,
    family: str,
    prompt: str,
    system: str | None = None,
    history: Iterable[Message] = (),
    instructions: str = "",
    after: Iterable[Message] = (),
) -> tuple[Message, ...]:
    """Return the conversation as this family's template takes it, safe and alternating.

    `instructions` are the router's own (a schema to follow, say) and join the system text; `after` follows
    the prompt (an answer and what was wrong with it). Turns of the same role that follow each other are
    joined, because templates of the Mistral family refuse them, and so they do a first turn of the assistant's.
    """
    body = [*history, Message(role="user", content=prompt), *after]
    heads = (system, instructions, *(turn.content for turn in body if turn.role == "system"))
    head = "\n\n".join(part for part in heads if part)
    said = [turn for turn in body if turn.role != "system"]
    if family in _WITHOUT_SYSTEM_ROLE and (head or said[0].role != "user"):
        said = [Message(role="user", content=head or OPENING), *said]
    elif head:
        said = [Message(role="system", content=head), *said]
    return tuple(Message(role=turn.role, content=neutralise(turn.content, family)) for turn in _alternate(said))


def _alternate(turns: Iterable[Message]) -> list[Message]:
    out: list[Message] = []
    for turn in turns:
        if out and out[-1].role == turn.role:
            out[-1] = Message(role=turn.role, content=f"{out[-1].content}\n\n{turn.content}")
        else:
            out.append(turn)
    return out
