"""Formats beyond what the official suite tries: the edges of each RFC's grammar."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_mcp.structured.formats import ASSERTED, LONGEST, holds

HOLDS = {
    "date": ["2024-02-29"],
    "time": ["23:59:60Z", "01:29:60+01:30", "08:30:06.28-23:59"],
    "date-time": ["2016-12-31T23:59:60Z", "2016-12-31t15:59:60.5-08:00"],
    "duration": ["P1Y2M3DT4H5M6S", "P1M", "PT1H", "PT5S", "P1DT1S", "P52W"],
    "email": ["o'neil@example.com", '"a \\" b"@example.com', "a@[127.0.0.1]", "a@[IPv6:::1]"],
    "idn-email": ["실례@실례.테스트"],
    "hostname": ["a", "1", ".".join(["a" * 63] * 3) + "." + "a" * 61, "XN--4GBWDL.xn--wgbh1c"],
    "idn-hostname": ["실례.테스트", "a.b"],
    "ipv4": ["0.0.0.0"],
    "ipv6": ["::ffff:1.2.3.4"],
    "uri": [
        "http:",
        "a+b-c.1:x",
        "file:///etc/hosts",
        "http://a:@b:",
        "http://[::1]:80",
        "http://[v1.a:b]/",
        "s://?#?/",
        "urn:a:b",
    ],
    "uri-reference": ["", "./a:b", "a/b:c", "?a:b", "#a:b", "//h", "%41"],
    "iri": ["http://ü\U00010000.de/?\ue000"],
    "iri-reference": ["ü/ü:ü"],
    "uri-template": ["", "{+path,x:3}/here{?q*}", "/a%20b/{a.b%41}", "it's ü".replace(" ", "")],
    "uuid": ["2EB8AA08-aa98-11ea-b4aa-73b441d16380"],
    "json-pointer": ["", "/", "/a~0~1/ü\n"],
    "relative-json-pointer": ["0", "10#", "1/a"],
    "regex": ["^a+$", "(?<=a)b", r"(a)\1"],
}
LACKS = {
    "date": ["2023-02-29", "20240229", "2024-02-29 "],
    "time": ["23:58:60Z", "24:00:00Z", "12:60:00Z", "12:00:61Z", "12:00:00", "12:00:00+24:00", "12:00:00+00:60"],
    "date-time": ["2016-12-31 23:59:59Z", "2016-12-31T23:59:59", "2016-02-30T00:00:00Z"],
    "duration": ["P", "PT", "P1DT", "P1Y1D", "PT1H1S", "P1W1D", "P0.5D", "p1d", "P1D\n"],
    "email": ["a@b@c", ".a@b", "a..b@c", "a" * 65 + "@b", "a@[1.2.3]", "a@[IPv6:1.2.3.4]", "a@-b", "실례@b.de"],
    "idn-email": ["실 례@실례.테스트", "a@", "a@-a"],
    "hostname": ["a.", ".a", "a..b", "a" * 64, ".".join(["a" * 63] * 4), "ü.de", "xn--x", "ok.xn--x"],
    "idn-hostname": ["", "-a", "a" * 64],
    "ipv4": ["1.2.3", "01.2.3.4", "1.2.3.4 "],
    "ipv6": ["::1%eth0", "1.2.3.4", "[::1]"],
    "uri": [
        "1a:b",
        "a_b:c",
        "http://a b",
        "http://[::1",
        "http://::1",
        "http://[fe80::1%25eth0]",
        "http://a:b",
        "http://a@b@c",
        "a:%4",
        "a:#b#c",
        "a:ü",
        "a:\n",
        "http://u[@h",
    ],
    "uri-reference": ["a:b:c d", ":a", "1:a", "%", "[]"],
    "iri": ["http://\ue000", "a:\ufffe", "ü:a", "a:?\ufdd0"],
    "iri-reference": ["ü:a", "\\"],
    "uri-template": ["{", "}", "{}", "{a", "{a:0}", "{a:12345}", "{a..b}", "{.}", "a b", "%4", "{a,}"],
    "uuid": ["{2EB8AA08-aa98-11ea-b4aa-73b441d16380}", "2EB8AA08aa9811eab4aa73b441d16380"],
    "json-pointer": ["a", "/~", "/~2"],
    "relative-json-pointer": ["", "01", "-1", "0##", "1a"],
    "regex": ["(", "a**"],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in HOLDS.items() for text in texts])
def test_a_text_that_has_the_format_is_taken(name: str, text: str) -> None:
    assert holds(name, text)


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in LACKS.items() for text in texts])
def test_a_text_that_lacks_the_format_is_not(name: str, text: str) -> None:
    assert not holds(name, text)


def test_every_asserted_format_is_tried_both_ways() -> None:
    assert HOLDS.keys() == LACKS.keys() == ASSERTED


def test_a_format_that_json_schema_does_not_name_asserts_nothing() -> None:
    assert holds("color", "no colour at all")
    assert "color" not in ASSERTED


@pytest.mark.parametrize("name", ["json-pointer", "uri-reference", "uri-template", "iri-reference"])
def test_what_is_longer_than_anything_sensible_has_no_format(name: str) -> None:
    assert holds(name, "/" * LONGEST)
    assert not holds(name, "/" * (LONGEST + 1))


@given(st.sampled_from(sorted(ASSERTED)), st.text() | st.text("aZ0:/?#@[]%{},.-+~ü\u0300\ue000"))
def test_every_text_has_a_format_or_lacks_it_and_nothing_else_happens(name: str, text: str) -> None:
    assert holds(name, text) in {True, False}
