"""The dashboard, and its queries as Grafana would send them."""

import json
import re

from chart import CHART

DASHBOARD = json.loads((CHART / "dashboards" / "pollux.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
ROWS = [panel for panel in DASHBOARD["panels"] if panel["type"] == "row"]
VARIABLES = {one["name"]: one for one in DASHBOARD["templating"]["list"]}
ANNOTATIONS = [one for one in DASHBOARD["annotations"]["list"] if "expr" in one]
#: All queries: panel, and the target in it.
QUERIES = [(panel, target) for panel in PANELS for target in panel["targets"]]


def substituted(expression, values):
    """A query with its variables in place."""
    text = re.sub(r"\$(\w+)", lambda found: values[found[1]], expression)
    assert "$" not in text, text
    return text


def selectors(expression):
    """What a query selects: names of metrics, and what stands in the braces behind them."""
    return re.findall(r"\b([a-z_]+(?::[a-z_:]+)?)\s*\{([^}]*)\}", expression)
