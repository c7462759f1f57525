"""How large a database, a store and a search may be: seconds and peak memory of what grows with them.

`.venv/bin/python bench/scale.py` prints a row a measure, each from a process of its own: `--plan` of many clips and
subjects, `--plan` of a search of a million folds, what `jobs/cache.py` does with many objects, and what a driver holds
of many finished folds. Nothing is trained, and no Ray is started. Time: three minutes on two cores that do nothing
else; `docs/measurements.md` has results.
"""

import hashlib
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from aman.content import content_key
from cluster.store.folder import FolderStore
from jobs.command_line import DONE, run_job, say

ROOT = Path(__file__).parents[1]
CLASSES = ("happiness", "surprise", "others")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of scale."""

    clips: int = 10_000
    """Clips of the database that is planned."""
    subjects: int = 2_000
    """Subjects of the same."""
    objects: int = 300_000
    """Objects of the store that is looked after: as many results, and as many names of them, as make this number."""
    folds: int = 100_000
    """Finished folds of a search."""
    planned: int = 1_040_000
    """Folds of a search that is planned, of 26 subjects with 246 clips: rounded up to 52,000 times a whole number."""
    only: tuple[str, ...] = ()
    """Measures to take, by name: plan, search, status, verify, clean, results. Empty: all."""
    folder: Path | None = None
    """Where the database and the store are kept for another time; empty: a folder that is removed."""
    inside: str = field(default="", metadata={"internal": True})
    """The measure that this process is: set by the program itself."""


def database(folder: Path, clips: int, subjects: int) -> Path:
    """A table of clips of two tiny frames each; made where it is not there yet."""
    import cv2

    if not (folder / "clips.csv").is_file():
        draw, rows = np.random.default_rng(0), ["clip,subject,label,onset,apex,offset,frames"]
        for number in range(clips):
            frames = folder / "frames" / f"{number:06d}"
            frames.mkdir(parents=True, exist_ok=True)
            for frame in (1, 2):
                image = draw.integers(60, 200, (16, 16, 3), dtype=np.uint8)
                assert cv2.imwrite(str(frames / f"img{frame}.png"), image)
            rows.append(f"c{number:06d},s{number % subjects:05d},{CLASSES[number % 3]},,,,frames/{number:06d}")
        (folder / "clips.csv").write_text("\n".join(rows) + "\n")
    return folder


def space(folder: Path, folds: int) -> Path:
    """A space of 2,000 configurations of 26 folds each, or of so many times 2,000 that there are that many folds."""
    path = folder / "space.py"
    epochs = -(-folds // 52_000)
    choices = f'{{"k": range(7, 12), "n": range(1, 21), "batch": range(1, 21), "epochs": range(1, {epochs + 1})}}'
    lines = (
        '"""Many configurations."""', "", "from tune_spaces import Space", "",
        f'SPACE = Space(reproduces="nothing", choices={{name: tuple(some) for name, some in {choices}.items()}})',
    )  # fmt: skip
    path.write_text("\n".join(lines) + "\n")
    return path


def filled(folder: Path, objects: int) -> Path:
    """A store of that many objects, half of them blobs; made where it is not there yet."""
    if not folder.is_dir():
        from safetensors.numpy import save

        from cluster.store import results

        places = {f"{kind}/{number:02x}" for kind in ("blobs", "refs/features") for number in range(256)}
        for place in places:
            (folder / place).mkdir(parents=True)
        for number in range(objects // 2):
            content = save({"feature_LKCHW": np.full(8, number, dtype=np.float32)})
            digest, key = hashlib.sha256(content).hexdigest(), content_key({"number": number})
            (folder / "blobs" / digest[:2] / digest).write_bytes(content)
            old = json.dumps({"digest": digest, "size": len(content)}).encode()
            write = getattr(results, "write_ref", lambda kind, key, digest, size, old=old: old)
            (folder / "refs/features" / key[:2] / key).write_bytes(write("features", key, digest, len(content)))
    return folder


def results(folds: int) -> None:
    """What a driver holds of a search whose folds are all finished: names, results, and the queue made of them."""
    from aman.models.settings import RECIPES
    from aman.training.fold import FoldResult
    from cluster.experiment.score import Known
    from cluster.folds.keys import FoldSpec
    from cluster.folds.race_queue import NOBODY, Entry, SearchQueue
    from cluster.folds.tasks import Roster

    clips = tuple(f"casme2/sub{number % 26:02d}/EP{number:03d}" for number in range(246))
    subjects = tuple(f"casme2/{number % 26:02d}" for number in range(246))
    roster = Roster(clips=clips, labels=(0,) * 246, subjects=subjects, classes=5, seed=0)
    parts = [roster.without(subject) for subject in sorted(set(subjects))]
    truth = dict.fromkeys(clips, 0)
    specs, known, begun = [], {}, peak()
    for number in range(folds):
        fold = parts[number % len(parts)]
        specs.append(FoldSpec(key=content_key({"fold": number}), fold=fold, recipe=RECIPES["official"]))
        count = len(fold.test)
        result = FoldResult(
            subject=fold.subject, clips=fold.test_clips, probabilities=[[0.2] * 5 for _ in range(count)],
            epoch_classes=[[0] * count for _ in range(60)], losses=[0.1 * epoch for epoch in range(60)],
            weights_sha256=content_key({"weights": number}), seconds=1.0, device="cpu",
            extras={"alpha": [[[0.1 * level for level in range(9)] for _ in range(11)] for _ in range(count)]},
        )  # fmt: skip
        known[specs[-1].key] = Known.of(result, truth)
    say(f"{1e6 * (peak() - begun) / folds:.0f} bytes a fold: names and results")
    entries = [
        Entry(key=spec.key, configuration=str(number // len(parts)), lane=NOBODY, subject=spec.subject,
              clips=len(spec.fold.test), right=known[spec.key].right, cost=spec.cost)
        for number, spec in enumerate(specs[: folds // len(parts) * len(parts)])
    ]  # fmt: skip
    SearchQueue(entries, {}, set(known), racing=False)
    say(f"{1e6 * (peak() - begun) / folds:.0f} bytes a fold: with the queue of the search")


def peak() -> float:
    """Most memory of this process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def job(name: str, *arguments: object) -> Callable[[], None]:
    """A job in this process."""

    def run() -> None:
        import runpy

        sys.argv = [name, *map(str, arguments)]
        try:
            runpy.run_path(str(ROOT / "jobs" / f"{name}.py"), run_name="__main__")
        except SystemExit as end:
            assert not end.code, end.code

    return run


