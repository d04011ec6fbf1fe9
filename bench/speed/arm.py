"""One arm in a process of its own: `python arm.py ASK ANSWER` reads what to do and writes what it cost, both as JSON."""

import json
import sys
from importlib import import_module
from pathlib import Path

from meter import Laps


def main() -> None:
    """Do what is asked."""
    laps = Laps()
    ask = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    ask["rows"] = json.loads(Path(ask["file"]).read_text(encoding="utf-8"))
    doers = {"ours": "ours", "gemm": "limit", "sentence_transformers": "features", "adapters": "adapterhub"}
    doer = import_module(doers.get(ask["side"], "peers"))
    if ask["kind"] == "sft":
        doer = import_module("sft" if ask["side"] == "ours" else "sft_peers")
    answer = getattr(doer, ask["kind"])(ask, laps)
    Path(sys.argv[2]).write_text(json.dumps(answer | {"laps": laps.parts}), encoding="utf-8")


if __name__ == "__main__":
    main()
