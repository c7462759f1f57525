"""One fixed magnification level in place of attention over levels: gain 1 (nothing is magnified) to 11.

The paper prints nothing for each fixed level. Its section 3.2 compares AMAN with "the single-magnification method",
which Table 3 calls frame attention only: CASME II 62.71 %, SAMM 56.25 %, SMIC-HS 62.80 %. It does not say which level.

Trainings, 11 configurations by folds: casme2-5 286, samm-5 297, smic-hs-3 176. One preparation serves them all.
"""

from tune_spaces import Space

SPACE = Space(
    reproduces="Table 3, frame attention only, as section 3.2 describes it: one magnification level for all clips",
    choices={"levels": tuple(map(str, range(1, 12)))},
)
