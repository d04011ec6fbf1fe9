"""Templates of strangers: they reach nothing, and neither hang nor fill the memory."""

import ast
import resource
import time
from pathlib import Path

import pytest

import tiny
from tunesmith.dialogue import Dialogue, Message
from tunesmith.dialogue.templates import Template, render, writer
from tunesmith.errors import TunesmithError

DIALOGUE = Dialogue((Message("user", "Hi"), Message("assistant", "Hello")))
GROW = "{% set n = namespace(x='ab') %}{% for i in range(99999) %}"
ESCAPES = (
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ messages.__class__ }}",
    "{{ ''['__class__'] }}",
    "{{ '' | attr('__class__') }}",
    "{{ raise_exception.__globals__['json'] }}",
    "{{ strftime_now.__closure__ }}",
    "{{ self._TemplateReference__context }}",
    "{{ range.__self__ }}",
    "{{ '{0.__class__.__mro__}'.format(messages) }}",
    "{{ '{x.__class__}'.format_map({'x': 1}) }}",
    "{{ ('{0.__cl' ~ 'ass__}').format(1) }}",
    "{{ messages.append(1) }}",
    "{{ messages[0].update({'content': 'x'}) }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
    "{% extends 'base' %}",
    "{{ lipsum.__globals__.os.popen('id').read() }}",
    "{{ cycler.__init__.__globals__ }}",
    "{{ namespace(_x=1) }}",
    "{% set n = namespace() %}{% set n.__class__ = 1 %}",
    "{% macro m() %}{% endmacro %}{{ m.__call__.__func__ }}",
    "{% for x in messages %}{{ loop.__init__ }}{% endfor %}",
    "{{ (messages | map(attribute='__class__') | list)[0].mro() }}",
    "{{ config.items() }}",
    "{{ documents.x.y }}",
)
DOS = (
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{% for a in range(99999) if range(99999) | select('eq', -1) | list %}{% endfor %}",
    "{% for a in range(99999) %}{% for b in range(99999) if false %}{% endfor %}{% endfor %}",
    "{{ 'x' * 4000000000 }}",
    "{{ 4000000000 * 'x' }}",
    "{{ [0] * 4000000000 }}",
    "{{ 'x' * 3000000 * 1000 }}",
    "{{ range(4000000000) | list }}",
    GROW + "{% set n.x = n.x ~ n.x %}{% endfor %}",
    GROW + "{% set n.x = n.x + n.x %}{% endfor %}",
    GROW + "{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}",
    GROW + "{% set n.x = {'a': n.x, 'b': n.x} %}{% endfor %}{{ n.x | tojson }}",
    GROW + "{% set n.x = dict(a=n.x, b=n.x) %}{% endfor %}",
    GROW + "{% set n.x = n.x.replace('', n.x) %}{% endfor %}",
    GROW + "{% set n.x = n.x | replace('a', 'aaaa') %}{% endfor %}",
    GROW + "{% set n.x = n.x.join([n.x, n.x, n.x]) %}{% endfor %}",
    GROW + "{% set n.x = [n.x, n.x] | join %}{% endfor %}",
    GROW + "{% set n.x = '%s%s' % (n.x, n.x) %}{% endfor %}",
    GROW + "{% set n.x = '{0}{0}'.format(n.x) %}{% endfor %}",
    GROW + "{% set n.x %}{{ n.x }}{{ n.x }}{% endset %}{% endfor %}",
    "{% set n = namespace(x=3) %}{% for i in range(99999) %}{% set n.x = n.x * n.x %}{% endfor %}",
    "{{ 2 ** 999999999 }}",
    "{{ '%999999999d' % 1 }}",
    "{{ '{:>999999999}'.format(1) }}",
    "{{ '{x:>999999999}'.format_map({'x': 1}) }}",
    "{{ '{:{}}'.format(1, 999999999) }}",
    "{{ '%*d' % (999999999, 1) }}",
    "{{ 'x' | center(999999999) }}",
    "{{ 'x'.ljust(999999999) }}",
    "{{ 'x' | indent(999999999, true) }}",
    "{{ [1] | tojson(indent=999999999) }}",
    "{{ lipsum(n=999999999) }}",
    "{{ [1] | batch(999999999, 'x') | list }}",
    "{{ (1).to_bytes(999999999, 'big') }}",
    "{{ 1.5 | round(999999999) }}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "{% block a %}{{ self.a() }}{{ self.a() }}{% endblock %}",
    "{% for x in [[]] recursive %}{{ loop([[]]) }}{% endfor %}",
    "{% set b = 'x' * 1000000 %}{% for i in range(99999) %}{{ b }}{% endfor %}",
    "{% set b = 'x' * 1000000 %}{% set z %}{% for i in range(99999) %}{{ b }}{% endfor %}{% endset %}",
    "{% set b = 'x' * 1000000 %}{% for i in range(99999) %}{% if b == b ~ '' or 'y' in b %}{% endif %}{% endfor %}",
    "{% set b = 'x' * 1000000 %}{% for i in range(99999) %}{% set c = b[1:] %}{% endfor %}",
    "{% set b = 'x' * 1000000 %}{% for i in range(99999) %}{{ b.strip('y' * 1000000 + 'x') }}{% endfor %}",
    "{% for i in range(99999) %}" + "x" * 200000 + "{% endfor %}",
    "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "{{ " + "-" * 50000 + "1 }}",
    "x" * 300000,
    "{{ strftime_now('%Y' * 100000) }}",
    "{{ strftime_now('%999999999d') }}",
)  # fmt: skip


