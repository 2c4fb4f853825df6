//! A small parser of both text formats, written from their specifications and sharing no code with the writer. It
//! refuses whatever a strict reader would.

use std::collections::{BTreeMap, HashMap, HashSet};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Format {
    Classic,
    OpenMetrics,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) name: String,
    /// In the order they are written.
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) value: f64,
}

impl Sample {
    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| label == name).map(|(_, value)| value.as_str())
    }
}

/// All samples of `text`, or what is wrong with it.
pub(crate) fn parse(format: Format, text: &str) -> Result<Vec<Sample>, String> {
    let mut reader = Reader::new(format);
    if !text.is_empty() && !text.ends_with('\n') {
        return Err("the last line does not end".into());
    }
    let mut lines = text.split_terminator('\n').peekable();
    while let Some(line) = lines.next() {
        if line == "# EOF" && format == Format::OpenMetrics {
            return if lines.peek().is_none() { Ok(reader.samples) } else { Err("text after EOF".into()) };
        }
        reader.line(line).map_err(|wrong| format!("{wrong}: {line}"))?;
    }
    if format == Format::OpenMetrics { Err("no EOF".into()) } else { Ok(reader.samples) }
}

struct Reader {
    format: Format,
    families: HashMap<String, Family>,
    current: String,
    seen: HashSet<(String, BTreeMap<String, String>)>,
    samples: Vec<Sample>,
}

#[derive(Default)]
struct Family {
    kind: Option<String>,
    help: bool,
    unit: bool,
    samples: bool,
}

impl Reader {
    fn new(format: Format) -> Self {
        Reader {
            format,
            families: HashMap::new(),
            current: String::new(),
            seen: HashSet::new(),
            samples: Vec::new(),
        }
    }

    fn line(&mut self, line: &str) -> Result<(), String> {
        if line.is_empty() || line.contains('\r') && line.starts_with('#') {
            return Err("blank line or carriage return".into());
        }
        match line.strip_prefix("# ") {
            Some(descriptor) => self.descriptor(descriptor),
            None if line.starts_with('#') => Err("odd comment".into()),
            None => self.sample(line),
        }
    }

    fn descriptor(&mut self, line: &str) -> Result<(), String> {
        let mut words = line.splitn(3, ' ');
        let (Some(word), Some(name), Some(rest)) = (words.next(), words.next(), words.next()) else {
            return Err("not a descriptor".into());
        };
        if name != self.current {
            if self.families.contains_key(name) {
                return Err("family taken up again".into());
            }
            if self.families.get(&self.current).is_some_and(|family| !family.samples) {
                return Err("family without samples before".into());
            }
            self.current = name.to_owned();
        }
        let family = self.families.entry(name.to_owned()).or_default();
        if family.samples {
            return Err("descriptor after samples".into());
        }
        let again = match word {
            "HELP" => {
                check_help(self.format, rest)?;
                std::mem::replace(&mut family.help, true)
            }
            "TYPE" => family.kind.replace(rest.to_owned()).is_some(),
            "UNIT" if self.format == Format::OpenMetrics => {
                if !name.ends_with(&format!("_{rest}")) {
                    return Err("name does not end in the unit".into());
                }
                std::mem::replace(&mut family.unit, true)
            }
            _ => return Err("unknown descriptor".into()),
        };
        if again { Err("descriptor twice".into()) } else { Ok(()) }
    }

    fn sample(&mut self, line: &str) -> Result<(), String> {
        let sample = read_sample(line)?;
        let family = self.families.get_mut(&self.current).ok_or("sample before any family")?;
        let kind = family.kind.clone().ok_or("sample without TYPE")?;
        if !family.help {
            return Err("sample without HELP".into());
        }
        family.samples = true;

        let suffix = sample.name.strip_prefix(&self.current).ok_or("sample of another family")?;
        let fits = match (kind.as_str(), self.format) {
            ("counter", Format::Classic) => suffix.is_empty() && self.current.ends_with("_total"),
            ("counter", Format::OpenMetrics) => suffix == "_total",
            ("gauge", Format::Classic) => suffix.is_empty() && !self.current.ends_with("_total"),
            ("gauge", Format::OpenMetrics) => {
                suffix.is_empty() && !["_total", "_info"].iter().any(|end| self.current.ends_with(end))
            }
            ("info", Format::OpenMetrics) => suffix == "_info",
            ("histogram", _) => match suffix {
                "_bucket" => sample.label("le").is_some(),
                "_sum" | "_count" => true,
                _ => false,
            },
            _ => return Err(format!("kind {kind}")),
        };
        if !fits {
            return Err(format!("name does not fit the kind {kind}"));
        }
        if kind == "counter" && (sample.value.is_nan() || sample.value < 0.0) {
            return Err("counter below zero".into());
        }
        if kind == "info" && sample.value != 1.0 {
            return Err("info that is not 1".into());
        }
        let labels: BTreeMap<_, _> = sample.labels.iter().cloned().collect();
        if labels.len() != sample.labels.len() {
            return Err("label twice".into());
        }
        if ["job", "instance", "type"].iter().any(|label| labels.contains_key(*label)) {
            return Err("label that belongs to others".into());
        }
        if !self.seen.insert((sample.name.clone(), labels)) {
            return Err("two equal series".into());
        }
        self.samples.push(sample);
        Ok(())
    }
}

fn check_help(format: Format, help: &str) -> Result<(), String> {
    let mut chars = help.chars();
    while let Some(char) = chars.next() {
        match char {
            '"' if format == Format::OpenMetrics => return Err("bare quote in help".into()),
            '\\' => match chars.next() {
                Some('\\' | 'n') => {}
                Some('"') if format == Format::OpenMetrics => {}
                _ => return Err("odd escape in help".into()),
            },
            _ => {}
        }
    }
    Ok(())
}

fn read_sample(line: &str) -> Result<Sample, String> {
    let mut rest = line.chars().peekable();
    let name = read_name(&mut rest)?;
    let mut labels = Vec::new();
    if rest.next_if_eq(&'{').is_some() {
        loop {
            let label = read_name(&mut rest)?;
            if rest.next() != Some('=') || rest.next() != Some('"') {
                return Err("label without value".into());
            }
            labels.push((label, read_quoted(&mut rest)?));
            match rest.next() {
                Some(',') => {}
                Some('}') => break,
                _ => return Err("labels do not end".into()),
            }
        }
    }
    if rest.next() != Some(' ') {
        return Err("no space before the value".into());
    }
    let text: String = rest.collect();
    let value = match text.as_str() {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        "NaN" => f64::NAN,
        digits if digits.bytes().all(|b| b.is_ascii_digit() || b"+-.e".contains(&b)) => {
            digits.parse().map_err(|_| "not a number")?
        }
        _ => return Err("not a number".into()),
    };
    Ok(Sample { name, labels, value })
}

fn read_name(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<String, String> {
    let mut name = String::new();
    while let Some(char) = rest.next_if(|char| char.is_ascii_alphanumeric() || *char == '_') {
        name.push(char);
    }
    if name.is_empty() || name.starts_with(|char: char| char.is_ascii_digit()) {
        Err("no name".into())
    } else {
        Ok(name)
    }
}

fn read_quoted(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<String, String> {
    let mut value = String::new();
    loop {
        match rest.next() {
            Some('"') => return Ok(value),
            Some('\\') => value.push(match rest.next() {
                Some('\\') => '\\',
                Some('"') => '"',
                Some('n') => '\n',
                _ => return Err("odd escape".into()),
            }),
            Some(char) => value.push(char),
            None => return Err("value does not end".into()),
        }
    }
}
