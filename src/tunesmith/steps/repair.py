"""Mend texts that were read with the wrong encoding (Ã© for é, â€™ for an apostrophe)."""

from collections import Counter
from typing import ClassVar, Literal

from tunesmith.errors import TunesmithError
from tunesmith.steps._rewriting import Rewriting


class Repair(Rewriting):
    """Only what ftfy can take back without doubt; quotes, widths and everything else stay as they are. What was
    replaced by U+FFFD or 锟斤拷 is lost: export such a file again."""

    name: Literal["repair"] = "repair"

    source: ClassVar[str] = "ftfy, fix_encoding: https://ftfy.readthedocs.io"
    prefer: ClassVar[str] = "Where data check tells mojibake. It runs at prediction time, too. Needs the extra [data]."

    def tidy(self, text: str) -> tuple[str, Counter[str]]:
        if text.isascii():
            return text, Counter()
        try:
            from ftfy import fix_encoding
        except ImportError as error:
            what = "steps.repair needs ftfy, which is not installed. Run: pip install 'tunesmith[data]'"
            raise TunesmithError(what) from error
        mended = str(fix_encoding(text))
        return mended, Counter(texts=int(mended != text))
