"""What a user can get wrong, said in one sentence: what was got, what was expected, how to mend it.

Jobs print it without a traceback and end with `code`. Anything else that is raised is a fault of ours.
"""

from pathlib import Path


class UserError(Exception):
    """A mistake outside the code. `code` is the exit code of the job that meets it."""

    code = 2

    def __init__(self, *, got: str, expected: str, fix: str) -> None:
        super().__init__(got, expected, fix)
        self.got, self.expected, self.fix = got, expected, fix

    def __str__(self) -> str:
        return f"got {self.got}; expected {self.expected}; fix: {self.fix}"

    def __reduce__(self) -> tuple:
        # An exception with keyword-only arguments is otherwise lost on its way back from a worker.
        return _restore, (type(self), self.got, self.expected, self.fix)


class UsageError(UserError):
    """A wrong option, path or setting (exit code 2)."""


class DataError(UserError):
    """Wrong, missing or unreadable data (exit code 4)."""

    code = 4


class FoldsFailedError(UserError):
    """No fold could be trained (exit code 3)."""

    code = 3


class SessionLostError(UserError):
    """Ray's own processes were killed, or the cluster is gone (exit code 5)."""

    code = 5


def _restore(kind: type[UserError], got: str, expected: str, fix: str) -> UserError:
    return kind(got=got, expected=expected, fix=fix)


def unwritable(place: Path, error: OSError, fix: str = "name another --out") -> UsageError:
    """The error for a folder or file that cannot be written."""
    return UsageError(
        got=f"{place}, which cannot be written ({error.strerror})",
        expected="a folder with room that can be written",
        fix=fix,
    )
