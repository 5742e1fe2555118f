"""What takes no part."""

from typing import Self

from aeorsync.folder.held import HeldFolder


class Everything:
    """The rules that leave nothing out."""

    salt = b""

    def ignores(self, name: str, *, is_folder: bool) -> bool:
        """Whether an entry takes no part: never."""
        del name, is_folder
        return False

    def enter(self, name: str, folder: HeldFolder) -> Self:
        """The rules of a folder in this one: the same."""
        del name, folder
        return self
