"""Finding and loading models with transformers: no code that comes with a model, no pickled weights."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from educe.core.errors import BackendError, DataError, UsageError

__all__ = ["ends", "load", "local"]

HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)


def local(source: str) -> Path | None:
    """Return the file or folder that a source names, None for a name on the hub.

    Raises
    ------
    UsageError
        It is neither.

    Examples
    --------
    >>> local("org/model") is None
    True
    """
    path = Path(source).expanduser()
    if source and path.exists():
        return path
    if source.startswith((".", "/", "~")) or source.endswith(".gguf") or not HUB_NAME.fullmatch(source):
        raise UsageError(f"There is no model {source!r}. Give ORG/NAME, a folder, or a GGUF file.")
    return None


def ends(model: Any, tokenizer: Any) -> frozenset[int]:
    """The tokens that end a row."""
    said = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    tokens = [*(said if isinstance(said, list | tuple) else [said]), tokenizer.eos_token_id]
    return frozenset(int(token) for token in tokens if token is not None)


def load(source: str, path: Path | None, dtype: torch.dtype) -> tuple[Any, Any]:
    """Return model and tokenizer.

    Parameters
    ----------
    source : str
        As the user gave it.
    path : Path or None
        What `local` made of it.
    dtype : torch.dtype
        Of the weights.

    Raises
    ------
    UsageError
        transformers is not installed.
    DataError
        A local model is not sound or not supported.
    BackendError
        The hub does not give the model.
    """
    try:
        import transformers
    except ImportError:
        raise UsageError("A model with hf: needs transformers. Install it: pip install 'educe[hf]'.") from None
    where: dict[str, Any] = {"pretrained_model_name_or_path": source, "trust_remote_code": False}
    if path is not None:
        where |= {"pretrained_model_name_or_path": str(path), "local_files_only": True}
    if path is not None and path.is_file():
        where |= {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    try:
        with _quiet(transformers) if path is not None else contextlib.nullcontext():
            tokenizer = transformers.AutoTokenizer.from_pretrained(**where)
            model = transformers.AutoModelForCausalLM.from_pretrained(**where, dtype=dtype, use_safetensors=True)
    except Exception as error:
        # The library, the hub's client and the tokenizers raise whatever they like.
        words = " ".join(str(error).split())[:200] or type(error).__name__
        if path is not None:
            raise DataError(
                f"transformers cannot load {source}: {words}. Give a complete model with safetensors weights."
            ) from error
        raise BackendError(
            f"transformers cannot load {source!r} from the hub: {words}. "
            "Check the name and the network, or give a folder that holds the model."
        ) from error
    return model, tokenizer


@contextlib.contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Without the library's remarks and progress bars, for a model that is here already."""
    log = transformers.utils.logging
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()
