"""The plugin loader: strangers' mistakes stay theirs."""

import functools
import importlib.metadata
import signal
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
import pytest
from dovetail.kernel import (
    Hooks,
    Location,
    Place,
    PluginError,
    PluginNotFoundError,
    PluginSet,
    PluginState,
    hookimpl,
    load_plugins,
    open_runtime,
)
from dovetail.kernel.plugins.object import HOOKS

PLACE = Place(Location("/place"))


def load(*given: object, **options: Any) -> PluginSet:
    options.setdefault("environment", {})
    return load_plugins(given, entry_points=False, **options)


class Store:
    """A sound plugin: opens stores of one scheme."""

    def __init__(self, name: str, scheme: str = "") -> None:
        self.name = name
        self.scheme = scheme or name
        self.calls = 0

    @hookimpl
    def dovetail_open_store(self, url: str) -> Any:
        self.calls += 1
        return f"{self.name}:{url}" if url.startswith(self.scheme) else None


class Broken(Store):
    @hookimpl
    def dovetail_open_store(self, url: str) -> Any:
        raise ValueError(f"no {url}")


# --- installed packages -----------------------------------------------------------


class Packages:
    """Installed distributions, as an installer leaves them, in a folder of sys.path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.modules: list[str] = []

    def add(
        self,
        module: str,
        code: str,
        *,
        name: str | None = None,
        distribution: str | None = None,
        version: str = "1.0",
        value: str = ":plugin",
    ) -> None:
        self.modules.append(module)
        (self.folder / f"{module}.py").write_text(textwrap.dedent(code))
        self.entry(
            distribution or module,
            f"[dovetail]\n{name or module} = {module}{value}\n",
            version,
        )

    def entry(self, distribution: str, text: str, version: str = "1.0") -> None:
        information = self.folder / f"{distribution}-{version}.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        )
        (information / "entry_points.txt").write_text(text)

    def imported(self) -> set[str]:
        return {each for each in self.modules if each in sys.modules}

    def load(self, **options: Any) -> PluginSet:
        options.setdefault("environment", {})
        return load_plugins(**options)


SOUND = """
    from dovetail.kernel import hookimpl

    class Plugin:
        @hookimpl
        def dovetail_open_store(self, url):
            return __name__

    plugin = Plugin()
