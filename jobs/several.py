"""What jobs share that take several databases or several methods at once."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import tyro

from aman import methods
from aman.errors import UsageError
from aman.methods import Alignment, FacesAndApex, Method, Recipe, settings_of, variant
from jobs.command_line import EngineOptions, ProtocolOptions, SplitOptions, TrackedOptions, say
from jobs.help_texts import DATABASE_HELP, flowing
from jobs.recipes import start_of, usual_recipe

if TYPE_CHECKING:
    from cluster.experiment.grid import Experiment

ALL = "all"
"""What stands for every method of aman/methods/."""
ALIGNMENT = tuple(settings_of(Alignment()))
"""Settings that methods share which see aligned faces."""
OWN_OPTION = re.compile(r"--([A-Za-z][\w-]*)\.([\w-]+.*)", re.DOTALL)
"""An option of one method among several: `--ststnet.epochs`."""


@dataclass(frozen=True, kw_only=True)
class DatabasesOptions(ProtocolOptions, TrackedOptions, EngineOptions):
    """Options of the jobs that work on several databases."""

    database: Annotated[
        tuple[str, ...], tyro.conf.arg(help=f"One or more, each {DATABASE_HELP[0].lower()}{DATABASE_HELP[1:]}")
    ] = ("synthetic",)
    root: tuple[str, ...] = ()
    """The folders of their releases, in the same order, or s3://bucket/folder. Databases that jobs make need none.
    Databases that are put side by side with a + between them (casme2+samm) have one folder that holds all."""
    protocol: tuple[str, ...] = ()
    """Their protocols, in the same order (the job `protocols` lists them; NAME-kfold5-seed0 and NAME-cross divide the
    clips in other ways). Empty: each database's own."""
    seeds: int = 1
    """How many seeds are trained, from --seed on; the report shows their mean and spread."""
    usd_per_gpu_hour: float = 0
    """Price of a GPU-hour, for what --plan says of cost."""

    def check(self) -> None:
        """Refuse wrong options before anything is read: `UsageError`."""
        for name in ("root", "protocol"):
            given = getattr(self, name)
            if given and len(given) != len(self.database):
                raise UsageError(
                    got=f"--{name} {' '.join(given)} for --database {' '.join(self.database)}",
                    expected=f"one --{name} for each database, in the same order",
                    fix="leave it out, or give as many",
                )
        for name in ("split", "labels"):
            if getattr(self, name) and len(self.database) > 1:
                raise UsageError(
                    got=f"--{name} {getattr(self, name)} for --database {' '.join(self.database)}",
                    expected="a table of one database's clips",
                    fix="run the job once for each database",
                )
        pairs = list(zip(self.database, self.protocol or self.database, strict=True))
        if len(set(pairs)) < len(pairs) or not pairs:
            raise UsageError(
                got=f"--database {' '.join(self.database)}",
                expected="one or more, each once (or each time under another --protocol)",
                fix="name each database once",
            )
        if self.seeds < 1:
            raise UsageError(got=f"--seeds {self.seeds}", expected="1 or more", fix="1 is the default")
        if self.usd_per_gpu_hour < 0:
            raise UsageError(
                got=f"--usd-per-gpu-hour {self.usd_per_gpu_hour}", expected="a price", fix="0 leaves it out"
            )

    def estimate(self, experiment: "Experiment") -> str:
        """What `--plan` says of the time and the room that the rest of an experiment takes."""
        from cluster.experiment.estimate import estimate_text

        return estimate_text(
            experiment,
            usd_per_gpu_hour=self.usd_per_gpu_hour,
            measuring=self.measure,
            out=self.out or Path("runs"),
        )

    @property
    def tables(self) -> dict[str, str]:
        """The tables of the user's own that change the protocol."""
        return {"split": self.split, "labels": self.labels}

    @property
    def places(self) -> list[tuple[str, str, str]]:
        """Database, root and protocol of each, the latter two empty where the user named none."""
        roots, protocols = (given or ("",) * len(self.database) for given in (self.root, self.protocol))
        return list(zip(self.database, roots, protocols, strict=True))

    def ensure(self) -> bool:
        """Make the databases that jobs make, where they are missing; False if that is all that a plan can say. A
        protocol that there is not is refused first."""
        from aman.making import ensure_database
        from aman.protocols import protocol_for

        for database, _, protocol in self.places:
            protocol_for(database, protocol, self.split, self.labels)
        made = [ensure_database(database, root, self.plan, say) for database, root, _ in self.places]
        return all(made) or self.say_room()

    @property
    def seed_range(self) -> range:
        """The seeds."""
        return range(self.seed, self.seed + self.seeds)


