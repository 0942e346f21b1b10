"""What differs between machines and versions is chosen in one place."""

import math

import numpy as np
import pytest
import torch
from diffusers import UNet2DModel

from helpers.runtime import conditioning_scale, dtype_argument


@pytest.mark.parametrize(
    ("version", "name"),
    [("0.39.0", "torch_dtype"), ("0.40.0", "dtype"), ("0.42.1", "dtype"), ("1.0rc1", "dtype")],
)
def test_the_dtype_keyword_follows_the_version(version, name):
    assert dtype_argument(torch.float16, diffusers_version=version) == {name: torch.float16}


def test_the_installed_diffusers_obeys_the_keyword(tmp_path, recwarn):
    UNet2DModel(
        block_out_channels=(4,),
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
        norm_num_groups=2,
        layers_per_block=1,
    ).save_pretrained(tmp_path)
    model = UNet2DModel.from_pretrained(tmp_path, **dtype_argument(torch.bfloat16))
    assert model.dtype == torch.bfloat16
    assert not [warning for warning in recwarn if "dtype" in str(warning.message)]


def test_a_scale_becomes_a_float():
    assert conditioning_scale(1) == 1.0
    assert type(conditioning_scale(np.float32(0.5))) is float
    assert type(conditioning_scale(np.int64(1))) is float
    assert isinstance(conditioning_scale(1), float)
    assert all(isinstance(one, float) for one in conditioning_scale([1, 0.5]))


@pytest.mark.parametrize("wrong", ["1", None, True, 1j])
def test_what_is_no_number_is_no_scale(wrong):
    with pytest.raises(TypeError, match=r"expected the conditioning scale as a number.*got"):
        conditioning_scale(wrong)


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_scale_is_finite(wrong):
    with pytest.raises(ValueError, match="finite"):
        conditioning_scale(wrong)