"""


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Packages]:
    # Only what the test installs: the path is what distributions are found on.
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(
        importlib.metadata.MetadataPathFinder,
        "find_distributions",
        _only(tmp_path),
    )
    made = Packages(tmp_path)
    yield made
    for module in made.modules:
        sys.modules.pop(module, None)


_find_distributions = importlib.metadata.MetadataPathFinder.find_distributions


def _only(*folders: Path) -> Callable[..., Any]:
    def find(context: Any = None) -> Any:
        return _find_distributions(
            importlib.metadata.DistributionFinder.Context(
                name=context and context.name, path=[str(one) for one in folders]
            )
        )

    return find


def states(plugins: PluginSet) -> dict[str, str]:
    return {each.name: each.state for each in plugins.states()}


@pytest.mark.law("plugins.5")
def test_installed_plugins_are_found_in_name_order(packages: Packages) -> None:
    for name in ("zeta", "alpha", "mid"):
        packages.add(f"fixture_{name}", SOUND, name=name, version="2.5")
    plugins = packages.load()
    assert plugins.loaded() == ("alpha", "mid", "zeta")
    state = plugins.state("alpha")
    assert state == PluginState(
        name="alpha",
        origin="fixture_alpha 2.5",
        version="2.5",
        state="loaded",
        hooks=("dovetail_open_store",),
    )
    answers = plugins.each("dovetail_open_store", url="x")
    assert [name for name, _ in answers] == ["alpha", "mid", "zeta"]
    assert plugins.manager.get_plugin("mid") is sys.modules["fixture_mid"].plugin


@pytest.mark.law("plugins.1")
@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("raise RuntimeError('no luck')", "RuntimeError: no luck"),
        ("import not_installed_here", "No module named 'not_installed_here'"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("def broken(:", "SyntaxError"),
        ("x = 1", "has no attribute 'plugin'"),
        ("plugin = None", "implements no hook"),
        ("plugin = 'text'", "implements no hook"),
        (SOUND + "\n    plugin = Plugin\n", "is a class; offer an instance"),
    ],
)
def test_a_plugin_that_cannot_be_loaded_disturbs_nobody(
    packages: Packages, code: str, problem: str
) -> None:
    packages.add("fixture_a", SOUND, name="a")
    packages.add("fixture_b", code, name="b")
    packages.add("fixture_c", SOUND, name="c")
    plugins = packages.load()
    assert states(plugins) == {"a": "loaded", "b": "failed", "c": "loaded"}
    error = plugins.state("b").error or ""
    assert problem in error
    assert "plugin 'b'" in error
    assert [name for name, _ in plugins.each("dovetail_open_store", url="x")] == [
        "a",
        "c",
    ]


@pytest.mark.usefixtures("interrupts")
def test_interrupting_the_import_of_a_plugin_interrupts(packages: Packages) -> None:
    interrupt = "import signal\nsignal.raise_signal(signal.SIGINT)"
    packages.add("fixture_a", interrupt)
    with pytest.raises(KeyboardInterrupt):
        packages.load().loaded()


@pytest.mark.law("plugins.8")
def test_an_import_that_raises_the_same_itself_fails(packages: Packages) -> None:
    packages.add("fixture_a", "raise KeyboardInterrupt")
    plugins = packages.load()
    assert plugins.loaded() == ()
    [state] = plugins.states()
    assert "failed: KeyboardInterrupt" in (state.error or "")


@pytest.mark.law("plugins.1")
def test_damaged_metadata_of_one_distribution_hides_no_other(
    packages: Packages,
) -> None:
    packages.entry("damaged", "[dovetail]\nthis is not an entry point\n")
    packages.entry("odd", "[dovetail]\nodd = not a module path!\n")
    packages.entry("strange", "[console_scripts]\nthis is not an entry point\n")
    packages.entry("mixed", "[dovetail]\nmixed = x\n")
    mixed = packages.folder / "mixed-1.0.dist-info" / "entry_points.txt"
    mixed.write_bytes(mixed.read_bytes() + b"# \xff")
    packages.add("fixture_a", SOUND, name="a")
    plugins = packages.load()
    assert plugins.loaded() == ("a",)
    # What is damaged and no plugin of ours is not told of.
    assert {one.name for one in plugins.states()} == {"a", "damaged", "odd", "mixed"}
    assert "its metadata is damaged" in (plugins.state("mixed").error or "")
    assert plugins.state("odd").state == "failed"
    assert "its metadata is damaged" in (plugins.state("damaged").error or "")


def test_of_two_distributions_of_one_name_the_first_on_the_path_counts(
    packages: Packages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one is not what is imported, whatever it says that it offers."""
    before, after = tmp_path / "before", tmp_path / "after"
    for folder in (before, after):
        folder.mkdir()
        monkeypatch.syspath_prepend(str(folder))
    first, second = Packages(before), Packages(after)
    first.entry("Only.once", "[console_scripts]\nonce = once:main\n", "2.0")
    second.entry("only_once", "[dovetail]\nonce = once:plugin\n", "1.0")
    first.entry("twice", "[dovetail]\nx = x:plugin\n", "2.0")
    second.entry("twice", "[dovetail]\ny = y:plugin\n", "1.0")
    find = _only(before, after)
    monkeypatch.setattr(
        importlib.metadata.MetadataPathFinder, "find_distributions", find
    )
    found = [(one.name, one.origin) for one in packages.load().states()]
    assert found == [("x", "twice 2.0")]


