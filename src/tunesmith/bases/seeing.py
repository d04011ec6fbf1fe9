"""The processor of a language model that sees, in the tokenizer's place: its tokenizer, and what an image becomes.

    <image> in a text  ->  so many tokens <image>, one for each place that the base makes of an image

How many is asked of the library's own processor. Images are resized as in `processor`: all to one size.
"""

from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.bases.find import Found
from tunesmith.bases.load import quiet, settled
from tunesmith.bases.processor import ImageProcessor
from tunesmith.errors import TunesmithError
from tunesmith.machine import require_pillow

_TEMPLATES = {"paligemma": "paligemma"}
"""Family -> how its questions are written, where its tokenizer has no template."""


class SeeingTokenizer:
    """Answers as the tokenizer inside does."""

    def __init__(self, library: Any, found: Found) -> None:
        self.library, self.name = library, found.name
        self.tokenizer = settled(found, library.tokenizer)
        if self.tokenizer.chat_template is None:
            self.tokenizer.chat_template = library.chat_template
        self.images = ImageProcessor(library.image_processor, found.name)
        self.usual_template = _TEMPLATES.get(found.model_type)
        self.placeholder, self.placeholder_id = str(library.image_token), int(library.image_token_id)
        self.typed = "token_type_ids" in library.model_input_names
        """Whether the base reads a question in both directions, and is told where the answer begins."""
        self.places = self._count()
        """Tokens that stand for an image."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["tokenizer"], name)

    def __call__(self, *texts: Any, **how: Any) -> Any:
        """Tokens of texts, as the tokenizer gives them."""
        return self.tokenizer(*texts, **how)

    def __len__(self) -> int:
        return len(self.tokenizer)

    def save_pretrained(self, folder: Path) -> None:
        """Files that transformers' AutoProcessor reads, and AutoTokenizer and AutoImageProcessor alone."""
        self.library.save_pretrained(folder)
        self.images.save_pretrained(folder)

    def _count(self) -> int:
        from PIL import Image

        made = self.library(images=[Image.new("RGB", (40, 30))], text=[self.placeholder])
        return int((np.asarray(made["input_ids"][0]) == self.placeholder_id).sum())


def load_seeing(found: Found, saved: Path | None = None) -> SeeingTokenizer:
    """The base's processor, or the one that was `saved` with a model; local files only."""
    require_pillow()
    from transformers import AutoImageProcessor, AutoProcessor

    folder = saved or found.folder
    with quiet():
        try:
            library: Any = AutoProcessor.from_pretrained(  # type: ignore[no-untyped-call]
                folder, local_files_only=True, trust_remote_code=False
            )
            library.image_processor = AutoImageProcessor.from_pretrained(  # type: ignore[no-untyped-call]
                folder, local_files_only=True, trust_remote_code=False, backend="pil"
            )
        except (OSError, ValueError, TypeError, ImportError, AttributeError) as error:
            raise TunesmithError(f"base: the processor of {found.name} does not load: {error}") from error
        return SeeingTokenizer(library, found)
