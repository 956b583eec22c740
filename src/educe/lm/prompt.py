"""Prompts: plain text, or chat messages rendered by the model's own template.

Templates come with model files, which are foreign text: they run in jinja2's sandbox with immutable
data, and a template that asks for more is refused.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NoReturn, TypeAlias, TypedDict

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from educe.core.errors import DataError, UsageError

__all__ = ["Message", "Prompt", "check_prompt", "hide_controls", "prompt_text", "render_chat", "unused_mark"]

ROLES = ("system", "user", "assistant", "tool", "developer")


class Message(TypedDict):
    """One chat message: ``role`` and ``content``."""

    role: str
    content: str


Prompt: TypeAlias = str | Sequence[Message]


def check_prompt(prompt: Prompt) -> None:
    """Refuse a prompt that no model can answer.

    Parameters
    ----------
    prompt : str or sequence of Message
        Text to continue, or a chat.

    Raises
    ------
    UsageError
        It is empty, or a message lacks a known role or a text.

    Examples
    --------
    >>> check_prompt([{"role": "user", "content": "Hello"}])
    """
    if isinstance(prompt, str):
        if not prompt:
            raise UsageError("The prompt is empty. Give a text.")
        return
    if not prompt:
        raise UsageError("The chat has no message. Give at least one.")
    for message in prompt:
        if not isinstance(message, Mapping) or message.get("role") not in ROLES:
            raise UsageError(f"Chat message {message!r} has no known role. Use one of {', '.join(ROLES)}.")
        if not isinstance(message.get("content"), str):
            raise UsageError(f"Chat message of role {message['role']!r} has no text. Give 'content' as text.")


def _raise_exception(message: str) -> NoReturn:
    raise DataError(f"The chat template refuses these messages: {message}. Change the roles or their order.")


@lru_cache(maxsize=16)
def _compiled(template: str) -> jinja2.Template:
    # The names and whitespace rules are those that published chat templates are written for.
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(form)
    environment.filters["tojson"] = lambda value, **_: json.dumps(value, ensure_ascii=False)
    try:
        return environment.from_string(template)
    except jinja2.TemplateError as error:
        raise DataError(f"The chat template cannot be read: {error}. Use a model file with a sound one.") from error


def render_chat(template: str, messages: Sequence[Message], **tokens: Any) -> str:
    """Turn chat messages into the text that the model was trained on, ready for its answer.

    Parameters
    ----------
    template : str
        The model's jinja2 chat template.
    messages : sequence of Message
        The chat. A last message of role ``assistant`` is a beginning that the model goes on from.
    **tokens
        Special tokens by name (``bos_token``, ``eos_token``).

    Returns
    -------
    str

    Raises
    ------
    DataError
        The template is broken, oversteps the sandbox, or refuses the messages.

    Examples
    --------
    >>> render_chat("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    ...             "{% if add_generation_prompt %}<assistant>{% endif %}", [{"role": "user", "content": "Hi"}])
    '<user>Hi<assistant>'
    """
    check_prompt(messages)
    beginning = messages[-1]["content"] if messages[-1]["role"] == "assistant" else None
    shown = list(messages[:-1] if beginning is not None else messages)
    try:
        text = _compiled(template).render(messages=shown, add_generation_prompt=True, **tokens)
    except jinja2.TemplateError as error:
        raise DataError(f"The chat template failed: {error}. Use plain text, or another model file.") from error
    except (TypeError, ValueError, KeyError, AttributeError, ZeroDivisionError, OverflowError) as error:
        raise DataError(f"The chat template failed: {error}. Use plain text, or another model file.") from error
    return text + (beginning or "")


def unused_mark(text: str) -> str:
    """Return a private-use character that a text does not hold."""
    return next(chr(code) for code in range(0xE000, 0xF900) if chr(code) not in text)


def hide_controls(content: str, names: Iterable[str], mark: str) -> str:
    """Break each control token that a message spells out, and one that its last characters may begin.

    Parameters
    ----------
    content : str
        Text of a message.
    names : iterable of str
        Spellings of the control tokens.
    mark : str
        What is put after their first letter; see `unused_mark`. Take it out again before encoding.

    Examples
    --------
    >>> hide_controls("say <|end|> <", ["<|end|>"], "!")
    'say <!|end|> <!'
    """
    spellings = list(names)
    places = {found.start() + 1 for name in spellings for found in re.finditer(f"(?={re.escape(name)})", content)}
    for name in spellings:
        places |= {len(content) - n + 1 for n in range(1, len(name)) if content.endswith(name[:n])}
    for place in sorted(places, reverse=True):
        content = content[:place] + mark + content[place:]
    return content


def prompt_text(prompt: Prompt) -> str:
    """Show a prompt as one text, for people and for models without a template.

    Parameters
    ----------
    prompt : str or sequence of Message
        Text, or a chat; a chat ends with the role that speaks next.

    Returns
    -------
    str

    Examples
    --------
    >>> prompt_text([{"role": "user", "content": "Hi"}])
    'user: Hi\\nassistant:'
    """
    if isinstance(prompt, str):
        return prompt
    lines = [f"{message['role']}: {message['content']}" for message in prompt]
    return "\n".join(lines if prompt[-1]["role"] == "assistant" else [*lines, "assistant:"])
