"""Imports what duly stands on, and prints how many seconds that took."""

import time

begun = time.perf_counter()
import asyncio  # noqa: E402, F401

import msgspec  # noqa: E402, F401

print(time.perf_counter() - begun)
