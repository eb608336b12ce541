"""Endpoints: where a provider is, what opens it, and what is known of its models.

Owns the reading of ``[providers.NAME]`` tables and of the usual environment variables
into one checked value. Reaches no network. No message made here holds a key, a header
value or the text of a URL that could hold either.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from time import time
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from attrs import evolve, field, fields, frozen
from dovetail.kernel import (
    AnswerLimits,
    ConfigurationError,
    Credential,
    Credentials,
    Json,
    ModelInfo,
    NoCredentials,
    Place,
    Price,
    PriceAbove,
    Provider,
    ProviderCredential,
    ProviderError,
    ProviderProtocol,
    ProviderRoute,
    Redactor,
    Register,
)

CONNECT_TIMEOUT = 15.0
READ_TIMEOUT = 600.0
"""Ten minutes: a server at home may read a long history for that long before its first
word, and one that hides its thoughts may think for as long."""
SILENCE = 1800.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_HEADER_VALUE = re.compile(r"[\x20-\x7e\t]*\Z")
_TOKEN = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+\Z")
"""A token that says who asks, as Entra gives it; a key has no dots."""
_SECRET_NAME = re.compile(r"key|token|secret|auth|cookie|password|signature", re.I)
_FIELDS = frozenset(
    (
        "protocol",
        "base_url",
        "api_key",
        "api_key_env",
        "api_key_command",
        "api_key_keyring",
        "api_key_lasts",
        "bearer",
        "headers",
        "models",
        "open",
        "options",
        "connect_timeout",
        "read_timeout",
        "silence",
        "limits",
        "stream_usage",
        "send_reasoning",
    )
)
_HERE = frozenset(("localhost", "127.0.0.1", "::1"))
_MOST = 1_000_000_000
"""Of anything in one answer: what is held of it must fit into memory."""
_MODEL_FIELDS = frozenset(("name", "context", "output", "price"))
_PRICE_FIELDS = frozenset(("input", "output", "cache_read", "cache_write", "above"))


@frozen
class Endpoint:
    """One provider's address and how to be let in."""

    provider: str
    base_url: str = field(repr=False)
    """Without a slash at the end; it may have a query."""
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    """The configured ones; the key is not among them."""
    key: str | None = field(default=None, repr=False)
    missing: str | None = None
    """The variable that should hold the key and does not, when one is needed."""
    bearer: bool = False
    """Whether the key is a token, and shown as one."""
    header: str = "authorization"
    """The header that a key is shown in; a token is always in this one."""
    named: ProviderCredential | None = field(default=None, repr=False, eq=False)
    """What the table names in place of a key."""
    credentials: Credentials = field(factory=NoCredentials, repr=False, eq=False)
    """Where credentials are found that no table and no variable holds."""
    options: Mapping[str, Json] = field(factory=dict, repr=False)
    models: tuple[ModelInfo, ...] = ()
    """Those of its table."""
    catalog: str | None = None
    """The name under which others know of its models; None where it is not at its usual
    address."""
    open: bool = True
    connect_timeout: float = CONNECT_TIMEOUT
    read_timeout: float | None = READ_TIMEOUT
    """Seconds without a byte that are borne; None: any."""
    silence: float = SILENCE
    """Seconds in which bytes may come that are nothing of the answer."""
    limits: AnswerLimits = field(factory=AnswerLimits)
    """How much one answer may hold."""
    stream_usage: bool = True
    """Whether the usage is asked for; some old servers refuse the question."""
    send_reasoning: bool = True
    """Whether reasoning goes back to the model that wrote it."""

    @property
    def host(self) -> str:
        """The host, which is safe to show."""
        return urlsplit(self.base_url).hostname or ""

    def url(self, path: str, query: str = "") -> str:
        """Return the address of a path below the base, before its query."""
        parts = urlsplit(self.base_url)
        asked = "&".join(filter(None, (parts.query, query)))
        below = parts.path.rstrip("/") + path
        return urlunsplit(parts._replace(path=below, query=asked))

    def known(self, model: str) -> ModelInfo | None:
        """Return what is known of a model by its own name."""
        name = f"{self.provider}/{model}"
        return next((one for one in self.models if one.name == name), None)

    @property
    def live(self) -> ProviderCredential | None:
        """The credential that is asked for before each request; None where a key is
        known, or none is needed."""
        if self.key is not None:
            return None
        return self.named or self.credentials.of(self.provider)

    @property
    def trouble(self) -> str | None:
        """Why there is no key where the user's own were looked through for one."""
        if self.key is not None or self.live is not None:
            return None
        return self.credentials.problem

    def usable_key(self) -> str | None:
        """Return the key, or None for an endpoint that needs none, or has a credential
        that is asked for before each request.

        Raises:
            ProviderError: ``provider.key_missing``; the message names the variable.
        """
        if self.key is None and self.missing is not None and self.live is None:
            trouble = self.credentials.problem
            raise ProviderError(
                "provider.key_missing",
                self.provider,
                f"no key is configured: set the environment variable {self.missing}, "
                f"keep one with `dovetail keys set {self.provider}`, or set "
                f"api_key_env of [providers.{self.provider}]"
                + (f"; {trouble}" if trouble else ""),
            )
        return self.key

    def authentication(self) -> dict[str, str]:
        """Return the header that shows the key, if there is one.

        Raises:
            ProviderError: ``provider.key_missing``.
        """
        key = self.usable_key()
        return {} if key is None else self.shown(Credential(key, bearer=self.bearer))

    def shown(self, credential: Credential) -> dict[str, str]:
        """Return the header that shows a credential."""
        secret, name = credential.secret, self.header
        if credential.bearer:
            return {"authorization": f"Bearer {secret}"}
        if name != "authorization":
            return {name: secret}
        if self.host.endswith(".azure.com") and not _TOKEN.match(secret):
            return {"api-key": secret}
        return {"authorization": f"Bearer {secret}"}

    def redactor(self) -> Redactor:
        """Return what takes this endpoint's secrets out of any text."""
        secrets = [self.key] if self.key else []
        for name, value in self.headers.items():
            if _SECRET_NAME.search(name):
                secrets += [value, value.rpartition(" ")[2]]
        for _, value in parse_qsl(urlsplit(self.base_url).query):
            secrets.append(value)
        return Redactor(secrets)


