"""What a trained model says of clips: the probability of each class, and where the model attended to.

Laptop: `python jobs/predict.py MODEL CLIP...`, where MODEL is a file that jobs/train.py wrote. Each CLIP is a folder of
numbered frames or a video (AVI, MP4, MOV, MKV) of one micro-expression. `--onset`, `--apex` and `--offset` name frames
of one clip; the apex is found where it is not named. A long recording is refused: find the movement in it first.

Time: the preparation of one clip (jobs/prepare.py) for each, in this process and on its CPU. A prediction for a clip
that the model was trained on says so: it tells nothing of how good the model is. jobs/loso.py measures that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from aman.errors import DataError, UsageError
from aman.places import check_file, check_folder
from aman.sheets.text import printable
from jobs.command_line import DONE, run_job, say

if TYPE_CHECKING:
    from aman.trained.model import Model
    from aman.trained.predict import Prediction


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of predict."""

    model: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL", help_behavior_hint="")] = Path()
    """File that the job `train` wrote."""
    clips: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="CLIP [CLIP ...]", help_behavior_hint="")
    ] = ()
    """Folders of frames, or videos."""
    onset: int | None = None
    """Number of the first frame of the movement, for one CLIP. A frame's number is the last one in its file's name; the
    first frame of a video is 1. Left out: the first frame."""
    apex: int | None = None
    """Number of the frame with the strongest movement, for one CLIP. Left out: the frame with the largest flow."""
    offset: int | None = None
    """Number of the last frame of the movement, for one CLIP. Left out: the last frame."""
    method: str = ""
    """The .py file of your own method, if the model was trained with one."""
    file: Annotated[tuple[str, ...], tyro.conf.arg(metavar="SETTING=FILE")] = ()
    """The present place of a file that the model's settings name (trunk=FILE), if it was moved after the training. Its
    content must be the same."""
    csv: Path | None = None
    """File for the table as CSV."""
    json: Path | None = None
    """File for everything as JSON, with the attention."""
    gif: Path | None = None
    """File for an animated GIF: the clip on the left, and on the right the clip magnified at the level that the model
    attended to. For several clips, a folder."""


def main(options: Options) -> int:
    """Read the model, read every clip, predict, tell."""
    from aman.trained.clips import Part, clip_at
    from aman.trained.model import read_model
    from aman.trained.predict import Predictor

    check(options)
    part = Part(onset=options.onset, apex=options.apex, offset=options.offset)
    files = dict(one.split("=", 1) for one in options.file)
    model = read_model(options.model, options.method, files)
    named = [(place, *clip_at(place, part)) for place in options.clips]
    predictor = Predictor(model, options.model)
    said: dict[str, Prediction] = {}
    if options.gif:
        from aman.trained.gif import level_of

        level_of(model.recipe, {name: axis.at[0] for name, axis in model.method.axes(model.recipe).items()})
    wrong: list[DataError] = []
    for place, clip, remarks in named:
        try:
            said[place] = predictor.predict(clip, remarks)
        except DataError as error:
            wrong.append(error)
    if wrong:
        for other in wrong[1:]:
            say(f"error: {other}")
        raise wrong[0]
    tell(model, said)
    write(options, model, said)
    return DONE


def check(options: Options) -> None:
    """`UsageError` for arguments that do not fit together."""
    several = len(options.clips) > 1
    if options.model == Path() or not options.clips:
        raise UsageError(
            got="no clip", expected="MODEL CLIP [CLIP ...]", fix="after the model, name a folder of frames or a video"
        )
    if several and (options.onset, options.apex, options.offset) != (None, None, None):
        raise UsageError(
            got=f"--onset, --apex or --offset with {len(options.clips)} clips",
            expected="one clip: each has frames of its own",
            fix="run the command once for each clip",
        )
    places = [Path(one).resolve() for one in options.clips]
    if twice := [one for place, one in zip(places, options.clips, strict=True) if places.count(place) > 1]:
        raise UsageError(got=f"{twice[-1]} twice", expected="each clip once", fix="name it once")
    for option in ("csv", "json", "gif"):
        path = getattr(options, option)
        if path and path.resolve() in (options.model.resolve(), *places):
            got = f"--{option} {path}, which is the model or a clip"
            raise UsageError(got=got, expected="a file of its own", fix=f"name another --{option}")
    if options.csv:
        check_file(options.csv, "--csv")
    if options.gif:
        (check_folder if several else check_file)(options.gif, "--gif")
    if bad := [one for one in options.file if "=" not in one]:
        raise UsageError(got=f"--file {bad[0]}", expected="SETTING=FILE", fix="write the setting, =, and the path")


