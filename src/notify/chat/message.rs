//! The text of a message: as much of a notice as fits.

use super::{
    config::ChatConfig,
    dialects::{Importance, Post, Row},
    limit::Of,
    markup::{Markup, Piece, inert},
};
use crate::{
    model::{Notice, Timestamp},
    notify::words::{ROWS, Words},
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
    pub(super) fn of(notice: &Notice, config: &ChatConfig, now: Timestamp) -> Self {
        let row = config.dialect.row();
        let mut message = Message {
            receiver: notice.receiver.clone(),
            id: notice.id.clone(),
            importance: Importance::of(notice.status(), notice.severity()),
            marked: Text::default(),
            plain: None,
        };
        let fit = |markup| {
            let mut draft = Draft { part: notice.clone(), config, row, markup };
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
    part: Notice,
    config: &'a ChatConfig,
    row: &'a Row,
    markup: Markup,
}

impl Draft<'_> {
    /// The most that `fits`. What is not named is counted.
    fn longest(&mut self, fits: impl Fn(&Text, &str) -> bool) -> Text {
        let most = self.part.names(Some(ROWS));
        for extent in [Extent::All, Extent::News] {
            let (mut best, mut low, mut high) = (None, 0, most);
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

    /// The text that names so many alerts, and how it is read.
    fn write(&mut self, named: usize, extent: Extent) -> (Text, String) {
        self.part.named = Some(named);
        let words = Words::of(&self.part);
        let lines = self.lines(&words, extent);
        let text = Text { title: inert(&words.subject), text: self.markup.write(&lines), link: None };
        (text, self.markup.visible(&lines))
    }

    fn lines(&self, words: &Words, extent: Extent) -> Vec<Vec<Piece>> {
        let mut lines = Vec::new();
        // Without a text, some chats refuse the message.
        if !self.row.has_title || extent == Extent::Subject {
            lines.push(vec![Piece::Bold(words.subject.clone())]);
        }
        if extent != Extent::Subject {
            for row in &words.rows {
                let mut line = vec![Piece::Text("• ".to_owned()), Piece::Foreign(row.sentences.join(" "))];
                if !row.time.is_empty() {
                    line.push(Piece::Text(format!(" ({})", row.time)));
                }
                lines.push(line);
            }
            for note in [&words.left_out, &words.follow].into_iter().flatten() {
                lines.push(vec![Piece::Text(note.clone())]);
            }
        }
        if let Some(keyword) = &self.config.keyword
            && !self.markup.visible(&lines).contains(keyword.as_str())
        {
            lines.push(vec![Piece::Text(keyword.clone())]);
        }
        lines
    }
}
