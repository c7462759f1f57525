"""Table 3: magnification attention only, frame attention only, and both; a missing one becomes a plain mean.

The paper prints, on CASME II, SAMM and SMIC-HS: magnification attention only 59.19 %, 59.57 %, 64.02 %; frame
attention only 62.71 %, 56.25 %, 62.80 %; both 75.40 %, 68.85 %, 79.87 %.

Trainings, 3 configurations by folds: casme2-5 78, samm-5 81, smic-hs-3 48. One preparation serves them all.
"""

from tune_spaces import Space

SPACE = Space(
    reproduces="Table 3: accuracy without one of the two attentions",
    choices={"attention": ("ma", "fa", "both")},
    paper={
        "casme2-5": {"attention=ma": 59.19, "attention=fa": 62.71, "attention=both": 75.40},
        "samm-5": {"attention=ma": 59.57, "attention=fa": 56.25, "attention=both": 68.85},
        "smic-hs-3": {"attention=ma": 64.02, "attention=fa": 62.80, "attention=both": 79.87},
    },
)