def test_a_distribution_of_a_finder_of_its_own_has_its_plugins(
    packages: Packages, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Kept(importlib.metadata.Distribution):
        """One without files: what it offers is known to its class."""

        def read_text(self, filename: str) -> str | None:
            return "Name: kept\nVersion: 3\n" if filename == "METADATA" else None

        def locate_file(self, path: Any) -> Any:
            raise NotImplementedError

        @property
        def entry_points(self) -> importlib.metadata.EntryPoints:
            entry = importlib.metadata.EntryPoint("k", "fixture_k:plugin", "dovetail")
            return importlib.metadata.EntryPoints([entry])

    class Finder(importlib.metadata.DistributionFinder):
        def find_distributions(self, context: Any = None) -> Any:
            return [Kept()] if context.name in (None, "kept") else []

    packages.add("fixture_k", SOUND, name="other")
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder()])
    found = [(one.name, one.origin) for one in packages.load().states()]
    assert found == [("k", "kept 3"), ("other", "fixture_k 1.0")]


def test_only_wanted_plugins_are_imported(packages: Packages) -> None:
    for name in ("a", "b", "c", "d", "e"):
        packages.add(f"fixture_{name}", SOUND, name=name)
    plugins = packages.load(
        allow=["a", "b", "c", "d"],
        deny=["b"],
        environment={
            "DOVETAIL_LOAD_PLUGINS": "a, b,c",
            "DOVETAIL_DISABLE_PLUGINS": "c",
        },
    )
    assert states(plugins) == {
        "a": "loaded",
        "b": "denied",
        "c": "disabled",
        "d": "disabled",
        "e": "denied",
    }
    assert packages.imported() == {"fixture_a"}
    assert "DOVETAIL_DISABLE_PLUGINS" in (plugins.state("c").error or "")
    assert "DOVETAIL_LOAD_PLUGINS" in (plugins.state("d").error or "")


def test_finding_plugins_imports_none_and_asking_one_imports_that_one(
    packages: Packages,
) -> None:
    for name in ("a", "b"):
        packages.add(f"fixture_{name}", SOUND, name=name)
    plugins = packages.load(deny=["b"])
    assert packages.imported() == set()
    assert plugins.ask("nobody", "dovetail_open_store", url="x") is None
    assert plugins.ask("b", "dovetail_open_store", url="x") is None
    assert packages.imported() == set()
    assert plugins.ask("a", "dovetail_open_store", url="x") == "fixture_a"
    assert plugins.ask("a", "dovetail_open_location", place=PLACE) is None
    assert packages.imported() == {"fixture_a"}
    assert states(plugins) == {"a": "loaded", "b": "denied"}


def test_a_plugin_that_was_asked_alone_is_loaded_once(packages: Packages) -> None:
    packages.add("fixture_a", "raise RuntimeError('no')", name="a")
    packages.add("fixture_b", SOUND, name="b")
    plugins = packages.load()
    for _ in range(2):
        assert plugins.ask("a", "dovetail_open_store", url="x") is None
        assert plugins.ask("b", "dovetail_open_store", url="x") == "fixture_b"
    assert states(plugins) == {"a": "failed", "b": "loaded"}
    assert plugins.loaded() == ("b",)
    assert "RuntimeError: no" in (plugins.state("a").error or "")


def test_an_object_given_in_code_is_heard_in_its_turn(packages: Packages) -> None:
    packages.add("fixture_x", SOUND, name="x")
    plugins = load_plugins([Store("a", "x:")], environment={})
    assert plugins.ask("x", "dovetail_open_store", url="x://") is None
    assert plugins.first("dovetail_open_store", url="x://") == "a:x://"


