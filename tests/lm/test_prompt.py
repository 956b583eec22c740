"""Prompts and the sandbox in which foreign templates run."""

import pytest

from educe.core import DataError, UsageError
from educe.lm import check_prompt, prompt_text, render_chat

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
USER = [{"role": "user", "content": "Hi"}]


def test_a_chat_becomes_what_the_model_was_trained_on():
    assert render_chat(CHATML, USER) == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"


def test_a_begun_answer_is_gone_on_from():
    begun = [*USER, {"role": "assistant", "content": "The answer"}]
    assert render_chat(CHATML, begun).endswith("<|im_start|>assistant\nThe answer")


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ messages.__init__.__globals__ }}",
        "{% for",
        "{{ 1 / 0 }}",
        "{{ raise_exception('no system role') }}",
        "{{ missing.attribute }}",
        "{{ range(10**9) | list }}",
        "{{ 'a' + 1 }}",
    ],
)
def test_a_template_that_oversteps_is_refused(template):
    with pytest.raises(DataError):
        render_chat(template, USER)


def test_messages_are_not_templates():
    text = render_chat(CHATML, [{"role": "user", "content": "{{ 7 * 7 }}"}])
    assert "{{ 7 * 7 }}" in text


@pytest.mark.parametrize(
    "prompt",
    ["", [], [{"role": "wizard", "content": "Hi"}], [{"role": "user"}], [{"role": "user", "content": 3}], ["Hi"]],
)
def test_empty_and_malformed_prompts_are_refused(prompt):
    with pytest.raises(UsageError):
        check_prompt(prompt)


def test_a_prompt_as_text():
    assert prompt_text("plain") == "plain"
    assert prompt_text([*USER, {"role": "assistant", "content": "Ho"}]) == "user: Hi\nassistant: Ho"
