"""A token names an effect, and nobody but the gateway can make one."""

from __future__ import annotations

import re

import pytest

from duly.errors import ConfigurationError
from duly.gateways.effect_token import TOKEN_CHARACTERS_MAX, EffectTokens
from duly.ports.secret import Secret
from tests.gateways.calls import EFFECT_ID

OLD, NEW = "old-secret-of-ours", "new-secret-of-ours"


def test_a_token_names_its_effect_in_letters_that_any_url_and_tag_takes() -> None:
    tokens = EffectTokens("Twilio", "twilio", [Secret(OLD)])
    token = tokens.token(EFFECT_ID)
    assert tokens.effect_of(token) == EFFECT_ID
    assert re.fullmatch(r"[A-Za-z0-9_-]+", token)
    assert len(token) <= TOKEN_CHARACTERS_MAX


def test_the_same_effect_has_always_the_same_token() -> None:
    assert EffectTokens("a", "twilio", [OLD]).token(EFFECT_ID) == EffectTokens("b", "twilio", [OLD]).token(EFFECT_ID)


def test_a_secret_is_rotated_with_overlap() -> None:
    before = EffectTokens("Twilio", "twilio", [OLD]).token(EFFECT_ID)
    during = EffectTokens("Twilio", "twilio", [NEW, OLD])
    after = EffectTokens("Twilio", "twilio", [NEW])
    assert during.effect_of(before) == EFFECT_ID
    assert after.effect_of(during.token(EFFECT_ID)) == EFFECT_ID
    assert after.effect_of(before) is None


def test_a_token_of_another_gateway_names_nothing_here() -> None:
    other = EffectTokens("Twilio", "twilio-bulk", [OLD]).token(EFFECT_ID)
    assert EffectTokens("Twilio", "twilio", [OLD]).effect_of(other) is None


def test_a_forged_token_names_nothing() -> None:
    tokens = EffectTokens("Twilio", "twilio", [OLD])
    token = tokens.token(EFFECT_ID)
    forged = [
        None,
        "",
        "-",
        EFFECT_ID,
        token[1:],
        token[:-1],
        token + "x",
        token[:-1] + ("A" if token[-1] != "A" else "B"),
        "9" + token[1:],
        token.replace("-", ".", 5),
        "é" * 60,
        "\ud800" * 60,
        "x" * 10_000,
        token[: len(EFFECT_ID)] + "." + token[len(EFFECT_ID) + 1 :],
    ]
    assert [tokens.effect_of(one) for one in forged] == [None] * len(forged)


@pytest.mark.parametrize("secrets", [(), ("",), ("short",), (OLD, "short")])
def test_a_secret_that_can_be_guessed_stops_the_start_and_is_not_shown(secrets: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError, match="token_urlsafe") as refusal:
        EffectTokens("Twilio", "twilio", secrets)
    assert "short" not in str(refusal.value)
