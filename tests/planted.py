"""Proves that the type checker is strict enough: it must find planted errors that a lax configuration lets pass."""

import subprocess
import sys
import tempfile
from pathlib import Path

PLANTED = """
from tunesmith.plan import Plan
from tunesmith.tasks import Facts


def wrong_attribute(plan: Plan) -> str:
    return plan.trian.seed


def wrong_return(facts: Facts) -> int:
    return facts.labels


def unannotated(x):
    return x
"""


def main() -> int:
    """Exit 0 when all three planted errors are found."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "planted.py"
        file.write_text(PLANTED, encoding="utf-8")
        words = [sys.argv[1], "--config-file", "pyproject.toml", str(file)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    missed = [code for code in ("attr-defined", "return-value", "no-untyped-def") if code not in done.stdout]
    if missed:
        print(f"the type checker missed planted errors: {', '.join(missed)}\n{done.stdout}{done.stderr}")
        return 1
    print("planted type errors found: the checker is strict enough")
    return 0


if __name__ == "__main__":
    sys.exit(main())
