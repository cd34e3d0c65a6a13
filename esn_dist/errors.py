"""The one family of errors that a user can fix: printed without a traceback, with place, expectation and fix.

Everything that is not a `UserError` is a fault of the program and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Invalid input of the user.

    Args:
        problem: what is wrong, one sentence.
        where: file (and line), folder or command-line option with the mistake.
        expected: what would have been accepted.
        fix: the edit or the command that fixes it.
    """

    def __init__(
        self, problem: str, *, where: str | None = None, expected: str | None = None, fix: str | None = None
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.where = where
        self.expected = expected
        self.fix = fix

    def __str__(self) -> str:
        first = f"{self.where}: {self.problem}" if self.where else self.problem
        rest = (("expected", self.expected), ("fix", self.fix))
        return "\n".join([first, *(f"  {name}: {text}" for name, text in rest if text)])

    def __reduce__(self) -> tuple[object, ...]:
        # Ray carries errors between processes by pickling; keyword-only arguments need this.
        return (_rebuild, (type(self), self.problem, self.where, self.expected, self.fix))


def _rebuild(kind: type[UserError], problem: str, where: str, expected: str, fix: str) -> UserError:
    return kind(problem, where=where, expected=expected, fix=fix)


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """` Did you mean 'ConAct'?`, or nothing where no allowed word is near."""
    candidates = {name.casefold(): name for name in allowed}
    near = difflib.get_close_matches(word.casefold(), candidates, n=1, cutoff=0.6)
    return f" Did you mean {candidates[near[0]]!r}?" if near else ""
