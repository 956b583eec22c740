"""Server-sent events from bytes as they arrive (WHATWG HTML, section 9.2.6), without any input or output of its own.

Three liberties, taken because servers take them too: an event at the very end counts without its blank
line; objects that follow each other without a blank line between them are separate events; and a line
longer than a limit is an error. Reconnection (``id``, ``retry``) is not covered.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from educe.core.errors import BackendError

__all__ = ["Event", "EventReader"]

_LINE_END = re.compile(rb"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its type (``"message"`` unless the server says otherwise) and its data lines joined."""

    name: str
    data: str


class EventReader:
    """Cut a byte stream into events, wherever the network cut it.

    Parameters
    ----------
    line_limit : int
        Most bytes that one line may have.

    Examples
    --------
    >>> reader = EventReader()
    >>> reader.feed(b": a comment\\r\\ndata: {\\"a\\"")
    []
    >>> reader.feed(b": 1}\\r\\n\\r\\n")
    [Event(name='message', data='{"a": 1}')]
    """

    def __init__(self, line_limit: int = 1 << 20) -> None:
        self.line_limit = line_limit
        self._partial = bytearray()
        self._after_return = False
        self._first = True
        self._name = ""
        self._data: list[str] = []

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes and return the events that they complete.

        Raises
        ------
        BackendError
            A line is too long or is not UTF-8.
        """
        if self._after_return and data.startswith(b"\n"):
            # The carriage return before it already ended the line.
            data, self._after_return = data[1:], False
        if not data:
            return []
        self._after_return = data.endswith(b"\r")
        events: list[Event] = []
        *lines, rest = _LINE_END.split(data)
        for line in lines:
            self._grow(line)
            self._line(events)
        self._grow(rest)
        return events

    def close(self) -> list[Event]:
        """Return what is left when the stream has ended."""
        events: list[Event] = []
        if self._partial:
            self._line(events)
        self._dispatch(events)
        return events

    def _grow(self, data: bytes) -> None:
        self._partial += data
        if len(self._partial) > self.line_limit:
            raise BackendError(
                f"The server sent a line of more than {self.line_limit} bytes in an event stream. "
                "Check that the address is that of a language model."
            )

    def _line(self, events: list[Event]) -> None:
        try:
            line = self._partial.decode()
        except UnicodeDecodeError:
            raise BackendError(
                f"The server sent an event that is not UTF-8: {bytes(self._partial[:40])!r}. Update the server."
            ) from None
        self._partial.clear()
        if self._first:
            line, self._first = line.removeprefix("\ufeff"), False
        if not line:
            self._dispatch(events)
            return
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            # Only one held line is ever tried, so that a foreign stream cannot make this quadratic.
            if len(self._data) == 1 and _complete(self._data[0]):
                self._dispatch(events)
            self._data.append(value)
        elif field == "event":
            self._name = value

    def _dispatch(self, events: list[Event]) -> None:
        if self._data:
            events.append(Event(self._name or "message", "\n".join(self._data)))
        self._name = ""
        self._data = []


def _complete(text: str) -> bool:
    if text.strip() == "[DONE]":
        return True
    if not text.startswith("{"):
        return False
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
