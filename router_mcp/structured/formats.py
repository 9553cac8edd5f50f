"""`format` as an assertion, for the formats that JSON Schema names; others are annotations and hold nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import Final

from router_mcp.structured import addresses
from router_mcp.structured.regex_parser import parse
from router_mcp.structured.regex_syntax import PatternError

LONGEST: Final = 2_048
"""Characters beyond which a text has no format; addresses, dates and names are shorter."""

_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME: Final = re.compile(r"([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.[0-9]+)?(?:[zZ]|([+-])([0-9]{2}):([0-9]{2}))")
_CLOCK: Final = r"T(?:[0-9]+H(?:[0-9]+M(?:[0-9]+S)?)?|[0-9]+M(?:[0-9]+S)?|[0-9]+S)"
_DAYS: Final = r"(?:[0-9]+Y(?:[0-9]+M(?:[0-9]+D)?)?|[0-9]+M(?:[0-9]+D)?|[0-9]+D)"
_DURATION: Final = re.compile(rf"P(?:{_DAYS}(?:{_CLOCK})?|{_CLOCK}|[0-9]+W)")
"""RFC 3339, appendix A: no unit may be left out between two others."""
_UUID: Final = re.compile(r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}")
_POINTER: Final = re.compile(r"(?:/(?:[^~/]|~[01])*)*")
_RELATIVE: Final = re.compile(rf"(?:0|[1-9][0-9]*)(?:#|{_POINTER.pattern})")


def holds(name: str, text: str) -> bool:
    """Whether `text` has the format; `True` for a format that is not asserted."""
    check = _CHECKS.get(name)
    return check is None or (len(text) <= LONGEST and check(text))


def _is_date(text: str) -> bool:
    if not _DATE.fullmatch(text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


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
    return text[10:11] in {"T", "t"} and _is_date(text[:10]) and _is_time(text[11:])


def _is_regex(text: str) -> bool:
    try:
        parse(text)
    except PatternError as wrong:
        return "back-reference" in str(wrong) or "lookbehind" in str(wrong)
    return True


def _is_whole(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda text: pattern.fullmatch(text) is not None


_CHECKS: Final[dict[str, Callable[[str], bool]]] = {
    "date": _is_date,
    "date-time": _is_date_time,
    "time": _is_time,
    "duration": _is_whole(_DURATION),
    "email": addresses.is_email,
    "idn-email": addresses.is_idn_email,
    "hostname": addresses.is_hostname,
    "idn-hostname": addresses.is_idn_hostname,
    "ipv4": addresses.is_ipv4,
    "ipv6": addresses.is_ipv6,
    "uri": addresses.is_uri,
    "uri-reference": addresses.is_uri_reference,
    "uri-template": addresses.is_uri_template,
    "iri": addresses.is_iri,
    "iri-reference": addresses.is_iri_reference,
    "uuid": _is_whole(_UUID),
    "json-pointer": _is_whole(_POINTER),
    "relative-json-pointer": _is_whole(_RELATIVE),
    "regex": _is_regex,
}
ASSERTED: Final = frozenset(_CHECKS)
