use std::fmt::Write;

/// Where the documentation is; empty while the project has no home page.
const DOCUMENTATION: &str = env!("CARGO_PKG_HOMEPAGE");

/// The page for people who open the address in a browser.
pub(super) fn page<'a>(
    version: &str,
    telemetry_path: &str,
    targets: impl Iterator<Item = &'a str>,
) -> String {
    let metrics = escaped(telemetry_path);
    let mut links = String::new();
    for target in targets {
        let target = escaped(target);
        writeln!(links, "<li><a href=\"{metrics}/{target}\">Metrics of {target}</a></li>")
            .unwrap_or_default();
    }
    let documentation = match DOCUMENTATION {
        "" => String::new(),
        address => format!("<p><a href=\"{}\">Documentation</a></p>\n", escaped(address)),
    };
    format!(
        "<!DOCTYPE html>\n\
         <html lang=\"en\">\n\
         <head><meta charset=\"utf-8\"><title>proxymeter</title></head>\n\
         <body>\n\
         <h1>proxymeter</h1>\n\
         <p>Prometheus exporter for proxy panels, version {}.</p>\n\
         <ul>\n<li><a href=\"{metrics}\">Metrics</a></li>\n{links}</ul>\n\
         {documentation}\
         </body>\n\
         </html>\n",
        escaped(version),
    )
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_all_metrics_and_to_those_of_each_target() {
        let page = page("0.1.0", "/metrics", ["home", "edge"].into_iter());
        for part in [
            "version 0.1.0.",
            "<a href=\"/metrics\">",
            "<a href=\"/metrics/home\">Metrics of home<",
            "<a href=\"/metrics/edge\">",
        ] {
            assert!(page.contains(part), "{part}");
        }
    }

    #[test]
    fn nothing_breaks_out_of_the_page() {
        let page = page("<v>&", "/'\"m", ["<script>"].into_iter());
        assert!(page.contains("version &lt;v&gt;&amp;."));
        assert!(page.contains("<a href=\"/&#39;&quot;m/&lt;script&gt;\">"));
        assert!(!page.contains("<script>"));
    }
}
