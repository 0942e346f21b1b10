"""Settings of the whole test run."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from helpers.catalogue import CONDITIONS
from helpers.runtime import OFFLINE_ENVIRONMENT

# Before torch, OpenCV or a tokenizer is imported: threads are counted at import.
os.environ.update(OFFLINE_ENVIRONMENT)

# A slow moment of the machine is no fault of the code, and a run repeats the one before it.
# To look for new counter-examples: pytest --hypothesis-profile=search
settings.register_profile("suite", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=1000)
settings.load_profile("suite")


@pytest.fixture(scope="session")
def full_hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of the hub with small random networks for all that Stable Diffusion 1.5 needs."""
    import tiny_models  # here, because it imports torch

    cache = tmp_path_factory.mktemp("hub")
    tiny_models.tiny_sd15(cache, conditions=tuple(CONDITIONS))
    tiny_models.tiny_annotators(cache)
    return cache
