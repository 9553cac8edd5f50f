"""A cache salt per tenant and epoch."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from router_mcp.tenancy import cache_salt

TENANTS = st.text(max_size=20)


@given(st.text(), TENANTS, st.integers(0, 10**6))
def test_a_salt_is_what_vllm_accepts(secret: str, tenant: str, epoch: int) -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", cache_salt(secret, tenant, epoch))


@given(TENANTS, st.integers(0, 20), TENANTS, st.integers(0, 20))
def test_no_two_tenants_and_no_two_epochs_share_a_salt(one: str, epoch: int, other: str, another: int) -> None:
    same = (one, epoch) == (other, another)
    assert (cache_salt("secret", one, epoch) == cache_salt("secret", other, another)) == same


def test_a_salt_is_the_same_in_every_process_and_cannot_be_made_without_the_secret() -> None:
    assert cache_salt("secret", "acme") == cache_salt("secret", "acme", 0)
    assert cache_salt("secret", "acme") != cache_salt("other", "acme")
    assert cache_salt("secret", "acme") == "743c010436fe7a77d7d1b9f700c3e3a8acdf1562e445f5f45ddbe07b45b8926e"


def test_a_tenant_whose_name_is_half_a_character_has_a_salt_too() -> None:
    assert len(cache_salt("\udcff", "\ud800")) == 64
