//! Holds the dashboards against the metrics that there are, and against what makes a dashboard work in any Grafana: the
//! rules of Grafana's dashboard-linter, of which one is replaced. Recorded series and alerts have no instance, so that
//! their queries need not select one.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use serde_json::Value;

/// Of the units that Grafana has, those that are used.
const UNITS: [&str; 9] =
    ["short", "percentunit", "bytes", "bps", "s", "dateTimeFromNow", "cps", "reqps", "currencyUSD"];

/// Every metric of `docs/metrics.md` by the name that a query has for it, with its labels.
fn metrics() -> BTreeMap<String, BTreeSet<String>> {
    let reference = fs::read_to_string("docs/metrics.md").unwrap();
    let mut metrics = BTreeMap::new();
    for row in rows(&reference) {
        let labels: BTreeSet<_> = row[3].split(", ").map(str::to_owned).collect();
        if row[2] == "histogram" {
            for suffix in ["_bucket", "_count", "_sum"] {
                metrics.insert(format!("{}{suffix}", row[1]), labels.clone());
            }
        }
        metrics.insert(row[1].to_owned(), labels);
    }
    assert!(metrics.len() > 60, "{metrics:?}");
    metrics
}

/// The rows of tables that begin with a name in backticks.
fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.split('|').map(|cell| cell.trim().trim_matches('`')).collect())
}

/// Every series of the recording rules, whose names begin with their labels.
fn recorded() -> BTreeMap<String, BTreeSet<String>> {
    let rules = fs::read_to_string("alerts/recording.rules.yml").unwrap();
    let names = rules.lines().filter_map(|line| line.trim().strip_prefix("- record: "));
    let labels = |name: &str| {
        let (level, _) = name.split_once(':').unwrap();
        let own = level.strip_prefix("target_").unwrap();
        BTreeSet::from(["target".to_owned(), own.to_owned()])
    };
    let recorded: BTreeMap<_, _> = names.map(|name| (name.to_owned(), labels(name))).collect();
    assert!(recorded.len() > 10, "{recorded:?}");
    recorded
}

/// Everything that a query may name: also what Prometheus itself records about scrapes and alerts.
fn series() -> BTreeMap<String, BTreeSet<String>> {
    let mut series = metrics();
    series.extend(recorded());
    for name in ["up", "scrape_duration_seconds", "scrape_samples_scraped"] {
        series.insert(name.to_owned(), BTreeSet::new());
    }
    let mut labels = series["proxymeter_alert_firing"].clone();
    labels.insert("alertstate".to_owned());
    series.insert("ALERTS".to_owned(), labels);
    for labels in series.values_mut() {
        labels.extend(["job", "instance", "cluster"].map(str::to_owned));
    }
    series
}

fn dashboards() -> Vec<(String, Value)> {
    let files = fs::read_dir("grafana").unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> =
        files.filter(|file| file.extension().is_some_and(|ending| ending == "json")).collect();
    assert_eq!(files.len(), 7);
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

fn is_row(panel: &Value) -> bool {
    text(panel, "type") == "row"
}

/// The panels of a dashboard and those in its rows, without the rows.
fn panels(dashboard: &Value) -> Vec<&Value> {
    let outer = list(dashboard, "panels").iter();
    outer
        .flat_map(|panel| if is_row(panel) { list(panel, "panels") } else { std::slice::from_ref(panel) })
        .collect()
}

fn variables(dashboard: &Value) -> &[Value] {
    list(&dashboard["templating"], "list")
}

/// Every query of a dashboard, with where it is: of panels, of marks in charts, and of variables.
fn queries<'d>(file: &str, dashboard: &'d Value) -> Vec<(String, &'d str)> {
    let mut queries = Vec::new();
    for panel in panels(dashboard) {
        let name = |target| format!("{file}: {}: {}", text(panel, "title"), text(target, "refId"));
        queries.extend(list(panel, "targets").iter().map(|target| (name(target), text(target, "expr"))));
    }
    let marks = list(&dashboard["annotations"], "list").iter();
    queries.extend(marks.map(|mark| (format!("{file}: {}", text(mark, "name")), text(mark, "expr"))));
    queries
}

/// The words of a query: names of series, labels and functions.
fn words(query: &str) -> impl Iterator<Item = &str> {
    query
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
        .filter(|word| !word.is_empty())
}

