"""What clients ask for, drawn by lot: few hot aggregates, some that come and go, and everything that may get in each
other's way when it is committed together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from random import Random
from typing import Final

import msgspec

from tests.isolation.application import Do, Step
from tests.isolation.history import Write

HOT: Final = ("a1", "a2", "a3", "s1", "s2")
"""They are there from the beginning. Keys with *s* are event-sourced."""
HOT_FOR: Final = 400
"""After so many programs others are hot: the lists grow, and with them the time that it takes to tell them."""
FLEETING: Final = ("f1", "f2", "f3")
"""They are created and removed all the time, where a plan says so."""
BADGES: Final = ("b1", "b2", "b3", "b4")
NAMES: Final = ("ann", "bob", "cy")
"""Unique values, fewer than there are badges."""


MOVES_ON: Final = 12
"""After so many programs they turn to other aggregates, of those that are created or removed once."""


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """A command or a query, before it is asked for."""

    id: str
    plan: str
    steps: tuple[Step, ...] = ()
    keys: tuple[str, ...] = ()
    """Of a query: what it looks at."""
    in_one_statement: bool = False

    @property
    def is_query(self) -> bool:
        """Whether it only looks."""
        return bool(self.keys)

    @property
    def writes(self) -> tuple[Write, ...]:
        """What it means to write."""
        writing = (Do.APPEND, Do.ENSURE, Do.CREATE, Do.REMOVE, Do.TAKE_BACK)
        return tuple(
            Write(
                step.key,
                step.number,
                removes=step.do is Do.REMOVE,
                taken_back=step.do is Do.TAKE_BACK,
                name=step.name,
            )
            for step in self.steps
            if step.do in writing
        )

    def has(self, do: Do) -> bool:
        """Whether one of its steps does so."""
        return any(step.do is do for step in self.steps)


class Programs:
    """Draws programs. Ids and numbers are drawn once.

    Unless they are to be *recreated*, aggregates that are removed (*r*…) were there from the beginning and never come
    again, and those that several create at once (*n*…) are never removed.
    """

    def __init__(self, lots: Random, *, operations: int, recreated: bool = False) -> None:
        self._lots = lots
        self._operations = operations
        self._recreated = recreated
        self._drawn = 0
        self._ids = count(1)
        self._numbers = count(1)
        self._sorts: Mapping[Callable[[], Program], int] = {
            self._append: 22,
            self._transfer: 18,
            self._guarded: 10,
            self._decorated: 6,
            self._audit: 6,
            self._snapshot: 6,
            self._look: 4,
            self._ensure: 7,
            self._create: 6,
            self._remove: 7,
            self._claim: 8,
            self._refused: 6,
            self._taken_back: 4,
            self._jotted: 6,
        }

    def first(self) -> list[Program]:
        """What has to be there before."""
        hot = [f"{key}.{turn}" for turn in range(self._operations // HOT_FOR + 1) for key in HOT]
        removable = [f"r{place}" for place in range(self._operations // MOVES_ON + 2)]
        keys = hot if self._recreated else (*hot, *removable)
        return [self._program("opened", Step(do=Do.CREATE, key=key, number=next(self._numbers))) for key in keys]

    def draw(self) -> Program:
        """The next one."""
        self._drawn += 1
        (sort,) = self._lots.choices(list(self._sorts), weights=list(self._sorts.values()))
        return sort()

    def _program(self, plan: str, *steps: Step) -> Program:
        if self._lots.random() < 0.1 and any(step.number for step in steps):
            steps = (*steps, Step(do=Do.TEXT))
        return Program(id=f"o{next(self._ids)}", plan=plan, steps=steps)

    def _asked(self, plan: str, keys: Sequence[str], *, in_one_statement: bool = False) -> Program:
        return Program(id=f"q{next(self._ids)}", plan=plan, keys=tuple(keys), in_one_statement=in_one_statement)

    def _hot(self, number: int = 1) -> list[str]:
        return self._lots.sample(self._all_hot(), number)

    def _all_hot(self) -> list[str]:
        turn = min(self._drawn, self._operations) // HOT_FOR
        return [f"{key}.{turn}" for key in HOT]

    def _new(self) -> str:
        """One that may have to be created."""
        if self._recreated:
            return self._lots.choice(FLEETING)
        return f"{self._lots.choice('ns')}{10 + self._drawn // MOVES_ON + self._lots.randrange(2)}"

    def _removable(self) -> str:
        """One that may have been removed."""
        if self._recreated:
            return self._lots.choice(FLEETING)
        return f"r{min(self._drawn, self._operations) // MOVES_ON + self._lots.randrange(2)}"

    def _appending(self, key: str) -> Step:
        return Step(do=Do.APPEND, key=key, number=next(self._numbers))

    def _append(self) -> Program:
        (key,) = self._hot()
        times = 2 if self._lots.random() < 0.2 else 1
        return self._program("append", *(self._appending(key) for _ in range(times)))

    def _transfer(self) -> Program:
        return self._program("transfer", *(self._appending(key) for key in self._hot(self._lots.choice((2, 2, 3)))))

    def _guarded(self) -> Program:
        """One is read with get or find, another written: two of these the other way round are a write skew."""
        new, removable = self._new(), self._removable()
        hot, _, _, stream, _ = self._all_hot()
        read, written = self._lots.choice(
            (self._hot(2), [hot, stream], [stream, hot], [new, hot], [hot, new], [removable, hot], [hot, removable])
        )
        do = Do.FIND if read in (new, removable) else self._lots.choice((Do.GET, Do.FIND))
        writing = Do.ENSURE if written == new else Do.APPEND
        return self._program(
            "guarded", Step(do=do, key=read), Step(do=writing, key=written, number=next(self._numbers))
        )

    def _decorated(self) -> Program:
        read, written = self._hot(2)
        return self._program("decorated", Step(do=Do.PEEK, key=read), self._appending(written))

    def _audit(self) -> Program:
        return self._program("audit", *(Step(do=Do.GET, key=key) for key in self._hot(3)))

    def _snapshot(self) -> Program:
        keys = {*self._all_hot(), self._new(), self._removable()}
        return self._asked("snapshot", sorted(key for key in keys if not key.startswith("s")), in_one_statement=True)

    def _look(self) -> Program:
        return self._asked("look", self._hot(3))

    def _ensure(self) -> Program:
        steps = [Step(do=Do.ENSURE, key=self._new(), number=next(self._numbers))]
        if self._lots.random() < 0.5:
            steps.append(self._appending(*self._hot()))
        return self._program("ensure", *steps)

    def _create(self) -> Program:
        """Without looking: if it is there, all of it is refused, also what comes before."""
        create = Step(do=Do.CREATE, key=self._new(), number=next(self._numbers))
        return self._program("create", self._appending(*self._hot()), create)

    def _remove(self) -> Program:
        """Or append to what another one removes."""
        do = self._lots.choice((Do.REMOVE, Do.APPEND))
        steps = [Step(do=do, key=self._removable(), number=next(self._numbers))]
        if self._lots.random() < 0.3:
            steps.append(self._appending(*self._hot()))
        return self._program("remove", *steps)

    def _claim(self) -> Program:
        key = self._lots.choice(BADGES)
        name = self._lots.choice((*NAMES, None))
        steps = [Step(do=Do.ENSURE, key=key, number=next(self._numbers), name=name)]
        if self._lots.random() < 0.4:
            steps.insert(0, self._appending(*self._hot()))
        return self._program(f"claim {name}", *steps)

    def _refused(self) -> Program:
        first, second = (self._appending(key) for key in self._hot(2))
        middle = [Step(do=Do.JOT)] if self._lots.random() < 0.3 else []
        return self._program("refused", first, *middle, Step(do=Do.REFUSE), second)

    def _taken_back(self) -> Program:
        first, second = self._hot(2)
        block = Step(do=Do.TAKE_BACK, key=first, number=next(self._numbers))
        return self._program("taken back", block, self._appending(second))

    def _jotted(self) -> Program:
        """SQL of its own, and with it an open transaction, beside the plain ones."""
        first, *rest = (self._appending(key) for key in self._hot(self._lots.choice((1, 2))))
        return self._program("jotted", first, Step(do=Do.JOT), *rest)
