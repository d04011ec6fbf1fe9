"""One arm in a process of its own: `python arm.py ASK ANSWER` reads what to do and writes what it cost, both as JSON."""

import json
import sys
from pathlib import Path

from meter import Laps


def main() -> None:
    """Do what is asked."""
    laps = Laps()
    ask = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    ask["rows"] = json.loads(Path(ask["file"]).read_text(encoding="utf-8"))
    if ask["side"] == "ours":
        import ours as doer
    elif ask["side"] == "gemm":
        import limit as doer  # type: ignore[no-redef]
    elif ask["side"] == "sentence_transformers":
        import features as doer  # type: ignore[no-redef]
    else:
        import peers as doer  # type: ignore[no-redef]
    answer = getattr(doer, ask["kind"])(ask, laps)
    Path(sys.argv[2]).write_text(json.dumps(answer | {"laps": laps.parts}), encoding="utf-8")


if __name__ == "__main__":
    main()
