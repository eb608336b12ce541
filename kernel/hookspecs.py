"""Hook specifications: everything that a plugin may implement.

A plugin is any object (a module, an instance) with some of these functions, marked
with ``hookimpl`` and offered through the entry-point group ``dovetail``::

    from dovetail.kernel import Tool, hookimpl

    class Weather:
        @hookimpl
        def dovetail_register_tools(self, register):
            register(Tool(name="weather", ...))

    plugin = Weather()

Rules for all hooks. They are synchronous and quick: they hand things over and do no
I/O; what they hand over may wait. An implementation may take any subset of the
arguments, by name. ``register_`` hooks are called once per Location, in plugin-name
order, when the Location is first used; every item is attributed to its plugin, refused
alone when it is wrong, and removed when the plugin's scope closes. An exception is
recorded with plugin, hook and Location, and disturbs no other plugin.
"""

from contextlib import AbstractAsyncContextManager
from typing import Any

import pluggy

from .contracts import (
    AgentProfile,
    Command,
    ContextSource,
    Place,
    Provider,
    Register,
    SkillSource,
    Tool,
)
from .ports import Store
from .values.events import Event
from .values.request import ModelRequest

PROJECT = "dovetail"
"""Also the entry-point group."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function as the implementation of the hook of its name."""


class Hooks:
    """The hooks, in the order they matter in the life of a runtime."""

    # --- once per runtime ---------------------------------------------------------

    @hookspec(firstresult=True)
    def dovetail_open_store(
        self, url: str
    ) -> AbstractAsyncContextManager[Store] | None:
        """Open the store of a URL, if it is of your kind.

        ``url`` is what ``open_runtime`` was given, for example ``sqlite:///a.db``.
        Return an async context manager that yields the Store, or None for "not mine";
        the first answer in plugin-name order wins. Called once when a runtime opens;
        the store closes after everything else. An exception ends the opening.

        Example::

            @hookimpl
            def dovetail_open_store(self, url):
                return open_redis(url) if url.startswith("redis:") else None
        """

    @hookspec
    def dovetail_register_commands(self, register: Register[Command]) -> None:
        """Add commands to the command line.

        ``register`` takes a Command. Called once per process that runs ``dovetail``,
        outside any runtime. A command whose name is taken is refused. An exception
        leaves out this plugin's commands and is shown by ``dovetail plugins list``.

        Example::

            @hookimpl
            def dovetail_register_commands(self, register):
                register(Command("serve", "Serve over HTTP", load_serve))
        """

    # --- once per Location --------------------------------------------------------

    @hookspec
    def dovetail_open_location(
        self, place: Place
    ) -> AbstractAsyncContextManager[Any] | None:
        """Open a resource that lives as long as the Location, such as a connection.

        Return an async context manager, or None. What it yields is ``place.resource``
        in this plugin's registering hooks. Called before them, on first use of the
        Location; left in reverse order when the Location closes. An exception leaves
        this plugin out of the Location.

        Example::

            @hookimpl
            def dovetail_open_location(self, place):
                return open_index(place.location.path)
        """

    @hookspec
    def dovetail_register_tools(
        self, register: "Register[Tool[Any, Any]]", place: Place
    ) -> None:
        """Offer tools to the models of this Location.

        ``register`` takes a Tool. A later plugin's tool hides an earlier one of the
        same name until it is removed. Refused alone: a bad name, an input that is not
        an attrs class, a type without a JSON Schema.

        Example::

            @hookimpl
            def dovetail_register_tools(self, register, place):
                register(Tool(name="weather", ...))
        """

    @hookspec
    def dovetail_register_providers(
        self, register: Register[Provider], place: Place
    ) -> None:
        """Offer providers of models.

        ``register`` takes a Provider; a later one hides an earlier one of the same
        name. Take keys and endpoints from ``place.environment`` and
        ``place.providers``; reach no network here.

        Example::

            @hookimpl
            def dovetail_register_providers(self, register, place):
                register(Provider(name="acme", route=AcmeRoute))
        """

    @hookspec
    def dovetail_register_context(
        self, register: Register[ContextSource], place: Place
    ) -> None:
        """Offer sources of System Context: what the model is told about its world.

        ``register`` takes a ContextSource. A key can be offered once; the second is
        refused. Sources are told in key order, whoever offers them.

        Example::

            @hookimpl
            def dovetail_register_context(self, register, place):
                register(ContextSource("acme/team", observe_team))
        """

    @hookspec
    def dovetail_register_skills(
        self, register: Register[SkillSource], place: Place
    ) -> None:
        """Offer sources of skills.

        ``register`` takes a SkillSource. A skill of a later source hides one of the
        same name of an earlier source.

        Example::

            @hookimpl
            def dovetail_register_skills(self, register, place):
                register(SkillSource("acme/skills", find_skills))
        """

    @hookspec
    def dovetail_register_agents(
        self, register: Register[AgentProfile], place: Place
    ) -> None:
        """Offer agent profiles.

        ``register`` takes an AgentProfile; a later one hides an earlier one of the
        same name. Rules of the configuration come after a profile's and win.

        Example::

            @hookimpl
            def dovetail_register_agents(self, register, place):
                register(AgentProfile("reviewer", rules=[Rule("edit", "*", "deny")]))
        """

    # --- while sessions run -------------------------------------------------------

    @hookspec
    def dovetail_prepare_request(
        self, request: ModelRequest, place: Place
    ) -> ModelRequest | None:
        """Adjust a request before it is sent.

        Return a changed request (``attrs.evolve``), or None for no change. Called once
        per Step, in plugin-name order, each seeing the result of the one before; never
        per streamed token. An exception ends the Step as failed: a guard that breaks
        must not be skipped (law plugins.6).

        Example::

            @hookimpl
            def dovetail_prepare_request(self, request):
                return attrs.evolve(request, options={"temperature": 0})
        """

    @hookspec
    def dovetail_observe_event(self, event: Event, place: Place) -> None:
        """See a durable event of a session of this Location, after it was committed.

        Called in the order of the log, soon after the commit; the session does not
        wait for it. Not called for live deltas. An exception is recorded and the
        session goes on. For work that must not miss an event, read
        ``session.events(after=cursor)`` instead.

        Example::

            @hookimpl
            def dovetail_observe_event(self, event):
                metrics.count(event.kind)
        """
