"""The names that clients may call the service by (ALLOWED_HOSTS)."""

from __future__ import annotations

import re

from api import problems
from scenebook.errors import ConfigurationError
from scenebook.settings import Settings

NAME = re.compile(r"(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:.]+\]")
# Railway asks under this name; whoever looks after us on this machine, under another one.
CHECKED_BY_ANYONE = frozenset({"/livez", "/readyz"})


class Hosts:
    """The list as it is asked. Raises ConfigurationError for what is no name."""

    def __init__(self, settings: Settings) -> None:
        given = [one.strip() for one in (settings.allowed_hosts or "").split(",") if one.strip()]
        for one in given:
            if not NAME.fullmatch(one):
                raise ConfigurationError(
                    f"ALLOWED_HOSTS: {one!r} is no name of a host. It looks like api.example.com "
                    "or *.example.com, without https:// and without a port."
                )
        self._names = {one.lower() for one in given if not one.startswith("*")}
        self._below = tuple(one[1:].lower() for one in given if one.startswith("*"))

    def refusal(self, path: str, hosts: list[str]) -> problems.Refusal | None:
        """Why a request with these Host headers is not answered; None if it is."""
        if path in CHECKED_BY_ANYONE or not (self._names or self._below):
            return None
        if len(hosts) == 1:
            name = re.sub(r":\d*$", "", hosts[0].strip()).lower()
            if name in self._names or (self._below and name.endswith(self._below)):
                return None
        return problems.Refusal(
            400, "host_not_allowed", "This service is not called by that name. Check the URL."
        )
