"""The files of the speed benchmark stand outside the package: put them where tests can import them."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "bench" / "speed"))