async def test_a_runtime_imports_the_store_first_and_the_others_for_a_location(
    packages: Packages, tmp_path: Path
) -> None:
    packages.add(
        "fixture_store",
        """
        from dovetail.kernel.testing import MemoryStorePlugin

        class Plugin(MemoryStorePlugin):
            name = "memory"

        plugin = Plugin()
        """,
        name="memory",
    )
    packages.add("fixture_a", SOUND, name="a")
    with_none = {"DOVETAIL_CONFIG": ""}
    async with open_runtime("memory://", environment=with_none) as runtime:
        assert not (await runtime.sessions.list()).items
        assert packages.imported() == {"fixture_store"}
        await runtime.location(tmp_path)
        assert packages.imported() == {"fixture_store", "fixture_a"}


def test_an_empty_variable_loads_nothing_installed(packages: Packages) -> None:
    packages.add("fixture_a", SOUND, name="a")
    given = Store("given")
    plugins = packages.load(given=[given], environment={"DOVETAIL_LOAD_PLUGINS": ""})
    assert plugins.loaded() == ("given",)
    assert packages.load(given=[given], entry_points=False).loaded() == ("given",)


def test_a_plugin_that_is_wanted_and_not_there_is_told(packages: Packages) -> None:
    packages.add("fixture_a", SOUND, name="weather")
    plugins = packages.load(allow=["wether"])
    state = plugins.state("wether")
    assert state.state == "failed"
    assert "did you mean 'weather'?" in (state.error or "")
    plugins = packages.load(environment={"DOVETAIL_LOAD_PLUGINS": "nothing"})
    assert "DOVETAIL_LOAD_PLUGINS names it" in (plugins.state("nothing").error or "")


def test_of_two_of_one_name_the_first_distribution_wins(packages: Packages) -> None:
    packages.add("fixture_2", SOUND, name="same", distribution="zz")
    packages.add("fixture_1", SOUND, name="same", distribution="aa")
    plugins = packages.load()
    assert plugins.call("same", "dovetail_open_store", url="x") == "fixture_1"
    loaded, refused = plugins.states()
    assert (loaded.origin, loaded.state) == ("aa 1.0", "loaded")
    assert (refused.origin, refused.state) == ("zz 1.0", "failed")
    assert "the name is taken by a plugin of aa 1.0" in (refused.error or "")
    assert "fixture_2" not in sys.modules
    assert plugins.state("same") == loaded


def test_distributions_are_compared_as_package_indexes_do(packages: Packages) -> None:
    packages.add("fixture_2", SOUND, name="same", distribution="Zeta")
    packages.add("fixture_1", SOUND, name="same", distribution="alpha")
    packages.add("fixture_4", SOUND, name="other", distribution="beta_y")
    packages.add("fixture_3", SOUND, name="other", distribution="Beta-x")
    states = [(one.origin, one.state) for one in packages.load().states()]
    assert sorted(states) == [
        ("Beta-x 1.0", "loaded"),
        ("Zeta 1.0", "failed"),
        ("alpha 1.0", "loaded"),
        ("beta_y 1.0", "failed"),
    ]


@pytest.mark.law("plugins.5")
def test_a_name_is_not_passed_on_because_its_plugin_broke(packages: Packages) -> None:
    """Settings and keys go by it; another package must not come by them."""
    packages.add("fixture_1", "raise LookupError", name="same", distribution="aa")
    packages.add("fixture_2", SOUND, name="same", distribution="zz")
    broken, refused = packages.load().states()
    assert (broken.origin, broken.state) == ("aa 1.0", "failed")
    assert (refused.origin, refused.state) == ("zz 1.0", "failed")
    assert "the name is taken by a plugin of aa 1.0" in (refused.error or "")
    assert "fixture_2" not in sys.modules


def test_an_installed_plugin_can_be_replaced_in_code(packages: Packages) -> None:
    packages.add("fixture_a", SOUND, name="store")
    mine = Store("store", "x")
    plugins = packages.load(given=[mine], deny=["store"])
    assert plugins.call("store", "dovetail_open_store", url="x") == "store:x"
    plugins = packages.load(given=[mine])
    assert plugins.call("store", "dovetail_open_store", url="x") == "fixture_a"
    assert [each.state for each in plugins.states()] == ["loaded", "failed"]


