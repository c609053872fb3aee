"""Identity comes from the cause."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from duly.messages.identity import BUCKETS, bucket_of, derived_id, digest_of, lane_of

PARTS = st.tuples(
    st.text(max_size=8), st.text(max_size=8), st.text(max_size=8), st.integers(0, 99) | st.text(max_size=4)
)


@given(PARTS, PARTS)
def test_two_ids_are_equal_only_when_all_their_parts_are(
    one: tuple[str, str, str, int | str], other: tuple[str, str, str, int | str]
) -> None:
    def made(parts: tuple[str, str, str, int | str]) -> str:
        tenant, cause, handler, ordinal = parts
        return derived_id(tenant, cause, handler=handler, ordinal=ordinal)

    assert (made(one) == made(other)) == (one == other)


def test_ids_stay_the_same_across_releases() -> None:
    assert derived_id("acme", "m-1", handler="shop.text", ordinal=0) == "06827bd1-38d5-7e24-e93b-b86d8b4aa825"
    assert derived_id("acme", "m-1", handler="shop.text", ordinal="0") == "59ae552f-6ed3-5ac7-27a4-4e44346fefff"
    assert bucket_of(lane_of("acme", "Order/42")) == 23
    assert digest_of("a", b"b")[:16] == "dbe0de3c9f9c4651"


@given(st.text(max_size=40))
def test_a_lane_falls_into_one_of_the_buckets(lane: str) -> None:
    assert 0 <= bucket_of(lane) < BUCKETS


@given(st.lists(st.text(max_size=5), max_size=4), st.lists(st.text(max_size=5), max_size=4))
def test_parts_of_a_digest_cannot_imitate_one_another(one: list[str], other: list[str]) -> None:
    assert (digest_of(*one) == digest_of(*other)) == (one == other)
