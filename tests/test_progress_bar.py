"""A person at a terminal sees a bar; logs and pipes get the lines."""

import io
import os
import pty
import sys
import threading

import pytest

from aman.step import Step
from jobs.progress_bar import Bars

CLIPS = [Step(f"clip {n}/3 sub0{n}/EP01: {n}.0 s, ETA 0:0{3 - n}", work="clips", done=n, all=3) for n in (1, 2, 3)]
LOST = Step("clip 2/3 sub02/\x1b[31mEP: got no face", work="clips", done=2, all=3, news=True)


def in_terminal(*lines: str, before_end: str = "") -> str:
    """What a terminal is sent for these lines."""
    reader, writer = pty.openpty()
    shown: list[bytes] = []

    def read() -> None:
        while True:
            try:
                shown.append(os.read(reader, 65536))
            except OSError:  # how the end of a terminal reads
                return

    thread = threading.Thread(target=read)
    thread.start()
    with os.fdopen(writer, "w") as stream:
        bars = Bars(stream)
        for line in lines:
            bars.show(line)
        bars.close()
    thread.join(10)
    os.close(reader)
    return b"".join(shown).decode()


def test_a_pipe_gets_every_line_as_it_is_and_no_bar() -> None:
    stream = io.StringIO()
    bars = Bars(stream)
    for line in ("folds: 0 done", *CLIPS, LOST, "done"):
        bars.show(line)
    bars.close()
    assert stream.getvalue().splitlines() == ["folds: 0 done", *CLIPS, LOST.replace("\x1b", "\\x1b"), "done"]


def test_a_terminal_gets_a_bar_with_the_count_the_rate_and_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    shown = in_terminal("folds: 0 done", *CLIPS, "done")
    assert shown.startswith("folds: 0 done\r\n") and shown.rstrip().endswith("done")
    assert "3/3" in shown and " a minute" in shown and "ETA 0:00" in shown
    assert "sub03/EP01: 3.0" not in shown  # a bar, and no line for each clip


@pytest.mark.parametrize("columns", ["20", "1"])
def test_a_narrow_terminal_gets_the_count_alone(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("TERM", "xterm")
    shown = in_terminal("folds: 0 done, and a sentence", *CLIPS, "done")
    assert "folds: 0 done, and a sentence" in shown and "ETA" not in shown and "minute" not in shown
    assert ("3/3" in shown) == (columns == "20")


def test_what_went_wrong_is_a_line_above_the_bar_and_moves_no_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    shown = in_terminal(CLIPS[0], LOST, "remark: a sentence [in brackets]")
    assert r"clip 2/3 sub02/\x1b[31mEP: got no face" in shown and "a sentence [in brackets]" in shown
    assert "2/3" in shown and "3/3" not in shown


def test_without_rich_a_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert in_terminal(*CLIPS).splitlines() == CLIPS