def test_a_module_may_be_a_plugin(packages: Packages) -> None:
    code = """
        import dovetail.kernel as dovetail_something
        from dovetail.kernel import hookimpl

        dovetail_version = "1"

        @hookimpl
        def dovetail_open_store(url):
            return url
    """
    packages.add("fixture_module", code, name="m", value="")
    assert packages.load().call("m", "dovetail_open_store", url="x") == "x"


# --- names of given objects -------------------------------------------------------


def test_an_object_is_called_by_its_name() -> None:
    module = ModuleType("some.module")
    module.dovetail_open_store = hookimpl(lambda url: url)  # type: ignore[attr-defined]

    class Nameless:
        @hookimpl
        def dovetail_open_store(self, url: str) -> Any:
            return url

    plugins = load(Store("named"), module, Nameless(), Nameless())
    assert plugins.loaded() == ("Nameless", "Nameless-2", "named", "some.module")
    assert {each.origin for each in plugins.states()} == {"given"}
    assert plugins.rank("named") == 2


def test_a_name_that_was_chosen_is_not_changed() -> None:
    first, second = Store("same"), Store("same")
    plugins = load(first, second)
    assert [each.state for each in plugins.states()] == ["loaded", "failed"]
    assert plugins.manager.get_plugin("same") is first


def test_the_environment_disables_given_plugins_too() -> None:
    plugins = load(Store("a"), environment={"DOVETAIL_DISABLE_PLUGINS": "a"})
    assert plugins.state("a").state == "disabled"
    assert plugins.each("dovetail_open_store", url="x") == []


# --- what is refused --------------------------------------------------------------


def error_of(plugin: object) -> str:
    """Return why a plugin is refused; another one is not."""
    plugins = load(Store("sound"), plugin)
    assert plugins.loaded() == ("sound",)
    (refused,) = [each for each in plugins.states() if each.name != "sound"]
    assert refused.state == "failed"
    return refused.error or ""


class Misspelt:
    @hookimpl
    def dovetail_register_tool(self, register: Any) -> None: ...


class Unprefixed:
    @hookimpl
    def register_tools(self, register: Any) -> None: ...


class Unmarked:
    def dovetail_register_tools(self, register: Any) -> None: ...


class UnmarkedMisspelt(Store):
    def dovetail_regster_tools(self, register: Any) -> None: ...


class NotAFunction(Store):
    dovetail_register_tools = 3


class WrongArgument:
    @hookimpl
    def dovetail_register_tools(self, registr: Any) -> None: ...


class StrangeArgument:
    @hookimpl
    def dovetail_open_store(self, url: str, verbose: bool = False) -> Any: ...


class ManyArguments:
    @hookimpl
    def dovetail_open_store(self, *rest: Any) -> Any: ...


class Asynchronous:
    @hookimpl
    async def dovetail_open_store(self, url: str) -> Any: ...


class AsynchronousGenerator:
    @hookimpl
    async def dovetail_open_location(self, place: Any) -> Any:
        yield


class Generator:
    @hookimpl
    def dovetail_register_tools(self, register: Any) -> Any:
        yield


class Wrapper:
    @hookimpl(wrapper=True)
    def dovetail_open_store(self, url: str) -> Any:
        return (yield)


class OldWrapper:
    @hookimpl(hookwrapper=True)
    def dovetail_open_store(self, url: str) -> Any:
        yield


class First:
    @hookimpl(tryfirst=True)
    def dovetail_open_store(self, url: str) -> Any: ...


class Twice:
    @hookimpl
    def dovetail_open_store(self, url: str) -> Any: ...

    @hookimpl(specname="dovetail_open_store")
    def open_another(self, url: str) -> Any: ...


