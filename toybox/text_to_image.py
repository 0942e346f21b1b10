"""Train text encoder and UNet together: python -m toybox.text_to_image [--smoke]

The UNet learns to find the noise in noisy latents, with the words of the caption to help it
(Ho et al., arXiv 2006.11239, equation 14; Rombach et al., arXiv 2112.10752, equation 3). It has
the shape of Stable Diffusion's, four levels with two blocks each, so that a ControlNet adds to it
at the same 13 places, but the channels are few, and the first level has no attention: at 32 x 32
positions it would cost more time than all the rest.

Needs the run of toybox.autoencoder. One caption in ten is left empty, for guidance (Ho and
Salimans, arXiv 2207.12598).
"""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from diffusers import (
    AutoencoderKL,
    DDPMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
    UniPCMultistepScheduler,
)
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from PIL import Image
from torch import Generator, Tensor, nn
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel

from helpers.catalogue import get_model
from toybox.autoencoder import load_autoencoder, to_network
from toybox.data import load_data, open_data
from toybox.gallery import tile
from toybox.tokenizer import MAX_TOKENS, make_tokenizer
from toybox.training import (
    Plan,
    adapt,
    draw_numbers,
    is_first_process,
    layout_for,
    read_options,
    train,
)

PLAN = Plan(steps=16000, batch=512, learning_rate=8e-4, warm_up=500, average=0.9995)

CHANNELS = (96, 96, 96, 64)
TEXT_WIDTH = 128
CAPTION_DROPOUT = 0.1
"""Share of the samples that are learnt without their caption."""

SCHEDULE = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
}
"""How much noise each timestep has: that of Stable Diffusion."""

GUIDANCE_SCALE = get_model("toybox").guidance_scale


