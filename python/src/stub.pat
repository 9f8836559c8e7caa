# What nanobind's stubs leave out: a pattern file for nanobind_add_stub.
_core.__suffix__:
    __version__: str

    class Error(Exception):
        """Base of the errors that the library raises."""

        on_all_ranks: bool
        """All ranks have raised it, and may go on."""

        is_reporter: bool
        """This rank is the one to print it."""

    class InputError(Error, ValueError):
        """Input that the caller can mend: a bad option, file, table or array."""

    class RunError(Error, RuntimeError):
        """A failure while running: a lost or stalled rank, a call that failed."""
