"""Text that can be sent: Python strings may hold half of a surrogate pair, UTF-8 may not.

One such half in an answer ends a stdio server: the SDK's writer fails on it, and with it the session.
"""

from __future__ import annotations


def well_formed(text: str) -> str:
    """Return the text with every lone surrogate replaced by U+FFFD."""
    return text if is_well_formed(text) else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def is_well_formed(text: str) -> bool:
    """Say whether the text can be written as UTF-8."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(name: str, limit: int = 60) -> str:
    """Return a caller's word so that it is safe to show: printable, on one line, and short."""
    clean = "".join(letter if letter.isprintable() else "?" for letter in well_formed(name)[: limit + 1])
    return clean if len(clean) <= limit else f"{clean[:limit]}…"
