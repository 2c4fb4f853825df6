//! The text of a message: as much of a notice as fits.

use super::{
    config::ChatConfig,
    dialects::{self, Importance, Post},
    limit::Of,
    markup::{Markup, Piece, inert},
};
use crate::{
    model::{Digest, Notice, NoticeStatus, Severity, Timestamp},
    notify::words::{Action, Link, NAMED, Row, Section, Words},
    wording::Voice,
};

/// A message, in text.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) receiver: String,
    id: String,
    importance: Importance,
    marked: Text,
    /// For a chat that may refuse the markup.
    plain: Option<Text>,
}

/// What is written, with or without markup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Text {
    title: String,
    text: String,
    link: Option<String>,
}

/// How much of a notice is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    All,
    /// Without what to do and where to read on.
    News,
    Subject,
}

impl Message {
    /// The message of a notice, as long as the chat allows.
    pub(super) fn of(notice: &Notice, config: &ChatConfig, voice: &Voice, now: Timestamp) -> Self {
        let row = config.dialect.row();
        let mut message = Message {
            receiver: notice.receiver.clone(),
            id: notice.id.clone(),
            importance: importance(notice),
            marked: Text::default(),
            plain: None,
        };
        let fit = |markup| {
            let mut draft = Draft { whole: notice, part: notice.clone(), config, voice, row, markup };
            draft.longest(|text, visible| message.fits(text, visible, config, now))
        };
        let marked = fit(row.markup);
        let plain = (row.markup == Markup::Html).then(|| fit(Markup::Plain));
        (message.marked, message.plain) = (marked, plain);
        message
    }

    /// What is sent, to this room.
    pub(super) fn post<'a>(
        &'a self,
        config: &'a ChatConfig,
        room: &'a str,
        is_plain: bool,
        now: Timestamp,
    ) -> Post<'a> {
        let plain = self.plain.as_ref().filter(|_| is_plain);
        self.post_of(plain.unwrap_or(&self.marked), config, room, plain.is_none(), now)
    }

    fn post_of<'a>(
        &'a self,
        text: &'a Text,
        config: &'a ChatConfig,
        room: &'a str,
        has_markup: bool,
        now: Timestamp,
    ) -> Post<'a> {
        let Text { title, text, link } = text;
        let (id, importance, link) = (&self.id, self.importance, link.as_deref());
        Post { config, room, id, title, text, has_markup, importance, link, now }
    }

    fn fits(&self, text: &Text, visible: &str, config: &ChatConfig, now: Timestamp) -> bool {
        let row = config.dialect.row();
        row.limits.iter().all(|limit| {
            let length = match limit.of {
                Of::Visible => limit.unit.count(visible),
                Of::Written => limit.unit.count(&text.text),
                Of::Body => {
                    let room = config.room.as_ref().map_or("", |room| room.expose());
                    let post = self.post_of(text, config, room, true, now);
                    limit.unit.count(&(row.body)(&post).to_string())
                }
            };
            length <= limit.most
        })
    }
}

/// A notice of which a part is written.
struct Draft<'a> {
    whole: &'a Notice,
    part: Notice,
    config: &'a ChatConfig,
    voice: &'a Voice,
    row: &'a dialects::Row,
    markup: Markup,
}

