"""A peer's program that never ends."""

import threading

threading.Event().wait()
