"""Figures of a benchmark as PNG; charts of a report as SVG and PDF for papers, too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.text import Text

DOTS_PER_INCH = 110
FOR_PAPERS = (".svg", ".pdf")
"""Endings of the files beside a chart's PNG."""
MOST_NAMED = 60
"""Bars that have their names below them; more would not be legible."""
MANY_SCRIPTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei", "Microsoft YaHei", "SimHei", "PingFang SC", "Hiragino Sans GB", "Arial Unicode MS",
)  # fmt: skip
"""Fonts with Chinese letters, of which a system may have one."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Accuracy against one setting, in per cent."""

    title: str
    points: Mapping[float, tuple[float, float, float]]
    """Accuracy and the ends of its interval, by value of the setting."""
    printed: Mapping[float, float]
    """What the paper prints."""
    chance: float | None
    """Accuracy of always saying the most frequent class."""


def font_families() -> list[str]:
    """The fonts that a letter is looked for in: the usual one, then those with more scripts that are installed."""
    installed = {font.name for font in fontManager.ttflist}
    return [FontProperties().get_family()[0], *(name for name in MANY_SCRIPTS if name in installed)]


def drawable(names: Sequence[str]) -> list[str]:
    """Names as a figure shows them: one with a letter that no installed font has is its number among them, `#1` for the
    first."""
    fonts = [get_font(findfont(FontProperties(family=[family]))) for family in font_families()]
    known = {letter for font in fonts for letter in font.get_charmap()}
    return [name if known.issuperset(map(ord, name)) else f"#{place}" for place, name in enumerate(names, start=1)]


def _save(figure: Figure, path: Path, beside: Sequence[str] = FOR_PAPERS) -> list[Path]:
    """Write the figure as PNG to `path`, and with other endings beside it; the files. Equal figures are equal bytes.
    Names of classes and clips are no formulas, whatever signs they hold."""
    families = font_families()
    for text in figure.findobj(Text):
        text.set_parse_math(False)
        text.set_fontfamily(families)
    dates: dict[str, dict[str, None]] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    files = [path, *(path.with_suffix(ending) for ending in beside)]
    with rc_context({"svg.hashsalt": path.stem}):
        for file in files:
            figure.savefig(file, dpi=DOTS_PER_INCH, metadata=dates.get(file.suffix))
            figure.set_layout_engine("none")  # the layout is found: looking for it again would take as long as drawing
    return files


def confusion_figure(
    confusion_YY: Sequence[Sequence[int]], classes: Sequence[str], path: Path, beside: Sequence[str] = ()
) -> list[Path]:
    """Clips by true class (rows) and predicted class (columns), and their share of the row in per cent, which is the
    shade as well; `beside` as in `_save`."""
    counts = np.asarray(confusion_YY)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(1.8 + 0.85 * len(classes), 1.4 + 0.75 * len(classes)), layout="constrained")
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(counts.shape):
        colour = "white" if share[row, column] > 0.6 else "black"
        text = f"{counts[row, column]}\n{100 * share[row, column]:.0f} %"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize="small")
    shown = drawable(classes)
    axes.set_xticks(range(len(classes)), shown, rotation=40, ha="right")
    axes.set_yticks(range(len(classes)), shown)
    axes.set(xlabel="predicted", ylabel="true")
    return _save(figure, path, beside)


def attention_figure(
    attention_CX: npt.NDArray[np.float64],
    labels: Sequence[str],
    ticks: Sequence[int],
    axis: str,
    path: Path,
    beside: Sequence[str] = (),
) -> list[Path]:
    """Mean attention of the left-out clips of each class over levels or frames, each clip's weights summing to 1;
    `beside` as in `_save`."""
    share_CX = attention_CX / attention_CX.sum(axis=1, keepdims=True)
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    names = sorted(set(labels))
    for name, shown in zip(names, drawable(names), strict=True):
        mine = share_CX[[label == name for label in labels]]
        # The space: a legend leaves out what begins with `_`.
        axes.plot(range(len(ticks)), mine.mean(axis=0), marker="o", label=f" {shown} ({len(mine)})")
    axes.axhline(1 / len(ticks), color="grey", linewidth=0.8, linestyle=":")
    axes.set_xticks(range(len(ticks)), [str(tick) for tick in ticks])
    axes.set(xlabel=axis, ylabel="mean share of attention")
    axes.legend(fontsize="small")
    return _save(figure, path, beside)


