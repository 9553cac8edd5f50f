"""`format` as an assertion, for the formats that JSON Schema names; others are annotations and hold nothing.

The checks are jsonschema's (`jsonschema[format-nongpl]`), but for four: its `email` asks for an @ only, its `time`
takes what RFC 3339 does not, its `date-time` knows no leap second, and its `regex` is Python's.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Any, Final

from jsonschema import FormatChecker
from jsonschema.exceptions import FormatError

from router_mcp.structured.regex_parser import parse
from router_mcp.structured.regex_syntax import PatternError

ASSERTED: Final = frozenset({
    "date", "date-time", "time", "duration", "email", "idn-email", "hostname", "idn-hostname", "ipv4", "ipv6", "uri",
    "uri-reference", "iri", "iri-reference", "uuid", "json-pointer", "relative-json-pointer", "regex",
})  # fmt: skip
LONGEST: Final = 2_048
"""Characters beyond which a text has no format; addresses, dates and names are shorter."""

_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL: Final = re.compile(rf'{_ATOM}(?:\.{_ATOM})*|"(?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])*"')
_IDN_LOCAL: Final = re.compile(r'[^\s@"(),:;<>\[\\\]]+')
_HOST: Final = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(?:\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*")
_TIME: Final = re.compile(r"([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.[0-9]+)?(?:[zZ]|([+-])([0-9]{2}):([0-9]{2}))")
_LITERAL: Final = re.compile(r"\[(IPv6:)?([0-9A-Fa-f:.]+)\]")


def holds(name: str, text: str) -> bool:
    """Whether `text` has the format; `True` for a format that is not asserted."""
    if name not in ASSERTED:
        return True
    if len(text) > LONGEST:
        return False
    if name in _OWN:
        return _OWN[name](text)
    try:
        _CHECKER.check(text, name)
    except FormatError:
        return False
    return True


def available() -> frozenset[str]:
    """The formats that this installation really checks; a test holds it against `ASSERTED`."""
    return frozenset(_CHECKER.checkers) | frozenset(_OWN)


def _is_time(text: str) -> bool:
    found = _TIME.fullmatch(text)
    if not found:
        return False
    hour, minute, second = int(found[1]), int(found[2]), int(found[3])
    away = (int(found[5]) * 60 + int(found[6])) * (-1 if found[4] == "-" else 1) if found[4] in {"+", "-"} else 0
    if found[4] in {"+", "-"} and (int(found[5]) > 23 or int(found[6]) > 59):
        return False
    if second == 60:  # a leap second is the last of a day in UTC (RFC 3339, 5.6)
        return hour <= 23 and minute <= 59 and (hour * 60 + minute - away) % 1440 == 1439
    return hour <= 23 and minute <= 59 and second <= 59


def _is_date_time(text: str) -> bool:
    return text[10:11] in {"T", "t"} and holds("date", text[:10]) and _is_time(text[11:])


def _is_regex(text: str) -> bool:
    try:
        parse(text)
    except PatternError as wrong:
        return "back-reference" in str(wrong) or "lookbehind" in str(wrong)
    return True


def _is_plain_email(text: str) -> bool:
    return _is_email(text, _LOCAL, "email")


def _is_idn_email(text: str) -> bool:
    return _is_email(text, _IDN_LOCAL, "idn-email")


def _is_email(text: str, local: re.Pattern[str], name: str) -> bool:
    before, at, domain = text.rpartition("@")
    if not at or len(before) > 64 or not local.fullmatch(before):
        return False
    literal = _LITERAL.fullmatch(domain)
    if literal:
        return _is_address(literal[2], 6 if literal[1] else 4)
    return holds("idn-hostname", domain) if name == "idn-email" else _HOST.fullmatch(domain) is not None


def _is_address(text: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(text).version == version
    except ValueError:
        return False


def _checker() -> FormatChecker:
    known: dict[str, Any] = FormatChecker.checkers
    return FormatChecker(sorted(ASSERTED.intersection(known)))


_CHECKER: Final = _checker()
_OWN: Final[dict[str, Callable[[str], bool]]] = {
    "email": _is_plain_email,
    "idn-email": _is_idn_email,
    "regex": _is_regex,
    "time": _is_time,
    "date-time": _is_date_time,
}
