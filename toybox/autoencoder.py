"""Train the autoencoder: python -m toybox.autoencoder [--decoder] [--smoke]

It shrinks a photo of 256 x 256 pixels to 32 x 32 latents with four channels, and back, as the
autoencoder of Stable Diffusion does (Kingma and Welling, arXiv 1312.6114; Rombach et al., arXiv
2112.10752). It is trained on photos alone. A photo that went through it is what a perfect sample of
the toybox would look like: the ceiling of every score.

With --decoder, the decoder of a trained autoencoder learns on while the encoder stays as it is, as
the later decoders of Stable Diffusion did. Latents stay what they were, so this can go on while
everything that reads latents is being trained, and pictures become crisper.
"""

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch import Generator, Tensor, nn
from torch.nn import functional

from toybox.data import SIZE, held_out, load_data, open_data
from toybox.gallery import tile
from toybox.training import (
    Plan,
    adapt,
    draw_numbers,
    is_first_process,
    layout_for,
    read_options,
    train,
    write_scores,
)

PLAN = Plan(steps=8000, batch=128, learning_rate=1e-3, weight_decay=1e-4)

DECODER_PLAN = Plan(steps=12_000, batch=32, learning_rate=5e-4, weight_decay=1e-4)

CHANNELS, LATENT_CHANNELS = (32, 64, 128, 128), 4
KL_WEIGHT, KL_WARM_UP = 1e-7, 1000
"""Weight of the divergence, and the calls in which it grows from 0. It keeps the latents near zero
and makes the decoder forgive small errors."""

FIRST_LOG_VARIANCE = -6.0
"""Where the logarithm of the latents' variance begins. At 0 the noise is larger than everything
that the encoder says at first, the decoder learns not to listen, and one of the four channels
stays empty for ever."""

HELD_OUT_SCENES = 256


def new_autoencoder() -> AutoencoderKL:
    """Return an untrained autoencoder."""
    autoencoder = AutoencoderKL(
        block_out_channels=CHANNELS,
        down_block_types=["DownEncoderBlock2D"] * len(CHANNELS),
        up_block_types=["UpDecoderBlock2D"] * len(CHANNELS),
        layers_per_block=1,
        norm_num_groups=16,
        latent_channels=LATENT_CHANNELS,
        sample_size=SIZE,
    )
    with torch.no_grad():  # the encoder's last layer gives means, then logarithms of variances
        autoencoder.quant_conv.bias[LATENT_CHANNELS:] += FIRST_LOG_VARIANCE
    return autoencoder


def with_frozen_encoder(autoencoder: AutoencoderKL) -> AutoencoderKL:
    """Let the decoder alone learn; returns the same autoencoder."""
    autoencoder.requires_grad_(False)
    for part in (autoencoder.post_quant_conv, autoencoder.decoder):
        part.requires_grad_(True)
    return autoencoder.train()


def to_network(photo: Tensor) -> Tensor:
    """Turn uint8 photos (N, H, W, 3) into what the networks read: (N, 3, H, W) in [-1, 1]."""
    return photo.permute(0, 3, 1, 2).float() / 127.5 - 1