class Unhashable:
    __hash__ = None  # type: ignore[assignment]

    @hookimpl
    def dovetail_open_store(self, url: str) -> Any: ...


class Explosive(Store):
    def __dir__(self) -> list[str]:
        raise RuntimeError("do not look")


@pytest.mark.parametrize(
    ("plugin", "hook", "problem"),
    [
        (Misspelt(), "dovetail_register_tool", "did you mean 'dovetail_register_tools"),
        (Unprefixed(), "register_tools", "did you mean 'dovetail_register_tools'?"),
        (Unmarked(), "dovetail_register_tools", "marked with @hookimpl"),
        (
            UnmarkedMisspelt("n"),
            "dovetail_regster_tools",
            "did you mean 'dovetail_register_tools'?",
        ),
        (NotAFunction("n"), "dovetail_register_tools", "is not a function"),
        (
            WrongArgument(),
            "dovetail_register_tools",
            "takes 'registr', which the hook does not have; did you mean 'register'?",
        ),
        (StrangeArgument(), "dovetail_open_store", "'verbose'"),
        (ManyArguments(), "dovetail_open_store", "*rest"),
        (Asynchronous(), "dovetail_open_store", "async def"),
        (AsynchronousGenerator(), "dovetail_open_location", "async def"),
        (Generator(), "dovetail_register_tools", "yield"),
        (Wrapper(), "dovetail_open_store", "wrappers are not supported"),
        (OldWrapper(), "dovetail_open_store", "wrappers are not supported"),
        (First(), "dovetail_open_store", "tryfirst is not supported"),
        (Twice(), "dovetail_open_store", "implemented twice"),
        (Unhashable(), "", "eq=False"),
        (Store, "", "Store is a class; offer an instance"),
        (object(), "", "implements no hook"),
        (Explosive("n"), "", "RuntimeError: do not look"),
    ],
)
@pytest.mark.law("plugins.1")
def test_a_wrong_plugin_is_refused_by_name(
    plugin: object, hook: str, problem: str
) -> None:
    error = error_of(plugin)
    assert error.startswith("plugin '")
    assert hook in error
    assert problem in error


def test_an_attrs_plugin_needs_eq_false() -> None:
    @attrs.define
    class Plain:
        @hookimpl
        def dovetail_open_store(self, url: str) -> Any: ...

    @attrs.define(eq=False)
    class Sound:
        name: str = "fine"

        @hookimpl
        def dovetail_open_store(self, url: str) -> Any:
            return url

    @attrs.frozen
    class Equal:
        @hookimpl
        def dovetail_open_store(self, url: str) -> Any: ...

    assert "eq=False" in error_of(Plain())
    plugins = load(Sound(), Equal(), Equal())
    assert plugins.loaded() == ("Equal", "fine")
    (refused,) = [each for each in plugins.states() if each.state == "failed"]
    assert "compares equal to another plugin" in (refused.error or "")


def test_the_same_object_counts_once() -> None:
    class Nameless:
        @hookimpl
        def dovetail_open_store(self, url: str) -> Any: ...

    plugin = Nameless()
    plugins = load(plugin, plugin)
    assert plugins.loaded() == ("Nameless",)
    assert "the same object" in (plugins.state("Nameless-2").error or "")


def test_a_hook_of_a_later_release_may_be_optional() -> None:
    class Early:
        @hookimpl(optionalhook=True)
        def dovetail_not_yet(self, anything: Any) -> None: ...

    assert load(Early()).loaded() == ("Early",)


def test_a_context_manager_function_may_be_the_hook_itself() -> None:
    class Opening:
        @hookimpl
        @asynccontextmanager
        async def dovetail_open_location(self, place: Place) -> AsyncIterator[str]:
            yield place.location.directory

    plugins = load(Opening())
    made = plugins.call("Opening", Hooks.dovetail_open_location, place=PLACE)
    assert hasattr(made, "__aenter__")


# --- calling ----------------------------------------------------------------------


