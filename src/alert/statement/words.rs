use super::{content::Used, time::Statement};
use crate::{
    alert::words::{Pseudonym, displayed},
    model::{Digest, DigestSection, KIND_USER, Marks, Month, words::csv_cell},
    wording::Voice,
};

/// The most users that the text lists.
const TOP: usize = 10;
/// The most rows of the table: mail servers refuse what is too large.
pub(super) const ROWS: usize = 20_000;

/// A statement in the receiver's language. `file` is the name of the table.
pub(super) fn statement(
    statement: &Statement,
    month: Month,
    used: &Used,
    file: &str,
    pseudonym: Option<&Pseudonym>,
    voice: &Voice,
) -> Digest {
    let Statement { target, admin, .. } = statement;
    let title = voice.statement_title(month, target, admin.as_deref());
    let first = used.since.unwrap_or(month.first_day());
    let mut lines = vec![
        voice.statement_period(first, month.plus(1).first_day().plus(-1), used.since.is_some()),
        voice.statement_total(used.total),
    ];
    lines.extend(used.now.used_of_limit.map(|(used, limit)| voice.statement_limit(used, limit)));
    lines.extend(used.now.users.map(|users| voice.count("statement-users", users)));
    lines.push(voice.count("statement-active", used.users.len()));
    let others = [("statement-others", used.by_others), ("statement-elsewhere", used.elsewhere)];
    lines.extend(
        others.into_iter().filter(|(_, bytes)| *bytes > 0).map(|(id, bytes)| voice.statement_part(id, bytes)),
    );
    lines.extend(used.unread_since.map(|since| voice.statement_unread(since)));
    let marks = [(Marks::GAP, "statement-gap"), (Marks::RESET, "statement-reset")];
    lines.extend(marks.into_iter().filter(|(mark, _)| used.marks.has(*mark)).map(|(_, id)| voice.text(id)));
    let top = used.users.iter().take(TOP);
    let top = top.map(|user| {
        voice.digest_used(&displayed(KIND_USER, &user.name, pseudonym), user.used, Marks::default())
    });
    let (rows, left_out) = (used.users.len().min(ROWS), used.users.len().saturating_sub(ROWS));
    let section = |id: &str, lines| DigestSection { heading: voice.text(id), lines, more: 0 };
    let sections = [
        section("statement-heading-sum", lines),
        section("statement-heading-top", top.collect()),
        section("statement-heading-table", vec![voice.statement_table(file, rows, left_out)]),
    ];
    Digest { title, sections: sections.into_iter().filter(|section| !section.is_empty()).collect() }
}

/// The table of users, as RFC 4180 has it. The mark at its begin is for spreadsheets, which would otherwise take the names for
/// those of another script.
pub(super) fn csv(used: &Used, pseudonym: Option<&Pseudonym>) -> String {
    let mut text = String::from("\u{feff}user,used_bytes,gap,reset\r\n");
    for user in used.users.iter().take(ROWS) {
        let name = displayed(KIND_USER, &user.name, pseudonym);
        let (gap, reset) = (user.marks.has(Marks::GAP), user.marks.has(Marks::RESET));
        text.push_str(&format!("{},{},{gap},{reset}\r\n", csv_cell(&name), user.used));
    }
    text
}