Lister = Callable[["Endpoint"], Awaitable[Sequence[ModelInfo]]]
"""Asks an endpoint which models it serves."""
RouteMaker = Callable[[Endpoint, str], ProviderRoute]
"""Makes the way to a model of an endpoint, by the model's own name."""


@frozen
class Deployment:
    """Where a provider is found, and what holds its key."""

    base_url: str | None
    """None where only a variable can say it."""
    key_variable: str | None = None
    """None: it needs no key."""
    url_variable: str | None = None
    below: str = ""
    """What comes after the address that the variable says."""
    placed: Callable[[Mapping[str, str]], str | None] | None = None
    """Makes the address from what an environment says, where one variable does not say
    it; None while that says too little."""
    bearer: bool = False
    """Whether it takes tokens and no keys."""

    def found(self, environment: Mapping[str, str]) -> str | None:
        """Return its usual address in an environment, its variable aside."""
        if self.placed is not None:
            return self.placed(environment)
        return self.base_url


@frozen
class Defaults:
    """What one protocol's own provider is called and where it is found."""

    provider: str
    protocol: str
    home: Deployment
    header: str = "authorization"
    """The header that keys are shown in."""
    common: bool = False
    """Whether tables that name no protocol are read as of this one."""
    catalog: str | None = None
    """Under which name others know of its models; None: of those nobody does."""
    usual: str | None = None
    """The model that is used where nobody names one, at the usual address."""
    usual_small: str | None = None
    """The one for small work in that case."""
    order: int = 100
    """Whose is used where several have their key: the lowest."""
    others: Mapping[str, Deployment] = field(factory=dict)
    """Who else offers it, by name."""

    @property
    def offered(self) -> ProviderProtocol:
        """The protocol, as its plugin registers it, without what writes it."""
        others = tuple(self.others)
        return ProviderProtocol(
            self.protocol, self.provider, self.common, others=others
        )

    def deployment(self, provider: str) -> Deployment | None:
        """Return where a provider is that needs no table."""
        return self.home if provider == self.provider else self.others.get(provider)


