"""Addresses are checked before anything is stored, and the error says which field, what was seen and what to do."""

from __future__ import annotations

import pytest

from duly.errors import ConfigurationError, InvalidField
from duly.gateways.addresses import check_region, email_address, phone_number


@pytest.mark.parametrize("written", ["+49 151 12345678", "+49 (151) 123-456-78", "+4915112345678"])
def test_a_number_in_international_form_becomes_e164(written: str) -> None:
    assert phone_number(written, field="to") == "+4915112345678"


def test_a_national_number_needs_a_region() -> None:
    assert phone_number("0151 12345678", field="to", region="DE") == "+4915112345678"
    with pytest.raises(InvalidField, match="to is no phone number"):
        phone_number("0151 12345678", field="to")


@pytest.mark.parametrize(
    "written",
    [
        "",
        "12",
        "+49",
        "+999 1234567",
        "+1 555 555 5555",
        "+4915112345678 ext. 5",
        "call +4915112345678",
        "+4915112345678\r\nBcc: x",
        "+" + "1" * 500,
        "[erased]",
        None,
    ],
)
def test_what_is_no_number_is_refused_by_the_name_of_its_field(written: object) -> None:
    with pytest.raises(
        InvalidField, match=r"customer_phone is no phone number: .+ Use the international form"
    ) as refusal:
        phone_number(written, field="customer_phone")
    assert refusal.value.field == "customer_phone"
    assert len(str(refusal.value)) < 250


def test_an_unknown_region_stops_the_start() -> None:
    check_region("DE")
    check_region(None)
    with pytest.raises(ConfigurationError, match="region='Germany' is no country"):
        check_region("Germany")


@pytest.mark.parametrize(
    ("written", "taken"),
    [("Ann@Example.COM", "Ann@example.com"), ("ann@bücher.example", "ann@xn--bcher-kva.example")],
)
def test_an_address_gets_the_domain_that_smtp_takes(written: str, taken: str) -> None:
    assert email_address(written, field="to") == taken


@pytest.mark.parametrize(
    "written",
    ["", "ann", "ann@", "@example.com", "a b@example.com", "ann@example.com\nBcc: eve@example.com", "Ann <a@b.com>",
     "änn@example.com", "[erased]", None, 7],
)  # fmt: skip
def test_what_is_no_address_is_refused_by_the_name_of_its_field(written: object) -> None:
    with pytest.raises(InvalidField, match=r"reply_to is no e-mail address: .*Use the form name@domain") as refusal:
        email_address(written, field="reply_to")
    assert refusal.value.field == "reply_to"