@dataclass(frozen=True, kw_only=True)
class MethodsOptions(SplitOptions, DatabasesOptions):
    """Options of the jobs that work with several methods."""

    method: tuple[str, ...] = (ALL,)
    """`all`, or methods of aman/methods/ by their names, or .py files of your own. `--NAME.help` lists the settings of
    a method, and `--NAME.SETTING VALUE` changes one, as in `--ststnet.epochs 100`."""
    recipe_name: Annotated[str, tyro.conf.arg(name="recipe")] = ""
    """Where the settings start, in methods that have a recipe of this name; `default` in all others. Empty: `default`,
    but for the synthetic database `quick` in methods that have it."""
    alignment: FacesAndApex = field(default_factory=FacesAndApex)
    """How faces are aligned, for all methods, and which frame is the apex, for those that look at the apex."""
    wanted: tyro.conf.Suppress[Any] = ()
    """A `Wanted` for each method, once all arguments are read."""

    @classmethod
    def sorted_out(cls, arguments: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
        rest: list[str] = []
        own: dict[str, list[str]] = {}
        mine = rest
        for one in arguments:
            match = OWN_OPTION.fullmatch(one)
            if match or one.startswith("--"):
                mine = own.setdefault(match[1], []) if match else rest
            mine.append(f"--{match[2]}" if match else one)
        return rest, own

    def complete(self, own: Mapping[str, Sequence[str]]) -> Self:
        found = find_methods(self.method)
        if unknown := own.keys() - {one.name for one in found}:
            raise UsageError(
                got=f"options of {', '.join(sorted(unknown))}",
                expected=f"options of {', '.join(one.name for one in found)}",
                fix="add these methods to --method",
            )
        name = self.recipe_name
        if name and not any(name in ("default", *one.recipes) for one in found):
            known = dict.fromkeys(["default", *(recipe for one in found for recipe in one.recipes)])
            raise UsageError(
                got=f"--recipe {name}, which no method has",
                expected=f"one of {', '.join(known)}",
                fix="choose one of these, or leave it out",
            )
        usual_alignment = settings_of(FacesAndApex())
        changes = {one: value for one, value in settings_of(self.alignment).items() if value != usual_alignment[one]}
        rule_of(self.alignment.apex, found)
        usual = partial(usual_recipe, synthetic=self.synthetic_recipe, given=self.database)
        wanted = (wanted_of(one, name or usual(one), changes, own.get(one.name, ())) for one in found)
        return replace(self, wanted=tuple(wanted))


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A method as it is to be trained."""

    method: Method
    recipe_name: str
    settings: Recipe


def wanted_of(method: Method, recipe_name: str, changes: Mapping[str, Any], arguments: Sequence[str] = ()) -> Wanted:
    """A method with the recipe of this name, `default` where it has none of it, and with those of the changes that are
    settings of its own, and then its own arguments. `UsageError` where they cannot be run."""
    name, recipe = start_of(method, recipe_name if recipe_name in method.recipes else "default")
    mine = settings_of(recipe)
    recipe = variant(recipe, **{setting: value for setting, value in changes.items() if setting in mine})
    if arguments:
        flowing(method.Settings, arguments)
        recipe = tyro.cli(
            method.Settings,
            args=list(arguments),
            default=recipe,
            prog=f"--{method.name}",
            description=f"Settings of {method.name}. An option is written --{method.name}.OPTION in place of --OPTION.",
            config=(tyro.conf.OmitArgPrefixes,),
        )
    method.check(recipe)
    return Wanted(method=method, recipe_name=name, settings=recipe)


def rule_of(apex: str, found: Sequence[Method]) -> dict[str, str]:
    """The change of the methods' settings that `--apex` asks for; none for the usual rule. `UsageError` where no method
    looks at an apex."""
    if apex == FacesAndApex().apex:
        return {}
    if not any("apex" in settings_of(one.Settings()) for one in found):
        raise UsageError(
            got=f"--apex {apex} for {', '.join(one.name for one in found) or 'no method'}",
            expected="a method that looks at the apex",
            fix="leave out --apex",
        )
    return {"apex": apex}


def find_methods(names: Sequence[str], option: str = "--method") -> list[Method]:
    """The methods of these names and files, each once. `UsageError` where one is unknown, or named twice."""
    wanted = [one for name in names for one in (methods.names() if name == ALL else [name])]
    found = [methods.find(name) for name in wanted]
    twice = [one.name for place, one in enumerate(found) if one.name in {other.name for other in found[:place]}]
    if twice or not found:
        raise UsageError(
            got=f"{option} {' '.join(names)}".strip(),
            expected="one method or more, each name once",
            fix=f"name {twice[0]} once" if twice else f"{option} {ALL} takes every one",
        )
    return found
