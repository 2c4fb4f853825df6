"""Writes packaging/kubernetes/prometheus-operator/rules.yaml, the rules of alerts/ for the Prometheus Operator.

With --check, says only whether it is as it would be written.
"""

import pathlib
import sys

FILE = pathlib.Path("packaging/kubernetes/prometheus-operator/rules.yaml")
HEAD = """# The rules of alerts/ that are for every cluster. scripts/prometheus_rule.py writes this file.
# A Prometheus that selects rules by a label gets it from your kustomization.yaml.
"""


def rule(name):
    text = pathlib.Path(f"alerts/{name}.rules.yml").read_text()
    _, groups = text.split("\ngroups:\n")
    indented = "".join(f"  {line}" if line.strip() else line for line in groups.splitlines(keepends=True))
    return f"""---
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: proxymeter-{name}
  labels:
    app.kubernetes.io/name: proxymeter
spec:
  groups:
{indented}"""


text = HEAD + "".join(rule(name) for name in ("exporter", "recording", "targets"))
if "--check" not in sys.argv[1:]:
    FILE.write_text(text)
elif FILE.read_text() != text:
    sys.exit(f"{FILE} is not as scripts/prometheus_rule.py writes it")
