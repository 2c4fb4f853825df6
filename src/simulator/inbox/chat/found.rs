//! What the apps recognize in a text that says nothing of it: URLs, domains, IPv4 addresses, e-mail addresses.
//!
//! The rules are those of Telegram's library, whose source is public; the other apps' differ little.

use super::{
    super::message::{Message, Service},
    parsed::{Kind, Parsed},
};

/// Top-level domains that are recognized without `http://`; the countries' have two letters.
const GENERIC: &str = "com net org info biz name pro edu gov mil int aero asia cat coop jobs mobi museum post tel travel \
    xxx academy agency app art bar best bet bid bike bio black blog blue boo bot business buzz cafe cam camp car cash \
    casino center chat cheap click cloud club code codes coffee community company computer cool credit cyou dad day deals \
    delivery design dev digital direct dog domains download earth email energy events exchange exposed fail family farm \
    finance fit fitness foo fun fund gallery games global gold group guru help homes host hosting house icu ink kim land \
    lat lgbt life limited link live lol ltd market media men mobile moe money mom mov network new news ninja one online \
    page party phd photo pics pink pizza plus press prof pub quest red rest review reviews rip rocks run sale school \
    services sh shop show site sky social software solutions space store stream studio style sucks support surf systems \
    team tech technology tips today tokyo tools top town toys trade training tube uno vip vpn wang watch website wiki win \
    work works world wtf xin xyz yoga zip zone рф рус москва онлайн сайт дети ком орг укр срб мкд бел қаз قطر ایران \
    موقع شبكة السعودية عمان مصر سورية 中国 中國 公司 网络 网址 在线 我爱你 商城 手机 香港 台灣 台湾 新加坡 한국";
const COUNTRIES: &str = "ac ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi bj bm bn bo br bs bt \
    bv bw by bz ca cc cd cf cg ch ci ck cl cm cn co cr cu cv cw cx cy cz de dj dk dm do dz ec ee eg er es et eu fi fj fk \
    fm fo fr ga gb gd ge gf gg gh gi gl gm gn gp gq gr gs gt gu gw gy hk hm hn hr ht hu id ie il im in io iq ir is it je \
    jm jo jp ke kg kh ki km kn kp kr kw ky kz la lb lc li lk lr ls lt lu lv ly ma mc md me mg mh mk ml mm mn mo mp mq mr \
    ms mt mu mv mw mx my mz na nc ne nf ng ni nl no np nr nu nz om pa pe pf pg ph pk pl pm pn pr ps pt pw py qa re ro rs \
    ru rw sa sb sc sd se sg sh si sj sk sl sm sn so sr ss st su sv sx sy sz tc td tf tg th tj tk tl tm tn to tr tt tv tw \
    tz ua ug uk us uy uz va vc ve vg vi vn vu wf ws ye yt za zm zw";

/// A plain text with what is recognized in it.
pub(super) fn shown(service: Service, text: &str) -> Message {
    let mut parsed = Parsed::plain(text);
    mark(&mut parsed, Bare::Linked);
    parsed.message(service)
}

/// What becomes of a domain without `http://`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Bare {
    Linked,
    Text,
}

/// Adds what is recognized outside of code and links.
pub(super) fn mark(parsed: &mut Parsed, bare: Bare) {
    let mut found = urls(&parsed.text);
    if bare == Bare::Linked {
        found.extend(domains(&parsed.text));
    }
    for (from, to, scheme) in found {
        if !parsed.is_taken(from, to) {
            let url = format!("{scheme}{}", parsed.slice(from, to));
            parsed.span(from, to, Kind::Recognized(url));
        }
    }
}

/// From, to, and what is missing before it.
type Found = (usize, usize, &'static str);

fn urls(text: &[char]) -> Vec<Found> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let scheme =
            ["http://", "https://", "ftp://", "tg://"].into_iter().find(|scheme| begins(text, at, scheme));
        let from = at;
        at += 1;
        let Some(scheme) = scheme.filter(|_| from == 0 || !is_word(text[from - 1])) else { continue };
        let host = from + scheme.chars().count();
        let to = end_of_path(text, host);
        if to > host && text[host].is_alphanumeric() {
            found.push((from, to, ""));
            at = to;
        }
    }
    found
}

