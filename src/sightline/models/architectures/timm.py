"""Any image classifier of timm by its name (`timm.list_models()` lists them), with timm's head or another.

Its first weights are drawn for the seed, or are those that timm's authors trained, or a file's. Images are
normalised as ImageNet's; timm's weights that learned others (a mean of 0.5) are adapted where that is exact.
"""

from __future__ import annotations

import hashlib
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from sightline.errors import ConfigError
from sightline.models import libraries, transfer
from sightline.models import weights as files
from sightline.models.inputs import DEVIATION, MEAN

if TYPE_CHECKING:
    from timm.models import PretrainedCfg

OPTIONS = {
    "model": {
        "type": "string",
        "description": "A name of timm's: `resnet18`; with a tag of weights (`resnet18.a1_in1k`) where "
        "`weights` is pretrained.",
    },
    "arguments": {
        "type": "object",
        "default": {},
        "description": "Arguments of `timm.create_model`, e.g. `img_size`, `drop_rate`, `output_stride`.",
    },
    "weights": {
        "type": "string",
        "default": "random",
        "description": "What training begins with: random (drawn for the seed), pretrained (timm's, fetched "
        "or from its cache), or the path of a file (.safetensors or a PyTorch checkpoint of this model); the "
        "classifier's are left out.",
    },
    "unreachable": {
        "type": "string",
        "enum": ["random", "error"],
        "default": "random",
        "description": "Where pretrained weights can be neither fetched nor found: begin with random ones, "
        "warn and record it in the table `trainings`, or stop.",
    },
    "trunk": {
        "type": "string",
        "enum": ["trainable", "frozen"],
        "default": "trainable",
        "description": "frozen: all but the classifier stays as it began, batch statistics included; its "
        "dropout is off.",
    },
    "head": {
        "type": "string",
        "enum": ["linear", "mlp"],
        "default": "linear",
        "description": "The classifier: timm's own linear layer, or linear, GELU, dropout, linear (the "
        "mammography study's block).",
    },
    "hidden": {
        "type": "integer",
        "minimum": 1,
        "default": 256,
        "description": "mlp: width between its linear layers; the study's text does not give it.",
    },
    "dropout": {
        "type": "number",
        "minimum": 0,
        "exclusiveMaximum": 1,
        "default": 0.2,
        "description": "mlp: share of its hidden units that are left out in training.",
    },
    "pool": {
        "type": "string",
        "enum": ["own", "max"],
        "default": "own",
        "description": "What is classified: features pooled as the model does, or their maximum over "
        "positions (the mammography study's EfficientNet).",
    },
}


OF_START = ("unreachable",)  # matters to `start` alone: what explains a model reruns for no change of it


def build(
    outputs: int,
    model: str,
    arguments: dict[str, object],
    pool: str = "own",
    head: str = "linear",
    hidden: int = 256,
    dropout: float = 0.2,
    trunk: str = "trainable",
    weights: str = "random",
    unreachable: str = "random",
) -> nn.Module:
    """timm's `model` with `outputs` logits of three channels and random weights; nothing is downloaded.

    `weights` and `unreachable` are for `start`. Raises `ConfigError` for an unknown model or tag, with the
    nearest names, and for arguments that it refuses.
    """
    _check_name(model, weights)
    network = _construct(model, _pooled(model, arguments, pool), pretrained=False, num_classes=outputs)
    if head == "mlp" or trunk == "frozen":
        names = _classifiers(network, model)
        if head == "mlp":
            if len(names) > 1:
                raise ConfigError(
                    f"architecture timm, model {model}: it has {len(names)} classifiers; choose head: linear"
                )
            linear = network.get_submodule(names[0])
            transfer.replace(network, names[0], transfer.mlp(linear.in_features, hidden, outputs, dropout))
        if trunk == "frozen":
            transfer.freeze(network, names)
    return network


def start(
    network: nn.Module,
    say: Callable[[str], object],
    model: str,
    arguments: dict[str, object],
    pool: str = "own",
    weights: str = "random",
    unreachable: str = "random",
    **_of_the_head: object,
) -> str:
    """Give `network`, as `build` made it, its first weights; returns in words where they came from.

    `say` is told where random ones take the place of pretrained ones. Raises `ConfigError` where timm has no
    weights or, by `unreachable: error`, they cannot be had; `DatasetError` for weights that do not fit.
    """
    if weights == "random":
        return "random"
    names = _classifiers(network, model)
    if weights != "pretrained":
        files.load(network, weights, apart=names)
        digest = hashlib.sha256(Path(weights).read_bytes()).hexdigest()
        return f"file {weights} (sha256 {digest[:16]})"
    try:
        pretrained, about = _pretrained(model, _pooled(model, arguments, pool))
    except _unreachable() as error:
        return _without_pretrained(model, error, unreachable, say)
    source = about.hf_hub_id or about.url
    files.fit(network, pretrained.state_dict(), source, apart=names)
    return f"pretrained: {source}{_adapted(network, about, say)}"


