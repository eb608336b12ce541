"""A server with a login: the package's own authorization server and bearer check, with
a login by a code beside them (RFC 8628), and with ways to go wrong."""

import contextlib
import secrets
import time
from collections.abc import Iterator
from threading import Thread
from typing import Any

import uvicorn
from mcp.server import MCPServer
from mcp.server.auth.handlers.token import TokenHandler
from mcp.server.auth.middleware.client_auth import ClientAuthenticator
from mcp.server.auth.provider import (
    AccessToken,
    AuthorizationCode,
    AuthorizationParams,
    RefreshToken,
    TokenError,
    construct_redirect_uri,
)
from mcp.server.auth.settings import (
    AuthSettings,
    ClientRegistrationOptions,
    RevocationOptions,
)
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

GRANT = "urn:ietf:params:oauth:grant-type:device_code"


class Logins:
    """Who may get in. Refresh tokens are good for one time: whoever shows one again
    loses the login (RFC 9700, section 4.14.2)."""

    def __init__(self) -> None:
        self.url = ""
        self.forget()

    def forget(self) -> None:
        """Begin anew, for another test."""
        self.clients: dict[str, OAuthClientInformationFull] = {}
        self.codes: dict[str, AuthorizationCode] = {}
        self.access: dict[str, AccessToken] = {}
        self.refresh: dict[str, RefreshToken] = {}
        self.used: set[str] = set()
        self.refreshed = 0
        self.revoked = 0
        self.seconds = 3_600
        """How long a token is good for."""
        self.changes: dict[str, str] = {}
        """What is wrong about the address that the browser is sent to."""
        self.metadata: dict[str, Any] = {}
        """What is wrong about what it says of itself."""
        self.answers: list[str] = []
        """Errors of a login by a code, before there are tokens."""
        self.asked: list[dict[str, str]] = []
        """The questions of a login by a code."""
        self.interval: float = 1
        self.method = "none"
        """How clients that register show who they are."""
        self.resources: list[str | None] = []
        """What each token was asked for."""

    # --- as the package wants it ---------------------------------------------------

    async def get_client(self, client_id: str) -> OAuthClientInformationFull | None:
        return self.clients.get(client_id)

    async def register_client(self, client_info: OAuthClientInformationFull) -> None:
        self.clients[client_info.client_id] = client_info

    async def authorize(
        self, client: OAuthClientInformationFull, params: AuthorizationParams
    ) -> str:
        code = secrets.token_urlsafe(24)
        self.codes[code] = AuthorizationCode(
            code=code,
            scopes=params.scopes or [],
            expires_at=time.time() + 60,
            client_id=client.client_id,
            code_challenge=params.code_challenge,
            redirect_uri=params.redirect_uri,
            redirect_uri_provided_explicitly=True,
            resource=params.resource,
        )
        said = {"code": code, "state": params.state, "iss": self.url, **self.changes}
        if "error" in said:
            del said["code"]
        return construct_redirect_uri(str(params.redirect_uri), **said)

    async def load_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: str
    ) -> AuthorizationCode | None:
        return self.codes.get(authorization_code)

    async def exchange_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: AuthorizationCode
    ) -> OAuthToken:
        del self.codes[authorization_code.code]
        return self.tokens(client.client_id, authorization_code.resource)

    async def load_refresh_token(
        self, client: OAuthClientInformationFull, refresh_token: str
    ) -> RefreshToken | None:
        if refresh_token in self.used:
            self.refresh.clear()
        return self.refresh.get(refresh_token)

    async def exchange_refresh_token(
        self,
        client: OAuthClientInformationFull,
        refresh_token: RefreshToken,
        scopes: list[str],
    ) -> OAuthToken:
        if self.refresh.pop(refresh_token.token, None) is None:
            raise TokenError("invalid_grant")
        self.used.add(refresh_token.token)
        self.refreshed += 1
        return self.tokens(client.client_id, refresh_token.resource)

    async def load_access_token(self, token: str) -> AccessToken | None:
        return self.access.get(token)

    async def revoke_token(self, token: AccessToken | RefreshToken) -> None:
        self.revoked += 1
        self.access.clear()
        self.refresh.clear()

    def tokens(self, client_id: str, resource: str | None) -> OAuthToken:
        """Return tokens that are good."""
        self.resources.append(resource)
        access, refresh = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
        self.access[access] = AccessToken(
            token=access,
            client_id=client_id,
            scopes=[],
            expires_at=int(time.time()) + self.seconds,
            resource=resource,
        )
        self.refresh[refresh] = RefreshToken(
            token=refresh, client_id=client_id, scopes=[], resource=resource
        )
        return OAuthToken(
            access_token=access, refresh_token=refresh, expires_in=self.seconds
        )

    # --- what the package does not know --------------------------------------------

    async def about(self, request: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "registration_endpoint": f"{self.url}/register",
                "revocation_endpoint": f"{self.url}/revoke",
                "device_authorization_endpoint": f"{self.url}/device",
                "response_types_supported": ["code"],
                "code_challenge_methods_supported": ["S256"],
                "authorization_response_iss_parameter_supported": True,
                **self.metadata,
            }
        )

    async def device(self, request: Request) -> Response:
        form = {name: str(value) for name, value in (await request.form()).items()}
        self.asked.append(form)
        return JSONResponse(
            {
                "device_code": "of-the-device",
                "user_code": "ABCD-EFGH",
                "verification_uri": f"{self.url}/code",
                "expires_in": 600,
                "interval": self.interval,
            }
        )

    async def device_token(self, form: dict[str, str]) -> Response:
        self.asked.append(form)
        if form["device_code"] != "of-the-device":
            return JSONResponse({"error": "invalid_grant"}, 400)
        if self.answers:
            return JSONResponse({"error": self.answers.pop(0)}, 400)
        made = self.tokens(form["client_id"], form.get("resource"))
        return JSONResponse(made.model_dump(exclude_none=True))