def _write(text: str) -> str:
    return writer(Template("t", text, "2026-11-21"), tiny.make_tokenizer("qwen2"))(DIALOGUE)


@pytest.mark.parametrize("text", ESCAPES)
def test_a_template_reaches_nothing_of_python(text: str) -> None:
    try:
        written = _write(text)
    except TunesmithError as error:
        assert str(error).startswith("template 't'")
    else:  # an unknown name writes nothing; what is private must not be there
        assert not any(word in written for word in ("class", "object at", "module", "root:")), written


@pytest.mark.parametrize("text", DOS)
def test_a_template_neither_hangs_nor_fills_the_memory(text: str) -> None:
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(TunesmithError, match="template 't'"):
        _write(text)
    assert time.process_time() - start < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000  # KiB


def test_an_ordinary_long_conversation_is_far_from_the_bounds() -> None:
    turns = tuple(m for i in range(500) for m in (Message("user", f"q{i} " * 50), Message("assistant", f"a{i} " * 50)))
    text = "{% for m in messages %}{{ '<|im_start|>' ~ m.role + '\\n' + m.content | trim }}<|im_end|>\n{% endfor %}"
    write = writer(Template("t", text), tiny.make_tokenizer("qwen2"))
    assert write(Dialogue(turns)).count("<|im_end|>") == 1000


def test_what_templates_use_is_offered() -> None:
    text = (
        "{%- set n = namespace(found=false) %}{%- for m in messages if m.role != 'system' %}{%- if loop.first %}"
        "{%- set n.found = true %}{%- endif %}{%- if loop.last %}{% continue %}{% endif %}"
        "{{- m.content.split('i')[0] }}{%- endfor %}|{{ n.found }}|{{ {'a': 'ü<'} | tojson(indent=2) }}"
        "|{{ messages | map(attribute='role') | join(',') }}"
        "|{{ '%02d' % 7 }}|{{ messages[::-1][0].role }}|{{ strftime_now('%d %b %Y') }}|{{ messages[0].get('x', 'y') }}"
        "|{{ ' x '.strip() ~ 1 }}|{{ messages | selectattr('role', 'equalto', 'user') | list | length }}"
    )
    assert _write(text) == 'H|True|{\n  "a": "ü<"\n}|user,assistant|07|assistant|21 Nov 2026|y|x1|1'


def test_errors_say_what_the_template_said() -> None:
    with pytest.raises(TunesmithError, match=r"it refuses this conversation: no system, please\. Change"):
        _write("{{ raise_exception('no system, please') }}")
    with pytest.raises(TunesmithError, match="template 't', line 2: "):
        _write("\n{% if %}")
    with pytest.raises(TunesmithError, match="failed with ZeroDivisionError"):
        _write("{{ 1 // 0 }}")


def test_placeholders_in_the_data_stay_as_they_are() -> None:
    """identity.json of LLaMA-Factory says {{name}}: content is never a template."""
    said = Dialogue((Message("user", "{{ 7 * 7 }} {% if %}"), Message("assistant", "I am {{name}}")))
    template = Template("t", "{% for m in messages %}{{ m.content }}\n{% endfor %}")
    spans = render(template, said, tiny.make_tokenizer("qwen2"), ask=False)
    assert "".join(s.text for s in spans) == "{{ 7 * 7 }} {% if %}\nI am {{name}}\n"


def test_no_other_environment_renders_chat_templates() -> None:
    package = Path(__file__).parents[2] / "src" / "tunesmith" / "dialogue"
    for file in package.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            name = node.func if isinstance(node, ast.Call) else None
            called = getattr(name, "id", getattr(name, "attr", ""))
            assert called not in ("Environment", "SandboxedEnvironment", "eval", "exec"), f"{file}: {called}"
