"""Tables of results as text, and the numbers that the paper prints."""

from collections.abc import Sequence

from aman.scoring import Scores

PAPER_ACCURACY: dict[str, float] = {"casme2-5": 75.40, "samm-5": 68.85, "smic-hs-3": 79.87}
"""AMAN's accuracy in per cent (Table 2). Not comparable with a pooled score: it is no whole number of clips."""


def score_table(scores: Scores, protocol: str, literature: float, notes: Sequence[str] = ()) -> str:
    """The final table of a benchmark, percentages with one decimal."""
    low, high = scores.interval
    rows = [
        ("accuracy", f"{percent(scores.accuracy)}  [{percent(low)}, {percent(high)}] 95 % over subjects"),
        ("UF1", percent(scores.uf1)),
        ("UAR", percent(scores.uar)),
        ("mean of folds: accuracy", percent(scores.mean_fold_accuracy)),
        ("mean of folds: macro-F1", percent(scores.mean_fold_f1)),
        ("chance (majority class)", percent(scores.chance_majority)),
        ("literature (best test epoch)", f"{percent(literature)}  peeks at the test labels"),
    ]
    if protocol in PAPER_ACCURACY:
        rows.append(("paper (Table 2)", f"{PAPER_ACCURACY[protocol]:.1f}"))
    rows += [("note", note) for note in notes]
    width = max(len(name) for name, _ in rows)
    return "\n".join(
        [f"{protocol}, {scores.clips} clips, in %", *(f"  {name:<{width}}  {text}" for name, text in rows)]
    )


def percent(share: float) -> str:
    """`73.9` of 0.7389."""
    return f"{100 * share:.1f}"
