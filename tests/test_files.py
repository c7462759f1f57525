"""Files that appear whole or not at all."""

import errno
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from aman.files import Repeated, write_whole


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_bytes_and_text_are_written_as_they_are_and_take_the_place_of_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert write_whole(path, b"\x00first")
    assert path.read_bytes() == b"\x00first"
    assert write_whole(path, "zweite Zeile: ü\n")
    assert path.read_bytes() == "zweite Zeile: ü\n".encode()
    assert list(tmp_path.iterdir()) == [path]


def test_without_replacing_the_first_writer_wins_and_the_others_are_told(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda number: write_whole(path, f"writer {number}", replace=False), range(16)))
    assert won.count(True) == 1
    assert path.read_text() == f"writer {won.index(True)}"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_what_was_there_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "file"
    write_whole(path, "before")

    def refuse(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, step, refuse)
    with pytest.raises(OSError, match="no space"):
        write_whole(path, "after")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_has_the_usual_permissions_and_a_private_one_never_had_more_than_its_owners(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plain").touch()
    write_whole(tmp_path / "usual", "text")
    assert mode_of(tmp_path / "usual") == mode_of(tmp_path / "plain")
    seen: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: seen.append(stat.S_IMODE(os.fstat(descriptor).st_mode)))
    write_whole(tmp_path / "private", "secret", mode=0o600)
    assert mode_of(tmp_path / "private") == seen[0] == 0o600


def test_the_content_is_on_the_disk_before_the_name_is_and_the_name_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, events = tmp_path / "file", list[str]()

    def synced(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "content"
        events.append(f"{kind}, {'named' if path.exists() else 'no name'}")

    monkeypatch.setattr(os, "fsync", synced)
    write_whole(path, "text")
    assert events == ["content, no name", "folder, named"]
    write_whole(tmp_path / "other", "text", sync=False)
    assert len(events) == 2


@pytest.mark.parametrize("most", [0, 2, 10**6])
def test_files_of_a_few_contents_are_whole_where_links_are_refused_and_replace_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    def some_links(first: str, path: str) -> None:
        if link.count == most and not Path(path).exists():
            raise OSError(errno.EMLINK, os.strerror(errno.EMLINK))
        made(first, path)
        link.count += 1

    made, link, files = os.link, SimpleNamespace(count=0), Repeated()
    monkeypatch.setattr(os, "link", some_links)
    wanted = {f"{number}": b"ab"[number % 2 :][:1] * 9 for number in range(8)}
    for name, content in wanted.items():
        files.write(str(tmp_path / name), content)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == wanted
    assert len({path.stat().st_ino for path in tmp_path.iterdir()}) == {0: 8, 2: 6, 10**6: 2}[most]
    wanted |= {"0": b"b" * 9, "2": b"a" * 9, "3": b"c"}
    for name in ("0", "2", "3"):
        files.write(str(tmp_path / name), wanted[name])
    wanted |= {"1": b"d", "2": b"e", "8": b"a" * 9, "9": b"b" * 9}  # new contents in the place of files linked to
    for name in ("1", "2", "8", "9"):
        files.write(str(tmp_path / name), wanted[name])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == wanted


WRITER = """
import sys
from pathlib import Path
from aman.files import write_whole
for number in range(10**6):
    write_whole(Path(sys.argv[1]), bytes([number % 256]) * 3_000_000, sync=False)
    print(number, flush=True)
"""


def test_a_reader_sees_a_whole_file_whatever_kills_its_writer(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for lines in (1, 2, 5):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        for _ in range(lines):
            writer.stdout.readline()
            content = path.read_bytes()
            assert len(content) == 3_000_000 and len(set(content)) == 1
        writer.kill()
        writer.communicate()
        content = path.read_bytes()
        assert len(content) == 3_000_000 and len(set(content)) == 1