def test_an_implementation_gets_the_arguments_it_takes() -> None:
    seen: dict[str, Any] = {}

    class Subset:
        @hookimpl
        def dovetail_register_tools(self, place: Any) -> None:
            seen["place"] = place

        @hookimpl
        def dovetail_register_skills(self) -> None:
            seen["nothing"] = True

        @hookimpl
        def dovetail_register_agents(self, place: Any, register: Any) -> None:
            seen["reversed"] = (place, register)

        @hookimpl
        def dovetail_register_context(self, *, register: Any, place: Any = 1) -> None:
            seen["named"] = (place, register)

        @staticmethod
        @hookimpl
        def dovetail_open_store(url: str) -> str:
            return url

        @classmethod
        @hookimpl
        def dovetail_observe_event(cls, event: Any, place: Any) -> str:
            return cls.__name__

    plugins = load(Subset())
    for name in ("tools", "skills", "agents", "context"):
        plugins.call("Subset", f"dovetail_register_{name}", register=2, place=3)
    assert seen == {
        "place": 3,
        "nothing": True,
        "reversed": (3, 2),
        "named": (3, 2),
    }
    assert plugins.call("Subset", "dovetail_open_store", url="u") == "u"
    answer = plugins.call("Subset", "dovetail_observe_event", event=1, place=2)
    assert answer == "Subset"
    assert plugins.implementing("dovetail_open_store") == ("Subset",)
    assert plugins.implementing("dovetail_open_location") == ()


def test_an_implementation_that_wraps_another_gets_the_arguments_of_that() -> None:
    def shouting(hook: Callable[[Any, str], str]) -> Callable[[Any, str], str]:
        @functools.wraps(hook)
        def shout(plugin: Any, told: str) -> str:
            return hook(plugin, told).upper()

        return shout

    class Loud:
        @hookimpl
        @shouting
        def dovetail_open_store(self, url: str) -> str:
            return url

    assert load(Loud()).call("Loud", "dovetail_open_store", url="u") == "U"


def test_a_hook_may_be_named_by_its_specification() -> None:
    plugins = load(Store("a"))
    assert plugins.call("a", Hooks.dovetail_open_store, url="a") is not None
    assert plugins.call("a", Hooks.dovetail_open_store, "a") is not None
    assert plugins.first(Hooks.dovetail_open_store, url="b") is None
    assert len(plugins.each(Hooks.dovetail_open_store, "a")) == 1


@pytest.mark.law("plugins.1")
def test_one_that_raises_hinders_no_other() -> None:
    heard: list[PluginError] = []
    plugins = load(Store("a"), Broken("b"), Store("c"), on_error=heard.append)
    for _ in range(2):
        answers = plugins.each("dovetail_open_store", url="c")
        assert answers == [("a", None), ("c", "c:c")]
    state = plugins.state("b")
    assert (state.state, state.errors) == ("loaded", 2)
    assert state.last_error == "plugin 'b' in dovetail_open_store: ValueError: no c"
    assert [each.plugin for each in heard] == ["b", "b"]
    assert isinstance(heard[0].__cause__, ValueError)
    assert plugins.state("a").errors == 0


@pytest.mark.law("plugins.1")
def test_an_error_names_plugin_hook_and_location() -> None:
    class Failing:
        @hookimpl
        def dovetail_register_tools(self, register: Any) -> None:
            raise KeyError("x")

    plugins = load(Failing())
    with pytest.raises(PluginError) as caught:
        plugins.call("Failing", "dovetail_register_tools", register=1, place=PLACE)
    error = caught.value
    assert (error.plugin, error.hook) == ("Failing", "dovetail_register_tools")
    assert error.location == "/place"
    assert "at /place" in str(error)
    assert error.code == "plugin.failed"


