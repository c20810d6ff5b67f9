"""What the architectures that other libraries build have in common: what the study gives, what it refuses."""

from __future__ import annotations

import difflib
import inspect
import typing
from collections.abc import Callable, Collection, Mapping

from torch import nn

from sightline.errors import ConfigError
from sightline.models.inputs import MEAN

CHANNELS = len(MEAN)  # of every network's input
# weights are drawn for the seed, or read from the file that the model's key `weights` names
PRETRAINED = ("pretrained", "pretrained_url", "weights", "weights_backbone", "checkpoint_path")


def unknown(library: str, model: str, known: Collection[str]) -> ConfigError:
    """The error for a `model` that `library` has not, with the nearest names that it has."""
    lower = {name.lower(): name for name in known}
    nearest = difflib.get_close_matches(model.lower(), lower, n=5, cutoff=0.5)
    guess = f"; the nearest: {', '.join(lower[name] for name in nearest)}" if nearest else ""
    return ConfigError(f"architecture {library}: it has no model '{model}' among its {len(known)}{guess}")


def construct(
    library: str, model: str, constructor: Callable, given: Mapping[str, object], arguments: Mapping
) -> nn.Module:
    """`constructor` called with what the study gives and the user's `arguments`.

    Raises `ConfigError` for an argument that is the study's to give, that would load weights, or that the
    constructor refuses.
    """
    place = f"architecture {library}, model {model}"
    for name in arguments:
        if name in PRETRAINED:
            raise ConfigError(
                f"{place}: argument '{name}': weights are drawn for the seed; leave it out, and name a file "
                "of weights by the model's key 'weights'"
            )
        if name in given:
            raise ConfigError(
                f"{place}: argument '{name}' is the study's to give ({given[name]!r}): its label set "
                f"makes the outputs, its images have {CHANNELS} channels and 2 dimensions; leave it out"
            )
    try:
        return constructor(**given, **arguments)
    except (TypeError, ValueError, AssertionError) as error:
        raise ConfigError(f"{place}: refuses its arguments {dict(arguments)}: {error}") from error


def parameters(constructor: Callable) -> dict[str, inspect.Parameter]:
    """The named parameters of `constructor`, with those that its **keywords pass on.

    A class passes them on to the next class of its method resolution order, a function to the class that it
    is annotated to return.
    """
    found: dict[str, inspect.Parameter] = {}
    made, called = constructor, []
    if not inspect.isclass(constructor):
        made, called = typing.get_type_hints(constructor).get("return"), [constructor]
    if inspect.isclass(made):
        called += [vars(base)["__init__"] for base in made.__mro__[:-1] if "__init__" in vars(base)]
    for one in called:
        own = inspect.signature(one).parameters
        for name, parameter in own.items():
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY) and name != "self":
                found.setdefault(name, parameter)
        if not any(parameter.kind == parameter.VAR_KEYWORD for parameter in own.values()):
            break
    return found


def named(library: str, model: str, constructor: Callable, choices: Collection[str], what: str) -> str:
    """The one of `choices` that `constructor` takes: its name for `what`. Raises `ConfigError` for none."""
    found = parameters(constructor)
    for name in choices:
        if name in found:
            return name
    raise ConfigError(
        f"architecture {library}, model {model}: none of {', '.join(choices)} for {what} among its "
        f"parameters {', '.join(found) or '(none)'}; wrap it in a file of your own (architecture 'file')"
    )