def new_unet() -> UNet2DConditionModel:
    """Return an untrained UNet."""
    return UNet2DConditionModel(
        sample_size=32,
        block_out_channels=CHANNELS,
        down_block_types=(
            "DownBlock2D",
            "CrossAttnDownBlock2D",
            "CrossAttnDownBlock2D",
            "DownBlock2D",
        ),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=2,
        cross_attention_dim=TEXT_WIDTH,
        # diffusers keeps an old name: this is the number of heads, 16 channels each.
        attention_head_dim=tuple(channels // 16 for channels in CHANNELS),
        norm_num_groups=16,
    )


def new_text_encoder(vocabulary: int) -> CLIPTextModel:
    """Return an untrained text encoder for `vocabulary` tokens."""
    config = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=TEXT_WIDTH,
        intermediate_size=4 * TEXT_WIDTH,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=MAX_TOKENS,
        projection_dim=TEXT_WIDTH,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    return CLIPTextModel(config)


def new_scheduler() -> UniPCMultistepScheduler:
    """Return the sampler that all pipelines use."""
    return UniPCMultistepScheduler(**SCHEDULE, steps_offset=1)


def tokenize(captions: NDArray[np.str_]) -> Tensor:
    """Return the tokens of captions, padded, (N, MAX_TOKENS)."""
    tokenizer = make_tokenizer()
    return tokenizer(list(captions), padding="max_length", return_tensors="pt").input_ids


class Diffusion(nn.Module):
    """Noise for latents: z_t = sqrt(alpha_bar_t) z + sqrt(1 - alpha_bar_t) eps."""

    def __init__(self) -> None:
        super().__init__()
        alpha_bar = DDPMScheduler(**SCHEDULE).alphas_cumprod
        self.register_buffer("alpha_bar", alpha_bar, persistent=False)

    def forward(self, latents: Tensor, steps: Tensor, eps: Tensor) -> Tensor:
        """Return the noisy latents."""
        alpha_bar = self.alpha_bar[steps].view(-1, 1, 1, 1)
        return alpha_bar.sqrt() * latents + (1 - alpha_bar).sqrt() * eps


class TextToImageLoss(nn.Module):
    """The squared error of the noise that the UNet finds."""

    def __init__(self, text_encoder: nn.Module, unet: nn.Module, data: dict, batch: int) -> None:
        super().__init__()
        device = data["latents"].device
        layout = layout_for(device)
        self.text_encoder = text_encoder.to(device)
        self.unet = unet.to(device, memory_format=layout)
        self.diffusion = Diffusion().to(device)
        self.data, self.batch = data, batch

    def forward(self, generator: Generator) -> Tensor:
        """Return the loss of a batch."""
        numbers = draw_numbers(len(self.data["latents"]), self.batch, generator)
        latents, tokens = clean_latents(self.data, numbers, CAPTION_DROPOUT, generator)
        steps = draw_numbers(SCHEDULE["num_train_timesteps"], self.batch, generator)
        eps = torch.randn(latents.shape, generator=generator, device=generator.device)
        words = self.text_encoder(tokens).last_hidden_state
        noisy = self.diffusion(latents, steps, eps)
        found = self.unet(noisy, steps, words, return_dict=False)[0]
        return functional.mse_loss(found.float(), eps)


def clean_latents(
    data: dict[str, Tensor], numbers: Tensor, caption_dropout: float, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Return latents and tokens of these scenes, a share of the captions left empty."""
    dice = torch.rand(len(numbers), 1, generator=generator, device=generator.device)
    tokens = torch.where(dice < caption_dropout, data["no_tokens"], data["tokens"][numbers])
    return data["latents"][numbers].float(), tokens


def load_diffusion_data(folder: Path, runs: Path, device: torch.device) -> dict[str, Tensor]:
    """Return "latents", "tokens" and "no_tokens" (of the empty caption) on the device."""
    cache_latents(folder, runs / "autoencoder", device)
    captions, name = (
        open_data(folder, "caption")["caption"],
        latents_name(folder, runs / "autoencoder"),
    )
    return {
        "latents": load_data(folder, name, device=device)[name],
        "tokens": tokenize(captions).to(device),
        "no_tokens": tokenize(np.array([""])).to(device),
    }


def latents_name(folder: Path, autoencoder: Path) -> str:
    """Return the name of the array of latents; it changes with the autoencoder and the photos."""
    digest = hashlib.sha256((autoencoder / "diffusion_pytorch_model.safetensors").read_bytes())
    photos = open_data(folder, "photo")["photo"]
    digest.update(photos[:: max(1, len(photos) // 64)].tobytes())
    return f"latents-{digest.hexdigest()[:8]}"


@torch.no_grad()
def cache_latents(folder: Path, autoencoder: Path, device: torch.device) -> None:
    """Encode all photos of a data folder, once; the processes of a run share the work."""
    state, path = PartialState(), folder / f"{latents_name(folder, autoencoder)}.npy"
    photos = open_data(folder, "photo")["photo"]
    if not path.is_file():
        state.wait_for_everyone()
        part = path.with_suffix(".part")
        if state.is_main_process:
            open_memmap(part, "w+", np.float16, (len(photos), 4, 32, 32)).flush()
        state.wait_for_everyone()
        network = load_autoencoder(autoencoder).to(device)
        latents = np.load(part, mmap_mode="r+")
        batch = 256 if device.type == "cuda" else 4
        for start in range(batch * state.process_index, len(photos), batch * state.num_processes):
            some = to_network(torch.from_numpy(photos[start : start + batch]).to(device))
            mean = network.encode(some).latent_dist.mean * network.config.scaling_factor
            latents[start : start + batch] = mean.half().cpu().numpy()
        latents.flush()
        state.wait_for_everyone()
        if state.is_main_process:
            part.rename(path)
        state.wait_for_everyone()


def make_pipeline(
    autoencoder: AutoencoderKL, text_encoder: CLIPTextModel, unet: UNet2DConditionModel
) -> StableDiffusionPipeline:
    """Put the parts together."""
    pipeline = StableDiffusionPipeline(
        vae=autoencoder,
        text_encoder=text_encoder,
        tokenizer=make_tokenizer(),
        unet=unet,
        scheduler=new_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def draw_pictures(
    pipeline: StableDiffusionPipeline, captions: list[str], **more: object
) -> NDArray[np.uint8]:
    """Draw a picture for each caption, seeds 0, 1, 2, ...; (N, 256, 256, 3)."""
    generators = [Generator().manual_seed(seed) for seed in range(len(captions))]
    options = {"num_inference_steps": 20, "guidance_scale": GUIDANCE_SCALE} | more
    with torch.autocast("cuda", torch.bfloat16, enabled=pipeline.device.type == "cuda"):
        pictures = pipeline(captions, generator=generators, **options).images
    return np.stack([np.asarray(picture) for picture in pictures])


def main() -> None:
    """Train, draw, save as a StableDiffusionPipeline folder."""
    options = read_options(__doc__.splitlines()[0], held_out="held-out")
    count = 2 if options.smoke else 16
    held_out = open_data(options.held_out, "photo", "caption")
    photos, captions = held_out["photo"][:count], [str(c) for c in held_out["caption"][:count]]

    def make_module(device: torch.device, batch: int) -> nn.Module:
        # ControlNets are trained side by side; none of them has to encode photos any more.
        cache_latents(options.held_out, options.out / "autoencoder", device)
        data = load_diffusion_data(options.data, options.out, device)
        return TextToImageLoss(new_text_encoder(len(make_tokenizer())), new_unet(), data, batch)

    def sheet(module: TextToImageLoss) -> Image.Image:
        device = module.unet.device
        autoencoder = load_autoencoder(options.out / "autoencoder").to(device)
        pipeline = make_pipeline(autoencoder, module.text_encoder, module.unet)
        more = {"num_inference_steps": 2} if options.smoke else {}
        pictures = draw_pictures(pipeline, captions, **more)
        half = max(1, count // 2)
        rows = [pictures[:half], photos[:half], pictures[-half:], photos[-half:]]
        return Image.fromarray(tile(np.stack(rows)))

    module, folder = train("text-to-image", make_module, adapt(PLAN, options), options, sheet=sheet)
    if not is_first_process():
        return
    autoencoder = load_autoencoder(options.out / "autoencoder")
    pipeline = make_pipeline(autoencoder, module.text_encoder.eval(), module.unet.eval())
    for network in (pipeline.vae, pipeline.text_encoder, pipeline.unet):
        network.half()
    shutil.rmtree(folder / "base", ignore_errors=True)
    pipeline.save_pretrained(folder / "base")


if __name__ == "__main__":
    main()
