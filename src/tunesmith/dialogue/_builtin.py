"""Chat templates by name, for bases that bring none. `begin` is the beginning token where the tokenizer writes one.

Each writes its end of turn after every answer, refuses roles that it has no place for, and ends its question so that no
token can reach from there into the answer.
"""

from typing import NamedTuple


class Builtin(NamedTuple):
    """A template, and the marks that should be tokens of their own."""

    text: str
    marks: tuple[str, ...] = ()


_OTHERWISE = "{%- else %}{{- raise_exception('it has no place for the role ' + m.role) }}{%- endif %}{%- endfor %}"
_SYSTEM_FIRST = """\
{%- set rest = messages[1:] if messages[0].role == 'system' else messages %}
{%- set told = messages[0].content if messages[0].role == 'system' else '' %}"""
_TOOLS = """\
{{- '# Tools\\n\\nYou may call these functions to help the user. Their signatures, one a line:\\n<tools>' }}
{%- for t in tools %}{{- '\\n' + t | tojson }}{%- endfor %}
{{- '\\n</tools>\\n\\nTo call one, write its name and arguments as JSON:\\n<tool_call>\\n' }}
{{- '{"name": NAME, "arguments": {…}}\\n</tool_call>' }}"""
_CALLS = """\
{%- for c in m.tool_calls or [] %}
{{- '\\n' if m.content or not loop.first else '' }}
{{- '<tool_call>\\n{"name": ' + c.function.name | tojson + ', "arguments": ' + c.function.arguments | tojson }}
{{- '}\\n</tool_call>' }}
{%- endfor %}"""

CHATML = (
    "{{- begin }}"
    + _SYSTEM_FIRST
    + "{%- if tools %}{{- '<|im_start|>system\\n' + (told + '\\n\\n' if told else '') }}"
    + _TOOLS
    + "{{- '<|im_end|>\\n' }}"
    + "{%- elif messages[0].role == 'system' %}{{- '<|im_start|>system\\n' + told + '<|im_end|>\\n' }}{%- endif %}"
    + "{%- for m in rest %}{{- '<|im_start|>' + m.role + '\\n' + m.content }}"
    + _CALLS
    + "{{- '<|im_end|>\\n' }}{%- endfor %}"
    + "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)

LLAMA3 = (
    "{{- begin }}{%- for m in messages %}{%- if m.role in ['system', 'user', 'assistant'] %}"
    "{{- '<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' + m.content | trim + '<|eot_id|>' }}"
    + _OTHERWISE
    + "{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}"
)

LLAMA2 = (
    _SYSTEM_FIRST + "{%- for m in rest %}{%- if m.role == 'user' %}{{- begin + '[INST] ' }}"
    "{%- if loop.first and told %}{{- '<<SYS>>\\n' + told + '\\n<</SYS>>\\n\\n' }}{%- endif %}"
    "{{- m.content | trim + ' [/INST]' }}"
    "{%- elif m.role == 'assistant' %}{{- ' ' + m.content | trim + ' ' + eos_token }}" + _OTHERWISE
)

MISTRAL = (
    "{{- begin }}" + _SYSTEM_FIRST + "{%- for m in rest %}{%- if m.role == 'user' %}"
    "{{- '[INST] ' + (told + '\\n\\n' if loop.first and told else '') + m.content + ' [/INST]' }}"
    "{%- elif m.role == 'assistant' %}{{- ' ' + m.content | trim + eos_token }}" + _OTHERWISE
)

GEMMA = (
    "{{- begin }}" + _SYSTEM_FIRST + "{%- for m in rest %}{%- if m.role == 'user' %}"
    "{{- '<start_of_turn>user\\n' + (told + '\\n\\n' if loop.first and told else '') + m.content | trim }}"
    "{{- '<end_of_turn>\\n' }}"
    "{%- elif m.role == 'assistant' %}{{- '<start_of_turn>model\\n' + m.content | trim + '<end_of_turn>\\n' }}"
    + _OTHERWISE
    + "{%- if add_generation_prompt %}{{- '<start_of_turn>model\\n' }}{%- endif %}"
)


def _tagged(end: str) -> str:
    """`<|role|>`, a line break, the text, an end."""
    return (
        "{{- begin }}{%- for m in messages %}{%- if m.role in ['system', 'user', 'assistant'] %}"
        "{{- '<|' + m.role + '|>\\n' + m.content + "
        + end
        + " + '\\n' }}"
        + _OTHERWISE
        + "{%- if add_generation_prompt %}{{- '<|assistant|>\\n' }}{%- endif %}"
    )


ALPACA = (
    "{{- begin }}" + _SYSTEM_FIRST + "{{- (told or 'Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.') + '\\n\\n' }}"
    "{%- for m in rest %}{%- if m.role == 'user' %}"
    "{{- '### Instruction:\\n' + m.content + '\\n\\n### Response:\\n' }}"
    "{%- elif m.role == 'assistant' %}{{- m.content + eos_token + '\\n\\n' }}" + _OTHERWISE
)

VICUNA = (
    "{{- begin }}" + _SYSTEM_FIRST + "{{- (told or 'A chat between a curious user and an artificial intelligence "
    "assistant. The assistant gives helpful, detailed, and polite answers to the user\\'s questions.') + ' ' }}"
    "{%- for m in rest %}{%- if m.role == 'user' %}{{- 'USER: ' + m.content + ' ASSISTANT:' }}"
    "{%- elif m.role == 'assistant' %}{{- ' ' + m.content + eos_token }}" + _OTHERWISE
)

PLAIN = (
    "{%- if messages | map(attribute='role') | list not in [['user'], ['user', 'assistant']] %}"
    "{{- raise_exception('it holds one question and one answer, no system text and no history') }}{%- endif %}"
    "{{- begin + messages[0].content + '\\n' }}"
    "{%- if messages | length == 2 %}{{- messages[1].content + eos_token }}{%- endif %}"
)

PALIGEMMA = (
    "{%- if messages | map(attribute='role') | list not in [['user'], ['user', 'assistant']] %}"
    "{{- raise_exception('it holds one question and one answer, no system text and no history') }}{%- endif %}"
    "{%- for m in messages %}{%- if m.content is string %}"
    "{{- (begin if m.role == 'user' else '') + m.content }}{%- else %}{%- for part in m.content %}"
    "{{- '<image>' + bos_token if part.type == 'image' else part.text }}{%- endfor %}{%- endif %}"
    "{{- '\\n' if m.role == 'user' else eos_token }}{%- endfor %}"
)
"""An image, the beginning token, the question, a line break, the answer: as PaliGemma's own processor has it."""

BUILTIN = {
    "chatml": Builtin(CHATML, ("<|im_start|>", "<|im_end|>")),
    "llama3": Builtin(LLAMA3, ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")),
    "llama2": Builtin(LLAMA2),
    "mistral": Builtin(MISTRAL),
    "alpaca": Builtin(ALPACA),
    "zephyr": Builtin(_tagged("eos_token")),
    "gemma": Builtin(GEMMA, ("<start_of_turn>", "<end_of_turn>")),
    "phi": Builtin(_tagged("'<|end|>'"), ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>")),
    "vicuna": Builtin(VICUNA),
    "plain": Builtin(PLAIN),
    "paligemma": Builtin(PALIGEMMA, ("<image>",)),
}
