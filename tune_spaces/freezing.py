"""How much of the trunk is frozen, and how layer4 starts where it is trained.

`frozen` is the last frozen stage; `none` freezes nothing: the whole network is trained. `layer4_init` is fresh
(`random`, the authors' code) or the trunk's own (`pretrained`, the paper), which needs weights of layer4: `fer2013` has
them, and our first weights, `fer2013-96`, have not. The paper prints no comparison; its own setting is layer3 with a
pre-trained layer4 (Table 2, k = 9, n = 11): CASME II 75.40 %, SAMM 68.85 %, SMIC-HS 79.87 %.

Trainings, 9 configurations by folds: casme2-5 234, samm-5 243, smic-hs-3 144. Magnified images are
prepared once, features once for each of the 4 depths that have any.
"""

from tune_spaces import Space

_OWN = "frozen=layer3 layer4_init=pretrained"

SPACE = Space(
    reproduces="no table of the paper: what freezing is worth",
    choices={
        "frozen": ("none", "layer1", "layer2", "layer3", "layer4"),
        "layer4_init": ("random", "pretrained"),
    },
    paper={"casme2-5": {_OWN: 75.40}, "samm-5": {_OWN: 68.85}, "smic-hs-3": {_OWN: 79.87}},
)
