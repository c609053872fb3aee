"""What ``import duly`` gives, and what it does not bring along."""

from __future__ import annotations

import ast
import inspect
import json
import subprocess
import sys

import pytest

import duly
from duly.states.effect import Dispatch
from tests.architecture.rules import HOMES
from tests.architecture.source_files import source_files
from tests.architecture.tree import ROOT

# The API package of OpenTelemetry is made to be imported where it is installed, and does nothing by itself.
COMES_ALONG = {"msgspec", "typing_extensions", "opentelemetry"}

LOOK_AROUND = """
import json, sys, threading
import duly, duly.failpoints, duly.gateways, duly.stores
print(json.dumps([
    sorted({name.partition(".")[0] for name in sys.modules}),
    duly.failpoints.armed(),
    threading.active_count(),
]))
"""


@pytest.fixture(scope="module")
def after_import() -> tuple[set[str], bool, int]:
    """Top-level packages, whether a failpoint is armed, and the number of threads, in a process that imports duly."""
    done = subprocess.run(
        [sys.executable, "-c", LOOK_AROUND],
        # Names under which other projects arm such hooks; here they must mean nothing.
        env={
            "PYTHONPATH": str(ROOT / "src"),
            "DULY_FAILPOINTS": "sender.after_call",
            "FAILPOINTS": "sender.after_call",
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    packages, armed, threads = json.loads(done.stdout)
    return set(packages), armed, threads


def test_importing_duly_imports_no_driver(after_import: tuple[set[str], bool, int]) -> None:
    packages, _, _ = after_import
    assert packages & HOMES.keys() <= COMES_ALONG


def test_importing_duly_starts_no_thread_and_arms_no_failpoint(after_import: tuple[set[str], bool, int]) -> None:
    _, armed, threads = after_import
    assert not armed
    assert threads == 1


def test_the_public_names_are_sorted_and_exist() -> None:
    assert list(duly.__all__) == sorted(set(duly.__all__))
    assert [name for name in duly.__all__ if not hasattr(duly, name)] == []


def test_the_public_door_imports_what_it_names_and_nothing_else() -> None:
    door = next(file for file in source_files(ROOT / "src", "duly") if file.module == "duly")
    assert sorted(imported.name or imported.module for imported in door.imports()) == list(duly.__all__)


@pytest.mark.parametrize("name", duly.__all__)
def test_a_public_name_has_a_docstring(name: str) -> None:
    public = getattr(duly, name)
    if not isinstance(public, type) and not inspect.isfunction(public):
        assert name in documented_aliases(), f"write a docstring below the definition of {name}"
        return
    # Of its own: the one it inherits says something else.
    assert public.__dict__.get("__doc__") if isinstance(public, type) else public.__doc__
    members = vars(public).items() if isinstance(public, type) else ()
    bare = [
        member
        for member, value in members
        if not member.startswith("_")
        and (inspect.isfunction(value) or isinstance(value, property | classmethod | staticmethod))
        and not inspect.getdoc(value)
    ]
    assert not bare, f"write docstrings for {name}: {bare}"


def documented_aliases() -> set[str]:
    """Aliases with a docstring below them (or below the last of a group), or with their name in the module's."""
    found: set[str] = set()
    for file in source_files(ROOT / "src", "duly"):
        of_module = ast.get_docstring(file.tree) or ""
        group: list[str] = []
        for node in file.tree.body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                group.append(node.target.id)
                if node.target.id.lower() in of_module.lower():
                    found.add(node.target.id)
                continue
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                found.update(group)
            group = []
    return found


def test_no_state_of_dispatch_claims_that_a_message_was_sent_or_arrived() -> None:
    claims = {"sent", "sending", "delivered", "done", "success", "succeeded"}
    assert not claims & {state.value for state in Dispatch} | claims & {state.name.lower() for state in Dispatch}