def tell(model: "Model", said: "dict[str, Prediction]") -> None:
    """The table, and the remarks below it."""
    about = model.about
    say(f"{about.method} ({about.recipe}), trained on {about.clips} clips of {about.database}, {about.protocol}")
    head = ["clip", "onset", "apex", "offset", "prediction", *about.classes, *model.method.axes(model.recipe)]
    rows = [head, *([str(cell) for cell in row_of(model, place, one).values()] for place, one in said.items())]
    widths = [max(len(row[at]) for row in rows) for at in range(len(head))]
    for row in rows:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for name, axis in model.method.axes(model.recipe).items():
        say(f"{name}: the {axis.label} with the largest share of the attention")
    for place, one in said.items():
        for remark in one.remarks:
            say(f"remark: {place}: {remark}")


def row_of(model: "Model", place: str, one: "Prediction") -> dict[str, Any]:
    """A row of the table by column; probabilities have three decimals."""
    classes = model.about.classes
    best = max(range(len(classes)), key=lambda number: one.probabilities[number])
    return {
        "clip": printable(place),
        "onset": one.clip.onset,
        "apex": "-" if one.apex is None else one.apex,
        "offset": one.clip.offset,
        "prediction": classes[best],
        **{name: f"{value:.3f}" for name, value in zip(classes, one.probabilities, strict=True)},
        **one.attended,
    }


def write(options: Options, model: "Model", said: "dict[str, Prediction]") -> None:
    """The files that were asked for."""
    from aman.tables import write_json

    if options.csv:
        write_table(options.csv, model, said)
    if options.json:
        write_json(options.json, as_json(options, model, said))
    if options.gif:
        from aman.trained.gif import write_gif

        names = gif_names(list(said))
        for place, one in said.items():
            path = options.gif if len(said) == 1 else options.gif / names[place]
            level = write_gif(path, model.recipe, one)
            unchanged = ", which changes nothing" if level == 1 else ""
            say(f"{path}: {place}, on the right magnified with factor {level}{unchanged}")


def gif_names(places: Sequence[str]) -> dict[str, str]:
    """The name of each clip's file: `EP01.gif` of sub01/EP01, and with as many folders before it as tell the clips
    apart, `sub01-EP01.gif` and `sub02-EP01.gif`."""
    paths = {place: Path(place).absolute() for place in places}
    for folders in range(1, max(len(path.parts) for path in paths.values()) + 1):
        names = {place: "-".join([*path.parts[-folders:-1], path.stem]) for place, path in paths.items()}
        if len(set(names.values())) == len(names):
            break
    else:  # a folder `clip` and a video `clip.mp4` beside it
        names = {place: "-".join(path.parts[1:]) for place, path in paths.items()}
    return {place: f"{name}.gif" for place, name in names.items()}


def write_table(path: Path, model: "Model", said: "dict[str, Prediction]") -> None:
    """The table with all digits. `UsageError` where it cannot be written."""
    import pandas as pd

    from aman.sheets.own import write_csv

    rows = []
    for place, one in said.items():
        probabilities = dict(zip(model.about.classes, one.probabilities, strict=True))
        row = {**row_of(model, place, one), "rule": one.rule, "remarks": "; ".join(one.remarks)}
        rows.append({**row, "clip": place, "apex": one.apex, **probabilities})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_csv(path, pd.DataFrame(rows).astype({"apex": "Int64"}))
    except OSError as error:
        got = f"--csv {path}, which cannot be written ({error.strerror})"
        raise UsageError(got=got, expected="a file that can be written", fix="name another --csv") from None


def as_json(options: Options, model: "Model", said: "dict[str, Prediction]") -> dict[str, Any]:
    """All that is known of the predictions, and which model made them."""
    about = model.about
    axes = model.method.axes(model.recipe)
    return {
        "model": str(options.model),
        "method": about.method,
        "weights_sha256": about.weights_sha256,
        "database": about.database,
        "protocol": about.protocol,
        "classes": list(about.classes),
        "axes": {name: {"of": axis.label, "at": list(axis.at)} for name, axis in axes.items()},
        "clips": [
            {
                "clip": place,
                "onset": one.clip.onset,
                "apex": one.apex,
                "apex_rule": one.rule,
                "offset": one.clip.offset,
                "frames": one.frames,
                "prediction": row_of(model, place, one)["prediction"],
                "probabilities": list(one.probabilities),
                "attention": one.attention,
                "attended": one.attended,
                "remarks": list(one.remarks),
            }
            for place, one in said.items()
        ],
    }


if __name__ == "__main__":
    run_job(Options, main, __doc__)
