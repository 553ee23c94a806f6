"""Finish a trial after its motor is off: result, summary and report."""

from __future__ import annotations

from typing import Any

from sparsectl.common.files import write_json
from sparsectl.common.provenance import provenance
from sparsectl.hil.analysis.results import AssessedTrial
from sparsectl.hil.journal.header import plain_config
from sparsectl.hil.journal.journal import NAME
from sparsectl.hil.planning.plan import Plan
from sparsectl.hil.trial.hidden_journal import REPORT, SUMMARY


def finish(plan: Plan) -> dict[str, Any]:
    """Compute the result from the journal; write `summary.json` and the report.

    Raises:
        UserError: the journal cannot be read, or a file not be written.
    """
    path = plan.folder / NAME
    assessed = AssessedTrial.of(path)
    result = {**assessed.result.to_json(), "journal": str(path), "report": None}
    report = plan.folder / REPORT if plan.config.report else None
    result["report"] = str(report) if report else None
    write_json(
        plan.folder / SUMMARY,
        {
            "trial": result,
            "config": plain_config(plan.config),
            "provenance": provenance(),
        },
    )
    if report:
        from sparsectl.hil.config import ReportConfig
        from sparsectl.hil.report.report import write_report

        write_report(ReportConfig(plan.folder, report), assessed)
    return result
