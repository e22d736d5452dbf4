"""A gate as JUnit's XML, which CI systems show: a test case for each check."""

import re
from xml.etree import ElementTree

from pretune.evaluation.goals import Outcome
from pretune.gating.evidence import Evidence

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML 1.0 file may hold, escaped or not."""


def render_junit(evidence: Evidence) -> str:
    """The XML: a failed check is a ``failure``; one that could not be decided is an ``error``, as
    it says nothing of the version."""
    outcomes = [one.outcome for one in evidence.checks]
    failed = outcomes.count(Outcome.FAIL)
    suite = ElementTree.Element(
        "testsuite",
        name=_clean(f"pretune gate: {evidence.task}"),
        timestamp=_clean(evidence.created),
        tests=str(len(outcomes)),
        failures=str(failed),
        errors=str(len(evidence.against) - failed),
    )
    for one in evidence.checks:
        case = ElementTree.SubElement(
            suite, "testcase", classname=_clean(evidence.task), name=_clean(one.name)
        )
        if one.outcome is Outcome.PASS:
            ElementTree.SubElement(case, "system-out").text = _clean(one.reason)
            continue
        kind = "failure" if one.outcome is Outcome.FAIL else "error"
        told = ElementTree.SubElement(case, kind, type=str(one.outcome), message=_clean(one.reason))
        told.text = _clean("\n".join(filter(None, [one.need, one.reason])))
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    # As bytes first: as text its declaration would name the encoding of whoever runs this.
    data: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return data.decode() + "\n"


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
