"""The database of a person: where sessions are kept when nobody says where.

Every door that a person may come in by, the command line or a server, means the same
one. Knows no store: it returns a URL.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import platformdirs

from ..values.errors import ConfigurationError

DATABASE_VARIABLE = "DOVETAIL_DB"
"""The environment variable that names another database, by its URL."""


def default_database_url(environment: Mapping[str, str] = os.environ) -> str:
    """Return the URL of the database that is meant when nobody names one.

    ``DOVETAIL_DB`` says which, or it is a file in the person's data folder. That folder
    is made where it is not there, and nobody else may look into it.

    Raises:
        ConfigurationError: there is no such folder and it cannot be made.
    """
    named = environment.get(DATABASE_VARIABLE)
    if named:
        return named
    folder = Path(platformdirs.user_data_dir("dovetail", appauthor=False))
    home = Path(os.path.expanduser("~"))
    if folder.is_relative_to(home) and not home.is_dir():
        # Nobody wants a home to be made.
        raise ConfigurationError(
            "database", f"there is no home folder {str(home)!r} to keep one in"
        )
    try:
        # What sessions saw is nobody else's business.
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigurationError(
            "database", f"{str(folder)!r} cannot be made ({error.strerror})"
        ) from error
    return f"sqlite:///{quote((folder / 'dovetail.db').as_posix())}"
