"""Lists the packages of the four code folders, so that none is ever forgotten."""

from setuptools import find_packages, setup

FOLDERS = ("kernel", "storage", "builtin_tools", "plugins")
PACKAGES = [f"{top}.{sub}" for top in FOLDERS for sub in find_packages(top)]
# Installed under another name: see its docstring.
PACKAGES.remove("kernel.testing.pytest_plugin")

setup(
    packages=[
        *(f"dovetail.{name}" for name in (*FOLDERS, *PACKAGES)),
        "dovetail_pytest",
    ]
)