def register_endpoints(
    register: Register[Provider],
    place: Place,
    *offered: tuple[Defaults, RouteMaker, Lister | None],
) -> None:
    """Register every provider that speaks one of these protocols, as
    ``place.protocols`` says.

    Each stands alone: a table that cannot be used leaves the others registered.

    Raises:
        ConfigurationError: after the good ones were registered; names all bad ones.
    """
    refused: list[str] = []
    made = {one[0].protocol: one for one in offered}
    for name, protocol in sorted(place.protocols.items()):
        if protocol not in made:
            continue
        defaults, route, lister = made[protocol]
        table, environment = place.providers.get(name), place.environment
        if table is None and name in defaults.others:
            unread = _unread(name, place, defaults, route, lister)
            if unread is not None:
                register(unread)
                continue
        try:
            endpoint = read_endpoint(
                name, table or {}, environment, defaults, place.credentials
            )
        except ConfigurationError as error:
            if table is not None or name not in defaults.others:
                refused.append(str(error))
            continue
        register(
            Provider(
                name=name,
                route=_opener(route, endpoint),
                models=endpoint.models,
                catalog=endpoint.catalog,
                default=_usual(defaults.usual, defaults, endpoint),
                small=_usual(defaults.usual_small, defaults, endpoint),
                order=defaults.order,
                served=lister and partial(lister, endpoint),
                assumed=table is None and _nothing_said(defaults, name, environment),
                local=endpoint.host in _HERE,
                open=endpoint.open,
                silence=endpoint.silence,
                limits=endpoint.limits,
                redact=endpoint.redactor(),
            )
        )
    if refused:
        raise ConfigurationError("providers", "; ".join(refused))


def _usual(model: str | None, defaults: Defaults, endpoint: Endpoint) -> str | None:
    """Return a model that is there at a provider's own address, and nowhere else."""
    own = endpoint.provider == defaults.provider and endpoint.catalog is not None
    return model if own and endpoint.open else None


def _nothing_said(
    defaults: Defaults, name: str, environment: Mapping[str, str]
) -> bool:
    """Whether a provider is offered by its usual address alone."""
    own = defaults.deployment(name)
    if own is None or own.key_variable is not None:
        return False
    return not (own.url_variable and environment.get(own.url_variable))


def _unread(
    name: str,
    place: Place,
    defaults: Defaults,
    route: RouteMaker,
    lister: Lister | None,
) -> Provider | None:
    """Return a provider that nobody configured and that holds no secret, to be read
    when it is asked: there are many of them. None where it has to be read now."""
    deployment, environment = defaults.others[name], place.environment
    variable = deployment.key_variable
    if deployment.base_url is None or (variable and environment.get(variable)):
        return None
    if place.credentials.stored(name) is not None:
        return None

    def read() -> Endpoint:
        return read_endpoint(name, {}, environment, defaults, place.credentials)

    return Provider(
        name=name,
        catalog=_catalog(deployment, defaults, name),
        route=lambda model: route(read(), model),
        served=lister and (lambda: lister(read())),
        assumed=not variable,
        local=not variable,
        silence=SILENCE,
    )


def _opener(route: RouteMaker, endpoint: Endpoint) -> Callable[[str], ProviderRoute]:
    return lambda model: route(endpoint, model)


def read_endpoint(
    name: str,
    table: Mapping[str, Any],
    environment: Mapping[str, str],
    defaults: Defaults,
    credentials: Credentials | None = None,
) -> Endpoint:
    """Return the endpoint of one table, checked.

    Raises:
        ConfigurationError: the table or a variable cannot be used.
    """
    read = _Table(f"[providers.{name}]", table)
    if not _NAME.match(name):
        raise ConfigurationError(
            "[providers]", f"name {name[:80]!r} must be letters, digits, '.', '_', '-'"
        )
    read.refuse_unknown(_FIELDS)
    own = defaults.deployment(name)
    base_url = read.text("base_url")
    where = f"base_url of {read.where}"
    if base_url is None and own and own.url_variable:
        base_url = environment.get(own.url_variable, "").strip() or None
        where = f"environment variable {own.url_variable}"
        if base_url and own.below and not urlsplit(base_url).path.strip("/"):
            base_url = base_url.rstrip("/") + own.below
    official = base_url is None and own is not None
    if official and own:
        base_url = own.found(environment)
    if base_url is None:
        raise ConfigurationError(read.where, "base_url is missing")
    credentials = credentials or NoCredentials()
    bearer = read.flag("bearer", bool(own and own.bearer))
    named = _named(read, name, environment, credentials, bearer=bearer)
    if named is None:
        stored = credentials.stored(name)
        key, missing = _key(read, environment, own, official, stored)
    else:
        key = missing = None
    headers = read.headers("headers")
    read_timeout = read.seconds("read_timeout") or READ_TIMEOUT
    return Endpoint(
        provider=name,
        base_url=_checked_url(base_url, where),
        headers=headers,
        key=key,
        missing=missing,
        bearer=bearer,
        header=defaults.header,
        named=named,
        credentials=credentials,
        options=read.table("options"),
        models=_models(read, name),
        catalog=_catalog(own, defaults, name) if official else None,
        open=read.flag("open", True),
        connect_timeout=read.seconds("connect_timeout") or CONNECT_TIMEOUT,
        read_timeout=read_timeout,
        silence=read.seconds("silence") or max(SILENCE, 2 * read_timeout),
        limits=_limits(read),
        stream_usage=read.flag("stream_usage", True),
        send_reasoning=read.flag("send_reasoning", True),
    )


