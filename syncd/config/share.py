"""Where the files for operators lie: in a wheel or in a checkout."""

from importlib.resources import files
from importlib.resources.abc import Traversable


def shared(folder: str) -> Traversable:
    """Find a folder of the distribution ("sql" or "systemd")."""
    package = files("syncd")
    packed = package / "_share" / folder
    return packed if packed.is_dir() else package / ".." / folder
