"""Models for the engine's tests: a tiny random one made on the spot, and the fetched one."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of two layers with random weights and a byte-level BPE of its own, saved by `transformers`."""
    import tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=360,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["the cat sat on the mat and the hat that the bat sat on"] * 20, trainer)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", chat_template=TEMPLATE)
    wrapped.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        eos_token_id=tokenizer.token_to_id("<|im_end|>"),
        bos_token_id=None,
        pad_token_id=None,
        initializer_range=0.25,
        tie_word_embeddings=False,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_reference(tiny_folder: Path) -> SimpleNamespace:
    """The tiny model in `transformers`."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tiny_folder, dtype=torch.float32).eval()
    return SimpleNamespace(model=model, tokenizer=AutoTokenizer.from_pretrained(tiny_folder))


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> Iterator[object]:
    """The tiny model in our engine."""
    from educe.lm.engine import Engine

    engine = Engine(tiny_folder)
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def engine(real_model: Path) -> Iterator[object]:
    """The fetched model in our engine."""
    from educe.lm.engine import Engine

    engine = Engine(real_model)
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def reference(real_model: Path) -> SimpleNamespace:
    """The fetched model in `transformers`, dequantised to float32: slow to load."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with warnings.catch_warnings():
        # The reader of GGUF files in transformers makes tensors of read-only arrays.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        options = {"gguf_file": real_model.name}
        tokenizer = AutoTokenizer.from_pretrained(real_model.parent, **options)
        model = AutoModelForCausalLM.from_pretrained(real_model.parent, dtype=torch.float32, **options).eval()
    return SimpleNamespace(model=model, tokenizer=tokenizer)
