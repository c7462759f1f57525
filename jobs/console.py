"""The command `aman`: `aman loso --database casme2 ...` is `python jobs/loso.py --database casme2 ...`."""

import ast
import sys
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).parent
SHORT = {"check": "check_database", "train-magnifier": "train_magnifier"}
"""Other names of jobs, as they are typed sooner."""
STARTS = "run_job(Options, main, __doc__)"
"""What a file has that is a job."""


def main() -> None:
    """Run the job that the first argument names. Without one, say which there are."""
    known = jobs()
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help"):
        sys.stdout.write("usage: aman JOB [OPTIONS]; aman JOB --help shows the options of a job\n\n")
        width = max(map(len, known))
        sys.stdout.write("".join(f"  {one:{width}}  {sentence}\n" for one, sentence in known.items()))
        return
    job = SHORT.get(name, name)
    if job not in known:
        sys.stderr.write(f"error: got aman {name}; expected one of {', '.join(known)}; fix: choose one of these\n")
        sys.exit(2)
    from jobs.command_line import run_job
    from jobs.started import started_by

    sys.argv[:2] = [started_by(sys.argv[0], name)]
    module = import_module(f"jobs.{job}")
    run_job(module.Options, module.main, module.__doc__)


def jobs() -> dict[str, str]:
    """The jobs, each with the first sentence of its docstring. No job is imported for it."""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted(HERE.glob("*.py"))}
    said = {name: ast.get_docstring(ast.parse(text)) or "" for name, text in texts.items() if STARTS in text}
    return {name: " ".join(text.partition("\n\n")[0].split()) for name, text in said.items() if name != "console"}
