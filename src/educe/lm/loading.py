"""`load`: one name, any model.

abacus                             our own small reasoner, which ships with the package
smollm2-135m                       a model of the zoo, fetched on first use
path/to/model.gguf, path/to/dir    a model file or a safetensors folder, run by our engine
hf:ORG/NAME, hf:path               transformers
openai:http://host:port/v1#MODEL   any OpenAI-compatible server
fake:one answer|another            a model that answers with one of the given texts
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from educe.core.errors import UsageError, nearest
from educe.core.settings import default_model
from educe.lm.fake import FakeLM
from educe.lm.model import LanguageModel
from educe.lm.packaged import PACKAGED, packaged_folder

__all__ = ["load"]

FORMATS = ("float32", "bfloat16", "int8", "int4")
PREFIXES = ("fake:", "hf:", "openai:")


def load(
    name: str | None = None,
    *,
    dtype: str = "float32",
    cache_bytes: int = 1 << 30,
    progress: Callable[[int, int], None] | None = None,
) -> LanguageModel:
    """Load a language model by name.

    Parameters
    ----------
    name : str, optional
        Zoo name, path, or a form with prefix; see above. The setting ``EDUCE_LM`` when left out.
    dtype : str
        ``"float32"`` or ``"bfloat16"`` for local models, for our engine also ``"int8"`` and ``"int4"``.
    cache_bytes : int
        Most bytes that our engine keeps of texts it has computed, for texts that begin alike.
    progress : callable, optional
        Called with bytes done and bytes in all while a zoo model is fetched.

    Returns
    -------
    LanguageModel
        With ``path`` set where the model lies in a file or folder.

    Raises
    ------
    UsageError
        The name is unknown.
    BackendError, DataError, StoreError
        The model cannot be fetched, is not sound, or cannot be kept.

    Examples
    --------
    >>> load("fake:The answer is 4.").sample_sync("2 + 2?")[0].text
    'The answer is 4.'
    """
    name = name or default_model()
    if dtype not in FORMATS:
        raise UsageError(f"dtype {dtype!r} is unknown. Use {' or '.join(map(repr, FORMATS))}.")
    if name.startswith("fake:"):
        return FakeLM(name.removeprefix("fake:").split("|"), name=name)
    if name.startswith("openai:"):
        from educe.lm.openai import OpenAIModel, parse_openai

        return OpenAIModel(*parse_openai(name))
    if name.startswith("hf:"):
        from educe.lm.hf import TransformersModel

        return TransformersModel(name.removeprefix("hf:"), dtype=dtype)
    from educe.lm import zoo
    from educe.lm.engine import Engine

    if name in PACKAGED:
        return Engine(packaged_folder(name), name=name, dtype=dtype, cache_bytes=cache_bytes)
    if name in zoo.ZOO:
        return Engine(zoo.get(name, progress=progress), name=name, dtype=dtype, cache_bytes=cache_bytes)
    path = Path(name).expanduser()
    if path.exists():
        return Engine(path, name=name, dtype=dtype, cache_bytes=cache_bytes)
    if "/" in name or path.suffix == ".gguf":
        raise UsageError(f"There is no model file {name!r}. Check the path, or see `educe models`.")
    raise UsageError(
        f"Model {name!r} is unknown; {nearest(name, [*PACKAGED, *zoo.ZOO, *PREFIXES])} See `educe models`."
    )
