"""The errors that a user is meant to read: which file, which row, what was expected, what to do."""


class SightlineError(Exception):
    """An error whose message is complete without its traceback."""


class ConfigError(SightlineError):
    """A configuration that cannot be run: the key's path and the allowed values stand in the message."""


class DatasetError(SightlineError):
    """An upstream file that does not hold what its format promises."""


class TableError(SightlineError):
    """A table whose columns or values differ from its schema."""


class IntegrityError(SightlineError):
    """A file whose content differs from what was recorded when it was written."""


class NotApplicable(Exception):
    """Raised by `explain` where only the run shows that a method does not suit the model: the reason."""


class DownloadError(SightlineError):
    """A download that cannot go on or did not bring everything: what is missing, why, what to do."""
