"""Settings of the whole test run."""

import os

from hypothesis import settings

from helpers.runtime import OFFLINE_ENVIRONMENT

# Before torch, OpenCV or a tokenizer is imported: threads are counted at import.
os.environ.update(OFFLINE_ENVIRONMENT)

# A slow moment of the machine is no fault of the code.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")