/// Each series of a query with what stands in its braces, and with what stands around both.
fn selectors(query: &str) -> Vec<(&str, &str, &str, &str)> {
    let mut selectors = Vec::new();
    for (open, _) in query.match_indices('{') {
        let (before, rest) = query.split_at(open);
        let name = words(before).last().unwrap();
        let (matchers, after) = rest.strip_prefix('{').unwrap().split_once('}').unwrap();
        selectors.push((name, matchers, before.strip_suffix(name).unwrap(), after));
    }
    selectors
}

#[test]
fn every_query_asks_for_series_and_labels_that_there_are() {
    let series = series();
    for (file, dashboard) in dashboards() {
        let queries = queries(&file, &dashboard);
        assert!(queries.len() > 10, "{file}");
        for (place, query) in queries {
            let selectors = selectors(query);
            assert!(!selectors.is_empty(), "{place}: {query}");
            let named = words(query).filter(|word| word.starts_with("proxymeter_") || word.contains(':'));
            assert!(named.count() <= selectors.len(), "{place}: a series without braces: {query}");
            let mut labels = BTreeSet::new();
            for (name, matchers, _, _) in selectors {
                let known = series.get(name).unwrap_or_else(|| panic!("{place}: {name}"));
                for matcher in matchers.split("\",") {
                    let (label, _) = matcher.split_once(['=', '!']).unwrap();
                    assert!(known.contains(label), "{place}: {name} has no label {label}");
                }
                labels.extend(known);
            }
            let lists = ["by (", "on (", "without ("].iter().flat_map(|word| query.split(word).skip(1));
            let lists = lists.filter_map(|rest| rest.split_once(')'));
            for label in lists.flat_map(|(labels, _)| labels.split(", ")).filter(|label| !label.is_empty()) {
                let is_known = labels.iter().any(|known| *known == label) || label == "le";
                assert!(is_known, "{place}: label {label}");
            }
        }
        for panel in panels(&dashboard) {
            for target in list(panel, "targets") {
                let place = format!("{file}: {}", text(panel, "title"));
                let selectors = selectors(text(target, "expr"));
                let labels: BTreeSet<_> = selectors.iter().flat_map(|(name, ..)| &series[*name]).collect();
                let shown = text(target, "legendFormat").split("{{").skip(1);
                for (label, _) in shown.filter_map(|rest| rest.split_once("}}")) {
                    assert!(labels.iter().any(|known| *known == label), "{place}: label {label}");
                }
            }
        }
    }
}