def _key(
    read: "_Table",
    environment: Mapping[str, str],
    own: Deployment | None,
    official: bool,
    stored: str | None,
) -> tuple[str | None, str | None]:
    """Return the key, and the variable that is missing where a key is needed.

    What the table says counts before the usual variable, and that before the file of
    keys.
    """
    where, key = f"api_key of {read.where}", read.text("api_key")
    missing = None
    if key is None:
        variable = read.text("api_key_env")
        usual = own.key_variable if own else None
        elsewhere = own is not None and own.base_url is None
        needed = variable is not None or ((official or elsewhere) and usual is not None)
        stored = None if variable is not None else stored
        variable = variable or usual
        if variable is not None:
            where = f"environment variable {variable}"
            # A line end often comes along when a key is read from a file.
            key = environment.get(variable, "").strip() or None
        key = key or stored
        missing = variable if needed and key is None else None
    if key is not None and (not _HEADER_VALUE.match(key) or "\t" in key):
        raise ConfigurationError(where, "a key must be printable ASCII")
    return key, missing


def _named(
    read: "_Table",
    provider: str,
    environment: Mapping[str, str],
    credentials: Credentials,
    *,
    bearer: bool,
) -> ProviderCredential | None:
    """Return the credential that a table names in place of a key."""
    command, service = read.texts("api_key_command"), read.texts("api_key_keyring")
    lasts = read.seconds("api_key_lasts")
    if not command and not service:
        return None
    others = [one for one in ("api_key", "api_key_env") if read.text(one)]
    if others or (command and service):
        raise ConfigurationError(
            read.where,
            "api_key, api_key_env, api_key_command and api_key_keyring exclude each "
            "other",
        )
    # Here, because few tables name one.
    from . import credentials as made

    if command:
        source = made.of_command(
            provider,
            command,
            environment,
            lasts=lasts or made.LASTS,
            bearer=bearer,
            now=time,
        )
    else:
        source = made.of_keyring(
            provider, service[0], (*service, provider)[1], bearer=bearer
        )
    return credentials.keep(source)


def _catalog(own: Deployment | None, defaults: Defaults, name: str) -> str | None:
    """Return under which name others know of the models at a usual address."""
    if own is None or (own.base_url is None and own.placed is None):
        return None
    return defaults.catalog if name == defaults.provider else name