class AutoencoderLoss(nn.Module):
    """How far photos come back changed: values, squared values and gradients, and a little KL."""

    def __init__(self, autoencoder: AutoencoderKL, photos: Tensor, batch: int) -> None:
        super().__init__()
        self.layout = layout_for(photos.device)
        self.autoencoder = autoencoder.to(photos.device, memory_format=self.layout)
        self.data = {"photo": photos}
        self.batch = batch
        self.register_buffer("calls", torch.zeros((), device=photos.device))

    def forward(self, generator: Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a batch, and its signal-to-noise ratio in dB."""
        photos = self.data["photo"]
        wanted = to_network(photos[draw_numbers(len(photos), self.batch, generator)])
        wanted = wanted.contiguous(memory_format=self.layout)
        latents = self.autoencoder.encode(wanted).latent_dist
        noise = torch.randn(latents.mean.shape, generator=generator, device=generator.device)
        found = self.autoencoder.decode(latents.mean + latents.std * noise).sample.float()
        squared = functional.mse_loss(found, wanted)
        loss = (
            functional.l1_loss(found, wanted)
            + 2 * squared
            + _gradient_loss(found, wanted)
            + KL_WEIGHT * (self.calls / KL_WARM_UP).clamp(max=1) * latents.kl().mean()
        )
        self.calls += 1
        return loss, {"psnr": -10 * torch.log10(squared.detach() / 4)}


def _gradient_loss(found: Tensor, wanted: Tensor) -> Tensor:
    """L1 between the differences of neighbours: a blurred edge costs more than a dim one."""
    across = functional.l1_loss(found.diff(dim=3), wanted.diff(dim=3))
    down = functional.l1_loss(found.diff(dim=2), wanted.diff(dim=2))
    return (across + down) / 2


@torch.no_grad()
def reconstruct(autoencoder: AutoencoderKL, photos: np.ndarray, *, batch: int = 8) -> np.ndarray:
    """Send photos (N, H, W, 3), uint8, through the autoencoder and back, without noise."""
    found = []
    for start in range(0, len(photos), batch):
        part = torch.from_numpy(photos[start : start + batch]).to(autoencoder.device)
        latents = autoencoder.encode(to_network(part).to(autoencoder.dtype)).latent_dist.mean
        decoded = autoencoder.decode(latents).sample.float()
        decoded = (decoded * 127.5 + 127.5).round().clamp(0, 255).byte()
        found.append(decoded.permute(0, 2, 3, 1).cpu().numpy())
    return np.concatenate(found)


def psnr(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the peak signal-to-noise ratio of each picture in dB, shape (N,).

    No two pictures may be equal: their ratio is infinite.
    """
    error = (found.astype(np.float64) - wanted) ** 2
    return 10 * np.log10(255**2 / error.mean(axis=(1, 2, 3)))


@torch.no_grad()
def _scaling_factor(autoencoder: AutoencoderKL, photos: np.ndarray) -> float:
    """1 / standard deviation of the latents: diffusion assumes that it is about 1."""
    part = to_network(torch.from_numpy(np.array(photos)).to(autoencoder.device))
    latents = [autoencoder.encode(one[None]).latent_dist.mean for one in part]
    return 1 / torch.cat(latents).float().std().item()


def load_autoencoder(folder: Path) -> AutoencoderKL:
    """Load the result of a run, in 32 bits."""
    return AutoencoderKL.from_pretrained(folder, local_files_only=True).float().eval()


def main() -> None:
    """Train, measure on held-out photos, save."""
    options = read_options(__doc__.splitlines()[0], decoder=False)
    name, plan = ("decoder", DECODER_PLAN) if options.decoder else ("autoencoder", PLAN)
    photos = held_out(16 if options.smoke else HELD_OUT_SCENES).photo.cpu().numpy()

    def make_module(device: torch.device, batch: int) -> nn.Module:
        training = load_data(options.data, "photo", device=device)["photo"]
        if options.decoder:
            autoencoder = with_frozen_encoder(load_autoencoder(options.out / "autoencoder"))
        else:
            autoencoder = new_autoencoder()
        return AutoencoderLoss(autoencoder, training, batch)

    def sheet(module: nn.Module) -> Image.Image:
        some = photos[:8]
        return Image.fromarray(tile(np.stack([some, reconstruct(module.autoencoder, some)])))

    module, folder = train(name, make_module, adapt(plan, options), options, sheet=sheet)
    if not is_first_process():
        return
    autoencoder = module.autoencoder.eval()
    if not options.decoder:
        training = open_data(options.data, "photo")["photo"][:1024]
        autoencoder.register_to_config(scaling_factor=_scaling_factor(autoencoder, training))
    saved = folder / "vae" if options.decoder else folder
    autoencoder.half().save_pretrained(saved)
    decibels = psnr(reconstruct(load_autoencoder(saved).to(autoencoder.device), photos), photos)
    scores = {
        "scenes": len(photos),
        "psnr_mean_db": round(float(decibels.mean()), 2),
        "psnr_least_db": round(float(decibels.min()), 2),
        "scaling_factor": autoencoder.config.scaling_factor,
    }
    write_scores(folder, scores)


if __name__ == "__main__":
    main()
