"""Train the seg annotator: python -m toybox.annotators.seg [--smoke]

A SegFormer (Xie et al., "SegFormer: Simple and Efficient Design for Semantic Segmentation with
Transformers", arXiv 2105.15203), half as wide as the smallest of the paper. It knows all 150
classes of ADE20K by name and has met those of the toybox.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor, nn
from torch.nn import functional
from transformers import (
    SegformerConfig,
    SegformerForSemanticSegmentation,
    SegformerImageProcessor,
)

from helpers.annotators import seg_annotator
from helpers.conditions.ade20k import CLASSES
from helpers.conditions.seg import labels_to_colours
from helpers.scores import mean_iou
from toybox.annotators import augment, ready_to_compile, save_pretrained
from toybox.data import SIZE, held_out, load_data
from toybox.gallery import tile
from toybox.training import (
    Plan,
    adapt,
    draw_numbers,
    is_first_process,
    read_options,
    train,
    write_scores,
)
from toybox.world import Views

PLAN = Plan(steps=4000, batch=64, learning_rate=1e-3)

HELD_OUT_SCENES = 256


def new_network() -> SegformerForSemanticSegmentation:
    """Return an untrained network, which gives logits at a quarter of the picture's size."""
    names = dict(enumerate(CLASSES))
    config = SegformerConfig(
        hidden_sizes=(32, 48, 96, 160),
        num_attention_heads=(1, 2, 3, 5),
        mlp_ratios=(3, 3, 3, 3),
        decoder_hidden_size=128,
        # A short training on much data does not overfit.
        classifier_dropout_prob=0.0,
        drop_path_rate=0.0,
        id2label=names,
        label2id={name: number for number, name in names.items()},
    )
    return SegformerForSemanticSegmentation(config)


def new_processor() -> SegformerImageProcessor:
    """Return what makes the network's input from a picture of any size, and says so on disk."""
    return SegformerImageProcessor(
        size={"height": SIZE, "width": SIZE}, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )


class SegLoss(nn.Module):
    """Cross-entropy of the classes of all pixels."""

    def __init__(self, network: nn.Module, data: dict[str, Tensor], batch: int) -> None:
        super().__init__()
        self.network = network.to(data["photo"].device)
        self.data = data
        self.batch = batch

    def forward(self, generator: Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a batch, and the share of pixels that are right."""
        chosen = draw_numbers(len(self.data["photo"]), self.batch, generator)
        logits = predict(self.network, augment(self.data["photo"][chosen], generator))
        labels = self.data["labels"][chosen].long()
        few = (..., slice(None, None, 4), slice(None, None, 4))  # a sample is enough for the log
        right = (logits.detach()[few].argmax(dim=1) == labels[few]).float().mean()
        return functional.cross_entropy(logits, labels), {"accuracy": right}


def predict(network: nn.Module, photos: Tensor) -> Tensor:
    """Return logits (N, 150, H, W), float32, of photos (N, 3, H, W) in [0, 1]."""
    logits = network(pixel_values=2 * photos - 1).logits.float()
    return functional.interpolate(logits, size=photos.shape[-2:], mode="bilinear")


def scores(folder: Path, views: Views) -> dict[str, float]:
    """Score the network in a folder on scenes: mean IoU of `helpers.scores`, and accuracy."""
    measure = seg_annotator(folder, views.photo.device)
    rows = []
    for photo, labels in zip(views.photo.cpu().numpy(), views.labels.cpu().numpy(), strict=True):
        found = measure(photo)
        rows.append((mean_iou(labels, found), np.mean(found == labels)))
    miou, accuracy = np.mean(rows, axis=0)
    return {"miou": float(miou), "accuracy": float(accuracy), "scenes": len(rows)}


@torch.no_grad()
def make_sheet(loss: SegLoss, views: Views) -> Image.Image:
    """Return photos, the classes found, and the true ones, a row each."""
    photos = (views.photo.permute(0, 3, 1, 2).float() / 255).to(loss.data["photo"].device)
    loss.network.eval()
    found = predict(loss.network, photos).argmax(dim=1).cpu().numpy()
    loss.network.train()
    true = views.labels.cpu().numpy()
    rows = [views.photo.cpu().numpy(), map(labels_to_colours, found), map(labels_to_colours, true)]
    return Image.fromarray(tile([list(row) for row in rows]))


def main() -> None:
    """Train, write the network and its scores."""
    options = read_options(__doc__.splitlines()[0])
    plan = adapt(PLAN, options)
    views = held_out(4 if options.smoke else HELD_OUT_SCENES)

    def make_module(device: torch.device, batch: int) -> SegLoss:
        data = load_data(options.data, "photo", "labels", device=device)
        return SegLoss(ready_to_compile(new_network()), data, batch)

    module, folder = train(
        "annotators-seg",
        make_module,
        plan,
        options,
        sheet=lambda loss: make_sheet(loss, views.pick(range(4))),
    )
    if is_first_process():
        save_pretrained(module.network, new_processor(), folder / "seg")
        table = scores(folder / "seg", views)
        write_scores(folder, table)


if __name__ == "__main__":
    main()
