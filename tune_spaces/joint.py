"""All at once: level ceiling, frame count, freezing and learning rate; more than anybody trains, so draw from it.

The paper prints nothing of the kind: it varies k alone (Table 1) and n alone (Figure 3), and no rate.

Trainings, 2700 configurations by folds: casme2-5 70200, samm-5 72900, smic-hs-3 43200. Preparation is that of
`freezing`; as there, a pre-trained layer4 needs a trunk that holds one.
"""

from tune_spaces import Space, frame_count, freezing, level_ceiling

SPACE = Space(
    reproduces="no table of the paper: whether the best k, n, freezing and rate depend on each other",
    choices={
        **level_ceiling.SPACE.choices,
        **frame_count.SPACE.choices,
        **freezing.SPACE.choices,
        "rate": (3e-4, 1e-3, 3e-3),
    },
)