def app_of(logins: Logins) -> Starlette:
    """Return the server, with everything at one address."""
    server: MCPServer[Any] = MCPServer(
        "locked",
        auth_server_provider=logins,
        # As text: an address with a path of its own is another one.
        auth=AuthSettings.model_validate(
            {
                "issuer_url": logins.url,
                "resource_server_url": f"{logins.url}/mcp",
                "client_registration_options": ClientRegistrationOptions(enabled=True),
                "revocation_options": RevocationOptions(enabled=True),
                "validate_token_resource": True,
            }
        ),
    )

    @server.tool()
    def secret() -> str:
        """Say what only who is let in may hear."""
        return "It is a secret."

    app = server.streamable_http_app(json_response=True)
    usual = TokenHandler(logins, ClientAuthenticator(logins))

    async def token(request: Request) -> Response:
        form = {name: str(value) for name, value in (await request.form()).items()}
        if form.get("grant_type") == GRANT:
            return await logins.device_token(form)
        return await usual.handle(request)

    async def register(request: Request) -> Response:
        wanted = await request.json()
        # The package registers nobody without an address to come back to.
        made = OAuthClientInformationFull.model_validate(
            {
                **wanted,
                "client_id": secrets.token_urlsafe(8),
                "client_secret": None if logins.method == "none" else "of the client",
                "token_endpoint_auth_method": logins.method,
            }
        )
        await logins.register_client(made)
        return JSONResponse(made.model_dump(mode="json", exclude_none=True), 201)

    ours = [
        Route("/.well-known/oauth-authorization-server", logins.about),
        Route("/token", token, methods=["POST"]),
        Route("/register", register, methods=["POST"]),
        Route("/device", logins.device, methods=["POST"]),
    ]
    return Starlette(
        routes=[*ours, *app.routes],
        middleware=app.user_middleware,
        lifespan=app.router.lifespan_context,
    )


@contextlib.contextmanager
def locked_server() -> Iterator[Logins]:
    """Serve on this machine, in a thread."""
    import socket

    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        # Whoever comes before the thread has begun waits, and is not refused.
        place.listen(128)
        logins = Logins()
        logins.url = f"http://127.0.0.1:{place.getsockname()[1]}"
        settings = uvicorn.Config(
            app_of(logins),
            log_level="critical",
            # The logging of the process is not this server's to set.
            log_config=None,
            lifespan="on",
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(settings)
        thread = Thread(target=server.run, args=([place],), daemon=True)
        thread.start()
        try:
            yield logins
        finally:
            server.should_exit = True
            thread.join()
