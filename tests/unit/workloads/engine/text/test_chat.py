"""Chat templates: the plain one, a model's own, and one that tries to break out."""

from __future__ import annotations

import json

import pytest

from workloads.checkpoints.model_files import ModelRefused
from workloads.engine.text.chat import ChatRefused, jinja_template, plain_template

TURNS = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi {{ 1 }}"}]


def test_without_a_template_each_message_is_a_line_and_the_assistant_is_next() -> None:
    assert plain_template(TURNS) == "system: Be brief.\nuser: Hi {{ 1 }}\nassistant:"


def test_without_a_template_calls_of_tools_are_json() -> None:
    calls = [{"id": "1", "function": {"name": "add", "arguments": {"a": 1}}}]
    turns = [{"role": "assistant", "content": "", "tool_calls": calls}]
    assert plain_template(turns).splitlines()[0] == f"assistant: {json.dumps(calls)}"


def test_a_models_template_sees_messages_and_special_tokens() -> None:
    source = (
        "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    render = jinja_template(source, {"bos_token": "<s>", "eos_token": "</s>"})
    assert render(TURNS) == "<s><system>Be brief.<user>Hi {{ 1 }}<assistant>"


def test_a_template_may_refuse_a_conversation() -> None:
    with pytest.raises(ChatRefused, match="no system turn"):
        jinja_template("{{ raise_exception('no system turn') }}", {})(TURNS)


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.__class__.__init__.__globals__ }}",
        "{{ messages.append(1) }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
        "{{ range(10**9) | list }}",
    ],
)
def test_a_template_cannot_leave_its_sandbox(source: str) -> None:
    with pytest.raises(ChatRefused):
        jinja_template(source, {})(TURNS)


def test_a_broken_template_refuses_the_model() -> None:
    with pytest.raises(ModelRefused, match="chat_template"):
        jinja_template("{% if %}", {})