def _adapted(network: nn.Module, about: PretrainedCfg, say: Callable[[str], object]) -> str:
    """Let the weights take our images; a remark where they learned others."""
    if np.allclose([about.mean, about.std], [MEAN, DEVIATION]):
        return ""
    first = about.first_conv if isinstance(about.first_conv, str) else ""
    said = f"images with mean {about.mean} and deviation {about.std}"
    if transfer.accept(network.get_submodule(first), about.mean, about.std):
        return f" (learned {said}; '{first}' adapted to ImageNet's)"
    say(
        f"WARNING: these pretrained weights learned {said}, and are given ImageNet's: the layer '{first}' "
        "cannot be adapted exactly. Train the trunk, or choose weights of another tag."
    )
    return f" (learned {said}; not adapted)"


def _without_pretrained(model: str, error: Exception, unreachable: str, say: Callable[[str], object]) -> str:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    said = f"the pretrained weights of {model} can be neither fetched nor found in timm's cache ({reason})"
    if unreachable == "error":
        raise ConfigError(
            f"architecture timm: {said}. Fetch them on a machine that reaches the hub and copy its cache, "
            "name a file by the option weights, or allow random ones by unreachable: random"
        )
    say(
        f"WARNING: {said}. TRAINING BEGINS WITH RANDOM WEIGHTS, and its results will not be those of a "
        "pretrained network; a frozen trunk stays random. Set unreachable: error to stop instead."
    )
    return f"random: the pretrained weights of {model} were unreachable"


def _check_name(model: str, weights: str) -> None:
    import timm

    known = timm.list_models()
    name, dot, tag = model.partition(".")
    if name not in known:  # also refuses "hf-hub:...", which would be looked up in the network
        raise libraries.unknown("timm", model, known)
    if weights != "pretrained" and dot:
        raise ConfigError(
            f"architecture timm, model {model}: weights are drawn for the seed or a file's; leave out the "
            f"tag '.{tag}' (it names pretrained weights: weights: pretrained)"
        )
    if weights == "pretrained":
        tagged = [one for one in timm.list_models(pretrained=True) if one.partition(".")[0] == name]
        if not tagged or (dot and model not in tagged):
            raise ConfigError(
                f"architecture timm, model {model}: timm has no pretrained weights of this name; for {name} "
                f"it has {', '.join(tagged) or 'none'}"
            )


def _pooled(model: str, arguments: dict[str, object], pool: str) -> dict[str, object]:
    if pool == "own":
        return arguments
    if "global_pool" in arguments:
        raise ConfigError(
            f"architecture timm, model {model}: pool: {pool} and the argument 'global_pool' both say how "
            "features are pooled; leave out one"
        )
    return arguments | {"global_pool": pool}


def _construct(model: str, arguments: dict[str, object], **given: object) -> nn.Module:
    import timm

    given |= {"in_chans": libraries.CHANNELS}
    return libraries.construct(
        "timm", model, lambda **chosen: timm.create_model(model, **chosen), given, arguments
    )


def _classifiers(network: nn.Module, model: str) -> tuple[str, ...]:
    """The names of the modules that give the logits; two in distilled transformers."""
    found = network.get_classifier()
    found = found if isinstance(found, tuple | list) else (found,)
    names = tuple(transfer.name_of(network, one) for one in found)
    for name, module in zip(names, found):
        if not isinstance(module, nn.Linear | nn.Sequential):
            raise ConfigError(
                f"architecture timm, model {model}: its classifier '{name}' is a {type(module).__name__}, "
                "not a linear layer: choose head: linear, trunk: trainable, weights: random, or another model"
            )
    return names


def _pretrained(model: str, arguments: dict[str, object]) -> tuple[nn.Module, PretrainedCfg]:
    """timm's own network with its weights, and what timm knows of them.

    With the weights' own number of classes, for then timm insists that all of them fit.
    """
    import timm

    about = timm.get_pretrained_cfg(model)
    try:
        network = _construct(model, arguments, pretrained=True, num_classes=about.num_classes)
    except RuntimeError as error:
        raise ConfigError(
            f"architecture timm, model {model}: its pretrained weights do not fit the network that its "
            f"arguments {arguments} make: {error}"
        ) from error
    return network, about


def _unreachable() -> tuple[type[Exception], ...]:
    """What fetching raises where the hub cannot be reached or refuses."""
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    # a transfer that breaks off is none of these: it stops the job, and a rerun may succeed
    of_the_hub = (HfHubHTTPError, LocalEntryNotFoundError)
    return (ConnectionError, TimeoutError, urllib.error.URLError, *of_the_hub)
