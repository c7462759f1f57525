"""Figure 3: accuracy against the frame count n = 1 to 20 on the three databases.

The paper draws curves ("no large fluctuation") and prints only their best point n = 11, with k = 9 (Table 2): CASME II
75.40 %, SAMM 68.85 %, SMIC-HS 79.87 %.

Trainings, 20 configurations by folds: casme2-5 520, samm-5 540, smic-hs-3 320. One preparation of all 20 frames serves
them all.
"""

from tune_spaces import Space

SPACE = Space(
    reproduces="Figure 3: accuracy against the frame count n",
    choices={"n": tuple(range(1, 21))},
    paper={"casme2-5": {"n=11": 75.40}, "samm-5": {"n=11": 68.85}, "smic-hs-3": {"n=11": 79.87}},
)
