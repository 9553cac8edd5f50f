"""The formats that name a place on a network: hosts, addresses, mailboxes, URIs and their kin; all in linear time.

Each pattern is the grammar of the RFC that it names, so that nothing has to be imported for it: the packages that
jsonschema would use build parsers when they are imported, which cost every start a second.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

import idna

_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL: Final = re.compile(rf'{_ATOM}(?:\.{_ATOM})*|"(?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])*"')
_IDN_LOCAL: Final = re.compile(r'[^\s@"(),:;<>\[\\\]]+')
_HOST: Final = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(?:\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*")
_LONGEST_HOST: Final = 253
_LITERAL: Final = re.compile(r"\[(IPv6:)?([0-9A-Fa-f:.]+)\]")

_PARTS: Final = re.compile(r"(?:([^:/?#]+):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.DOTALL)
"""RFC 3986, appendix B: scheme, authority, path, query, fragment."""
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_HEX: Final = "%[0-9A-Fa-f]{2}"
_PLAIN: Final = r"A-Za-z0-9\-._~!$&'()*+,;="
_UCS: Final = "\u00a0-\ud7ff\uf900-\ufdcf\ufdf0-\uffef" + "".join(
    f"{chr(0x10000 * plane + (0x1000 if plane == 14 else 0))}-{chr(0x10000 * plane + 0xFFFD)}" for plane in range(1, 15)
)
"""RFC 3987, `ucschar`."""
_PRIVATE: Final = "\ue000-\uf8ff\U000f0000-\U000ffffd\U00100000-\U0010fffd"
_FUTURE: Final = re.compile(rf"[vV][0-9A-Fa-f]+\.[{_PLAIN}:]+")
_AUTHORITY: Final = re.compile(r"(?:([^@\[\]]*)@)?(?:\[([^\]]*)\]|([^:\[\]@]*))(?::[0-9]*)?")

_NAME: Final = rf"(?:[A-Za-z0-9_]|{_HEX})(?:\.?(?:[A-Za-z0-9_]|{_HEX}))*(?::[1-9][0-9]{{0,3}}|\*)?"
_TEMPLATE: Final = re.compile(
    rf'(?:[^\x00-\x20\x7f"%<>\\^`{{|}}]|{_HEX}|\{{[+#./;?&=,!@|]?{_NAME}(?:,{_NAME})*\}})*', re.DOTALL
)


class _Characters:
    """What may stand in the parts of a URI, or of an IRI, which has more letters."""

    def __init__(self, letters: str, private: str) -> None:
        self.name = re.compile(rf"(?:[{_PLAIN}{letters}]|{_HEX})*")
        self.user = re.compile(rf"(?:[{_PLAIN}:{letters}]|{_HEX})*")
        self.path = re.compile(rf"(?:[{_PLAIN}:@/{letters}]|{_HEX})*")
        self.query = re.compile(rf"(?:[{_PLAIN}:@/?{letters}{private}]|{_HEX})*")
        self.fragment = re.compile(rf"(?:[{_PLAIN}:@/?{letters}]|{_HEX})*")


_OF_URI: Final = _Characters("", "")
_OF_IRI: Final = _Characters(_UCS, _PRIVATE)


def is_uri(text: str) -> bool:
    """Whether it is a URI with a scheme (RFC 3986)."""
    return _is_reference(text, _OF_URI, absolute=True)


def is_uri_reference(text: str) -> bool:
    """Whether it is a URI or a relative reference (RFC 3986)."""
    return _is_reference(text, _OF_URI, absolute=False)


def is_iri(text: str) -> bool:
    """Whether it is an IRI with a scheme (RFC 3987)."""
    return _is_reference(text, _OF_IRI, absolute=True)


def is_iri_reference(text: str) -> bool:
    """Whether it is an IRI or a relative reference (RFC 3987)."""
    return _is_reference(text, _OF_IRI, absolute=False)


def is_uri_template(text: str) -> bool:
    """Whether it is a URI template (RFC 6570)."""
    return _TEMPLATE.fullmatch(text) is not None


def _is_reference(text: str, allowed: _Characters, *, absolute: bool) -> bool:
    found = _PARTS.fullmatch(text)
    if not found:
        return False
    scheme, authority, path, query, fragment = found.groups()
    if scheme is None:
        # Without a scheme, a colon in the first segment would be taken for the end of one.
        if absolute or (authority is None and ":" in path.partition("/")[0]):
            return False
    elif not _SCHEME.fullmatch(scheme):
        return False
    if authority is not None and not _is_authority(authority, allowed):
        return False
    return bool(
        allowed.path.fullmatch(path)
        and (query is None or allowed.query.fullmatch(query))
        and (fragment is None or allowed.fragment.fullmatch(fragment))
    )


def _is_authority(text: str, allowed: _Characters) -> bool:
    found = _AUTHORITY.fullmatch(text)
    if not found:
        return False
    user, literal, name = found.groups()
    if user is not None and not allowed.user.fullmatch(user):
        return False
    if literal is not None:
        return is_ipv6(literal) or _FUTURE.fullmatch(literal) is not None
    return allowed.name.fullmatch(name) is not None


def is_hostname(text: str) -> bool:
    """Whether it is a host name (RFC 1123); labels in Punycode must stand for a name."""
    if len(text) > _LONGEST_HOST or not _HOST.fullmatch(text):
        return False
    return all(is_idn_hostname(label) for label in text.split(".") if label[:4].lower() == "xn--")


def is_idn_hostname(text: str) -> bool:
    """Whether it is a host name in whatever script (RFC 5890)."""
    try:
        idna.encode(text)
    except UnicodeError:  # IDNAError is one
        return False
    return True


def is_email(text: str) -> bool:
    """Whether it is a mailbox (RFC 5321, section 4.1.2)."""
    return _is_mailbox(text, _LOCAL, is_ascii=True)


def is_idn_email(text: str) -> bool:
    """Whether it is a mailbox in whatever script (RFC 6531)."""
    return _is_mailbox(text, _IDN_LOCAL, is_ascii=False)


def _is_mailbox(text: str, local: re.Pattern[str], *, is_ascii: bool) -> bool:
    before, at, domain = text.rpartition("@")
    if not at or len(before) > 64 or not local.fullmatch(before):
        return False
    if literal := _LITERAL.fullmatch(domain):
        return is_ipv6(literal[2]) if literal[1] else is_ipv4(literal[2])
    return _HOST.fullmatch(domain) is not None if is_ascii else is_idn_hostname(domain)


def is_ipv4(text: str) -> bool:
    """Whether it is an address of four decimal numbers."""
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def is_ipv6(text: str) -> bool:
    """Whether it is an IPv6 address, without a zone (RFC 4291)."""
    try:
        return ipaddress.IPv6Address(text).scope_id is None
    except ValueError:
        return False