def _checked_url(url: str, where: str) -> str:
    """Return a base URL that is safe to use and to name the host of."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - it raises for a port that is no number
        credentials = "@" in parts.netloc
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        raise ConfigurationError(where, "it is not a URL") from None
    if not re.fullmatch(r"[\x21-\x7e]+", url):
        raise ConfigurationError(where, "it must be ASCII without spaces")
    if credentials:
        raise ConfigurationError(
            where, "a URL must not hold credentials; use api_key_env or headers"
        )
    if not usable or parts.fragment:
        raise ConfigurationError(where, "it must be an http or https URL with a host")
    return urlunsplit(parts._replace(path=parts.path.rstrip("/")))


def _models(read: "_Table", provider: str) -> tuple[ModelInfo, ...]:
    found: dict[str, ModelInfo] = {}
    for index, item in enumerate(read.array("models")):
        where = f"models[{index}] of {read.where}"
        entry = {"name": item} if isinstance(item, str) else item
        if not isinstance(entry, Mapping):
            raise ConfigurationError(where, "it must be a name or a table")
        inner = _Table(where, entry)
        inner.refuse_unknown(_MODEL_FIELDS)
        name = inner.text("name")
        if not name:
            raise ConfigurationError(where, "name is missing")
        before = found.get(name, ModelInfo(f"{provider}/{name}"))
        found[name] = evolve(
            before,
            context=inner.tokens("context") or before.context,
            output=inner.tokens("output") or before.output,
            price=_price(inner) or before.price,
        )
    return tuple(found[name] for name in sorted(found))


def _limits(read: "_Table") -> AnswerLimits:
    table = read.table("limits")
    if not table:
        return AnswerLimits()
    inner = _Table(f"limits of {read.where}", table)
    inner.refuse_unknown(frozenset(one.name for one in fields(AnswerLimits)))
    given = {one.name: inner.amount(one.name) for one in fields(AnswerLimits)}
    return AnswerLimits(**{name: one for name, one in given.items() if one is not None})


def _price(model: "_Table") -> Price | None:
    table = model.table("price")
    if not table:
        return None
    inner = _Table(f"price of {model.where}", table)
    inner.refuse_unknown(_PRICE_FIELDS)
    fresh, output = inner.dollars("input"), inner.dollars("output")
    if fresh is None or output is None:
        raise ConfigurationError(inner.where, "input and output must both be given")
    return Price(
        fresh,
        output,
        inner.dollars("cache_read"),
        inner.dollars("cache_write"),
        tuple(
            _price_above(f"above[{index}] of {inner.where}", one)
            for index, one in enumerate(inner.array("above"))
        ),
    )


def _price_above(where: str, entry: Any) -> PriceAbove:
    if not isinstance(entry, Mapping):
        raise ConfigurationError(where, "it must be a table")
    inner = _Table(where, entry)
    inner.refuse_unknown(_PRICE_FIELDS - {"above"} | {"over"})
    over = inner.tokens("over")
    fresh, output = inner.dollars("input"), inner.dollars("output")
    if over is None or fresh is None or output is None:
        raise ConfigurationError(where, "over, input and output must all be given")
    return PriceAbove(
        over, fresh, output, inner.dollars("cache_read"), inner.dollars("cache_write")
    )


class _Table:
    """Reads typed fields of a table; what does not fit is refused by name."""

    def __init__(self, where: str, data: Mapping[str, Any]) -> None:
        self.where = where
        self._data = data

    def _refuse(self, name: str, rule: str) -> ConfigurationError:
        return ConfigurationError(self.where, f"{name} must be {rule}")

    def refuse_unknown(self, known: frozenset[str]) -> None:
        unknown = sorted(str(name)[:40] for name in self._data if name not in known)
        if unknown:
            raise ConfigurationError(
                self.where,
                f"unknown field {', '.join(map(repr, unknown))}; known are "
                f"{', '.join(sorted(known))}",
            )

    def text(self, name: str) -> str | None:
        value = self._data.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or not value.strip():
            raise self._refuse(name, "a text")
        return value.strip()

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts, or a single one as a list."""
        value = self._data.get(name)
        if value is None:
            return ()
        found = [value] if isinstance(value, str) else value
        sound = isinstance(found, list | tuple) and 0 < len(found) <= 256
        if not sound or not all(
            isinstance(one, str) and one.strip() and "\0" not in one for one in found
        ):
            raise self._refuse(name, "a list of texts")
        return tuple(found)

    def flag(self, name: str, default: bool) -> bool:
        value = self._data.get(name, default)
        if not isinstance(value, bool):
            raise self._refuse(name, "true or false")
        return value

    def seconds(self, name: str) -> float | None:
        value = self._data.get(name)
        if value is None:
            return None
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 < value <= 86_400:
            raise self._refuse(name, "a number of seconds, at most a day")
        return float(value)

    def tokens(self, name: str) -> int | None:
        return self._whole(name, None, "a positive whole number of tokens")

    def amount(self, name: str) -> int | None:
        return self._whole(name, _MOST, f"a whole number from 1 to {_MOST}")

    def _whole(self, name: str, most: int | None, rule: str) -> int | None:
        value = self._data.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self._refuse(name, rule)
        if most is not None and value > most:
            raise self._refuse(name, rule)
        return value

    def dollars(self, name: str) -> float | None:
        value = self._data.get(name)
        if value is None:
            return None
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 <= value <= 1_000_000:
            raise self._refuse(name, "US dollars for a million tokens")
        return float(value)

    def table(self, name: str) -> Mapping[str, Json]:
        value = self._data.get(name, {})
        if not isinstance(value, Mapping):
            raise self._refuse(name, "a table")
        return dict(value)

    def array(self, name: str) -> list[Any]:
        value = self._data.get(name, [])
        if not isinstance(value, list | tuple):
            raise self._refuse(name, "an array")
        return list(value)

    def headers(self, name: str) -> Mapping[str, str]:
        checked: dict[str, str] = {}
        for header, value in self.table(name).items():
            if not isinstance(header, str) or not _HEADER_NAME.match(header):
                raise ConfigurationError(
                    self.where, f"{name} has a name that is no header name"
                )
            if not isinstance(value, str) or not _HEADER_VALUE.match(value):
                raise ConfigurationError(
                    self.where, f"header {header!r} must be printable ASCII"
                )
            checked[header.lower()] = value
        return checked
