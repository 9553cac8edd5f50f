"""What may be listened on, and who is answered."""

from __future__ import annotations

import pytest

from router_mcp.edge.bind import Names, Tokens, check_bind
from router_mcp.errors import ConfigError

SET = {"ROUTER_MCP_TOKEN": "s3cret", "ROUTER_MCP_ALLOWED_HOSTS": "router.example.com, ROUTER:8080"}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "LOCALHOST", "::1", "[::1]"])
def test_loopback_needs_nothing(host: str) -> None:
    bind = check_bind(host, {})
    assert bind.host == host
    assert not bind.tokens


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.5", "router.example.com"])
@pytest.mark.parametrize("missing", ["ROUTER_MCP_TOKEN", "ROUTER_MCP_ALLOWED_HOSTS"])
def test_anything_else_needs_token_and_hosts_and_the_refusal_says_which(host: str, missing: str) -> None:
    with pytest.raises(ConfigError, match=f"but {missing} is not set. Set ROUTER_MCP_TOKEN"):
        check_bind(host, {**SET, missing: " "})
    assert check_bind(host, SET).tokens


def test_the_refusal_names_both_and_the_server_that_asks() -> None:
    with pytest.raises(
        ConfigError, match=r"every interface opens .* EMBEDDINGS_MCP_TOKEN and EMBEDDINGS_MCP_ALLOWED_HOSTS are not set"
    ):
        check_bind("", SET, prefix="EMBEDDINGS_MCP")


def test_the_token_stands_for_a_principal_and_is_never_shown() -> None:
    bind = check_bind("127.0.0.1", {"ROUTER_MCP_TOKEN": "s3cret\n"})
    assert bind.tokens.principal(b"s3cret") == "default"
    assert bind.tokens.principal(b"s3cre") is None
    assert bind.tokens.principal(b"") is None
    assert "s3cret" not in repr(bind)


def test_each_of_several_tokens_has_its_principal() -> None:
    tokens = Tokens((("acme", b"a"), ("globex", b"b")))
    assert (tokens.principal(b"a"), tokens.principal(b"b"), tokens.principal(b"c")) == ("acme", "globex", None)


@pytest.mark.parametrize(
    ("host", "answered"),
    [
        ("localhost", True),
        ("127.0.0.1:8080", True),
        ("[::1]:8080", True),
        ("[::1]", True),
        ("router.example.com", True),
        ("Router.Example.Com:443", True),
        ("router:8080", True),
        ("router:9090", False),
        ("router", False),
        ("evil.example.com", False),
        ("localhost.evil.com", False),
        ("evil.com:80:localhost", False),
        ("", False),
    ],
)
def test_a_host_is_answered_by_its_exact_name(host: str, answered: bool) -> None:
    names = check_bind("127.0.0.1", SET).names
    assert names.host_allowed(host) is answered


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost:6274", True),
        ("https://router.example.com", True),
        ("https://evil.example.com", False),
        ("null", False),
        ("file://localhost", False),
        ("http://", False),
        ("http://[::1", False),
    ],
)
def test_a_page_may_call_only_from_one_of_our_names(origin: str, allowed: bool) -> None:
    assert Names(frozenset({"router.example.com"})).origin_allowed(origin) is allowed
