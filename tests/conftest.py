"""Settings of the whole test run."""

import os

from hypothesis import settings

from helpers.runtime import OFFLINE_ENVIRONMENT

# Before torch, OpenCV or a tokenizer is imported: threads are counted at import.
os.environ.update(OFFLINE_ENVIRONMENT)

# A slow moment of the machine is no fault of the code, and a run repeats the one before it.
# To look for new counter-examples: pytest --hypothesis-profile=search
settings.register_profile("suite", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=1000)
settings.load_profile("suite")
