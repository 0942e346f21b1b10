"""Write the tables of the model card: python -m toybox.card

How each part was trained, and how good the annotators are, stand in the manifest of the weights;
toybox/README.md shows them.
"""

from pathlib import Path

from helpers.weights import TOYBOX_WEIGHTS, read_manifest
from toybox.tables import replace_between, update

CARD = Path(__file__).resolve().parent / "README.md"
BEGIN, END = "<!-- parts: made by python -m toybox.card -->\n", "<!-- /parts -->\n"

_HEADLINES = {
    "autoencoder": ("psnr_mean_db", "{:.1f} dB PSNR"),
    "decoder": ("psnr_mean_db", "{:.1f} dB PSNR"),
    "annotators-depth": ("abs_rel", "AbsRel {:.3f}"),
    "annotators-seg": ("miou", "mIoU {:.3f}"),
    "annotators-hed": ("f1", "edge F1 within 2 pixels {:.3f}"),
    "annotators-mlsd": ("precision", "precision {:.3f}"),
    "annotators-pose": ("pck", "PCK at 10 % {:.3f}"),
}
_BESIDE = {
    "annotators-hed": ("canny_f1", "Canny {:.3f}"),
    "annotators-mlsd": ("recall", "recall {:.3f}"),
}
_FOLDERS = {
    "autoencoder": ("base/vae",),
    "decoder": (),  # lies in the autoencoder's file
    "text-to-image": ("base/unet", "base/text_encoder"),
    "annotators-depth": ("annotators/depth",),
    "annotators-seg": ("annotators/seg",),
    "annotators-hed": ("annotators/hed.safetensors",),
    "annotators-mlsd": ("annotators/mlsd.safetensors",),
    "annotators-pose": ("annotators/pose.safetensors",),
}


def table(folder: Path = TOYBOX_WEIGHTS) -> str:
    """Return a table of the parts as Markdown, from the manifest."""
    manifest = read_manifest(folder)
    order = ["autoencoder", "decoder", "text-to-image", *sorted(manifest["parts"])]
    lines = [
        "| part | MB | steps × batch | minutes | on | held-out scenes |",
        "|---|---|---|---|---|---|",
    ]
    for part in dict.fromkeys(order):
        if part not in manifest["parts"]:  # such as a decoder that did not learn on
            continue
        facts = manifest["parts"][part]
        lines.append(
            f"| {part} | {_size(part, manifest['files'])} "
            f"| {facts['steps']} × {facts['batch']} | {facts['minutes']} | {facts['device']} "
            f"| {_scores(part, facts.get('scores', {}))} |"
        )
    total = sum(one["bytes"] for one in manifest["files"].values()) / 1e6
    lines.append(f"| all | {total:.1f} | | | | |")
    return "\n".join(lines) + "\n"


def with_table(card: str, folder: Path = TOYBOX_WEIGHTS) -> str:
    """Return the text of the model card with its table replaced."""
    return replace_between(card, BEGIN, END, table(folder))


def _size(part: str, files: dict[str, dict]) -> str:
    """Return the size of a part's own files in units of 10^6 bytes; nothing if it has none."""
    places = _FOLDERS.get(part, (part.replace("controlnet-", "controlnet/"),))
    mine = [f["bytes"] for name, f in files.items() if name.startswith(places)]
    return f"{sum(mine) / 1e6:.1f}" if mine else ""


def _scores(part: str, scores: dict[str, float]) -> str:
    shown = [
        text.format(scores[key])
        for key, text in (row[part] for row in (_HEADLINES, _BESIDE) if part in row)
        if key in scores
    ]
    return ", ".join(shown)


if __name__ == "__main__":
    update(CARD, BEGIN, END, table())
