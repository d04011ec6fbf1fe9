"""The layout of sentence-transformers: modules.json and one small file a module, beside weights and tokenizer.

    modules.json                          which modules, in order
    sentence_bert_config.json             longest text
    config_sentence_transformers.json     prompts, width that is kept
    1_Pooling/config.json                 mean, cls or lasttoken
    2_Normalize/config.json               length 1

The names of classes are those of releases 2 to 6; https://sbert.net, module `sentence_transformers.models`.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.bases.family import family_of, plain
from tunesmith.files import write_json

if TYPE_CHECKING:
    from tunesmith.tasks.embed import Embed

NORMALIZE = "2_Normalize"


def write_modules(task: "Embed", net: Any, folder: Path) -> None:
    """Write it for a saved trunk."""
    base: Any = plain(net)
    config = base.config
    modes = {"first": "cls", "last": "lasttoken"}
    mode = "mean" if task.pool == "mean" else modes[family_of(config.model_type).reads]
    steps = [("", "Transformer"), ("1_Pooling", "Pooling"), *([(NORMALIZE, "Normalize")] if task.normalize else [])]
    write_json(
        folder / "modules.json",
        [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, (path, kind) in enumerate(steps)
        ],
    )
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": task.max_tokens, "do_lower_case": False})
    old = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token", "lasttoken": "pooling_mode_lasttoken"}
    pooling = {"word_embedding_dimension": config.hidden_size} | {name: key == mode for key, name in old.items()}
    for name, content in {"1_Pooling": pooling, **({NORMALIZE: {}} if task.normalize else {})}.items():
        (folder / name).mkdir()
        write_json(folder / name / "config.json", content)
    prompts = {"query": task.query_prefix, "document": task.passage_prefix}
    about = {"prompts": prompts, "default_prompt_name": None, "similarity_fn_name": "cosine"}
    write_json(folder / "config_sentence_transformers.json", about | {"truncate_dim": task.width})