#[test]
fn every_query_heeds_the_variables() {
    let series = series();
    for (file, dashboard) in dashboards() {
        for (place, query) in queries(&file, &dashboard) {
            for (name, matchers, before, after) in selectors(query) {
                let mut due = vec!["job", "cluster"];
                if !name.contains(':') && name != "ALERTS" {
                    due.push("instance");
                }
                if series[name].contains("target")
                    && !name.starts_with("proxymeter_alerts")
                    && !name.starts_with("proxymeter_alert_step")
                {
                    due.push("target");
                }
                for variable in due {
                    let heeds = [r#"=~"$V""#, r#"="$V""#, r#"=~"$V|""#];
                    let heeds = heeds.map(|end| format!("{variable}{}", end.replace('V', variable)));
                    let is_heeded = heeds.iter().any(|matcher| matchers.contains(matcher.as_str()));
                    assert!(is_heeded, "{place}: {name} does not heed ${variable}");
                }
                // What only grows says nothing by itself, and a rate over the wrong window is full of gaps.
                let function = words(before).last().unwrap_or_default();
                let is_counter =
                    ["_total", "_bucket", "_count", "_sum"].iter().any(|end| name.ends_with(end));
                let window = after.split_once(']').map_or("", |(window, _)| window);
                // The first error of each kind is a series of its own.
                let is_first = name == "proxymeter_llm_errors_total";
                let fits = match function {
                    "rate" => window == "[$__rate_interval",
                    "increase" => {
                        ["[$__rate_interval", "[$__range", "[10m", "[1h", "[1d", "[3d"].contains(&window)
                    }
                    _ => !is_counter || is_first || after.starts_with(" offset $__rate_interval"),
                };
                assert!(fits, "{place}: {function}({name}{{…}}{window}]");
            }
        }
    }
}

#[test]
fn variables_are_those_that_grafana_expects() {
    let series = series();
    for (file, dashboard) in dashboards() {
        let variables = variables(&dashboard);
        let names: Vec<_> = variables.iter().map(|variable| text(variable, "name")).collect();
        assert_eq!(names[..5], ["datasource", "job", "cluster", "instance", "target"], "{file}");
        assert_eq!(text(&variables[0], "type"), "datasource", "{file}");
        assert_eq!(text(&variables[0], "query"), "prometheus", "{file}");
        assert_eq!(text(&variables[0], "label"), "Data source", "{file}");
        for variable in variables {
            let name = text(variable, "name");
            assert!(!text(variable, "label").is_empty(), "{file}: {name}");
            if text(variable, "type") != "query" {
                continue;
            }
            let place = format!("{file}: ${name}");
            assert_eq!(text(&variable["datasource"], "uid"), "${datasource}", "{place}");
            assert_eq!(variable["refresh"], 2, "{place} does not follow the time range");
            let query = text(&variable["query"], "query");
            let metric = words(query).find(|word| word.starts_with("proxymeter_")).unwrap();
            assert!(series.contains_key(metric), "{place}: {metric}");
            let every = match name {
                // The label need not be there.
                "cluster" => ".*",
                "user" => continue,
                "target" if file.ends_with("/user.json") => continue,
                _ => ".+",
            };
            assert_eq!(text(variable, "allValue"), every, "{place}");
            assert!(variable["multi"] == true && variable["includeAll"] == true, "{place}");
        }
    }
}

#[test]
fn panels_are_explained_and_stand_beside_each_other() {
    let mut uids = BTreeSet::new();
    for (file, dashboard) in dashboards() {
        assert!(
            dashboard["schemaVersion"].as_u64().is_some_and(|version| (39..=42).contains(&version)),
            "{file}"
        );
        let uid = text(&dashboard, "uid").to_owned();
        assert!((8..=40).contains(&uid.len()) && uids.insert(uid), "{file}");
        assert!(dashboard["id"].is_null() && dashboard["editable"] == false, "{file}");
        assert!(
            !text(&dashboard, "title").is_empty() && !text(&dashboard, "description").is_empty(),
            "{file}"
        );

        let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
        let rows = list(&dashboard, "panels").iter().filter(|panel| is_row(panel));
        for panel in rows.chain(panels(&dashboard)) {
            let title = text(panel, "title");
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{file}: {title}: its id is another's");
            assert!(!title.is_empty(), "{file}");
        }
        // A closed row is one unit high. Its panels are below it once it is open.
        for panels in std::iter::once(list(&dashboard, "panels"))
            .chain(list(&dashboard, "panels").iter().map(|row| list(row, "panels")))
        {
            taken.clear();
            for panel in panels {
                let side = |key: &str| panel["gridPos"][key].as_u64().unwrap();
                assert!(side("x") + side("w") <= 24, "{file}: {}", text(panel, "title"));
                for x in side("x")..side("x") + side("w") {
                    for y in side("y")..side("y") + side("h") {
                        assert!(taken.insert((x, y)), "{file}: {} covers another", text(panel, "title"));
                    }
                }
            }
        }
        for panel in panels(&dashboard) {
            let place = format!("{file}: {}", text(panel, "title"));
            assert!(!text(panel, "description").is_empty(), "{place} is not explained");
            let kind = text(panel, "type");
            if kind == "text" {
                continue;
            }
            let kinds = ["stat", "gauge", "bargauge", "table", "timeseries", "state-timeline"];
            assert!(kinds.contains(&kind), "{place}: {kind}");
            assert!(!list(panel, "targets").is_empty(), "{place} asks for nothing");
            let targets = list(panel, "targets").iter();
            for source in targets.map(|target| &target["datasource"]).chain([&panel["datasource"]]) {
                assert_eq!(text(source, "uid"), "${datasource}", "{place}");
            }
            // Grafana shows a range query's last value also when it is long gone.
            let is_instant = !["timeseries", "state-timeline"].contains(&kind);
            let targets = list(panel, "targets").iter();
            assert!(targets.into_iter().all(|target| target["instant"] == is_instant), "{place}");
            let defaults = &panel["fieldConfig"]["defaults"];
            let properties =
                list(&panel["fieldConfig"], "overrides").iter().flat_map(|each| list(each, "properties"));
            let units =
                properties.filter(|property| property["id"] == "unit").map(|unit| text(unit, "value"));
            for unit in units.chain([text(defaults, "unit")]) {
                assert!(UNITS.contains(&unit), "{place}: unit {unit:?}");
            }
            if kind != "timeseries" {
                let missing = list(defaults, "mappings").iter().find(|mapping| mapping["type"] == "special");
                let missing = missing.map(|mapping| text(&mapping["options"]["result"], "color"));
                assert_eq!(missing, Some("#8e8e8e"), "{place}: the color of what is missing");
            }
        }
    }
}

/// A link leads to a dashboard that there is, keeps time and data source, and fills variables that there are from columns
/// that there are.
#[test]
fn links_lead_somewhere() {
    let dashboards = dashboards();
    let variables_of: BTreeMap<_, BTreeSet<_>> = dashboards
        .iter()
        .map(|(_, dashboard)| {
            let names = variables(dashboard).iter().map(|variable| text(variable, "name"));
            (text(dashboard, "uid"), names.collect())
        })
        .collect();
    let mut links = 0;
    for (file, dashboard) in &dashboards {
        assert_eq!(list(dashboard, "tags"), ["proxymeter"], "{file}");
        let [navigation] = list(dashboard, "links") else { panic!("{file}") };
        assert_eq!(list(navigation, "tags"), ["proxymeter"], "{file}");
        assert!(navigation["includeVars"] == true && navigation["keepTime"] == true, "{file}");
        for panel in panels(dashboard) {
            let place = format!("{file}: {}", text(panel, "title"));
            let config = &panel["fieldConfig"];
            let properties = list(config, "overrides").iter().flat_map(|each| list(each, "properties"));
            let columns = properties.filter(|property| property["id"] == "links");
            let columns = columns.flat_map(|property| list(property, "value"));
            for link in list(&config["defaults"], "links").iter().chain(columns) {
                links += 1;
                let (path, query) = text(link, "url").split_once('?').unwrap();
                let known = variables_of.get(path.strip_prefix("/d/").unwrap());
                let known = known.unwrap_or_else(|| panic!("{place}: {path}"));
                assert!(query.contains("${__url_time_range}"), "{place}: {query}");
                let keeps_source = ["${__all_variables}", "${datasource:queryparam}"];
                assert!(keeps_source.iter().any(|source| query.contains(source)), "{place}: {query}");
                let renamed =
                    list(panel, "transformations").iter().map(|each| &each["options"]["renameByName"]);
                let renamed: BTreeSet<_> = renamed
                    .filter_map(Value::as_object)
                    .flat_map(|names| names.values())
                    .filter_map(Value::as_str)
                    .collect();
                for part in query.split('&').filter_map(|part| part.strip_prefix("var-")) {
                    let (variable, value) = part.split_once('=').unwrap();
                    assert!(known.contains(variable), "{place}: {path} has no ${variable}");
                    let column = value.strip_prefix("${__data.fields.").unwrap();
                    let column = column.strip_suffix(":percentencode}").unwrap();
                    assert!(renamed.contains(column), "{place}: no column {column}");
                }
            }
        }
    }
    assert!(links > 20, "{links}");
}

#[test]
fn every_metric_is_shown_or_there_is_a_reason() {
    let metrics = metrics();
    let dashboards = dashboards();
    let queries: Vec<_> = dashboards.iter().flat_map(|(file, dashboard)| queries(file, dashboard)).collect();
    let shown: BTreeSet<_> = queries.iter().flat_map(|(_, query)| words(query)).collect();
    let reasons = fs::read_to_string("grafana/src/not_shown.md").unwrap();
    let excused: BTreeSet<_> = rows(&reasons).map(|row| row[1]).collect();
    for name in &excused {
        assert!(metrics.contains_key(*name), "{name} does not exist");
        assert!(!shown.contains(name), "{name} is shown");
    }
    // A histogram is shown by its buckets.
    let is_part = |name: &str| {
        ["_bucket", "_count", "_sum"]
            .iter()
            .any(|end| name.strip_suffix(end).is_some_and(|whole| metrics.contains_key(whole)))
    };
    for name in metrics.keys().filter(|name| !is_part(name)) {
        let is_shown = shown.contains(name.as_str()) || shown.contains(format!("{name}_bucket").as_str());
        assert!(is_shown || excused.contains(name.as_str()), "no dashboard shows {name}");
    }
}
