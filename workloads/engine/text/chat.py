"""How a conversation becomes a prompt: the model's own template in a sandbox, or a plain one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from workloads.checkpoints.model_files import ModelRefused

ChatTemplate = Callable[[Sequence[Mapping[str, object]]], str]


class ChatRefused(ValueError):
    """The model's template does not accept this conversation."""


def plain_template(messages: Sequence[Mapping[str, object]]) -> str:
    """For models without a template: a line `role: content` per message, then `assistant:`. What
    tools were called with follows as JSON.
    """
    lines = []
    for message in messages:
        calls = message.get("tool_calls")
        said = [str(message["content"]), json.dumps(calls, ensure_ascii=False) if calls else ""]
        lines.append(f"{message['role']}: {' '.join(filter(None, said))}")
    return "\n".join([*lines, "assistant:"])


def jinja_template(source: str, special_tokens: Mapping[str, str]) -> ChatTemplate:
    """Compiles a Hugging Face chat template; it comes with the model and is not trusted.

    The sandbox keeps it from reaching Python objects (arXiv 2406.13352 shows why); rendering
    knows the names that transformers gives to templates.
    """
    from jinja2 import TemplateError
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
    )
    environment.filters["tojson"] = lambda value, **_: json.dumps(value, ensure_ascii=False)
    environment.globals["raise_exception"] = _raise
    try:
        template = environment.from_string(source)
    except TemplateError as error:
        raise ModelRefused(f"chat_template: {error}") from error

    def render(messages: Sequence[Mapping[str, object]]) -> str:
        try:
            return template.render(messages=messages, add_generation_prompt=True, **special_tokens)
        except (TemplateError, TypeError, ArithmeticError) as error:
            raise ChatRefused(f"the model's chat template refuses this: {error}") from error

    return render


def _raise(message: str) -> None:
    raise ChatRefused(message)
