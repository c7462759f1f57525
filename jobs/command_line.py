"""What all jobs share: options made from dataclasses, exit codes, one sentence for an error."""

import argparse
import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, fields, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, TypeVar

import tyro

from aman import methods
from aman.databases import databases, find
from aman.databases.side_by_side import AND
from aman.errors import SessionLostError, UsageError, UserError
from aman.extras import extras_named
from aman.places import check_file, check_folder
from aman.sheets.text import printable
from cluster.machines.starting import collect_less
from jobs.first_options import in_order
from jobs.help_texts import DATABASES_HELP, LABELS_TEXT, PROTOCOL_TEXT, ROOTS_HELP, SPLIT_TEXT, description, flowing
from jobs.interrupts import Interrupts
from jobs.progress_bar import BARS
from jobs.recipes import start_of, usual_recipe
from jobs.started import as_started, program

if TYPE_CHECKING:
    from cluster.experiment.plan import Request

Options = TypeVar("Options")

DONE, SOME_FOLDS_FAILED, INTERRUPTED = 0, 3, 130
"""Exit codes beside those of `UserError`: 2 usage, 4 data."""


@dataclass(frozen=True, kw_only=True)
class ProtocolOptions:
    """Options of every job that says which clips count and which are left out together."""

    split: Annotated[str, tyro.conf.arg(help=SPLIT_TEXT)] = ""
    labels: Annotated[str, tyro.conf.arg(help=LABELS_TEXT)] = ""


@dataclass(frozen=True, kw_only=True)
class SideBySideOptions(ProtocolOptions):
    """Options of every job that takes a database, or several side by side, each in a folder of its own or all in one.
    Each job has its own defaults."""

    database: Annotated[tuple[str, ...], tyro.conf.arg(help=DATABASES_HELP)] = ()
    root: Annotated[tuple[str, ...], tyro.conf.arg(help=ROOTS_HELP)] = ()

    @property
    def one_database(self) -> str:
        """The database, or several side by side, as one name; empty where none is named."""
        return AND.join(self.database)

    @property
    def release(self) -> str | tuple[str, ...]:
        """Where the database is, or where the databases are; empty where no `--root` was named. `UsageError` where
        there are several roots, and not as many as databases."""
        if len(self.root) < 2:
            return "".join(self.root)
        if not self.database:
            raise UsageError(
                got=f"--root {' '.join(self.root)} without --database",
                expected="the databases of these folders, in the same order",
                fix="name them, as in --database casme2 samm smic",
            )
        return roots_of(self.one_database, self.root)


@dataclass(frozen=True, kw_only=True)
class MethodOptions:
    """Options of every job that works with one method."""

    method: str = methods.USUAL
    """aman, or another method of aman/methods/ by its name, or a .py file of your own. The settings below are those of
    the method that is named."""
    recipe_name: Annotated[str, tyro.conf.arg(name="recipe")] = ""
    """Where all settings of the method start: `default`, or one of its others (aman: fast, official, quick, small).
    Empty: `default`, but for the synthetic database `quick` (`small` where the paper's tables are wanted), if there is
    one."""
    settings: tyro.conf.Suppress[Any] = None
    """Every setting of the method."""


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """Options of every job that prepares or trains."""

    seed: int = 0
    """Seed of the training; preparation has none."""
    store: str = ""
    """Where results are kept: a folder, or s3://bucket/folder. What is there is not computed again. Empty:
    $AMAN_STORE, or runs/store."""
    workers: int = 0
    """Training workers. 0: as many as the GPUs have room for, or one for each CPU."""
    gpus_per_worker: float = 1
    """Share of a GPU that a training worker takes: with 0.25 four of them train on one GPU."""
    allow_incomplete: bool = False
    """Go on without clips that cannot be used; every output then says incomplete."""
    here: bool = False
    """Do everything in this process, one clip and one fold after another, without Ray: for debugging."""
    plan: bool = False
    """Say what would be computed, what is cached and how long it should take; start nothing."""
    measure: bool = False
    """With --plan: time the preparation of a clip and some training steps in this process (a minute or two), where the
    store has no such timing of this kind of machine. It keeps them for later plans."""

    synthetic_recipe: ClassVar[str] = "quick"
    """Name of the recipe for the synthetic database where none is asked for."""

    def say_room(self) -> bool:
        """What --plan says where there are no clips yet: whether the store and the folder of results can be written."""
        from cluster.experiment.room import room_text
        from cluster.store.open import open_store

        for line in room_text(open_store(self.store), self.out if isinstance(self, TrackedOptions) else None, 0):
            say(line)
        return False

    def request_of(
        self, database: str, root: str | Sequence[str], protocol: str, recipe: methods.Recipe, **more: Any
    ) -> "Request":
        """The request that these options make of a database and the settings of a method."""
        from cluster.experiment.plan import Request

        return Request(
            database=database,
            root=roots_of(database, (root,) if isinstance(root, str) else root),
            recipe=recipe,
            store=self.store,
            protocol=protocol,
            workers=self.workers,
            gpus_per_worker=self.gpus_per_worker,
            allow_incomplete=self.allow_incomplete,
            here=self.here,
            **dict[str, Any]({"seed": self.seed, **more}),
        )


