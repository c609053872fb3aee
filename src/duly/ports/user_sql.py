"""What goes into users' SQL, and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias

SqlValue: TypeAlias = str | int | float | bool | bytes | Decimal | datetime | None
SqlRow: TypeAlias = Mapping[str, object]
