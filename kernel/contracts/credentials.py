"""Credentials: what a provider is shown so that it lets somebody in."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from attrs import field

from ..values.frozen import frozen
from ..values.secrets import Redactor


@frozen
class Credential:
    """A secret that a provider is shown, for as long as it holds."""

    secret: str = field(repr=False)
    """The key or the token itself: printable ASCII."""
    expires: int | None = None
    """Milliseconds since 1970 from which on it is not used; None: until it is
    refused."""
    bearer: bool = True
    """Whether it is a token, for ``Authorization: Bearer``, and not a key, for the
    header that the provider has for those."""


@frozen(eq=False)
class CredentialSource:
    """Who gives the credential of one provider. Handed over by
    ``dovetail_register_credentials``.

    The kernel keeps what it gives, for all sessions: it is asked when there is none,
    when the one there is ends within a minute, and when the provider refused it with a
    401; and one at a time, so that however many sessions find that out at once, it is
    asked once.
    """

    provider: str
    """The part of a model's name before the slash."""
    fetch: Callable[[Credential | None], Awaitable[Credential]]
    """Gives a credential. It is handed the one that the provider refused, if it did:
    the same once more is not tried. It may take a minute, wait, and raise a
    ProviderError, which is told as it is."""
    account: str | None = None
    """Whose credential it is, as a name of your own. Sources of one plugin, provider
    and account share what they are given, in whatever Locations they are; None: each
    Location has its own."""
    about: str = ""
    """Where it comes from, in a few words, for listings: never the credential."""


class ProviderCredential(Protocol):
    """The credential of one provider, kept and renewed."""

    async def current(self) -> Credential:
        """Return the credential to show now. Ask before every request.

        Raises:
            ProviderError: none can be had.
        """
        ...

    def refused(self, credential: Credential) -> bool:
        """Hear that the provider refused one; say whether it is worthwhile to send the
        same request again, with what ``current`` gives then.

        It is not where the one that was refused had just taken the place of another
        that was.
        """
        ...

    def accepted(self, credential: Credential) -> None:
        """Hear that the provider took one."""
        ...

    def hiding(self, redact: Redactor) -> Redactor:
        """Return a Redactor that also takes out what was given lately."""
        ...

    @property
    def about(self) -> str:
        """Where it comes from, in a few words."""
        ...


class Credentials(Protocol):
    """Where a provider's plugin finds the credentials that are not its to keep.

    Ask when a route is made, and not when providers are registered: other plugins may
    not have registered theirs by then.
    """

    def stored(self, provider: str) -> str | None:
        """Return the key that the user keeps in the file of keys."""
        ...

    @property
    def problem(self) -> str | None:
        """Why the file of keys is not used; None where it is, or is not there."""
        ...

    def of(self, provider: str) -> ProviderCredential | None:
        """Return what a plugin gives for a provider."""
        ...

    def keep(self, source: CredentialSource) -> ProviderCredential:
        """Return the credential of a source of your own, kept in the same way."""
        ...


class NoCredentials(Credentials):
    """None at all, for a Place that no runtime made."""

    problem = None

    def stored(self, provider: str) -> str | None:
        return None

    def of(self, provider: str) -> ProviderCredential | None:
        return None

    def keep(self, source: CredentialSource) -> ProviderCredential:
        raise LookupError("a Location keeps credentials, and this is in none")