def main(options: Options) -> int:
    """Make what is measured; then every measure in a process of its own, or, inside one, that measure."""
    with TemporaryDirectory(prefix="aman-scale-") as scratch:
        folder = (options.folder or Path(scratch)).absolute()
        where = folder / f"database-{options.clips}-{options.subjects}"
        store = folder / f"store-{options.objects}"
        small = folder / "database-246-26"
        quick = ("--align", "none", "--magnifier", "linear", "--store", folder / "empty")
        search = ("--database", "csv", *quick, "--selection", "literature", "--plan")
        cache: dict[str, Callable[[], None]] = {
            verb: job("cache", verb, "--store", store) for verb in ("status", "verify", "clean")
        }
        measures: dict[str, Callable[[], None]] = {
            "plan": job("loso", "--database", "csv", "--root", where, *quick, "--plan"),
            "search": job("tune", "--space", folder / "space.py", "--root", small, *search),
            **cache,
            "results": lambda: results(options.folds),
        }
        if options.inside:
            measures[options.inside]()
            return DONE
        wanted = options.only or tuple(measures)
        if "plan" in wanted:
            database(where, options.clips, options.subjects)
        if "search" in wanted:
            database(small, 246, 26)
            space(folder, options.planned)
        if set(cache) & set(wanted):
            filled(store, options.objects)
            assert FolderStore(store).folder.is_dir()
        names = ("clips", "subjects", "objects", "folds", "planned")
        sizes = [f"--{name}={getattr(options, name)}" for name in names]
        for name in wanted:
            begun = time.perf_counter()
            command = [sys.executable, __file__, *sizes, f"--folder={folder}", f"--inside={name}"]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            printed = (process.stdout.read() if process.stdout else "").splitlines()
            _, status, used = _waited(process.pid)
            assert status == 0, printed[-5:]
            seconds, processor = time.perf_counter() - begun, used.ru_utime + used.ru_stime
            shown = "; ".join(printed[-2:])[:160]
            say(f"{name}: {seconds:.1f} s, {processor:.1f} s of a processor, {used.ru_maxrss / 1000:.0f} MB: {shown}")
    return DONE


def _waited(process: int) -> tuple[int, int, resource.struct_rusage]:
    import os

    return os.wait4(process, 0)


if __name__ == "__main__":
    run_job(Options, main, __doc__)