def test_the_first_answer_ends_the_asking() -> None:
    a, b, c = Store("a", "x"), Store("b"), Store("c")
    plugins = load(c, b, a)
    assert plugins.first("dovetail_open_store", url="b") == "b:b"
    assert (a.calls, b.calls, c.calls) == (1, 1, 0)
    assert plugins.first("dovetail_open_store", url="z") is None
    assert plugins.implementing("dovetail_open_store") == ("a", "b", "c")


def test_a_failure_before_an_answer_is_not_skipped() -> None:
    plugins = load(Broken("a"), Store("b"))
    with pytest.raises(PluginError, match="no b"):
        plugins.first("dovetail_open_store", url="b")


@pytest.mark.usefixtures("interrupts")
def test_a_persons_ctrl_c_passes_and_one_of_the_hooks_own_does_not() -> None:
    class Quitting:
        @hookimpl
        def dovetail_open_store(self, url: str) -> Any:
            if url == "own":
                raise KeyboardInterrupt
            signal.raise_signal(signal.SIGINT)

    plugins = load(Quitting())
    with pytest.raises(KeyboardInterrupt):
        plugins.each("dovetail_open_store", url="x")
    assert plugins.state("Quitting").errors == 0
    with pytest.raises(PluginError, match="KeyboardInterrupt"):
        plugins.call("Quitting", "dovetail_open_store", url="own")
    assert plugins.state("Quitting").errors == 1


def test_a_coroutine_is_not_an_answer() -> None:
    async def later(url: str) -> Any: ...

    class Plain:
        @hookimpl
        def dovetail_open_store(self, url: str) -> Any:
            return later(url)

    plugins = load(Plain())
    # Nothing is left that Python would warn of: it was closed.
    with pytest.raises(PluginError, match="handed over a coroutine"):
        plugins.call("Plain", "dovetail_open_store", url="x")


def test_an_exception_that_cannot_be_shown_is_still_told() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    class Failing:
        @hookimpl
        def dovetail_open_store(self, url: str) -> Any:
            raise Mute if url == "mute" else ValueError("x" * 10_000)

    plugins = load(Failing())
    with pytest.raises(PluginError, match="Mute"):
        plugins.call("Failing", "dovetail_open_store", url="mute")
    with pytest.raises(PluginError) as caught:
        plugins.call("Failing", "dovetail_open_store", url="loud")
    assert len(str(caught.value)) < 1_000


def test_a_wrong_call_is_nobodys_fault() -> None:
    plugins = load(Store("a"))
    with pytest.raises(PluginNotFoundError) as caught:
        plugins.call("aa", "dovetail_open_store", url="x")
    assert "did you mean 'a'?" in str(caught.value)
    with pytest.raises(LookupError, match="dovetail_open_stores"):
        plugins.each("dovetail_open_stores", url="x")
    with pytest.raises(TypeError, match="takes url"):
        plugins.each("dovetail_open_store", uri="x")
    with pytest.raises(PluginNotFoundError):
        plugins.state("nobody")
    assert plugins.state("a").errors == 0


def test_what_others_find_wrong_is_recorded_too() -> None:
    plugins = load(Store("a"))
    plugins.record(PluginError("a", "its tool has a bad name"))
    assert plugins.state("a").errors == 1
    assert "bad name" in (plugins.state("a").last_error or "")


def test_every_hook_can_be_called() -> None:
    assert set(HOOKS.specs) == {
        name for name in vars(Hooks) if name.startswith("dovetail_")
    }
    plugins = load(Store("a"))
    for name, spec in HOOKS.specs.items():
        arguments = dict.fromkeys(spec.arguments, "x")
        assert plugins.call("a", name, **arguments) in (None, "a:x")


@pytest.mark.law("plugins.7")
def test_what_dovetail_ships_comes_through_the_same_door() -> None:
    plugins = load_plugins(environment={}, allow=["sqlite"])
    state = plugins.state("sqlite")
    assert (state.state, state.origin.split()[0]) == ("loaded", "dovetail")
    assert plugins.rank("sqlite") == 1
