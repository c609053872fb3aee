"""Python files as syntax trees, and what they import."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath


@dataclass(frozen=True)
class Imported:
    """One imported module, or one name imported from a module (then `name` is set)."""

    line: int
    module: str
    name: str | None = None

    @property
    def dotted(self) -> str:
        """Module and name in one."""
        return self.module if self.name is None else f"{self.module}.{self.name}"

    @property
    def top(self) -> str:
        """The top-level package."""
        return self.module.partition(".")[0]


@dataclass(frozen=True)
class SourceFile:
    """One file, by its path in the tree (``duly/states/effect.py``)."""

    path: PurePosixPath
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax tree."""
        return ast.parse(self.text, str(self.path))

    @cached_property
    def module(self) -> str:
        """Its dotted name."""
        parts = self.path.with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def imports(self) -> Iterator[Imported]:
        """Everything it imports, inside functions too, relative names resolved."""
        package = self.path.parent.parts
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield Imported(node.lineno, alias.name)
            if isinstance(node, ast.ImportFrom):
                above = package[: len(package) - (node.level - 1)] if node.level else ()
                source = ".".join((*above, *filter(None, [node.module])))
                for alias in node.names:
                    yield Imported(node.lineno, source, alias.name)

    def said(self, line: int, text: str) -> str:
        """A finding with its place."""
        return f"{self.path}:{line}: {text}"


def source_files(root: Path, under: str) -> list[SourceFile]:
    """The Python files of the folder *under* below *root*, by path."""
    return [
        SourceFile(PurePosixPath(file.relative_to(root).as_posix()), file.read_text())
        for file in sorted((root / under).rglob("*.py"))
        if "__pycache__" not in file.parts
    ]


def dotted_name(node: ast.expr) -> str:
    """``a.b.c`` of a chain of attributes; the empty text for anything else."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attribute):
            before = dotted_name(value)
            return f"{before}.{attribute}" if before else ""
        case _:
            return ""
