"""Messages and documents to JSON and back, within limits, with personal data split off."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any, Final, Generic, TypeVar

import msgspec

from duly.errors import InvalidMessage, PayloadTooLarge
from duly.messages.fields import ERASED, Marker, marked_fields

PAYLOAD_BYTES_MAX: Final = 256 * 1024
JSON_DEPTH_MAX: Final = 32

T = TypeVar("T")

_ESCAPED_NUL: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_encoder: Final = msgspec.json.Encoder(order="deterministic")


class Encoded(msgspec.Struct, frozen=True):
    """A JSON body, and its personal fields as a JSON object of their own (None when it has none)."""

    body: str
    personal: str | None = None


class Codec(Generic[T]):
    """Encodes and decodes one type. What it has encoded it can decode: `encode` proves it before anything is stored."""

    def __init__(self, cls: type[T], label: str) -> None:
        self.cls = cls
        self.label = label
        self._decoder = msgspec.json.Decoder(cls)
        self.personal = marked_fields(cls, Marker.PERSONAL)
        """The names of its personal fields."""

    def encode(self, value: T) -> Encoded:
        """*value* as JSON. Raises `InvalidMessage`, `PayloadTooLarge`."""
        text = self.encode_whole(value)
        if not self.personal:
            return Encoded(text)
        fields: dict[str, Any] = msgspec.json.decode(text)
        personal = {name: fields.pop(name) for name in self.personal if name in fields}
        return Encoded(_encoder.encode(fields).decode(), _encoder.encode(personal).decode())

    def encode_whole(self, value: T) -> str:
        """*value* as one JSON object, personal fields included: for digests and documents."""
        try:
            raw = _encoder.encode(value)
        except UnicodeEncodeError as error:
            raise InvalidMessage(
                f"{self.label} holds a lone surrogate ({error.object[error.start : error.end]!a}): that is no text "
                "and cannot be stored. Decode the input properly, or replace the character."
            ) from None
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidMessage(f"{self.label} cannot be stored as JSON: {error}") from None
        text = raw.decode()
        if len(raw) > PAYLOAD_BYTES_MAX or "\\u0000" in text or text.count("[") + text.count("{") > JSON_DEPTH_MAX:
            check_text(text, len(raw), self.label)
        # msgspec writes a NaN float as null and a NaN Decimal as "NaN": only then is a closer look worth its time.
        if ("null" in text or "NaN" in text or "Infinity" in text) and value is not None:
            self._check_numbers(value)
        try:
            self._decoder.decode(text)
        except msgspec.ValidationError as error:
            raise InvalidMessage(f"{self.label} is malformed: {error}") from None
        return text

    def decode(self, body: str | bytes, personal: str | None = None) -> T:
        """The value of a stored body. Raises `InvalidMessage` when it does not fit the type."""
        try:
            if not self.personal:
                return self._decoder.decode(body)
            fields: dict[str, Any] = msgspec.json.decode(body)
            fields.update(msgspec.json.decode(personal) if personal else {})
        except (msgspec.DecodeError, RecursionError) as error:
            raise InvalidMessage(f"A stored {self.label} cannot be read: {error}") from None
        return self.decode_fields(fields)

    def decode_fields(self, fields: dict[str, Any]) -> T:
        """The value of stored fields, personal ones among them; those that are missing were erased."""
        try:
            return msgspec.convert({**dict.fromkeys(self.personal, ERASED), **fields}, self.cls)
        except (msgspec.ValidationError, RecursionError) as error:
            raise InvalidMessage(f"A stored {self.label} cannot be read: {error}") from None

    def parse(self, data: object) -> T:
        """The value of outside data: JSON text, or the mapping decoded from it. Raises `InvalidMessage`."""
        try:
            if isinstance(data, (str, bytes)):
                text, size = (data.decode(), len(data)) if isinstance(data, bytes) else (data, len(data.encode()))
                check_text(text, size, self.label)
                return self._decoder.decode(text)
            return msgspec.convert(data, self.cls)
        except UnicodeEncodeError:
            raise InvalidMessage(f"{self.label} holds a lone surrogate, which is no text.") from None
        except UnicodeDecodeError as error:
            raise InvalidMessage(f"{self.label} is malformed: {error}") from None
        except (msgspec.ValidationError, msgspec.DecodeError, RecursionError) as error:
            raise InvalidMessage(f"{self.label} is malformed: {error}") from None

    def _check_numbers(self, value: T) -> None:
        where = _not_finite(msgspec.to_builtins(value, builtin_types=(Decimal,)), "$")
        if where:
            raise InvalidMessage(f"{self.label} holds a number that is not finite at {where}. Store None instead.")


def check_text(text: str, size: int, label: str) -> None:
    """Refuse JSON of *size* bytes that is too large, too deep or holds NUL.

    Raises `InvalidMessage`, `PayloadTooLarge`.
    """
    if size > PAYLOAD_BYTES_MAX:
        raise PayloadTooLarge(
            f"{label} has {size:,} bytes as JSON; the limit is {PAYLOAD_BYTES_MAX:,}. "
            "Store the large part elsewhere and keep a reference to it."
        )
    if "\\u0000" in text and _ESCAPED_NUL.search(text):
        raise InvalidMessage(f"{label} holds a NUL character, which PostgreSQL cannot store. Remove it.")
    if text.count("[") + text.count("{") > JSON_DEPTH_MAX and _depth(text) > JSON_DEPTH_MAX:
        raise InvalidMessage(f"{label} is nested deeper than {JSON_DEPTH_MAX} levels. Flatten it.")


def _depth(text: str) -> int:
    """How deep the brackets of JSON are nested, brackets inside strings left out."""
    depth = deepest = 0
    for token in re.finditer(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', text):
        mark = token.group()
        if mark in ("[", "{"):
            depth += 1
            deepest = max(deepest, depth)
        elif mark in ("]", "}"):
            depth -= 1
    return deepest


def _not_finite(value: object, path: str) -> str | None:
    """The path of the first number that is not finite."""
    match value:
        case float():
            return None if math.isfinite(value) else path
        case Decimal():
            return None if value.is_finite() else path
        case dict():
            parts = ((f"{path}.{name}", item) for name, item in value.items())
        case list() | tuple() | set() | frozenset():
            parts = ((f"{path}[{index}]", item) for index, item in enumerate(value))
        case _:
            return None
    return next((found for where, item in parts if (found := _not_finite(item, where))), None)
