"""The layout of sentence-transformers: modules.json and one small file a module, beside weights and tokenizer.

    modules.json                          which modules, in order
    sentence_bert_config.json             longest text
    config_sentence_transformers.json     prompts
    1_Pooling/config.json                 mean, cls or lasttoken
    2_Dense/                              the first numbers alone, where `width` says so
    2_Normalize or 3_Normalize            length 1

The names of classes are those of releases 2 to 6; https://sbert.net, module `sentence_transformers.models`.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.bases.family import family_of, plain
from tunesmith.files import write_json

if TYPE_CHECKING:
    from tunesmith.tasks.embed import Embed


def write_modules(task: "Embed", net: Any, folder: Path) -> None:
    """Write it for a saved trunk."""
    import torch
    from safetensors.torch import save_file

    base: Any = plain(net)
    config = base.config
    modes = {"first": "cls", "last": "lasttoken"}
    mode = "mean" if task.pool == "mean" else modes[family_of(config.model_type).reads]
    steps = ["Transformer", "Pooling", *(["Dense"] if task.width else []), *(["Normalize"] if task.normalize else [])]
    paths = ["" if i == 0 else f"{i}_{kind}" for i, kind in enumerate(steps)]
    write_json(
        folder / "modules.json",
        [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, (path, kind) in enumerate(zip(paths, steps, strict=True))
        ],
    )
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": task.max_tokens, "do_lower_case": False})
    old = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token", "lasttoken": "pooling_mode_lasttoken"}
    pooling = {"word_embedding_dimension": config.hidden_size} | {name: key == mode for key, name in old.items()}
    whole = {"Pooling": pooling, "Dense": _first(task.width or 0, config.hidden_size)}
    for path, kind in list(zip(paths, steps, strict=True))[1:]:
        (folder / path).mkdir(exist_ok=True)
        write_json(folder / path / "config.json", whole.get(kind, {}))
        if kind == "Dense":
            weight = torch.eye(config.hidden_size)[: task.width].contiguous()
            save_file({"linear.weight": weight}, str(folder / path / "model.safetensors"))
    prompts = {"query": task.query_prefix, "document": task.passage_prefix}
    about = {"prompts": prompts, "default_prompt_name": None, "similarity_fn_name": "cosine"}
    write_json(folder / "config_sentence_transformers.json", about)


def _first(width: int, states: int) -> dict[str, Any]:
    """Configuration of a layer that keeps the first `width` numbers: cut vectors are to have length 1, and a width in
    the settings would cut what has it already."""
    identity = "torch.nn.modules.linear.Identity"
    return {"in_features": states, "out_features": width, "bias": False, "activation_function": identity}
