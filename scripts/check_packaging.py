"""Checks packaging/compose and packaging/kubernetes, and writes the queries of the dashboards as rules for promtool.

check_packaging.py FOLDER
"""

import json
import pathlib
import re
import sys

import kubernetes_validate
import yaml

KUBERNETES = pathlib.Path("packaging/kubernetes")
# The oldest that has all fields.
KUBERNETES_VERSION = "1.28"
COMPOSE = pathlib.Path("packaging/compose")
# Values for Grafana's variables; any duration and any expression will do.
VARIABLES = {"$__rate_interval": "5m", "$__range": "1h", "$__interval": "1m", "$days": "7"}


def check_compose():
    compose = yaml.safe_load((COMPOSE / "compose.yaml").read_text())
    volumes, secrets = compose["volumes"], compose["secrets"]
    documented = (COMPOSE / "secrets/README").read_text()
    mounts = 0
    for name, service in compose["services"].items():
        # A variable, with the image that is built here as its default.
        image = re.sub(r"^\$\{\w+:-(.+)\}$", r"\1", service["image"])
        tag = image.rpartition(":")[2]
        assert re.search(r"\d+\.\d+\.\d+$", tag), f"{name}: {service['image']} is not pinned"
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            assert source in volumes or (COMPOSE / source).exists(), f"{name}: {source} is not there"
            mounts += source not in volumes
        for secret in service.get("secrets", []):
            assert secrets[secret]["file"] == f"./secrets/{secret}", f"{name}: secret {secret} is not in the folder"
            assert f"\n    {secret} " in documented, f"{name}: secrets/README does not name {secret}"
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name}: {port} can be reached from elsewhere"
        for other in service.get("depends_on", []):
            assert other in compose["services"], f"{name}: {other} is not there"
    assert mounts >= 5, mounts

    # Files with secrets must not be committed by accident.
    ignored = (COMPOSE / ".gitignore").read_text().splitlines()
    assert ignored[-3:] == ["/proxymeter/exporter.toml", "/secrets/*", "!/secrets/README"], ignored

    # Prometheus, Grafana and proxymeter call each other by the names of their services.
    prometheus = yaml.safe_load((COMPOSE / "prometheus.yml").read_text())
    scraped = [target for job in prometheus["scrape_configs"] for target in job["static_configs"][0]["targets"]]
    assert "proxymeter:10057" in scraped, scraped
    assert "../../alerts:/etc/prometheus/alerts:ro" in compose["services"]["prometheus"]["volumes"]
    [alertmanagers] = prometheus["alerting"]["alertmanagers"]
    assert alertmanagers["static_configs"] == [{"targets": ["alertmanager:9093"]}], alertmanagers
    assert (COMPOSE / "../../Dockerfile").is_file() and "#  context: ../..\n" in (COMPOSE / "compose.yaml").read_text()
    [source] = yaml.safe_load((COMPOSE / "grafana/datasources/prometheus.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090" and source["isDefault"], source
    [provider] = yaml.safe_load(pathlib.Path("grafana/provisioning/dashboards/proxymeter.yml").read_text())["providers"]
    folder = provider["options"]["path"]
    grafana = compose["services"]["grafana"]
    assert f"../../grafana:{folder}:ro" in grafana["volumes"], folder
    home = pathlib.PurePath(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert str(home.parent) == folder and pathlib.Path("grafana", home.name).is_file(), home


def check_kubernetes():
    listed = 0
    for folder in ("base", "prometheus-operator", "example"):
        kustomization = yaml.safe_load((KUBERNETES / folder / "kustomization.yaml").read_text())
        for other in kustomization.get("resources", []) + kustomization.get("components", []):
            listed += 1
            assert (KUBERNETES / folder / other).exists(), f"{folder}: {other} is not there"
    assert listed == 6, listed

    [service] = yaml.safe_load_all((KUBERNETES / "base/service.yaml").read_text())
    [pods] = yaml.safe_load_all((KUBERNETES / "base/statefulset.yaml").read_text())
    for resource in service, pods:
        kubernetes_validate.validate(resource, KUBERNETES_VERSION, strict=True)
    # Kinds of the operator have no schema there.
    [monitor] = yaml.safe_load_all((KUBERNETES / "prometheus-operator/servicemonitor.yaml").read_text())
    labels = {"app.kubernetes.io/name": "proxymeter"}
    selectors = service["spec"]["selector"], pods["spec"]["selector"]["matchLabels"], monitor["spec"]["selector"]["matchLabels"]
    assert all(selector == labels for selector in selectors), selectors
    assert labels == pods["spec"]["template"]["metadata"]["labels"] == service["metadata"]["labels"]
    # The service's name is the job's, which the rules expect.
    assert service["metadata"]["name"] == pods["spec"]["serviceName"] == "proxymeter"
    [container] = pods["spec"]["template"]["spec"]["containers"]
    [port], [endpoint] = service["spec"]["ports"], monitor["spec"]["endpoints"]
    assert port["name"] == endpoint["port"] and port["targetPort"] == container["ports"][0]["name"]
    # The shards are as many as the pods. The example changes this place.
    assert container["env"][1] == {"name": "SHARDS", "value": str(pods["spec"]["replicas"])}, container["env"]


def expressions(dashboard):
    """Every expression of a dashboard: of panels and those in rows, of marks in charts, and of variables."""
    for panel in dashboard["panels"]:
        for inner in [panel, *panel.get("panels", [])]:
            yield from (target["expr"] for target in inner.get("targets", []))
    yield from (mark["expr"] for mark in dashboard["annotations"]["list"])
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield re.sub(r"^label_values\((.*), \w+\)$|^query_result\((.*)\)$", r"\1\2", variable["query"]["query"])


def write_queries(folder):
    rules = []
    for file in sorted(pathlib.Path("grafana").glob("*.json")):
        found = list(expressions(json.loads(file.read_text())))
        assert len(found) > 10, (file, found)
        for query in found:
            for variable, value in VARIABLES.items():
                query = query.replace(variable, value)
            rules.append({"record": f"query:{file.stem.replace('-', '_')}:{len(rules)}", "expr": query})
    text = yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]})
    (folder / "queries.yml").write_text(text)


check_compose()
check_kubernetes()
write_queries(pathlib.Path(sys.argv[1]))
