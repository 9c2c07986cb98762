"""What the types of events have in common: a base class, and the evidence that several of them carry.

`maestro_es.store.event_log` has the row of an event and its digest.
"""

from __future__ import annotations

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """What all events have in common: nothing but being one.

    These fields mean the same in all events that have them, unless an event says otherwise:

    token: the attempt that this is about, as SubmissionRequested named it; empty if it is about no attempt
    at: when this happened, in microseconds since 1970-01-01 UTC
    evidence: the sources that this was concluded from, and what each said
    reason: the words of the person who asked for this; empty if there were none
    message: a sentence for people
    """


class Evidence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one source said: `source` is one of report, claim, queue, accounting, process, poller, user, imported.

    source: one of report, claim, queue, accounting, process, poller, user, imported
    detail: what that source said, in its own words
    """

    source: str
    detail: str
