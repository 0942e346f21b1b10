"""A real CLIPTokenizer whose vocabulary is the closed language of the toybox's captions.

Byte-pair encoding starts from letters and merges the most frequent neighbours. Trained on the
few words of the language until nothing is left to merge, it makes one token of each of them; any
other word falls into smaller pieces, as a rare word does in Stable Diffusion.
"""

import json

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from toybox.world import VOCABULARY
from toybox.world.captions import MAX_WORDS

MAX_TOKENS = MAX_WORDS + 2
"""The longest caption between its start and end tokens."""

_START, _END = "<|startoftext|>", "<|endoftext|>"
_SUFFIX = "</w>"


def make_tokenizer() -> CLIPTokenizer:
    """Return the tokenizer: start 0, end and padding 1, then pieces and words."""
    pieces = Tokenizer(models.BPE(end_of_word_suffix=_SUFFIX))
    pieces.pre_tokenizer = pre_tokenizers.Whitespace()
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())  # a letter for each byte, as CLIP has
    trainer = trainers.BpeTrainer(
        vocab_size=10_000,
        special_tokens=[_START, _END, *letters, *(letter + _SUFFIX for letter in letters)],
        end_of_word_suffix=_SUFFIX,
        show_progress=False,
    )
    pieces.train_from_iterator(VOCABULARY, trainer)
    model = json.loads(pieces.to_str())["model"]
    return CLIPTokenizer(
        vocab=model["vocab"],
        merges=[tuple(pair) for pair in model["merges"]],
        model_max_length=MAX_TOKENS,
    )
