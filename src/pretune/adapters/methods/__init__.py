"""One file a method; each holds one subclass of :class:`pretune.adapters.method.Method`."""