@dataclass(frozen=True, kw_only=True)
class RecipeOptions(EngineOptions, MethodOptions):
    """Options of every job that prepares or trains with one recipe."""

    def request_for(self, database: str, root: str | Sequence[str], protocol: str, **more: Any) -> "Request":
        """The request that these options make of a database."""
        return self.request_of(database, root, protocol, self.settings, **more)


@dataclass(frozen=True, kw_only=True)
class TrackedOptions:
    """Options of every job that leaves runs behind."""

    tracking_uri: str = ""
    """MLflow: sqlite:///FILE, the http:// address of a server, or `none`. Empty: $MLFLOW_TRACKING_URI, or a file in
    runs/."""
    out: Path | None = None
    """Folder of what the job leaves. Empty: one under runs/ named after the job and what it runs."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkOptions(SideBySideOptions, RecipeOptions):
    """Options of every job that trains on a database, or on several side by side."""

    database: Annotated[tuple[str, ...], tyro.conf.arg(help=DATABASES_HELP)] = ("synthetic",)
    root: Annotated[tuple[str, ...], tyro.conf.arg(help=ROOTS_HELP)] = ()
    protocol: Annotated[str, tyro.conf.arg(help=PROTOCOL_TEXT)] = ""

    def ensure(self) -> bool:
        """Make the database where it is missing and made by code; False if that is all that a plan can say. A protocol
        that there is not is refused first."""
        from aman.making import ensure_database
        from aman.protocols import protocol_for

        protocol_for(self.one_database, self.protocol, self.split, self.labels)
        return ensure_database(self.one_database, " ".join(self.root), self.plan, say) or self.say_room()

    def request(self, **more: Any) -> "Request":
        """The request that these options make."""
        tables = {"split": self.split, "labels": self.labels}
        return self.request_for(self.one_database, self.root, self.protocol, **tables, **more)


class SplitOptions:
    """Options of a job of which some arguments are read by others than the job itself."""

    @classmethod
    def sorted_out(cls, arguments: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
        """The job's own arguments, and those of the others by the name of each."""
        return list(arguments), {}

    def complete(self, own: Mapping[str, Sequence[str]]) -> Self:
        """These options with what the arguments of the others say. `UsageError` where they are wrong."""
        return self


def root_of(database: str, root: str) -> str:
    """Where a database is: the folder or bucket that the user named, or the folder in which jobs make the database."""
    found = find(database)
    if not root and not found.default_root:
        made = " or ".join(one.name for one in databases().values() if one.default_root)
        raise UsageError(
            got=f"--database {' '.join(database.split(AND))} without --root",
            expected=f"where the database is: {found.about}",
            fix=f"add --root DIR, or --database {made} to go without a release",
        )
    return root or found.default_root


