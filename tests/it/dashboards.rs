//! Holds the dashboards against the metrics that there are and against what makes a dashboard work in any Grafana.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use serde_json::Value;

/// Every metric of `docs/metrics.md` by the name that a query has for it, with its labels.
fn metrics() -> BTreeMap<String, BTreeSet<String>> {
    let reference = fs::read_to_string("docs/metrics.md").unwrap();
    let mut metrics = BTreeMap::new();
    for row in reference.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let name = cells[1].trim_matches('`').to_owned();
        let labels: BTreeSet<_> = cells[3].split(", ").map(str::to_owned).collect();
        if cells[2] == "histogram" {
            for suffix in ["_bucket", "_count", "_sum"] {
                metrics.insert(format!("{name}{suffix}"), labels.clone());
            }
        }
        metrics.insert(name, labels);
    }
    assert!(metrics.len() > 60, "{metrics:?}");
    metrics
}

fn dashboards() -> Vec<(String, Value)> {
    let files = fs::read_dir("grafana").unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> =
        files.filter(|file| file.extension().is_some_and(|ending| ending == "json")).collect();
    assert!(!files.is_empty());
    let read = |file: std::path::PathBuf| {
        let text = fs::read_to_string(&file).unwrap();
        (file.display().to_string(), serde_json::from_str(&text).unwrap())
    };
    files.into_iter().map(read).collect()
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

/// The words of a query: names of metrics, labels and functions.
fn words(query: &str) -> impl Iterator<Item = &str> {
    query.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
}

/// Those that are names of the exporter's metrics.
fn metrics_of(query: &str) -> impl Iterator<Item = &str> {
    words(query).filter(|word| word.starts_with("proxymeter_") || word.starts_with("process_"))
}

/// Each metric of a query with what stands in its braces.
fn selectors(query: &str) -> Vec<(&str, &str)> {
    let pieces: Vec<_> = query.split('{').collect();
    let pairs =
        pieces.windows(2).filter_map(|pair| Some((words(pair[0]).last()?, pair[1].split_once('}')?.0)));
    pairs.collect()
}

#[test]
fn every_query_asks_for_metrics_and_labels_that_there_are() {
    let metrics = metrics();
    for (file, dashboard) in dashboards() {
        let mut queries = 0;
        for panel in list(&dashboard, "panels") {
            for target in list(panel, "targets") {
                queries += 1;
                let (title, query) = (text(panel, "title"), text(target, "expr"));
                let mut labels = BTreeSet::from(["job".to_owned(), "instance".to_owned()]);
                let mut asked = 0;
                for metric in metrics_of(query) {
                    let known = metrics.get(metric);
                    labels
                        .extend(known.unwrap_or_else(|| panic!("{file}: {title}: {metric}")).iter().cloned());
                    asked += 1;
                }
                assert!(asked > 0, "{file}: {title}: {query}");

                let by = query.split("by (").skip(1).filter_map(|rest| rest.split_once(')'));
                let shown = text(target, "legendFormat").split("{{").skip(1);
                let shown = shown.filter_map(|rest| rest.split_once("}}")).map(|(label, _)| label.trim());
                let matched = query.split(['{', ',', '}']).filter_map(|part| part.split_once(['=', '!']));
                let matched =
                    matched.map(|(label, _)| label.trim()).filter(|label| words(label).eq([*label]));
                for label in by.flat_map(|(labels, _)| labels.split(", ")).chain(shown).chain(matched) {
                    assert!(labels.contains(label), "{file}: {title}: label {label}");
                }
            }
        }
        assert!(queries > 10, "{file}");
    }
}

#[test]
fn every_query_heeds_the_variables() {
    for (file, dashboard) in dashboards() {
        let variables: Vec<_> =
            list(&dashboard["templating"], "list").iter().map(|variable| text(variable, "name")).collect();
        assert_eq!(variables, ["datasource", "job", "instance", "target"], "{file}");
        let metrics = metrics();
        for panel in list(&dashboard, "panels") {
            let title = text(panel, "title");
            for target in list(panel, "targets") {
                let query = text(target, "expr");
                let selectors = selectors(query);
                assert_eq!(selectors.len(), metrics_of(query).count(), "{file}: {title}: {query}");
                for (metric, selector) in selectors {
                    for variable in ["job", "instance", "target"] {
                        let is_due = variable != "target" || metrics[metric].contains("target");
                        let heeds = selector.contains(&format!("{variable}=~\"${variable}\""));
                        assert!(heeds || !is_due, "{file}: {title}: {metric} does not heed ${variable}");
                    }
                }
                for function in ["rate(", "increase("] {
                    for (_, rest) in query.match_indices(function).map(|(at, _)| query.split_at(at)) {
                        let (_, range) = rest.split_once('[').unwrap();
                        assert!(range.starts_with("$__rate_interval]"), "{file}: {title}: {query}");
                    }
                }
                assert_eq!(text(&target["datasource"], "uid"), "${datasource}", "{file}: {title}");
            }
        }
    }
}

#[test]
fn panels_are_explained_and_stand_beside_each_other() {
    for (file, dashboard) in dashboards() {
        assert!(dashboard["schemaVersion"].as_u64().is_some_and(|version| version >= 38), "{file}");
        assert!(!text(&dashboard, "uid").is_empty() && dashboard["id"].is_null(), "{file}");
        let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
        for panel in list(&dashboard, "panels") {
            let title = text(panel, "title");
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{file}: {title}: its id is another's");
            assert!(!title.is_empty(), "{file}");
            let side = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            assert!(side("x") + side("w") <= 24, "{file}: {title}");
            for x in side("x")..side("x") + side("w") {
                for y in side("y")..side("y") + side("h") {
                    assert!(taken.insert((x, y)), "{file}: {title} covers another");
                }
            }
            if text(panel, "type") == "row" {
                continue;
            }
            assert!(!text(panel, "description").is_empty(), "{file}: {title} is not explained");
            assert_eq!(text(&panel["datasource"], "uid"), "${datasource}", "{file}: {title}");
            let unit = &panel["fieldConfig"]["defaults"]["unit"];
            let is_measured = unit.is_string() || text(panel, "type") != "timeseries";
            assert!(is_measured, "{file}: {title} has no unit");
        }
    }
}
