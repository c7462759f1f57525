"""Table 1: accuracy against the level ceiling k = 7 to 11.

The paper prints, on CASME II: k = 7 69.85 %, 8 72.34 %, 9 75.40 %, 10 69.23 %, 11 66.41 %; none on SAMM and SMIC-HS.

Trainings, 5 configurations by folds: casme2-5 130, samm-5 135, smic-hs-3 80. One preparation serves them all.
"""

from tune_spaces import Space

SPACE = Space(
    reproduces="Table 1: accuracy against the level ceiling k",
    choices={"k": (7, 8, 9, 10, 11)},
    paper={"casme2-5": {"k=7": 69.85, "k=8": 72.34, "k=9": 75.40, "k=10": 69.23, "k=11": 66.41}},
)