def magnification_figure(rows: Mapping[str, npt.NDArray[np.uint8]], factors: Sequence[int], path: Path) -> list[Path]:
    """One frame of each clip at every factor, as in the paper's Figure 1: `image_KHWC` by the text beside its row. All
    are one picture on white, which is drawn faster than axes for each."""
    height, width = (max(image_KHWC.shape[side] for image_KHWC in rows.values()) for side in (1, 2))
    gap = max(height, width) // 16 + 1
    sheet = np.full((len(rows) * (height + gap) - gap, len(factors) * (width + gap) - gap, 3), 255, np.uint8)
    tops, lefts = np.arange(len(rows)) * (height + gap), np.arange(len(factors)) * (width + gap)
    for top, image_KHWC in zip(tops, rows.values(), strict=True):
        for left, image_HWC in zip(lefts, image_KHWC, strict=True):
            sheet[top : top + image_HWC.shape[0], left : left + image_HWC.shape[1]] = image_HWC
    figure = Figure(figsize=(0.5 + 1.4 * len(factors), 0.3 + 1.45 * len(rows)), layout="constrained")
    axes = figure.subplots()
    axes.imshow(sheet)
    axes.set_xticks(lefts + width / 2, [f"\N{MULTIPLICATION SIGN}{factor}" for factor in factors], fontsize="large")
    axes.set_yticks(tops + height / 2, drawable(list(rows)), rotation=90, va="center")
    axes.tick_params(length=0, top=True, bottom=False, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    return _save(figure, path, beside=())


def subjects_figure(
    names: Sequence[str], right: Sequence[int], clips: Sequence[int], chance: float, one: str, path: Path
) -> list[Path]:
    """A bar for each left-out subject (or what `one` says), the best first: the share of its clips that are right, with
    their number above it; lines for the accuracy over all clips and for `chance`, a share in [0, 1]."""
    order = sorted(range(len(names)), key=lambda place: (-right[place] / clips[place], place))
    shares = [100 * right[place] / clips[place] for place in order]
    width = min(16.0, 1.6 + 0.32 * max(14, len(names)))
    figure = Figure(figsize=(width, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.bar(range(len(order)), shares, color="tab:blue", width=0.8, alpha=0.75)
    overall = 100 * sum(right) / sum(clips)
    axes.axhline(overall, color="tab:blue", linewidth=1.2, label=f"all clips: {overall:.1f} %")
    axes.axhline(100 * chance, color="black", linewidth=1, linestyle=":", label=f"chance: {100 * chance:.1f} %")
    if len(order) <= MOST_NAMED:
        shown = drawable([names[place] for place in order])
        axes.set_xticks(range(len(order)), shown, rotation=90, fontsize="x-small")
        for at, place in enumerate(order):
            axes.text(at, shares[at] + 1, str(clips[place]), ha="center", va="bottom", fontsize="x-small", color="0.3")
    else:
        axes.set_xticks([])
    axes.set(xlabel=f"left-out {one}, the number of its clips above the bar", ylabel="clips right in %", ylim=(0, 108))
    axes.set_xlim(-0.7, len(order) - 0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper right", ncols=2, fontsize="small", frameon=False)
    return _save(figure, path)


def training_figure(
    loss_E3: Sequence[tuple[float, float, float]], accuracy_E: Sequence[float], chance: float, path: Path
) -> list[Path]:
    """By epoch: the training loss of the folds (mean, least and most), where there is one, and the accuracy on the
    left-out clips, a share in [0, 1], with `chance`."""
    panels = 1 + bool(loss_E3)
    figure = Figure(figsize=(0.6 + 4.2 * panels, 3.2), layout="constrained")
    *left, right = figure.subplots(1, panels, squeeze=False)[0]
    for axes in left:
        mean, least, most = zip(*loss_E3, strict=True)
        at = range(1, len(loss_E3) + 1)
        axes.fill_between(at, least, most, color="tab:orange", alpha=0.2, linewidth=0, label="least to most of a fold")
        axes.plot(at, mean, color="tab:orange", label="mean of the folds")
        axes.set(ylabel="training loss", ylim=(0, None))
    at = range(1, len(accuracy_E) + 1)
    right.plot(at, [100 * one for one in accuracy_E], color="tab:blue", label="left-out clips")
    right.axhline(100 * chance, color="black", linewidth=1, linestyle=":", label="chance")
    right.set(ylabel="accuracy on left-out clips in %", ylim=(0, 100))
    for axes in (*left, right):
        axes.set(xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize="small", frameon=False)
    return _save(figure, path)


def curves_figure(curves: Sequence[Curve], axis: str, values: Sequence[float], path: Path) -> list[Path]:
    """A panel a curve, side by side on one scale: ours with its interval as a band, the paper's printed points."""
    figure = Figure(figsize=(1 + 3.6 * len(curves), 3.3), layout="constrained")
    panels = figure.subplots(1, len(curves), sharex=True, sharey=True, squeeze=False)[0]
    for axes, curve in zip(panels, curves, strict=True):
        at = sorted(curve.points)
        accuracy, low, high = zip(*(curve.points[value] for value in at), strict=True) if at else ((), (), ())
        axes.fill_between(at, low, high, color="tab:blue", alpha=0.15, linewidth=0, label="95 % over subjects")
        axes.plot(at, accuracy, color="tab:blue", marker="o", markersize=4, label="ours")
        printed = sorted(curve.printed)
        style = {"color": "tab:orange", "linestyle": "--", "marker": "D", "markersize": 5}
        if printed:
            axes.plot(printed, [curve.printed[value] for value in printed], **style, label="paper, as printed")
        if curve.chance is not None:
            axes.axhline(curve.chance, color="grey", linewidth=0.8, linestyle=":", label="chance, majority class")
        axes.set_title(curve.title, fontsize="medium")
        axes.set(xlabel=axis)
        axes.set_xticks(values)
        axes.tick_params(labelsize="small")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("accuracy in %")
    handles = {label: one for axes in panels for one, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    columns = min(2 * len(curves), len(handles))
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=columns, fontsize="small")
    return _save(figure, path)


def ranks_figure(
    ranks: Mapping[str, float], apart: float, alike: Sequence[Sequence[str]], databases: int, path: Path
) -> list[Path]:
    """Critical-difference diagram (Demšar, 2006): methods at their mean ranks, the best one left; a bar joins methods
    of which none differs from another by the critical difference `apart`, which is drawn above the scale."""
    names, most = list(ranks), max(2, len(ranks))
    half = (len(names) + 1) // 2
    lines = max(half, len(names) - half)
    figure = Figure(figsize=(8, 1.5 + 0.14 * len(alike) + 0.28 * lines), layout="constrained")
    axes = figure.subplots()
    axes.set(xlim=(1 - 0.45 * (most - 1), most + 0.45 * (most - 1)), ylim=(-1 - 0.5 * len(alike) - lines, 2.4))
    axes.set_axis_off()
    axes.plot([1, most], [0, 0], color="black", linewidth=1)
    for tick in range(1, most + 1):
        axes.plot([tick, tick], [0, 0.25], color="black", linewidth=1)
        axes.text(tick, 0.35, str(tick), ha="center", va="bottom", fontsize="small")
    shown_apart = min(apart, most - 1)
    axes.plot([1, 1 + shown_apart], [1.5, 1.5], color="tab:red", linewidth=2)
    more = "" if apart <= most - 1 else ", longer than the scale"
    axes.text(1, 1.65, f"critical difference {apart:.2f}{more}; {databases} databases", fontsize="small", va="bottom")
    for row, group in enumerate(alike):
        ends = [ranks[group[0]] - 0.03, ranks[group[-1]] + 0.03]
        axes.plot(ends, [-0.4 - 0.5 * row] * 2, color="tab:blue", linewidth=4, solid_capstyle="round")
    below = -0.8 - 0.5 * len(alike)
    for place, (name, label) in enumerate(zip(names, drawable(names), strict=True)):
        left = place < half
        y = below - (place if left else len(names) - 1 - place)
        x = 1 - 0.06 * (most - 1) if left else most + 0.06 * (most - 1)
        axes.plot([ranks[name], ranks[name], x], [0, y, y], color="grey", linewidth=0.8)
        axes.text(x, y, f" {label} ({ranks[name]:.2f}) ", ha="right" if left else "left", va="center", fontsize="small")
    return _save(figure, path)
