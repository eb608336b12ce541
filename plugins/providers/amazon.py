"""What is Amazon's own: the framing of its streams, and the signing of requests.

Owns both. The signing is botocore's, which is imported on first use: it is an extra
(``dovetail[bedrock]``). Knows nothing of models.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from zlib import crc32

import orjson
from dovetail.kernel import ProviderError

from .sse import MAX_EVENT_BYTES, EventTooLargeError, SseEvent

ACCEPT = "application/vnd.amazon.eventstream"
SERVICE = "bedrock"
_NO_CREDENTIALS = (
    "no credentials are configured: set AWS_BEARER_TOKEN_BEDROCK, or "
    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile"
)


def required(provider: str) -> None:
    """Check that botocore is there.

    Raises:
        ProviderError: ``provider.failed``: it is not; the message says how to get it.
    """
    try:
        import botocore  # noqa: F401
    except ImportError:
        raise ProviderError(
            "provider.failed",
            provider,
            "Bedrock needs botocore: pip install 'dovetail[bedrock]'",
        ) from None


def hinted(provider: str, environment: Mapping[str, str]) -> None:
    """Check that something says that there are credentials, without looking for them:
    that may take seconds on a machine that is none of Amazon's.

    Raises:
        ProviderError: ``provider.key_missing``: nothing does.
    """
    if _HINTS.intersection(environment):
        return
    if not (Path.home() / ".aws").is_dir():
        raise ProviderError("provider.key_missing", provider, _NO_CREDENTIALS)


_HINTS = frozenset(
    (
        "AWS_ACCESS_KEY_ID",
        "AWS_CONFIG_FILE",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_DEFAULT_REGION",
        "AWS_PROFILE",
        "AWS_REGION",
        "AWS_ROLE_ARN",
        "AWS_SHARED_CREDENTIALS_FILE",
    )
)


class EventStreamDecoder:
    """Turns the bytes of an Amazon event stream into events, whatever the pieces they
    arrive in.

    A message is its length, that of its headers and a checksum of both; the headers;
    the payload; and a checksum of all of it (Smithy's "Amazon Event Stream"). It is
    read here, because botocore takes four times as long for it.
    """

    def __init__(self, provider: str, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._provider = provider
        self._limit = max_event_bytes
        self._held = bytearray()
        # Those of a stream are the same few again and again.
        self._kinds: dict[bytes, str] = {}

    def feed(self, chunk: bytes) -> Iterator[SseEvent]:
        """Yield the events that these bytes complete. Consume it before feeding more.

        Raises:
            EventTooLargeError: an event is over the limit.
            ProviderError: ``provider.invalid_output``: the bytes are no such stream.
        """
        if not self._held and chunk.lstrip()[:1] in (b"{", b"d"):
            # An answer that was not streamed, as the transport hands it on.
            yield SseEvent(chunk)
            return
        self._held += chunk
        held, at = self._held, 0
        try:
            while len(held) - at >= _PRELUDE.size:
                length, headers, checksum = _PRELUDE.unpack_from(held, at)
                if crc32(held[at : at + 8]) != checksum:
                    raise self._unreadable("a checksum is wrong")
                if length < headers + _PRELUDE.size + 4:
                    raise self._unreadable("a length is wrong")
                if length > self._limit:
                    raise EventTooLargeError(self._limit)
                if len(held) - at < length:
                    break
                message = bytes(held[at : at + length])
                at += length
                if crc32(message[:-4]) != int.from_bytes(message[-4:]):
                    raise self._unreadable("a checksum is wrong")
                begin = _PRELUDE.size + headers
                told = message[_PRELUDE.size : begin]
                kind, payload = self._kind(told), message[begin:-4]
                if kind.endswith("Exception"):
                    payload = self._failure(told, payload)
                yield SseEvent(payload, kind)
        finally:
            del held[:at]

    def finish(self) -> Iterator[SseEvent]:
        """Yield what is left at the end: nothing, an event is whole or it is none."""
        return iter(())

    def _kind(self, headers: bytes) -> str:
        """Return what headers say that the event is."""
        kind = self._kinds.get(headers)
        if kind is None:
            told = self._read(headers)
            kind = told.get(":event-type") or told.get(":exception-type") or ""
            if told.get(":message-type") == "error":
                kind = "internalServerException"
            if len(self._kinds) < _MOST_KINDS:
                self._kinds[headers] = kind
        return kind

    def _failure(self, headers: bytes, payload: bytes) -> bytes:
        """Return what a failure tells as an object: some say it in their headers, or
        nowhere."""
        if payload.lstrip()[:1] == b"{":
            return payload
        words = self._read(headers).get(":error-message")
        return orjson.dumps({"message": words} if words else {})

    def _read(self, headers: bytes) -> dict[str, str]:
        """Return the headers that are texts."""
        found: dict[str, str] = {}
        at = 0
        try:
            while at < len(headers):
                name_ends = at + 1 + headers[at]
                name = headers[at + 1 : name_ends].decode()
                form, at = headers[name_ends], name_ends + 1
                if form in _SIZES:
                    at += _SIZES[form]
                elif form in (_BYTES, _TEXT):
                    begin = at + 2
                    at = begin + int.from_bytes(headers[at:begin])
                    if form == _TEXT:
                        found[name] = headers[begin:at].decode()
                else:
                    raise self._unreadable("a header is of no known type")
            if at != len(headers):
                raise self._unreadable("a header is cut off")
        except (IndexError, UnicodeDecodeError):
            raise self._unreadable("a header is cut off") from None
        return found

    def _unreadable(self, why: str) -> ProviderError:
        return ProviderError(
            "provider.invalid_output",
            self._provider,
            f"its stream cannot be read: {why}",
        )


_PRELUDE = struct.Struct("!III")
_MOST_KINDS = 64
"""Headers that are remembered; a stream that has more is odd."""
_BYTES, _TEXT = 6, 7
_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Types of headers whose values have one size: truths, numbers, times, UUIDs."""


class Keys:
    """Amazon's credentials, as a Location's environment says where they are.

    Those that renew themselves, of a role or single sign-on, are kept: to fetch them
    takes a request. Others are read anew each time, because who has new ones writes
    them into a file.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._renewing: Any = None

    def current(self) -> Any:
        """Return the credentials to sign with now, or None where there are none. It may
        block, where they are fetched or renewed."""
        from botocore.credentials import Credentials, RefreshableCredentials

        told = self._environment
        key = told.get("AWS_ACCESS_KEY_ID", "").strip()
        secret = told.get("AWS_SECRET_ACCESS_KEY", "").strip()
        if key and secret:
            token = told.get("AWS_SESSION_TOKEN", "").strip() or None
            return Credentials(key, secret, token)
        found = self._renewing or self._found()
        if isinstance(found, RefreshableCredentials):
            self._renewing = found
        return found and found.get_frozen_credentials()

    def _found(self) -> Any:
        from botocore.session import Session

        session = Session(profile=self._environment.get("AWS_PROFILE") or None)
        for name, variable in _FILES.items():
            if path := self._environment.get(variable):
                session.set_config_variable(name, path)
        return session.get_credentials()


_FILES = {
    "config_file": "AWS_CONFIG_FILE",
    "credentials_file": "AWS_SHARED_CREDENTIALS_FILE",
}
"""What botocore would look for in the environment of the process."""


def signer(
    provider: str, url: str, region: str, keys: Keys
) -> Callable[[bytes], dict[str, str]]:
    """Return what signs the request with a body: it gives the headers. It may block,
    where credentials are fetched or renewed."""

    def sign(body: bytes) -> dict[str, str]:
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            credentials = keys.current()
            if credentials is None:
                raise ProviderError("provider.key_missing", provider, _NO_CREDENTIALS)
            headers = {"content-type": "application/json"}
            asked = AWSRequest(method="POST", url=url, data=body, headers=headers)
            SigV4Auth(credentials, SERVICE, region).add_auth(asked)
        except (BotoCoreError, ClientError, RuntimeError) as error:
            # The last is for credentials that are over as soon as they were renewed.
            raise ProviderError(
                "provider.authentication",
                provider,
                f"no credentials could be had ({type(error).__name__})",
            ) from None
        signed = {name.lower(): str(value) for name, value in asked.headers.items()}
        return {
            name: value for name, value in signed.items() if name in _SIGNED_HEADERS
        }

    return sign


_SIGNED_HEADERS = frozenset(
    ("authorization", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256")
)
