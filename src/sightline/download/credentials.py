"""User and password from the environment or netrc, for the hosts that they are meant for."""

from __future__ import annotations

import ipaddress
import netrc
import os
from collections.abc import Mapping
from pathlib import Path

from sightline import addresses
from sightline.download import web
from sightline.errors import ConfigError


def find(
    url: str, home: str, prefix: str, environment: Mapping[str, str] | None = None
) -> web.Credentials | None:
    """The credentials for requests to `url`, or None where there are none.

    `{prefix}_USER` and `{prefix}_PASSWORD` of the environment are for the host `home` (and for this machine
    itself); any other host needs its own entry in netrc (the file that NETRC names, else ~/.netrc). Raises
    `ConfigError` for one variable without the other, a netrc that cannot be read, and where a password would
    go over an unencrypted connection.
    """
    environment = os.environ if environment is None else environment
    scheme, host, _ = addresses.origin(url)
    found = None
    if host == home or _is_this_machine(host):
        found = _of_environment(prefix, environment)
    found = found or _of_netrc(host, environment)
    if found is not None and scheme != "https" and not _is_this_machine(host):
        raise ConfigError(f"config: {scheme}://{host}: a password goes over https alone; correct the url")
    return found


def _of_environment(prefix: str, environment: Mapping[str, str]) -> web.Credentials | None:
    names = [f"{prefix}_USER", f"{prefix}_PASSWORD"]
    given = [environment.get(name) for name in names]
    if all(given):
        return web.Credentials(*given)
    if any(given):
        raise ConfigError(f"{' and '.join(names)}: only one of the two is set in the environment; set both")
    return None


def _of_netrc(host: str, environment: Mapping[str, str]) -> web.Credentials | None:
    path = Path(environment.get("NETRC") or Path.home() / ".netrc")
    if not path.is_file():
        return None
    try:
        entry = netrc.netrc(str(path)).authenticators(host)
    except netrc.NetrcParseError as error:  # its text may quote the line, and a password stands on it
        raise ConfigError(f"{path}: line {error.lineno}: not in netrc's format; correct it") from None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; make it readable for you alone") from None
    return web.Credentials(entry[0], entry[2]) if entry is not None and entry[2] else None


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
