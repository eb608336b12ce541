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
arguments, by name. Plugins are called in the order of their names, except that one
comes behind those that it names in its attribute ``after``, and before those that it
names in ``before``. In a Location they open one at a time in this order, each with all
that it registers before the next one opens, and close in the reverse order.
``register_`` hooks are called once per Location, when it is first used; every item is
attributed to its plugin, refused alone when it is wrong, and removed when the plugin's
scope closes. An exception is recorded with plugin, hook and
Location, and disturbs no other plugin.

A call that takes longer than its limit cannot be interrupted, because it is plain
Python in the thread of the event loop: it is recorded afterwards and counts as an
error. A plugin whose hook fails or lingers too often in one Location is not called
there any more, and its contributions are taken back; the sessions concerned record a
``plugin.disabled`` event. Where such a plugin guards something, what it guards does not
happen any more either, until it is replaced or removed: ``register_rules``,
``decide_permission``, ``prepare_request`` and ``prepare_tool_call`` fail closed.

There are no hooks for Steps, executions and sessions as such: each of their turns is a
durable event, and ``dovetail_observe_event`` is told of every one.
"""

from contextlib import AbstractAsyncContextManager
from typing import Any

import pluggy

from .contracts import (
    AgentProfile,
    CallNotice,
    Command,
    CompactionStrategy,
    ContextSource,
    CredentialSource,
    ModelFacts,
    PermissionQuestion,
    Place,
    PromptSource,
    Provider,
    ProviderProtocol,
    Register,
    Rule,
    RuleEffect,
    SessionSource,
    SkillSource,
    Tool,
)
from .ports import Store
from .values.events import Event, ToolFailed, ToolSucceeded
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

        Arguments: ``url`` is what ``open_runtime`` was given, for example
        ``sqlite:///a.db``.

        Result: an async context manager that yields the Store, or None for "not mine".
        An installed plugin that is called like the URL's scheme is asked before all
        others, so that no other needs to be imported. The first answer in plugin order
        wins; later plugins are not asked.

        When: once when a runtime opens, outside any Location. The store closes after
        everything else.

        Errors: an exception ends the opening of the runtime.

        Example::

            @hookimpl
            def dovetail_open_store(self, url):
                return open_redis(url) if url.startswith("redis:") else None
        """

    @hookspec
    def dovetail_open_runtime(
        self, runtime: Any
    ) -> AbstractAsyncContextManager[Any] | None:
        """Open something beside the sessions, such as a door to them or a timetable.

        Arguments: ``runtime`` is the Runtime, open: its sessions may be prompted, its
        events followed, its Locations used. It is not yours to close.

        Result: an async context manager, or None. A task group inside it is yours for
        as long as the runtime is open. What it yields is kept by nobody.

        When: once per runtime. As it opens, when an object that was given in code has
        this hook; otherwise, so that no plugin is imported only to be asked, when its
        first Location opens, which does not wait for it. Left, the last first, before
        anything else of the runtime closes, so that it can still be used.

        Errors: an exception, or not being open after ten seconds, is recorded, and the
        runtime and the plugin's other hooks go on without it. So they do when a task
        in it breaks later.

        Example::

            @hookimpl
            def dovetail_open_runtime(self, runtime):
                return serve(runtime)
        """

    @hookspec
    def dovetail_register_commands(self, register: Register[Command]) -> None:
        """Add commands to the command line.

        Arguments: ``register`` takes a Command.

        Result: none. The commands of all plugins are offered together; one whose name
        is taken is refused, and dovetail's own names are taken first.

        When: in a process that runs ``dovetail``, outside any runtime: when one of the
        commands is wanted, or all are listed. What the command needs is imported by its
        ``load``, when it is run or its help is shown.

        A distribution can have its commands listed without an import of its plugins,
        which takes most of the time of ``dovetail --help``: for each plugin that has
        commands, its metadata names a dict of their names and their help, in a module
        that imports little, as in ``[project.entry-points."dovetail.commands"]``
        ``weather = "dovetail_weather.listed:COMMANDS"``. All plugins of a distribution
        that has this group are taken at its word.

        Errors: an exception leaves out this plugin's commands and is shown by
        ``dovetail plugins list``.

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

        Arguments: ``place`` names the Location, and holds your settings and the
        environment.

        Result: an async context manager, or None. What it yields is
        ``place.resource`` in all other hooks of this plugin there.

        When: on first use of the Location, before your other hooks, and when the
        plugin is added or replaced. Left in reverse order when the Location closes,
        which it does when it was not used for a while; the next use opens it again. A
        task group inside it is yours for that long. Where the plugin is replaced or
        removed, its tool calls and requests that run may end first, for ten seconds.

        Errors: an exception, or not being open after ten seconds, leaves this plugin
        out of the Location. A background task that raises later has the same effect,
        and so has whatever else ends it before its time.

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

        Arguments: ``register`` takes a Tool. ``place`` names the Location and holds
        what your ``dovetail_open_location`` opened.

        Result: none. A later plugin's tool hides an earlier one of the same name until
        it is removed. Refused alone: a bad name, an input that is not an attrs class,
        a type without a JSON Schema.

        When: once per opening of a Location, in its scope. ``register`` may be called
        later too, as long as the plugin is open there, and what it returns takes one
        item back; sessions see either at their next Step boundary.

        Errors: an exception is recorded; what was registered before it stays.

        Example::

            @hookimpl
            def dovetail_register_tools(self, register, place):
                register(Tool(name="weather", ...))
        """

    @hookspec
    def dovetail_register_protocols(self, register: Register[ProviderProtocol]) -> None:
        """Say which protocols of providers you speak.

        Arguments: ``register`` takes a ProviderProtocol.

        Result: none. With what all plugins say, it is decided which protocol each
        ``[providers.NAME]`` table means; ``place.protocols`` tells it to
        ``dovetail_register_providers``. A table whose protocol nobody speaks is told
        of by name.

        When: once per opening of a Location, before any plugin opens, and once more
        for each plugin that is added later. Only say it: nothing is open yet.

        Errors: an exception is recorded; the protocols named before it count.

        Example::

            @hookimpl
            def dovetail_register_protocols(self, register):
                register(ProviderProtocol("acme-chat", provider="acme"))
        """

    @hookspec
    def dovetail_register_providers(
        self, register: Register[Provider], place: Place
    ) -> None:
        """Offer providers of models.

        Arguments: ``register`` takes a Provider. ``place`` holds the environment and
        the configured ``[providers.NAME]`` tables: take keys and endpoints from there.
        Read only tables of a protocol of yours, by ``place.protocols``.

        Result: none. A later plugin's provider hides an earlier one of the same name.

        When: once per opening of a Location, in its scope. Reach no network here.

        Errors: an exception is recorded; what was registered before it stays.

        Example::

            @hookimpl
            def dovetail_register_providers(self, register, place):
                register(Provider(name="acme", route=AcmeRoute))
        """

    @hookspec
    def dovetail_register_models(
        self, register: Register[ModelFacts], place: Place
    ) -> None:
        """Say what is known of models, whoever serves them: limits, prices, abilities.

        Arguments: ``register`` takes a ModelFacts. ``place`` holds your settings and
        the environment.

        Result: none. Field by field the first that knows counts: the configuration or
        the provider's own plugin, then facts about that provider, the later plugin's
        first, then facts about all.

        When: once per opening of a Location, in its scope. What you hand over is asked
        when a model is used for the first time or models are listed.

        Errors: an exception is recorded; what was registered before it stays.

        Example::

            @hookimpl
            def dovetail_register_models(self, register, place):
                register(ModelFacts("ours", models=listed, info=look_up))
        """

    @hookspec
    def dovetail_register_credentials(
        self, register: Register[CredentialSource], place: Place
    ) -> None:
        """Give the credentials of providers, such as tokens of a login.

        Arguments: ``register`` takes a CredentialSource. ``place`` holds your settings
        and what your ``dovetail_open_location`` opened.

        Result: none. What a source gives is shown to its provider where the
        configuration, the environment and the file of keys hold no key for it. It is
        kept for all sessions, and asked for again before it ends and after the
        provider refused it; see CredentialSource. A later plugin's source hides an
        earlier one for the same provider.

        When: once per opening of a Location, in its scope. Only the function that you
        hand over may wait or reach a network; it is called when a request needs it.

        Errors: an exception is recorded; what was registered before it stays.

        Example::

            @hookimpl
            def dovetail_register_credentials(self, register, place):
                register(CredentialSource("acme", fetch=place.resource.token))
        """

    @hookspec
    def dovetail_register_context(
        self, register: Register[ContextSource | SessionSource], place: Place
    ) -> None:
        """Offer sources of System Context: what the model is told about its world.

        Arguments: ``register`` takes a ContextSource, or a SessionSource. ``place``
        names the Location.

        Result: none. A key can be offered once; the second is refused. Sources are
        told in key order, whoever offers them. One that cannot be observed when an
        epoch begins is left out by name, and told at the first Step boundary at which
        it can be; only one that is ``required`` keeps sessions from beginning. What
        changes later is told at the boundary after it.

        When: once per opening of a Location, in its scope. A source itself is observed
        at most once per Step, and not while it says that what it said holds.

        Errors: an exception is recorded; what was registered before it stays.

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

        Arguments: ``register`` takes a SkillSource. ``place`` names the Location and
        the configured folders of skills.

        Result: none. A skill of a later source hides one of the same name of an
        earlier source.

        When: once per opening of a Location, in its scope. A source is searched when
        skills are first needed.

        Errors: an exception is recorded; what was registered before it stays.

        Example::

            @hookimpl
            def dovetail_register_skills(self, register, place):
                register(SkillSource("acme/skills", find_skills))
        """

    @hookspec
    def dovetail_register_prompts(
        self, register: Register[PromptSource], place: Place
    ) -> None:
        """Offer people commands that become prompts, and things to attach by name.

        Arguments: ``register`` takes a PromptSource. ``place`` names the Location and
        holds what your ``dovetail_open_location`` opened.

        Result: none. ``/name arguments`` at the beginning of what a person types is
        said as your command writes it out, and ``@name`` in it attaches what you
        return for it; see ``LocationHandle.prompt``. A command of a later source hides
        one of the same name.

        When: once per opening of a Location, in its scope. A source is asked when
        commands are listed, or when one is typed.

        Errors: an exception is recorded; what was registered before it stays.

        Example::

            @hookimpl
            def dovetail_register_prompts(self, register, place):
                register(PromptSource("acme/prompts", commands=list_commands))
        """

    @hookspec
    def dovetail_register_agents(
        self, register: Register[AgentProfile], place: Place
    ) -> None:
        """Offer agent profiles.

        Arguments: ``register`` takes an AgentProfile. ``place`` names the Location.

        Result: none. A later plugin's profile hides an earlier one of the same name.
        Settings of the configuration come on top, and its rules after a profile's.

        When: once per opening of a Location, in its scope.

        Errors: an exception is recorded; what was registered before it stays.

        Example::

            @hookimpl
            def dovetail_register_agents(self, register, place):
                register(AgentProfile("reviewer", rules=[Rule("edit", "*", "deny")]))
        """

    @hookspec
    def dovetail_register_compaction(
        self, register: Register[CompactionStrategy], place: Place
    ) -> None:
        """Offer ways to make the summary that stands for older history.

        Arguments: ``register`` takes a CompactionStrategy. ``place`` names the
        Location.

        Result: none. The configuration chooses one by its name; dovetail's own is
        ``summary``. A later plugin's strategy hides an earlier one of the same name.

        When: once per opening of a Location, in its scope. A strategy is used when a
        history is too long for its model, or when somebody asks for it.

        Errors: an exception is recorded; what was registered before it stays. What a
        strategy raises when it is used fails that compaction, and replaces nothing.

        Example::

            @hookimpl
            def dovetail_register_compaction(self, register):
                register(CompactionStrategy("terse", summarise))
        """

    @hookspec
    def dovetail_register_rules(self, register: Register[Rule], place: Place) -> None:
        """Offer permission rules for all agents of this Location.

        Arguments: ``register`` takes a Rule. ``place`` names the Location.

        Result: none. The strictest wins: an ``ask`` or a ``deny`` counts wherever it
        is stricter than what else is said. An ``allow`` is a default that a profile's
        and the configuration's rules come after, for example for the actions of your
        own tools.

        When: once per opening of a Location, in its scope.

        Errors: a guard. After an exception nothing is permitted in the Location: your
        rules are not known whole, and might have forbidden it.

        Example::

            @hookimpl
            def dovetail_register_rules(self, register):
                register(Rule("weather", "*", "allow"))
                register(Rule("bash", "*production*", "deny"))
        """

    # --- while sessions run -------------------------------------------------------

    @hookspec
    def dovetail_decide_permission(
        self, question: PermissionQuestion, place: Place
    ) -> RuleEffect | None:
        """Say whether something may be done.

        Arguments: ``question`` says which agent wants to do what to which resources,
        in which call. ``place`` names the Location.

        Result: ``deny``, ``ask`` (a person, even where a rule or a saved approval
        allows it), ``allow`` (on behalf of the person, where neither a rule nor a
        saved approval decides), or None for no opinion. The strictest answer of all
        plugins wins, and never loosens what a rule says.

        When: each time a call asks for a permission, before the person is asked; once
        per question, and again when a question is taken up after a restart.

        Errors: a guard. An exception, or any other answer, denies.

        Example::

            @hookimpl
            def dovetail_decide_permission(self, question):
                return "deny" if question.action == "bash" and at_night() else None
        """

    @hookspec
    def dovetail_prepare_request(
        self, request: ModelRequest, place: Place
    ) -> ModelRequest | None:
        """Adjust a request before it is sent.

        Arguments: ``request`` is what would be sent. ``place`` names the Location.

        Result: a changed request (``attrs.evolve``), or None for no change. Each
        plugin sees the result of the one before.

        When: before every Physical Attempt, of which most Steps have one; never per
        streamed token.

        Errors: a guard. An exception, or anything that is not a request, ends the Step
        as failed, and nothing is sent: a guard that breaks must not be skipped.

        Example::

            @hookimpl
            def dovetail_prepare_request(self, request):
                return attrs.evolve(request, options={"temperature": 0})
        """

    @hookspec
    def dovetail_prepare_tool_call(self, call: CallNotice, place: Place) -> str | None:
        """Stop a call before it runs.

        Arguments: ``call`` names the tool and holds the arguments as the model wrote
        them. ``place`` names the Location.

        Result: None to let it run, or the reason why it must not, which the model
        reads. The first reason wins. Arguments cannot be changed: what ran is what was
        recorded.

        When: once for every execution of a call, after the call is durable and before
        its executor starts, also when it is executed again after a restart. The same
        ids come again in ``dovetail_tool_succeeded`` or ``dovetail_tool_failed``.

        Errors: a guard. An exception, or anything that is not a text, stops the call.

        Example::

            @hookimpl
            def dovetail_prepare_tool_call(self, call):
                return "not on Fridays" if call.tool == "deploy" else None
        """

    @hookspec
    def dovetail_tool_succeeded(
        self, call: CallNotice, outcome: ToolSucceeded, place: Place
    ) -> None:
        """See that a call succeeded.

        Arguments: ``call`` is the call with the ids that it always had, ``outcome``
        the event with what the model is shown, ``place`` the Location.

        Result: none; all plugins are told.

        When: soon after the settlement was committed, in the order of the log; exactly
        one of this and ``dovetail_tool_failed`` for every call that is settled while
        the Location is open.

        Errors: an observer. An exception is recorded and the session goes on.

        Example::

            @hookimpl
            def dovetail_tool_succeeded(self, call, outcome):
                metrics.count(call.tool)
        """

    @hookspec
    def dovetail_tool_failed(
        self, call: CallNotice, outcome: ToolFailed, place: Place
    ) -> None:
        """See that a call failed, for whatever reason.

        Arguments: ``call`` is the call with the ids that it always had, ``outcome``
        the event with the failure, ``place`` the Location.

        Result: none; all plugins are told.

        When: like ``dovetail_tool_succeeded``. Always: also for a call that was
        refused, stale, of an unknown tool, interrupted, or lost with its process.

        Errors: an observer. An exception is recorded and the session goes on.

        Example::

            @hookimpl
            def dovetail_tool_failed(self, call, outcome):
                metrics.count(call.tool, outcome.failure.code)
        """

    @hookspec
    def dovetail_observe_event(self, event: Event, place: Place) -> None:
        """See a durable event of a session of this Location, after it was committed.

        Arguments: ``event`` says its kind and holds its own fields: a Step that ended
        is a StepEnded or a StepFailed, an execution that ended an ExecutionEnded, a
        session that began a SessionCreated. ``place`` names the Location.

        Result: none; all plugins are told.

        When: in the order of the log, soon after the commit, while the Location is
        open; the session does not wait for it. Not for live deltas. For work that must
        not miss an event, read ``session.events(after=cursor)`` instead.

        Errors: an observer. An exception is recorded and the session goes on.

        Example::

            @hookimpl
            def dovetail_observe_event(self, event):
                metrics.count(event.kind)
        """
