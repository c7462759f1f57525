"""Runs in MLflow: one experiment a database, one run a configuration, logged by the driver alone, in batches."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, unquote_plus, urlsplit

from aman.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """All that MLflow gets about one configuration."""

    experiment: str
    name: str
    key: str
    parameters: Mapping[str, object]
    scores: Mapping[str, float]
    curves: Mapping[str, Sequence[float]]
    tags: Mapping[str, str]
    artifacts: Sequence[Path]
    tables: Sequence[Path] = ()
    """CSV files that the UI is to show and compare as tables."""
    dataset: str
    dataset_digest: str
    dataset_columns: Mapping[str, str] = field(default_factory=dict)
    """What is known of each clip: names and MLflow's types."""
    dataset_profile: Mapping[str, object] = field(default_factory=dict)
    """Counts of clips, folds and classes."""
    note: str = ""
    """What MLflow's page of the run shows first, as Markdown."""
    began: float | None = None
    """When the job began that made the results, in seconds since 1970 (UTC). None: when the run is logged."""
    ended: float | None = None
    """When the results were there."""


USUAL = "sqlite:///runs/mlflow.db"
"""Where runs are logged when nothing is named."""
NONE = "none"
"""In place of a URI: nothing is logged."""


def sqlite_file(uri: str) -> Path | None:
    """The file of a `sqlite:///` URI (a plain path ending in .db is one), or None for a server."""
    if uri.startswith("sqlite:///"):
        return Path(uri.removeprefix("sqlite:///"))
    return Path(uri) if "://" not in uri else None


def tracking_uri(uri: str) -> str:
    """The URI as MLflow wants it, or `NONE`; empty text means `$MLFLOW_TRACKING_URI`, or `USUAL`. `UsageError` for one
    that nothing can be logged to, and for a password on the command line, which is logged with the run."""
    if secrets_of(uri):
        raise UsageError(
            got="--tracking-uri with a password",
            expected="an address without one",
            fix="set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or the whole URI as MLFLOW_TRACKING_URI",
        )
    uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or USUAL
    if uri == NONE:
        return uri
    file = sqlite_file(uri)
    if file is None:
        if not uri.startswith(("http://", "https://", "postgresql", "mysql")):
            raise UsageError(
                got=f"--tracking-uri {without_password(uri, uri)}",
                expected=f"sqlite:///FILE, a path of a .db file, the http:// address of an MLflow server, or {NONE}",
                fix=f"the default is {USUAL}",
            )
        return uri
    if file.is_dir() or file.suffix not in (".db", ".sqlite"):
        raise UsageError(
            got=f"--tracking-uri {uri}", expected="a file ending in .db", fix="MLflow's folder store is no more"
        )
    return f"sqlite:///{file}"


SECRET_NAMES = re.compile("pass|pwd|secret|token|credential|api_?key", re.IGNORECASE)
"""What names of a URI's parameters hold whose values nobody is shown."""
SHORTEST_SECRET = 4
"""Letters of a password that is looked for in other text, too: a shorter one would be found in ordinary words."""


def secrets_of(uri: str) -> list[str]:
    """The passwords that a URI holds, before its host or among its parameters, as they stand there and decoded."""
    try:
        parts = urlsplit(uri)
        found = [parts.netloc.rpartition("@")[0].partition(":")[2]]
    except ValueError:  # no URI at all
        return []
    for pair in re.split("[&;]", f"{parts.query}&{parts.fragment}"):
        name, _, value = pair.partition("=")
        if SECRET_NAMES.search(unquote(name)):
            found.append(value)
    return [one for value in found if value for one in dict.fromkeys((value, unquote(value), unquote_plus(value)))]


def without_password(text: str, uri: str) -> str:
    """The text without the name and the passwords that the URI holds."""
    found = secrets_of(uri)
    if found and urlsplit(uri).password:
        text = text.replace(f"{urlsplit(uri).netloc.rpartition('@')[0]}@", "")
    for secret in sorted(found, key=len, reverse=True):
        text = text.replace(f"={secret}", "=***")
        if len(secret) >= SHORTEST_SECRET:
            text = text.replace(secret, "***")
    return text
