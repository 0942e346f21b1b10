"""The same picture in less time, and what is nearly the same in even less.

Exact, up to the rounding of sums that are added in another order:

- `constants_kept` computes once what no step changes, to the same bits;
  `helpers.pipelines.generate` always does, unless the weights move between CPU and GPU;
- `make_fast` also computes once what both halves of a guided batch have in common, steps with a
  scheduler that never waits (`TabulatedUniPC`), and on a GPU compiles the networks and records
  their kernels as CUDA graphs, so that a step costs a few launches instead of a thousand.

Approximate, the picture changes:

- fewer steps, which is an argument of `generate`;
- `reuse_features` lets the deep layers of the UNet and the ControlNet rest in some of the steps;
- `use_tiny_autoencoder` decodes with a smaller network.

The pipeline stays diffusers' own. Only the `forward` of some of its modules is wrapped, and the
scheduler is a subclass. Taught in notebook 11.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import MappingProxyType, MethodType
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import (
    AutoencoderTiny,
    ControlNetModel,
    StableDiffusionControlNetPipeline,
    UNet2DConditionModel,
    UniPCMultistepScheduler,
)
from diffusers.schedulers.scheduling_utils import SchedulerOutput
from huggingface_hub import is_offline_mode
from torch import nn

from helpers.runtime import dtype_argument, without_loading_bars, without_symlink_warning

Network = UNet2DConditionModel | ControlNetModel

LATENT_SCALE = 0.18215
"""What Stable Diffusion 1.5 multiplies its latents with."""

TINY_AUTOENCODER = "madebyollin/taesd"
"""Hub id of a small autoencoder that was trained to repeat that of Stable Diffusion 1.5."""

COMPILER_OPTIONS: Mapping[str, Any] = MappingProxyType(
    {"triton.cudagraphs": True, "conv_1x1_as_mm": True}
)
"""Options of the compiler "inductor": record what it makes as CUDA graphs, and take a convolution
of single pixels for the matrix product that it is."""


def make_fast(
    pipeline: StableDiffusionControlNetPipeline,
    *,
    compiler: str | None = "auto",
    options: Mapping[str, Any] = COMPILER_OPTIONS,
) -> StableDiffusionControlNetPipeline:
    """Make a pipeline fast, for good; its pictures stay equal up to rounding.

    On a GPU the first picture of each size, and of each number of pictures, costs a minute or two
    of compilation, which is announced. Another prompt, seed, scale or control image costs nothing.
    cuDNN may then choose other kernels in the whole process, so that the pictures of other
    pipelines may change by rounding too. Attention becomes that of torch.

    Load a LoRA before. What was made fast is for drawing alone: its networks cannot be shared with
    another pipeline, copied or saved.

    Args:
        pipeline: what `load_pipeline` returned, with all weights on one device. It is changed.
        compiler: a backend of `torch.compile`, or None to compile nothing. Default "inductor" on
            a GPU and None elsewhere: on a CPU the arithmetic is what costs, not its launches.
        options: for the compiler, if it is "inductor".

    Returns:
        The same pipeline.

    Raises:
        ValueError: the pipeline is fast already, reuses features already, has another scheduler
            than UniPC, or its parts move between CPU and GPU.
    """
    if is_fast(pipeline):
        raise ValueError("expected a pipeline as load_pipeline returns it, got one that is fast")
    scheduler = pipeline.scheduler
    if type(scheduler) is not UniPCMultistepScheduler or scheduler.config.thresholding:
        raise ValueError(
            "expected the scheduler UniPCMultistepScheduler without thresholding, got "
            f"{type(scheduler).__name__}; with another one the picture would be another"
        )
    if hasattr(pipeline.unet, "resting"):
        raise ValueError(
            "expected a pipeline as load_pipeline returns it, got one that reuses features; call "
            "make_fast first and reuse_features afterwards"
        )
    if is_offloaded(pipeline):
        raise ValueError(
            "expected a pipeline whose weights all stay on one device, got one whose parts move "
            'between CPU and GPU; load it with memory="all"'
        )
    on_gpu = pipeline.device.type == "cuda"
    if compiler == "auto":
        compiler = "inductor" if on_gpu else None
    if on_gpu:
        torch.backends.cudnn.benchmark = True  # sizes stay the same, so trying kernels pays
        for part in (*_networks(pipeline), pipeline.vae):
            part.to(memory_format=torch.channels_last)
        pipeline.unet.fuse_qkv_projections()  # diffusers has it for the UNet alone
    compiled = _compiled_by(compiler, options)
    if compiler is not None:
        for part in (*_networks(pipeline), pipeline.vae.decoder):
            _suit_the_compiler(part)
    for network in _networks(pipeline):
        _LessWork(network, pipeline, twins=True, compiled=compiled)
    if compiler is not None:
        # All sizes and numbers of pictures of all networks together; the usual limit is 8.
        torch._dynamo.config.recompile_limit = max(64, torch._dynamo.config.recompile_limit)
        first = controlnets(pipeline)[0]
        first.forward = _begin_step(first.forward, pipeline)
        for part in (pipeline.text_encoder, pipeline.vae.decoder):
            part.forward = _in_own_memory(compiled(part.forward))
    pipeline.scheduler = TabulatedUniPC.from_config(scheduler.config)
    pipeline.unet.made_fast = True
    return pipeline


def is_fast(pipeline: StableDiffusionControlNetPipeline) -> bool:
    """Return whether `make_fast` has changed a pipeline."""
    return getattr(pipeline.unet, "made_fast", False)


def is_offloaded(pipeline: StableDiffusionControlNetPipeline) -> bool:
    """Return whether parts of a pipeline move between CPU and GPU, one after the other."""
    parts = [part for part in pipeline.components.values() if isinstance(part, nn.Module)]
    return any(
        hasattr(module, "_hf_hook") or hasattr(module, "_diffusers_hook")
        for part in parts
        for module in part.modules()
    )


def controlnets(pipeline: StableDiffusionControlNetPipeline) -> list[ControlNetModel]:
    """Return the ControlNets of a pipeline, which has one or several."""
    return list(getattr(pipeline.controlnet, "nets", [pipeline.controlnet]))


def _networks(pipeline: StableDiffusionControlNetPipeline) -> list[Network]:
    """Return the networks of a step, each once, in the order in which they work."""
    return list(dict.fromkeys([*controlnets(pipeline), pipeline.unet]))


# Work that is done once.


@contextmanager
def constants_kept(pipeline: StableDiffusionControlNetPipeline) -> Iterator[None]:
    """Let a pipeline compute once a call what diffusers computes at every step, to the same bits.

    Nothing happens for a pipeline whose constants are kept already, or whose parts move between
    CPU and GPU.
    """
    if hasattr(pipeline.unet, "less_work") or is_offloaded(pipeline):
        yield
        return
    networks: list[_LessWork] = []
    try:
        for network in _networks(pipeline):
            networks.append(_LessWork(network, pipeline))
        yield
    finally:
        for network in networks:
            network.undo()


class _LessWork:
    """Stands for the `forward` of a UNet or ControlNet, and lets some of its layers work less.

    *Constants.* The control image and the text are the same at every step. The layers that see
    nothing else are the embedding of the control image, and the keys and values of
    cross-attention. They compute when their input is new, and otherwise return what they keep.

    *Twins.* With guidance a batch is the same latents twice, once for each prompt. The layers
    before the first cross-attention cannot tell them apart, so they see the first half only.
    """

    def __init__(
        self,
        network: Network,
        pipeline: StableDiffusionControlNetPipeline,
        *,
        twins: bool = False,
        compiled: Callable[[Callable], Callable] | None = None,
    ) -> None:
        self.network, self.pipeline = network, pipeline
        self.twins = list(_layers_before_text(network)) if twins else []
        for layer in self.twins:
            layer.forward = _half_twice(layer.forward, network)
        layers = {"text": list(_text_layers(network)), "image": list(_image_layers(network))}
        self.replaced = [
            (module, vars(module).get("forward"))
            for module in (network, *layers["text"], *layers["image"])
        ]
        self.constants = {
            kind: [(layer, layer.forward) for layer in some] for kind, some in layers.items()
        }
        for layer in (*layers["text"], *layers["image"]):
            layer.register_buffer("kept", None, persistent=False)
            layer.forward = MethodType(_what_is_kept, layer)
        self.inputs: dict[str, torch.Tensor] = {}
        self.buffers: dict[tuple[nn.Module, torch.Size], torch.Tensor] = {}
        self.compiled = compiled is not None
        self.forward = compiled(network.forward) if compiled else network.forward
        network.forward = self
        network.less_work = True

    def undo(self) -> None:
        """Give the network and its layers the `forward` that they had."""
        del self.network.less_work
        for module, forward in self.replaced:
            vars(module).pop("forward")  # that of the class is in force again
            if forward is not None:
                module.forward = forward
            if module is not self.network:
                del module.kept

    def __call__(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        controlnet_cond: torch.Tensor | None = None,
        conditioning_scale: float = 1.0,
        guess_mode: bool = False,
        **others: Any,
    ) -> Any:
        if self.twins:
            self.network.guided = self.pipeline.do_classifier_free_guidance and not guess_mode
        self._keep("text", encoder_hidden_states)
        if controlnet_cond is not None:
            self._keep("image", controlnet_cond)
            if self.compiled:
                # Code would be compiled anew for another number, but not for another tensor.
                conditioning_scale = torch.full_like(sample[0, 0, 0, 0], conditioning_scale)
            others |= {
                "controlnet_cond": controlnet_cond,
                "conditioning_scale": conditioning_scale,
                "guess_mode": guess_mode,
            }
        return self.forward(sample, timestep, encoder_hidden_states, **others)

    def _keep(self, kind: str, given: torch.Tensor) -> None:
        """Let the layers of a kind compute, if their input is another than the last time."""
        if self.inputs.get(kind) is given:
            return
        self.inputs[kind] = given
        if kind == "image" and self.network.config.controlnet_conditioning_channel_order == "bgr":
            given = given.flip(1)
        for layer, compute in self.constants[kind]:
            answer = compute(given)
            # CUDA graphs read from one address, so each size has its own for good.
            layer.kept = self.buffers.setdefault((layer, answer.shape), answer)
            if layer.kept is not answer:
                layer.kept.copy_(answer)


def _what_is_kept(layer: nn.Module, *_: Any) -> torch.Tensor:
    return layer.kept


def _half_twice(forward: Callable, network: Network) -> Callable:
    """Return a `forward` that computes the first half of a guided batch, and repeats it."""

    def half_twice(*tensors: torch.Tensor, **others: Any) -> torch.Tensor:
        if not network.guided:
            return forward(*tensors, **others)
        half = forward(*(tensor[: len(tensor) // 2] for tensor in tensors), **others)
        return torch.cat([half, half])

    return half_twice


def _text_layers(network: Network) -> Iterable[nn.Module]:
    """Return the layers that see nothing but the text: keys and values, together if fused."""
    for name, module in network.named_modules():
        if name.endswith("attn2"):
            yield from [module.to_kv] if module.fused_projections else [module.to_k, module.to_v]


def _image_layers(network: Network) -> Iterable[nn.Module]:
    """Return the layers that see nothing but the control image."""
    return [network.controlnet_cond_embedding] if isinstance(network, ControlNetModel) else []


def _layers_before_text(network: Network) -> Iterable[nn.Module]:
    """Return the layers that work before the text comes in, at the first cross-attention."""
    yield from (network.conv_in, *_image_layers(network))
    for block in network.down_blocks:
        if not getattr(block, "has_cross_attention", False):
            yield from (*block.resnets, *(block.downsamplers or ()))
            continue
        transformer = block.attentions[0]
        first = transformer.transformer_blocks[0]
        yield from (block.resnets[0], transformer.norm, transformer.proj_in)
        yield from (first.norm1, first.attn1, first.norm2, first.attn2.to_q)
        return


# Compilation.


def _compiled_by(
    compiler: str | None, options: Mapping[str, Any]
) -> Callable[[Callable], Callable] | None:
    if compiler is None:
        return None
    return partial(
        torch.compile,
        backend=compiler,
        fullgraph=True,
        dynamic=False,
        options=dict(options) if compiler == "inductor" else None,
    )


def _suit_the_compiler(part: nn.Module) -> None:
    """Let layers compute what they did in a form of which the compiler makes faster kernels."""
    for layer in part.modules():
        if isinstance(layer, nn.GroupNorm) and layer.affine:
            layer.forward = MethodType(_normalize_in_order_of_memory, layer)
        elif isinstance(layer, nn.Linear) and layer.bias is not None:
            layer.forward = MethodType(_multiply_then_add, layer)
        elif isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1) and layer.groups == 1:
            layer.forward = MethodType(_convolve_then_add, layer)


def _normalize_in_order_of_memory(layer: nn.GroupNorm, hidden: torch.Tensor) -> torch.Tensor:
    """Do what `layer` does, without a view of its input: that of torch's own splits the channels.

    For such a view the compiler stores the input channel after channel and sorts it back for the
    convolution that follows. Here neighbours in memory, which are the channels of a pixel, stay
    neighbours: each row is summed, and then the rows and channels of a group.

    Args:
        layer: with weight and bias.
        hidden: shape (N, C, ..., W).
    """
    count, channels, *others = hidden.shape
    width = channels // layer.num_groups
    numbers = hidden.float()
    rows = torch.stack(
        [
            powers.sum(dim=-1).reshape(count, channels, -1).transpose(1, 2)
            for powers in (numbers, numbers.square())
        ]
    )  # (2, N, rows, C)
    groups = rows.view(2, count, -1, layer.num_groups, width)
    mean, mean_square = groups.sum(dim=(2, 4)) * (count * layer.num_groups / hidden.numel())
    # A difference of large numbers, but in 32 bits: good unless a mean is a thousand deviations.
    variance = (mean_square - mean.square()).clamp(min=0)
    size = (count, channels, *[1] * len(others))
    mean = mean.repeat_interleave(width, dim=1).view(size)
    scale = torch.rsqrt(variance + layer.eps).repeat_interleave(width, dim=1) * layer.weight
    bias = layer.bias.view(size[1:])
    return ((numbers - mean) * scale.view(size) + bias).to(hidden.dtype)


def _multiply_then_add(layer: nn.Linear, hidden: torch.Tensor) -> torch.Tensor:
    # The product alone has faster kernels; the compiler adds the bias where the sum is read.
    return F.linear(hidden, layer.weight) + layer.bias


def _convolve_then_add(layer: nn.Conv2d, hidden: torch.Tensor) -> torch.Tensor:
    product = F.conv2d(hidden, layer.weight, stride=layer.stride, padding=layer.padding)
    return product if layer.bias is None else product + layer.bias[:, None, None]


def _begin_step(forward: Callable, pipeline: StableDiffusionControlNetPipeline) -> Callable:
    """Return the `forward` of the first network of a step, which also announces compilation."""
    known: set[tuple[bool, torch.Size]] = set()

    def begin_step(sample: torch.Tensor, *inputs: Any, **others: Any) -> Any:
        guided = pipeline.do_classifier_free_guidance and not others.get("guess_mode")
        if (guided, sample.shape) not in known:
            known.add((guided, sample.shape))
            count = len(sample) // (2 if guided else 1)
            height, width = (pipeline.vae_scale_factor * side for side in sample.shape[2:])
            print(f"compiling for {count} x {width} x {height} pixels, once; it takes minutes")
        # CUDA graphs may write now where they wrote the answers of the step before.
        torch.compiler.cudagraph_mark_step_begin()
        return forward(sample, *inputs, **others)

    return begin_step


def _in_own_memory(forward: Callable) -> Callable:
    """Return a `forward` whose answer stays when CUDA graphs run again."""

    def in_own_memory(*inputs: Any, **others: Any) -> Any:
        torch.compiler.cudagraph_mark_step_begin()
        answer = forward(*inputs, **others)
        if isinstance(answer, torch.Tensor):
            return answer.clone()
        return type(answer)(**{name: tensor.clone() for name, tensor in answer.items()})

    return in_own_memory


class TabulatedUniPC(UniPCMultistepScheduler):
    """UniPC as a table: every step is a weighted sum of the first noise and the predictions so far.

    UniPC is linear in both, so the steps of diffusers, taken once on unit vectors, are the
    weights. A step is then a handful of operations instead of more than a hundred, of which
    several wait until the GPU has done all work before them. Sums are in 32 bits.

    Source: Zhao et al., "UniPC", arXiv 2302.04867; the table is ours. Taught in notebook 11.

    Raises:
        ValueError: `thresholding` is on, which is not linear.
    """

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: str | torch.device | None = None,
        sigmas: Sequence[float] | None = None,
        mu: float | None = None,
    ) -> None:
        """Set the steps as diffusers does, and make their table."""
        super().set_timesteps(num_inference_steps, device=device, sigmas=sigmas, mu=mu)
        tables = self.__dict__.setdefault("_tables", {})
        usual = sigmas is None and mu is None
        table = tables.get(num_inference_steps) if usual else None
        if table is None:
            table = step_table(self, num_inference_steps, sigmas=sigmas, mu=mu)
        if usual:
            tables[num_inference_steps] = table
        self._table = table.to(device=device, dtype=torch.float32)
        self._terms: torch.Tensor | None = None

    def step(
        self,
        model_output: torch.Tensor,
        timestep: torch.Tensor,
        sample: torch.Tensor,
        return_dict: bool = True,
    ) -> SchedulerOutput | tuple[torch.Tensor]:
        """Return the latents after the next step; arguments and result are those of diffusers.

        Raises:
            ValueError: `sample` is not what the last step returned, or the first step is left out.
        """
        if self.begin_index:
            raise ValueError(
                f"expected to begin with the first step, got begin_index={self.begin_index}; use "
                "diffusers' UniPCMultistepScheduler to begin later"
            )
        if self._terms is not None and sample is not self._latents:
            raise ValueError(
                "expected the latents that the last step returned, got others; a table cannot "
                "know of changes between steps, so use diffusers' UniPCMultistepScheduler for them"
            )
        if self._terms is None:
            size = (len(self._table) + 1, *sample.shape)
            self._terms = torch.empty(size, dtype=torch.float32, device=sample.device)
            self._terms[0] = sample
            self._step_index = 0
        known = self._step_index + 2
        self._terms[known - 1] = model_output
        weights = self._table[self._step_index, :known].view(-1, *[1] * sample.ndim)
        self._step_index += 1
        # A sum and not a matrix product, which autocast would take in 16 bits.
        self._latents = (weights * self._terms[:known]).sum(dim=0).to(sample.dtype)
        if return_dict:
            return SchedulerOutput(prev_sample=self._latents)
        return (self._latents,)


def step_table(
    scheduler: UniPCMultistepScheduler, steps: int | None, **others: Any
) -> torch.Tensor:
    """Return what UniPC weighs: row i holds the weights of the latents after step i.

    Args:
        scheduler: whose configuration counts.
        steps: how many; None if `others` say.
        others: further arguments of `set_timesteps`.

    Returns:
        Shape (steps, steps + 1), float64. Column 0 weighs the first noise, column j the
        prediction of step j - 1; what is not known yet weighs 0.

    Raises:
        ValueError: the scheduler is not linear.
    """
    if scheduler.config.thresholding:
        raise ValueError(
            "expected a scheduler that is linear, got one with thresholding=True; use diffusers' "
            "UniPCMultistepScheduler for it"
        )
    own = UniPCMultistepScheduler.from_config(scheduler.config)
    own.set_timesteps(steps, **others)
    steps = len(own.timesteps)
    # One channel for each unit vector; (steps + 1) x 1 x (steps + 1) x 1 x 1.
    noise, *predictions = torch.eye(steps + 1, dtype=torch.float64)[:, None, :, None, None]
    rows, latents = [], noise
    for timestep, prediction in zip(own.timesteps, predictions, strict=True):
        latents = own.step(prediction, timestep, latents).prev_sample
        rows.append(latents[0, :, 0, 0])
    return torch.stack(rows)


# Approximations.


def use_tiny_autoencoder(
    pipeline: StableDiffusionControlNetPipeline, name: str = TINY_AUTOENCODER
) -> StableDiffusionControlNetPipeline:
    """Let a small network decode the latents of Stable Diffusion 1.5: approximate, 18 x less work.

    Args:
        pipeline: what `load_pipeline(..., model="sd15")` returned; call this before `make_fast`.
        name: hub id of the network, which is downloaded once.

    Returns:
        The same pipeline.

    Raises:
        ValueError: the latents of the pipeline are not those of Stable Diffusion 1.5, or its parts
            move between CPU and GPU.
        FileNotFoundError: the weights are missing and cannot be downloaded.
    """
    scale = pipeline.vae.config.scaling_factor
    if abs(scale - LATENT_SCALE) > 1e-4:
        raise ValueError(
            f"expected a pipeline of Stable Diffusion 1.5, whose latents are scaled by "
            f"{LATENT_SCALE}, got one with {scale:.3g}; the autoencoder of the toybox is small "
            "already"
        )
    if is_offloaded(pipeline):
        raise ValueError(
            "expected a pipeline whose weights all stay on one device, got one whose parts move "
            'between CPU and GPU; load it with memory="all"'
        )
    files = ("config.json", "diffusion_pytorch_model.safetensors")
    try:
        with without_loading_bars(), without_symlink_warning():
            tiny = AutoencoderTiny.from_pretrained(
                name,
                use_safetensors=True,
                local_files_only=is_offline_mode(),
                **dtype_argument(pipeline.vae.dtype),
            )
    except OSError as error:
        command = " ".join([f"hf download {name}", *(f'--include "{file}"' for file in files)])
        raise FileNotFoundError(
            f"expected the weights of {name} in the cache of the Hugging Face hub, or a network "
            f"to download 10 MB, once; got {str(error).partition(chr(10))[0]!r}. With a network, "
            f"this command brings them:\n\n    {command}"
        ) from None
    tiny.use_slicing, tiny.use_tiling = pipeline.vae.use_slicing, pipeline.vae.use_tiling
    pipeline.register_modules(vae=tiny.to(pipeline.device))
    return pipeline


def reuse_features(
    pipeline: StableDiffusionControlNetPipeline, every: int = 2
) -> StableDiffusionControlNetPipeline:
    """Let ControlNets and the deep blocks of the UNet work in every second step only: approximate.

    What they found out is used again in the steps between, in which only the first and the last
    block of the UNet work: what is deep in the network changes slowly from step to step.

    Source: Ma, Fang and Wang, "DeepCache", arXiv 2312.00858; that the ControlNets rest too is
    ours. Taught in notebook 11.

    Args:
        pipeline: what `load_pipeline` or `make_fast` returned. It is changed, for good.
        every: the deep blocks work in one of so many steps, the first included.

    Returns:
        The same pipeline.

    Raises:
        ValueError: `every` is below 2, or the pipeline reuses features already.
    """
    if every < 2:
        raise ValueError(f"every: expected a whole number from 2, got {every}")
    unet = pipeline.unet
    if hasattr(unet, "resting"):
        raise ValueError(
            "expected a pipeline that does not reuse features yet, got one that does; load another"
        )
    unet.resting = False
    unet.register_buffer("deep_features", None, persistent=False)
    *down, mid = (*unet.down_blocks[1:], unet.mid_block)
    *up, last_deep = unet.up_blocks[:-1]
    for block in down:
        block.forward = _resting_down(block, unet)
    for block in (mid, *up):
        block.forward = _resting(block.forward, unet)
    last_deep.forward = _kept_features(last_deep.forward, unet)
    channels = last_deep.resnets[-1].out_channels
    unet.forward = _with_rest(unet.forward, pipeline, channels, every)
    for net in dict.fromkeys(controlnets(pipeline)):
        net.forward = _rested(net.forward, pipeline, every)
    return pipeline


def _rests(pipeline: StableDiffusionControlNetPipeline, every: int) -> bool:
    return (pipeline.scheduler.step_index or 0) % every != 0


def _resting(forward: Callable, unet: UNet2DConditionModel) -> Callable:
    def resting(hidden_states: torch.Tensor, *inputs: Any, **others: Any) -> torch.Tensor:
        if not unet.resting:
            return forward(hidden_states, *inputs, **others)
        return hidden_states.new_zeros(())  # nobody reads it, but the ControlNet's part is added

    return resting


def _resting_down(block: nn.Module, unet: UNet2DConditionModel) -> Callable:
    forward = block.forward
    skips = len(block.resnets) + len(block.downsamplers or ())

    def resting_down(hidden_states: torch.Tensor, *inputs: Any, **others: Any) -> tuple:
        if not unet.resting:
            return forward(hidden_states, *inputs, **others)
        zero = hidden_states.new_zeros(())
        return zero, (zero,) * skips

    return resting_down


def _kept_features(forward: Callable, unet: UNet2DConditionModel) -> Callable:
    def kept_features(hidden_states: torch.Tensor, *inputs: Any, **others: Any) -> torch.Tensor:
        if not unet.resting:
            unet.deep_features.copy_(forward(hidden_states, *inputs, **others))
        return unet.deep_features.clone()

    return kept_features


def _with_rest(
    forward: Callable, pipeline: StableDiffusionControlNetPipeline, channels: int, every: int
) -> Callable:
    buffers: dict[tuple[int, ...], torch.Tensor] = {}

    def with_rest(sample: torch.Tensor, *inputs: Any, **others: Any) -> Any:
        unet = pipeline.unet
        unet.resting = _rests(pipeline, every)
        size = (len(sample), channels, *sample.shape[2:])
        if size not in buffers:
            buffers[size] = sample.new_empty(size)
        unet.deep_features = buffers[size]
        return forward(sample, *inputs, **others)

    return with_rest


def _rested(forward: Callable, pipeline: StableDiffusionControlNetPipeline, every: int) -> Callable:
    kept: list[tuple] = []

    def rested(*inputs: Any, **others: Any) -> tuple:
        if not _rests(pipeline, every):
            down, middle = forward(*inputs, **others)
            kept[:] = [([one.clone() for one in down], middle.clone())]
            return down, middle
        return kept[0]

    return rested