fn domains(text: &[char]) -> Vec<Found> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        if !is_of_domain(text[at]) {
            at += 1;
            continue;
        }
        let from = at;
        while at < text.len() && is_of_domain(text[at]) {
            at += 1;
        }
        let mut to = at;
        while to > from && text[to - 1] == '.' {
            to -= 1;
        }
        if !is_domain(&text[from..to]) {
            continue;
        }
        match from.checked_sub(1).map(|before| text[before]) {
            Some('@') => {
                let mut start = from - 1;
                while start > 0 && (is_of_domain(text[start - 1]) || text[start - 1] == '+') {
                    start -= 1;
                }
                if start < from - 1 {
                    found.push((start, to, "mailto:"));
                }
            }
            Some('/' | '#' | ':') => {}
            _ => {
                let end = with_port(text, to);
                let end =
                    if matches!(text.get(end), Some('/' | '?' | '#')) { end_of_path(text, end) } else { end };
                found.push((from, end, "http://"));
                at = at.max(end);
            }
        }
    }
    found
}

fn with_port(text: &[char], at: usize) -> usize {
    let digits = text.iter().skip(at + 1).take_while(|c| c.is_ascii_digit()).count();
    if text.get(at) == Some(&':') && (1..=5).contains(&digits) { at + 1 + digits } else { at }
}

/// Where a URL ends that has begun before.
fn end_of_path(text: &[char], from: usize) -> usize {
    let ends = |c: char| {
        c.is_whitespace()
            || c.is_control()
            || "<>\"«»".contains(c)
            || matches!(c, '\u{2000}'..='\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2016}'..='\u{206f}')
    };
    let mut to = from;
    let mut open = 0_usize;
    while to < text.len() && !ends(text[to]) {
        match text[to] {
            '(' | '[' | '{' => open += 1,
            ')' | ']' | '}' if open == 0 => break,
            ')' | ']' | '}' => open -= 1,
            _ => {}
        }
        to += 1;
    }
    while to > from && ".:;,('?!`".contains(text[to - 1]) {
        to -= 1;
    }
    to
}

fn is_domain(text: &[char]) -> bool {
    let text: String = text.iter().collect();
    let labels: Vec<_> = text.split('.').collect();
    let is_label = |label: &&str| !label.is_empty() && label.chars().count() < 64 && !label.ends_with('-');
    if labels.len() < 2 || !labels.iter().all(is_label) {
        return false;
    }
    let is_byte = |label: &&str| label.parse::<u8>().is_ok_and(|byte| byte.to_string() == **label);
    if labels.len() == 4 && labels.iter().all(is_byte) {
        return true;
    }
    let top = labels.last().map(|label| label.to_lowercase()).unwrap_or_default();
    GENERIC.split_whitespace().chain(COUNTRIES.split_whitespace()).any(|known| known == top)
}

pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Zero-width joiners do not divide a domain.
fn is_of_domain(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '\u{200c}' | '\u{200d}')
}

pub(super) fn begins(text: &[char], at: usize, with: &str) -> bool {
    let mut rest = text.iter().skip(at);
    with.chars().all(|wanted| rest.next().is_some_and(|c| c.eq_ignore_ascii_case(&wanted)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_apps_link_is_found() {
        for (text, expected) in [
            ("user bob has used 97 % (97 of 100 GiB), since 19:15:22. v1.2.3 node-1.example_x a.b", vec![]),
            ("see http://a.b/c, and", vec!["http://a.b/c"]),
            ("(https://x.org/a_(b)) end", vec!["https://x.org/a_(b)"]),
            ("http://localhost:9550/alerts.", vec!["http://localhost:9550/alerts"]),
            ("at evil.com, 10.0.0.1:443/x and 1.2.3.400", vec!["http://evil.com", "http://10.0.0.1:443/x"]),
            ("\u{2068}evil.top\u{2069} пример.рф", vec!["http://evil.top", "http://пример.рф"]),
            ("ops@example.com @example.com #a.com", vec!["mailto:ops@example.com"]),
            ("EVIL.COM?a=1. vless://x.com", vec!["http://EVIL.COM?a=1"]),
            ("evil.com.", vec!["http://evil.com"]),
            ("tg://resolve?domain=x", vec!["tg://resolve?domain=x"]),
        ] {
            let message = shown(Service::Ntfy, text);
            let links: Vec<_> = message.links.iter().map(|link| link.url.as_str()).collect();
            assert_eq!(links, expected, "{text}");
            assert_eq!(message.text, text);
        }
    }
}