impl Draft<'_> {
    /// The most that `fits`. What is not named is counted.
    fn longest(&mut self, fits: impl Fn(&Text, &str) -> bool) -> Text {
        let longest = |digest: &Digest| digest.sections.iter().map(|section| section.lines.len()).max();
        let digest = self.whole.digest.as_ref().map(|digest| longest(digest).unwrap_or(0));
        let most = digest.unwrap_or_else(|| self.whole.names(NAMED));
        // What to do is left out before the only alert is.
        for (extent, least) in [(Extent::All, most.min(1)), (Extent::News, 0)] {
            let (mut best, mut low, mut high) = (None, least, most);
            // The largest number between them that fits; most messages fit whole.
            let mut named = most;
            while low <= high {
                let (text, visible) = self.write(named, extent);
                if fits(&text, &visible) {
                    best = Some(text);
                    low = named + 1;
                } else if named == 0 {
                    break;
                } else {
                    high = named - 1;
                }
                named = low.midpoint(high);
            }
            if let Some(text) = best {
                return text;
            }
        }
        self.write(0, Extent::Subject).0
    }

    /// The text that names so many alerts, or lines of each section of a digest, and how it is read.
    fn write(&mut self, named: usize, extent: Extent) -> (Text, String) {
        self.part.named = Some(named);
        self.part.digest.clone_from(&self.whole.digest);
        for section in self.part.digest.iter_mut().flat_map(|digest| &mut digest.sections) {
            section.more += section.lines.len().saturating_sub(named);
            section.lines.truncate(named);
        }
        let words = Words::of(&self.part, self.voice);
        let lines = self.lines(&words, extent);
        let link = words.link.map(|link| link.url);
        let text = Text { title: inert(&words.subject), text: self.markup.write(&lines), link };
        (text, self.markup.visible(&lines))
    }

    fn lines(&self, words: &Words, extent: Extent) -> Vec<Vec<Piece>> {
        let mut lines = Vec::new();
        if !self.row.has_title || extent == Extent::Subject {
            lines.push(vec![Piece::Bold(words.subject.clone())]);
        }
        if extent != Extent::Subject {
            for Section { heading, rows } in &words.sections {
                lines.extend([vec![], vec![Piece::Bold(heading.clone())]]);
                lines.extend(rows.iter().map(line));
            }
            let rest: Vec<_> = words.left_out.iter().chain(&words.follow).chain(&words.still).collect();
            lines.extend((!rest.is_empty()).then(Vec::new));
            lines.extend(rest.into_iter().map(|rest| vec![Piece::Text(rest.clone())]));
        }
        if extent == Extent::All {
            for action in &words.actions {
                lines.push(Vec::new());
                lines.extend(self.action(action));
            }
            if let Some(Link { text, url }) = words.link.as_ref().filter(|_| !self.row.has_title) {
                lines.extend([vec![], vec![Piece::Link { text: text.clone(), url: url.clone() }]]);
            }
        }
        if let Some(keyword) = &self.config.keyword
            && !self.markup.visible(&lines).contains(keyword.as_str())
        {
            lines.extend([vec![], vec![Piece::Text(keyword.clone())]]);
        }
        lines
    }

    fn action(&self, Action { heading, text, url }: &Action) -> Vec<Vec<Piece>> {
        let text = Piece::Text(format!(": {text}"));
        let heading = heading.clone();
        match url {
            Some(url) if self.markup.has_links() => {
                vec![vec![Piece::Link { text: heading, url: url.clone() }, text]]
            }
            url => {
                let url = url.iter().map(|url| vec![Piece::Text(url.clone())]);
                [vec![Piece::Bold(heading), text]].into_iter().chain(url).collect()
            }
        }
    }
}

/// An alert, marked by how bad it is.
fn line(row: &Row) -> Vec<Piece> {
    let mark = match (row.status, row.severity) {
        // A line of a digest.
        (NoticeStatus::Firing, Severity::Info) if row.mark.is_none() => "• ",
        (NoticeStatus::Resolved, _) => "🟢 ",
        (NoticeStatus::Firing, Severity::Critical) => "🔴 ",
        (NoticeStatus::Firing, Severity::Warning) => "🟠 ",
        (NoticeStatus::Firing, Severity::Info) => "🔵 ",
    };
    let time = row.time.iter().map(|time| Piece::Text(format!(" ({time})")));
    [Piece::Text(mark.to_owned()), Piece::Foreign(row.sentence.clone())].into_iter().chain(time).collect()
}

/// How loud the message is, by what is new in it.
fn importance(notice: &Notice) -> Importance {
    if notice.digest.is_some() {
        return Importance::Firing(Severity::Info);
    }
    let news = notice.alerts.len() - notice.known.min(notice.alerts.len());
    let news = notice.alerts.get(..news).filter(|news| !news.is_empty()).unwrap_or(&notice.alerts);
    let firing = news.iter().filter(|alert| alert.status == NoticeStatus::Firing);
    firing.map(|alert| alert.severity).max().map_or(Importance::Resolved, Importance::Firing)
}
