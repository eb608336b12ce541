"""Kept credentials: what providers are shown, asked for once however many need it.

Owns when a source is asked for a credential, and what a refusal means for the next
one. Knows no provider, and nothing of where credentials come from. No message made
here holds one.
"""

import re
from collections import deque
from collections.abc import Mapping, MutableMapping
from typing import NoReturn

import anyio
from attrs import define, field

from ..contracts import (
    Credential,
    Credentials,
    CredentialSource,
    ProviderCredential,
)
from ..lifecycle.guests import Guest, contained
from ..lifecycle.registrations import Rank, Registration, Registrations
from ..values.clock import Clock
from ..values.errors import InvalidValueError, ProviderError
from ..values.secrets import Redactor

FETCH_SECONDS = 60.0
"""How long a source may take."""
EARLY_MS = 60_000
"""Milliseconds before its end in which a credential is renewed: a request with it may
still be on its way then."""
REMEMBERED = 8
"""Credentials of one source that are taken out of texts: the newest ones. Older ones
have ended."""
MAX_SECRET = 32_768
_SECRET = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?\Z")


@define(eq=False)
class Shared:
    """What is kept of one source, or of several that share an account."""

    kept: Credential | None = None
    refused: Credential | None = None
    """The kept one, once the provider refused it."""
    unproven: bool = False
    """Whether the kept one took the place of one that was refused, and was not taken
    by the provider yet."""
    worthwhile: bool = True
    """What was said of the refusal."""
    failure: ProviderError | None = None
    """Why the last asking gave none."""
    rounds: int = 0
    """How often asking came to an end."""
    recent: deque[str] = field(factory=lambda: deque(maxlen=REMEMBERED), repr=False)
    lock: anyio.Lock = field(factory=anyio.Lock, repr=False)


SharedCredentials = MutableMapping[tuple[str, str, str], Shared]
"""By plugin, provider and account: those of one runtime."""


class KeptCredential(ProviderCredential):
    """The credential of one source, kept and renewed."""

    def __init__(
        self, source: CredentialSource, owner: str, shared: Shared, clock: Clock
    ) -> None:
        self._source = source
        self._guest = Guest(owner, f"credentials of {source.provider!r}")
        self._shared = shared
        self._clock = clock

    def __repr__(self) -> str:
        state = "none" if self._shared.kept is None else "one"
        return f"<KeptCredential of {self._source.provider!r}: {state}>"

    @property
    def about(self) -> str:
        return self._source.about or f"plugin {self._guest.plugin!r}"

    async def current(self) -> Credential:
        shared = self._shared
        kept = shared.kept
        if kept is not None and not self._ends(kept):
            return kept
        before = shared.rounds
        async with shared.lock:
            if shared.rounds != before:
                # Somebody else asked while this one waited: theirs is the answer.
                if shared.failure is not None:
                    raise _again(shared.failure)
                assert shared.kept is not None
                return shared.kept
            try:
                found = await self._fetched()
            except ProviderError as error:
                shared.failure = error
                shared.rounds += 1
                raise
            shared.unproven = shared.refused is not None
            shared.kept, shared.refused, shared.failure = found, None, None
            if found.secret not in shared.recent:
                shared.recent.append(found.secret)
            shared.rounds += 1
            return found

    def refused(self, credential: Credential) -> bool:
        shared = self._shared
        if shared.kept is None or shared.kept.secret != credential.secret:
            return True  # another one has taken its place by now
        if shared.refused is None:
            shared.refused = shared.kept
            shared.worthwhile = not shared.unproven
        return shared.worthwhile

    def accepted(self, credential: Credential) -> None:
        shared = self._shared
        if shared.kept is not None and shared.kept.secret == credential.secret:
            shared.unproven = False

    @property
    def recent(self) -> tuple[str, ...]:
        """What was given lately."""
        return tuple(self._shared.recent)

    def hiding(self, redact: Redactor) -> Redactor:
        return redact.with_telling(Redactor(self._shared.recent))

    def _ends(self, kept: Credential) -> bool:
        if self._shared.refused is not None:
            return True
        return kept.expires is not None and kept.expires - EARLY_MS <= self._clock.now()

    async def _fetched(self) -> Credential:
        refused = self._shared.refused
        found: object = None
        try:
            with anyio.move_on_after(FETCH_SECONDS) as waiting, contained(self._guest):
                found = await self._source.fetch(refused)
        except ProviderError:
            raise
        except Exception as error:
            # Boundary: a source is a stranger's code, and what it says may hold keys.
            self._fail(f"{self._guest} broke: {type(error).__name__}", error)
        if waiting.cancelled_caught:
            self._fail(f"{self._guest} gave none within {FETCH_SECONDS:g} seconds")
        if not isinstance(found, Credential):
            self._fail(f"{self._guest} gave a {type(found).__name__}, no Credential")
        secret: object = found.secret
        if not isinstance(secret, str) or len(secret) > MAX_SECRET:
            self._fail(f"{self._guest} gave one that is no text, or a very long one")
        if not _SECRET.match(secret):
            self._fail(f"{self._guest} gave one that is not printable ASCII")
        if refused is not None and refused.secret == secret:
            self._fail(f"{self._guest} gave the one again that the provider refused")
        return found

    def _fail(self, problem: str, cause: Exception | None = None) -> NoReturn:
        raise ProviderError(
            "provider.authentication", self._source.provider, problem
        ) from cause


