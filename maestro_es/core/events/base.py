"""The base class of all events, and the evidence that several types of events contain.

`maestro_es.store.event_log` has the row of an event and its digest.
"""

from __future__ import annotations

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """The base class of all events. It has no fields.

    These fields mean the same in all events, unless an event defines them differently:

    token: the attempt, as SubmissionRequested named it; empty if the event is not about an attempt
    at: when this happened, in microseconds since 1970-01-01 UTC
    evidence: the sources of this conclusion, and the answer of each
    reason: the reason that the user gave for the request; empty if there was none
    message: a sentence for users
    """


class Evidence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The answer of one source: report, claim, queue, accounting, process, poller, user or imported.

    source: one of report, claim, queue, accounting, process, poller, user, imported
    detail: the answer, in the words of the source
    """

    source: str
    detail: str
