"""Where the events of a training go; each is a :class:`pretune.core.protocols.EventSink`."""
