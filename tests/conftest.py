"""Settings of the whole test run."""

import os

from helpers.runtime import OFFLINE_ENVIRONMENT

# Before torch, OpenCV or a tokenizer is imported: threads are counted at import.
os.environ.update(OFFLINE_ENVIRONMENT)
