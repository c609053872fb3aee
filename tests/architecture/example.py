"""Rules of the example shop. Its modules are the packages of ``examples/shop`` that have a ``messages.py``."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.architecture.source_files import Imported, SourceFile, source_files

SHOP: Final = "examples.shop"
OUTSIDE: Final = re.compile(r"examples/shop/(sandbox|demo)(/|\.py$|_)")
"""The outside world and the harness of the demo: they start processes, and are no part of the application."""


def shop_files(root: Path) -> list[SourceFile]:
    """The application's files below *root*: without its sandbox and the harness of its demo."""
    return [file for file in source_files(root, "examples/shop") if not OUTSIDE.match(str(file.path))]


def modules_of(files: Sequence[SourceFile]) -> set[str]:
    """Dotted names of the example's modules."""
    return {
        ".".join(file.path.parent.parts)
        for file in files
        if file.path.name == "messages.py" and ".".join(file.path.parent.parts) != SHOP
    }


def only_duly_and_itself(files: Sequence[SourceFile]) -> list[str]:
    """The example imports duly's public door, gateways, the standard library and itself."""
    found: list[str] = []
    for file in files:
        for imported in file.imports():
            if imported.top in sys.stdlib_module_names or f"{imported.dotted}.".startswith(f"{SHOP}."):
                if re.match(r"examples\.shop\.(sandbox|demo)\b", imported.dotted):
                    found.append(file.said(imported.line, f"imports {imported.dotted}, the outside. Use a gateway."))
                continue
            is_door = imported.module == "duly" or f"{imported.module}.".startswith("duly.gateways.")
            if not is_door:
                found.append(
                    file.said(
                        imported.line,
                        f"imports {imported.dotted}. An application needs duly and duly.gateways only; what is missing "
                        "there belongs into duly's public door.",
                    )
                )
    return found


def modules_meet_in_messages(files: Sequence[SourceFile]) -> list[str]:
    """A module of the example sees of another one its messages only."""
    modules = modules_of(files)
    found: list[str] = []
    for file in files:
        own = _module_of(file.module, modules)
        if own is None:
            continue
        for imported in file.imports():
            other = _module_of(imported.dotted, modules)
            if other in (None, own) or _is_messages(imported, other):
                continue
            found.append(
                file.said(
                    imported.line,
                    f"{own} imports {imported.dotted}. Offer it as a message of {other}, and import {other}.messages.",
                )
            )
        if file.path.name == "messages.py":
            found += [
                file.said(imported.line, f"messages import {imported.dotted}. They stand alone, so that others can.")
                for imported in file.imports()
                if _module_of(imported.dotted, modules) == own
            ]
    return found


def _module_of(dotted: str, modules: set[str]) -> str | None:
    return next((module for module in modules if dotted == module or dotted.startswith(f"{module}.")), None)


def _is_messages(imported: Imported, module: str | None) -> bool:
    return imported.dotted == f"{module}.messages" or imported.module == f"{module}.messages"
