"""What is Amazon's own: the framing of its streams, and the signing of requests.

Owns both, through botocore, which is imported on first use: it is an extra
(``dovetail[bedrock]``). Knows nothing of models.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

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
    """Turns the bytes of an Amazon event stream into events."""

    def __init__(self, provider: str, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        from botocore.eventstream import EventStreamBuffer

        self._provider = provider
        self._limit = max_event_bytes
        self._buffer: Any = EventStreamBuffer()
        self._pending = 0

    def feed(self, chunk: bytes) -> Iterator[SseEvent]:
        """Yield the events that these bytes complete. Consume it before feeding more.

        Raises:
            EventTooLargeError: an event is over the limit.
            ProviderError: ``provider.invalid_output``: the bytes are no such stream.
        """
        from botocore.eventstream import ParserError
        from botocore.exceptions import EventStreamError

        if chunk.lstrip()[:1] in (b"{", b"d") and not self._pending:
            # An answer that was not streamed, as the transport hands it on.
            yield SseEvent(chunk)
            return
        self._pending += len(chunk)
        try:
            self._buffer.add_data(chunk)
            for message in self._buffer:
                self._pending = 0
                headers: Mapping[str, Any] = message.headers
                kind = headers.get(":event-type") or headers.get(":exception-type")
                if headers.get(":message-type") == "error":
                    kind = "internalServerException"
                yield SseEvent(message.payload, str(kind or ""))
            if self._pending > self._limit:
                raise EventTooLargeError(self._limit)
        except (ParserError, EventStreamError, ValueError, KeyError) as error:
            raise ProviderError(
                "provider.invalid_output",
                self._provider,
                f"its stream cannot be read ({type(error).__name__})",
            ) from None

    def finish(self) -> Iterator[SseEvent]:
        """Yield what is left at the end: nothing, an event is whole or it is none."""
        return iter(())


def signer(
    provider: str, url: str, region: str, environment: Mapping[str, str]
) -> Callable[[bytes], dict[str, str]]:
    """Return what signs the request with a body: it gives the headers. It may block,
    where credentials are fetched or renewed.

    Credentials are those of ``environment``; where it has none, those that botocore
    finds (a profile, single sign-on, the machine's role).
    """

    def sign(body: bytes) -> dict[str, str]:
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.exceptions import BotoCoreError

        try:
            credentials = _credentials(environment)
            if credentials is None:
                raise ProviderError("provider.key_missing", provider, _NO_CREDENTIALS)
            headers = {"content-type": "application/json"}
            asked = AWSRequest(method="POST", url=url, data=body, headers=headers)
            SigV4Auth(credentials, SERVICE, region).add_auth(asked)
        except BotoCoreError as error:
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


def _credentials(environment: Mapping[str, str]) -> Any:
    key = environment.get("AWS_ACCESS_KEY_ID", "").strip()
    secret = environment.get("AWS_SECRET_ACCESS_KEY", "").strip()
    if key and secret:
        from botocore.credentials import Credentials

        token = environment.get("AWS_SESSION_TOKEN", "").strip() or None
        return Credentials(key, secret, token)
    from botocore.session import Session

    found = Session(profile=environment.get("AWS_PROFILE") or None).get_credentials()
    return found and found.get_frozen_credentials()
