"""Plants one mistake after another in a file of the pure core, and counts those that its tests find.

    python -m tests.states.mutation duly.states.effect tests/states/test_effect_states.py …

prints the survivors and, last, `FOUND of ALL`. Each mutant runs the tests in a process of its own, forked from one
that has everything imported; a mutant that hangs is found when its time is up.
"""

from __future__ import annotations

import ast
import copy
import importlib
import importlib.util
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Final, TypeVar

import hypothesis
import pytest

import duly

SECONDS_MAX: Final = 60.0
AT_ONCE: Final = 2
PYTEST: Final = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:timeout", "-W", "ignore"]
OTHER: Final[dict[type[ast.AST], list[Callable[[], ast.AST]]]] = {
    ast.Lt: [ast.LtE, ast.GtE],
    ast.LtE: [ast.Lt, ast.Gt],
    ast.Gt: [ast.GtE, ast.LtE],
    ast.GtE: [ast.Gt, ast.Lt],
    ast.Eq: [ast.NotEq],
    ast.NotEq: [ast.Eq],
    ast.Is: [ast.IsNot],
    ast.IsNot: [ast.Is],
    ast.In: [ast.NotIn],
    ast.NotIn: [ast.In],
    ast.Add: [ast.Sub],
    ast.Sub: [ast.Add],
    ast.Mult: [ast.FloorDiv],
    ast.FloorDiv: [ast.Mult],
    ast.Mod: [ast.Mult],
    ast.BitOr: [ast.BitAnd],
    ast.And: [ast.Or],
    ast.Or: [ast.And],
}


Tree = TypeVar("Tree", bound=ast.AST)


def changes(node: ast.AST) -> Iterator[ast.AST]:
    """The node, mistaken, in each way that there is."""

    def but(**fields: object) -> ast.AST:
        changed = copy.copy(node)
        for name, value in fields.items():
            setattr(changed, name, value)
        return changed

    match node:
        case ast.Compare(ops=[op]):
            yield from (but(ops=[other()]) for other in OTHER.get(type(op), []))
        case ast.BinOp(op=operator):
            yield from (but(op=other()) for other in OTHER.get(type(operator), []))
        case ast.BoolOp(op=operation):
            yield from (but(op=other()) for other in OTHER[type(operation)])
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield operand
        case ast.Constant(value=bool(truth)):
            yield but(value=not truth)
        case ast.Constant(value=int(number)):
            yield from (but(value=number + 1), but(value=number - 1))
        case ast.Constant(value=str(text)):
            yield but(value=f"{text}!")
        case ast.If(test=test) | ast.IfExp(test=test):
            yield but(test=ast.UnaryOp(ast.Not(), test))
        case ast.match_case(guard=ast.expr()):
            yield but(guard=None)
        case ast.Set(elts=elements) if elements:
            yield from (but(elts=[*elements[:n], *elements[n + 1 :]]) for n in range(len(elements)))
        case ast.Call(keywords=keywords) if keywords:
            yield from (but(keywords=[*keywords[:n], *keywords[n + 1 :]]) for n in range(len(keywords)))
        case ast.Call(func=ast.Name(id="min" | "max" as name)):
            yield but(func=ast.Name("max" if name == "min" else "min", ast.Load()))
        case ast.Return(value=ast.expr() as value) if not (isinstance(value, ast.Constant) and value.value is None):
            yield but(value=ast.Constant(None))
        case _:
            pass


def mutants(tree: Tree) -> Iterator[tuple[str, Tree]]:
    """What was planted where, and the mistaken tree. Docstrings and annotations are no code."""
    for name, value in ast.iter_fields(tree):
        if name in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for position, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST) or (
                isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
            ):
                continue
            inner = [(f"{planted}", found) for planted, found in mutants(child)]
            own = [(f"{getattr(child, 'lineno', '?')}: {type(child).__name__}", found) for found in changes(child)]
            for planted, found in own + inner:
                changed = copy.copy(tree)
                setattr(
                    changed, name, found if position is None else [*value[:position], found, *value[position + 1 :]]
                )
                yield planted, changed


def survives(name: str, path: str, tree: ast.Module, tests: list[str]) -> bool:
    """Whether the tests find nothing with the mutant in place of the module, in this process."""
    for known in [known for known in sys.modules if known.startswith("duly.states.")]:
        del sys.modules[known]
    module = ModuleType(name)
    module.__file__ = path
    sys.modules[name] = module
    package, _, file = name.rpartition(".")
    setattr(importlib.import_module(package), file, module)
    exec(compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True), module.__dict__)
    return pytest.main([*PYTEST, "-o", "addopts=--import-mode=importlib", *tests]) == pytest.ExitCode.OK


def fork(name: str, path: str, tree: ast.Module, tests: list[str]) -> int:
    """The process id of a child that ends with 0 if the mutant is found."""
    if child := os.fork():
        return child
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)
    found = 0
    try:
        found = int(survives(name, path, tree, tests))
    finally:
        os._exit(found)


def main() -> None:
    assert duly.__file__  # imported here, once; the files of the pure core are imported anew for every mutant
    name, *tests = sys.argv[1:]
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    with open(spec.origin) as source:
        tree = ast.parse(source.read())
    hypothesis.settings.register_profile("mutants", max_examples=40, derandomize=True, database=None, deadline=None)
    hypothesis.settings.load_profile("mutants")
    waiting = [("nothing", tree), *mutants(tree)]
    total, survivors, running = len(waiting) - 1, [], dict[int, tuple[str, float]]()
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            planted, mutant = waiting.pop(0)
            running[fork(name, spec.origin, mutant, tests)] = (planted, time.monotonic() + SECONDS_MAX)
        for late in [process for process, (_, until) in running.items() if time.monotonic() > until]:
            os.kill(late, signal.SIGKILL)
        child, status = os.waitpid(-1, os.WNOHANG)
        if not child:
            time.sleep(0.01)
            continue
        planted, _ = running.pop(child)
        if os.waitstatus_to_exitcode(status) == 1:
            survivors.append(planted)
    assert "nothing" in survivors, f"the tests of {name} fail without a mistake in it"
    survivors.remove("nothing")
    print(*survivors, f"{total - len(survivors)} of {total}", sep="\n")


if __name__ == "__main__":
    main()
