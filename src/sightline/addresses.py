"""Addresses of servers, and whether one grants access by itself: such a one is a password."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterator
from typing import Any

from sightline.errors import ConfigError

# in the name of a parameter that grants access; an author or a keyword does not
SECRET = re.compile(r"token|key(?!word)|(?<!de)sig|secret|passw|pwd|credential|auth(?!or(?!i))", re.I)
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S*[^\s.,;:!?'\")>\]]")  # in a sentence, too


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of `url`: to whom a request goes. Raises `ValueError` where it is no address."""
    parts = urllib.parse.urlsplit(url)
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or usual


def grants_access(url: str) -> bool:
    """Whether `url` holds a user, a password or a parameter with a name like `SECRET`.

    Where it is no address (`https://user:password`), nobody knows: True.
    """
    try:
        origin(url)
        parts = urllib.parse.urlsplit(url)
        names = [name for name, _ in urllib.parse.parse_qsl(parts.query)]
    except ValueError:
        return True
    return "@" in parts.netloc or any(map(SECRET.search, names))


def checked(url: str) -> str:
    """`url` without a slash at its end.

    Raises `ConfigError` where it grants access, without quoting it, or is none of http and https.
    """
    if grants_access(url):
        raise ConfigError(refusal("a download's url"))
    scheme, host, _ = origin(url)
    if scheme not in ("http", "https") or not host:
        raise ConfigError(f"config: '{url}' is no address of a server; expected https://...")
    return url.rstrip("/")


def refuse_secrets(config: Any) -> None:
    """Raise `ConfigError` for the first address anywhere in a configuration that grants access.

    Configurations stand in records, logs and pages. The place is told, the address is not.
    """
    for place, text in _texts(config, ""):
        if any(map(grants_access, ADDRESS.findall(text))):
            raise ConfigError(refusal(place))


def refusal(place: str) -> str:
    """What is wrong with the address at `place`, and what to do; without the address."""
    return (
        f"config: {place} is no address of a server, or holds a user, a password or a parameter that grants "
        "access; take them out and set user and password in the environment or in netrc, or fetch that file "
        "by hand (docs/download.md)"
    )


def _texts(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """Every text in nested dicts and lists, with its place: "datasets.cxr.download.tables[0]"."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item, f"{place}.{key}" if place else str(key))
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield from _texts(item, f"{place}[{number}]")
