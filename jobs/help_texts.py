"""What `--help` says of options that many jobs have."""

from aman.databases import databases, names
from jobs.started import as_started

DATABASE_HELP = f"One of {names()}, or a .py file of your own that defines DATABASE (docs/add_a_database.md)."
DATABASES_HELP = f"{DATABASE_HELP} Several are put side by side: casme2 samm smic --protocol cross."
ROOT_HELP = "Folder of the release, or s3://bucket/folder. " + " ".join(
    f"{one.name}: made in {one.default_root} where no folder is named."
    for one in databases().values()
    if one.default_root
)

PROTOCOL_TEXT = (
    "Which clips and classes count (the job `protocols` lists them), and how they are divided: NAME-kfold5-seed0 in"
    " five folds over subjects, NAME-cross leaves out every database once, NAME-cross-to-DATABASE predicts one from the"
    " others, and NAME alone leaves out every subject once. Empty: the database's own."
)
SPLIT_TEXT = "Table clip,set of your own (train, test or unused) in place of leaving out every subject once."
LABELS_TEXT = "Table database,label,class of your own: which label of the sheet is which class. Others do not count."

ROOTS_HELP = f"{ROOT_HELP} Of several databases one folder that holds all, or one for each in the same order."


def description(docstring: str | None) -> str:
    """What `--help` begins with: the paragraphs of a job's docstring, each as one line that the terminal breaks."""
    paragraphs = (docstring or "").strip().split("\n\n")
    return as_started("\n\n".join(" ".join(one.split()) for one in paragraphs))
