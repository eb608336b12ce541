"""Keys: what pays for this runtime, and goes out in no address.

Owns which variables hold keys of model providers, and which texts are keys: those of
these variables, and what the configuration of providers says. Whoever starts a command
or reaches a server asks here what that must not be handed. Not a wall against a model
that has seen a key and writes it differently; it is not shown any.
"""

from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import unquote, unquote_plus

from attrs import field, frozen
from dovetail.kernel import Json

from ._urls import RefusedError, Url
from .bash import SECRET, command_environment

MIN_KEY = 8
"""Characters: what is shorter is no key, and stands in many addresses."""


@frozen
class Keys:
    """Texts that go out in no address."""

    _texts: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def of(
        cls,
        environment: Mapping[str, str],
        providers: Mapping[str, Mapping[str, Json]],
        more: Iterable[str] = (),
    ) -> "Keys":
        """Return the keys of this runtime, and ``more``."""
        kept = command_environment(environment, providers)
        found = {text for name, text in environment.items() if name not in kept}
        found.update(_configured(providers), more)
        return cls(tuple(sorted(one for one in found if len(one) >= MIN_KEY)))

    def check(self, url: Url) -> None:
        """Refuse an address that holds one.

        Raises:
            RefusedError: it does; the text does not say which.
        """
        text = str(url)
        forms = (text, unquote(text), unquote_plus(text))
        in_host = any(key.lower() in url.host for key in self._texts)
        if in_host or any(map(self.are_in, forms)):
            raise RefusedError("the URL holds a key of this runtime")

    def are_in(self, text: str) -> bool:
        """Return whether a text holds one."""
        return any(key in text for key in self._texts)


def _configured(table: Mapping[str, Json], inside: bool = False) -> Iterator[str]:
    for name, value in table.items():
        secret = inside or SECRET.search(name) or "auth" in name.lower()
        if isinstance(value, Mapping):
            yield from _configured(value, name.lower() == "headers")
        elif isinstance(value, str) and secret and not name.lower().endswith("_env"):
            # Of "Bearer KEY" the key.
            yield from value.split()
