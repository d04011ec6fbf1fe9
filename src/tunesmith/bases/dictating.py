"""The processor of a base that writes what it hears with a decoder (Whisper): its feature extractor, and its tokenizer.

    labels   <|en|> <|transcribe|> <|notimestamps|> text <|endoftext|>        what the tokenizer puts around a text
    decoder  <|startoftranscript|> and the labels without their last

Radford et al. 2022, https://arxiv.org/abs/2212.04356.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunesmith.bases.find import Found
from tunesmith.bases.hearing import SoundProcessor, load_hearing
from tunesmith.bases.load import quiet
from tunesmith.errors import TunesmithError
from tunesmith.files import read_json


class DictationProcessor(SoundProcessor):
    """Sounds as the base hears them, and texts as it writes them."""

    def __init__(self, library: Any, config: Mapping[str, Any], tokenizer: Any) -> None:
        super().__init__(library, config)
        self.tokenizer = tokenizer
        self.start = int(config["decoder_start_token_id"])
        self.longest_text = int(config.get("max_target_positions") or 448)
        """Tokens that the decoder has places for."""
        empty = self.labels("")
        self.prefix, self.end = empty[:-1], int(tokenizer.eos_token_id)
        """Tokens between the decoder's start and the first word; and the one that ends a text."""

    def labels(self, text: str) -> list[int]:
        """Tokens to be learnt of a text. What the tokenizer begins with is the decoder's start, which the library puts
        before labels by itself."""
        ids = [int(i) for i in self.tokenizer(text, verbose=False)["input_ids"]]
        return ids[1:] if ids[:1] == [self.start] else ids

    def text(self, ids: Sequence[int]) -> str:
        """As people read it, one space between words."""
        return " ".join(str(self.tokenizer.decode(list(ids), skip_special_tokens=True)).split())

    def save_pretrained(self, folder: Path) -> None:
        """Files that AutoFeatureExtractor, AutoTokenizer and AutoProcessor read."""
        from transformers import WhisperProcessor

        super().save_pretrained(folder)
        both: Any = WhisperProcessor(self.library, self.tokenizer)  # type: ignore[no-untyped-call]
        both.save_pretrained(folder)


def load_dictating(found: Found, saved: Path | None, language: str | None, *, translate: bool) -> DictationProcessor:
    """The base's processor, or the one that was `saved` with a model, set to that language. Raises TunesmithError where
    the base marks languages and none was named, or does not know the one that was."""
    from transformers import AutoTokenizer
    from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

    hearing = load_hearing(found, saved)
    with quiet():
        try:
            tokenizer: Any = AutoTokenizer.from_pretrained(
                saved or found.folder, local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError) as error:
            raise TunesmithError(f"base: {found.name} has no tokenizer that loads: {error}") from error
    if not _marks_languages(found, tokenizer):
        if language is not None or translate:
            odd = "language" if language is not None else "translate"
            raise TunesmithError(
                f"task.{odd}: {found.name} was made for one language and has no mark for it. Remove it"
            )
    elif language is None:
        raise TunesmithError(
            f"task.language: {found.name} marks the language of each text, and was not told which. Name it, such as "
            "task: {name: transcribe, language: en}"
        )
    else:
        try:
            tokenizer.set_prefix_tokens(language=language, task="translate" if translate else "transcribe")
        except ValueError as error:
            raise TunesmithError(f"task.language: {error}") from error
        code = TO_LANGUAGE_CODE.get(language.lower(), language.lower())
        if f"<|{code}|>" not in tokenizer.convert_ids_to_tokens(tokenizer.prefix_tokens):  # it counts from the first
            raise TunesmithError(f"task.language: {found.name} has no mark for {language}. Name a language that it has")
    return DictationProcessor(hearing.library, hearing.config, tokenizer)


def _marks_languages(found: Found, tokenizer: Any) -> bool:
    """Whether the base was made for several languages. Those for English alone may have the same tokens, and say in
    their generation_config.json that they are not multilingual."""
    file = found.folder / "generation_config.json"
    said = read_json(file).get("is_multilingual", True) if file.is_file() else True
    return bool(said) and "<|transcribe|>" in tokenizer.get_vocab()