def _again(error: ProviderError) -> ProviderError:
    """Return the same error, for somebody else to raise."""
    made = ProviderError(
        error.code,  # type: ignore[arg-type] # it was made of one
        error.provider,
        error.problem,
        status=error.status,
        retryable=error.retryable,
        retry_after=error.retry_after,
    )
    made.__cause__ = error
    return made


class LocationCredentials:
    """The credentials of one Location: the user's keys, and what plugins give."""

    def __init__(
        self,
        clock: Clock,
        shared: SharedCredentials,
        keys: Mapping[str, str],
        problem: str | None = None,
    ) -> None:
        self.registrations = Registrations[CredentialSource]()
        self._clock = clock
        self._shared = shared
        self._keys = keys
        self._problem = problem
        self._kept: list[KeptCredential] = []
        self._of: dict[str, tuple[Registration[CredentialSource], KeptCredential]] = {}
        self._hidden = Redactor(keys.values())
        self._hiding: tuple[Redactor, tuple[str, ...], Redactor] | None = None

    def __repr__(self) -> str:
        return f"<LocationCredentials, {len(self._keys)} keys>"

    def register(
        self, source: CredentialSource, owner: str, rank: Rank
    ) -> Registration[CredentialSource]:
        """Take what a plugin hands over.

        Raises:
            InvalidValueError: it is no CredentialSource, or one of its fields is none.
        """
        if not isinstance(source, CredentialSource):
            raise InvalidValueError("credentials", None, "give a CredentialSource")
        texts = (source.provider, source.account or "-", source.about or "-")
        if not all(isinstance(one, str) and one.isprintable() for one in texts):
            raise InvalidValueError("credentials", None, "its texts must be printable")
        if not source.provider or not callable(source.fetch):
            raise InvalidValueError("credentials", source.provider, "it must fetch")
        return self.registrations.add(owner, source.provider, source, rank)

    def hiding(self, redact: Redactor) -> Redactor:
        """Return a Redactor that also takes out every credential of this Location."""
        recent = tuple(secret for one in self._kept for secret in one.recent)
        known = self._hiding
        if known is None or known[0] is not redact or known[1] != recent:
            made = redact.with_telling(self._hidden).with_telling(Redactor(recent))
            known = self._hiding = redact, recent, made
        return known[2]

    def of(self, provider: str) -> KeptCredential | None:
        """Return what plugins give for a provider."""
        entry = self.registrations.offer().get(provider)
        if entry is None:
            return None
        known = self._of.get(provider)
        if known is None or known[0] is not entry:
            known = self._of[provider] = entry, self.keep(entry.item, entry.owner)
        return known[1]

    def keep(self, source: CredentialSource, owner: str) -> KeptCredential:
        """Return the credential of a source, kept."""
        shared = Shared()
        if source.account is not None:
            key = (owner, source.provider, source.account)
            shared = self._shared.setdefault(key, shared)
        kept = KeptCredential(source, owner, shared, self._clock)
        self._kept.append(kept)
        return kept

    def seen_by(self, owner: str) -> Credentials:
        """Return what a plugin is handed."""
        return _Seen(self, owner)

    def stored(self, provider: str) -> str | None:
        """Return the user's own key for a provider."""
        return self._keys.get(provider)

    @property
    def problem(self) -> str | None:
        """Why the user's keys are not used."""
        return self._problem


class _Seen(Credentials):
    """The credentials of a Location, as one plugin is handed them."""

    def __init__(self, all: LocationCredentials, owner: str) -> None:
        self._all = all
        self._owner = owner

    def __repr__(self) -> str:
        return f"<Credentials for {self._owner!r}>"

    @property
    def problem(self) -> str | None:
        return self._all.problem

    def stored(self, provider: str) -> str | None:
        return self._all.stored(provider)

    def of(self, provider: str) -> ProviderCredential | None:
        return self._all.of(provider)

    def keep(self, source: CredentialSource) -> ProviderCredential:
        return self._all.keep(source, self._owner)
