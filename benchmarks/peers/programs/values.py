"""Values that ours writes too; a test holds them equal to those of the subjects, which import duly."""

from __future__ import annotations

from typing import Final

CUSTOMER: Final = "+4915123456789"
TOTAL: Final = "99.90"
NOTE: Final = "what was paid, and for what"
STREAMS: Final = 50
EVENTS: Final = 100
PAGE_EVENTS: Final = 1_000
LINES_PER_BASKET: Final = 4
COMMANDS_PER_SECOND: Final = 200