def roots_of(database: str, roots: Sequence[str]) -> str | tuple[str, ...]:
    """Where databases side by side are: one folder or bucket that holds all, or one for each in their order; of a
    single database `root_of`."""
    if len(roots) < 2:
        return root_of(database, "".join(roots))
    parts = find(database).parts
    if len(roots) != len(parts):
        raise UsageError(
            got=f"--root {' '.join(roots)} for --database {' '.join(database.split(AND))}",
            expected="one folder that holds all, or one for each database in the same order" if parts else "one --root",
            fix="name one --root, or as many as databases",
        )
    return tuple(roots)


def say(line: str) -> None:
    """One line, at once, or a progress bar in a terminal. Names of files and labels move no cursor."""
    BARS.show(as_started(line))


def parse(kind: type[Options], docstring: str | None, arguments: Sequence[str] | None = None) -> Options:
    """Options of a job from the command line. Those of a method are the fields of its settings, and a recipe's values
    are the defaults that are shown."""
    given, kind = list(sys.argv[1:] if arguments is None else arguments), in_order(kind)
    default: Any = kind()
    if isinstance(default, RecipeOptions):
        kind, default = _with_settings(kind, default, given)
    given, own = default.sorted_out(given) if isinstance(default, SplitOptions) else (given, {})
    flowing(kind, given)
    text, config = description(docstring), (tyro.conf.OmitArgPrefixes,)
    options: Any = tyro.cli(kind, prog=program(), args=given, default=default, description=text, config=config)
    if isinstance(options, SplitOptions):
        options = options.complete(own)
    if file := getattr(options, "json", None):
        check_file(file, "--json")
    if isinstance(options, TrackedOptions) and options.out:
        check_folder(options.out, "--out")
    if isinstance(options, MethodOptions):
        options.settings.method.check(options.settings)
    if isinstance(options, EngineOptions):
        if options.measure and not options.plan:
            raise UsageError(got="--measure without --plan", expected="both", fix="add --plan, which starts nothing")
        share, fix = options.gpus_per_worker, "leave it out for one GPU each"
        if not (0 < share <= 1 or share == int(share) > 0):
            raise UsageError(got=f"--gpus-per-worker {share:g}", expected="a share up to 1, or whole GPUs", fix=fix)
    return options


def _with_settings(kind: Any, default: Any, given: Sequence[str]) -> tuple[Any, Any]:
    """The options of the job with the settings of the method that is named among the arguments."""
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--method", default=default.method)
    early.add_argument("--recipe", default="")
    early.add_argument("--database", nargs="*", default=[])
    known, _ = early.parse_known_args(given)
    method = methods.find(known.method)
    name, recipe = start_of(method, known.recipe or usual_recipe(method, kind.synthetic_recipe, known.database))
    made = make_dataclass(kind.__name__, [("settings", method.Settings)], bases=(kind,), frozen=True, kw_only=True)
    values = {one.name: getattr(default, one.name) for one in fields(default)}
    return made, made(**{**values, "method": known.method, "recipe_name": name, "settings": recipe})


def run_job(kind: type[Options], main: Callable[[Options], int], docstring: str | None) -> None:
    """Parse, run and leave with the right exit code: 0 done, 2 usage, 3 some folds failed, 4 data, 5 processes of Ray's
    were killed, 130 interrupted."""
    collect_less()
    interrupts = Interrupts()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names of files may hold what a terminal cannot show
            stream.reconfigure(errors="backslashreplace")
    try:
        with extras_named(), closing(BARS):
            code = main(parse(kind, docstring))
        sys.stdout.flush()
    except UserError as error:
        print(printable(as_started(f"error: {error}")), file=sys.stderr, flush=True)
        code = error.code
        if isinstance(error, SessionLostError):  # at exit, Ray would wait a minute for the dead session, and then crash
            sys.stdout.flush()
            os._exit(code)
    except BrokenPipeError:  # whoever read the output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = INTERRUPTED
    except KeyboardInterrupt:
        interrupts.say()
        code = INTERRUPTED
    sys.exit(code)
