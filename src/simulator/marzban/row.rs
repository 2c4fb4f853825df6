//! One user as a list or a page shows it, written straight into the body.
//!
//! A row of a Marzban list is about 3.9 KB, nearly all of it share links, and a list of 200,000 is 780 MB:
//! rows are not kept, each answer writes them again.

use jiff::Timestamp;
use jiff::tz::Offset;

use super::admins::owner_json;
use super::options::Flavour;
use super::state::{State, User, scatter};

/// What a row shows besides its user, the same for a whole answer.
pub(super) struct Look {
    pub(super) flavour: Flavour,
    seed: u64,
    links: usize,
    /// Each admin, already written.
    admins: Vec<String>,
    /// Makes this answer's subscription links differ from the last one's.
    answer: u64,
    now_s: i64,
}

impl Look {
    pub(super) fn of(state: &State, now_ms: i64) -> Look {
        Look {
            flavour: state.flavour,
            seed: state.seed,
            links: state.links_per_user,
            admins: state.admins.iter().map(|admin| owner_json(state.flavour, admin)).collect(),
            answer: state.answers,
            now_s: now_ms.div_euclid(1000),
        }
    }
}

/// Writes a row.
pub(super) fn write(out: &mut Vec<u8>, user: &User, look: &Look) {
    match look.flavour {
        Flavour::Marzban | Flavour::Marzban07 => write_marzban(out, user, look),
        Flavour::PasarGuard => write_pasarguard(out, user, look),
    }
}

fn write_marzban(out: &mut Vec<u8>, user: &User, look: &Look) {
    let keys = Keys::of(look.seed, user);
    raw(out, r#"{"proxies":"#);
    write_proxies(out, &keys);
    raw(out, r#","expire":"#);
    optional(out, user.expire, integer);
    write_quota(out, user);
    raw(
        out,
        r#","inbounds":{"vless":["VLESS TCP REALITY","VLESS GRPC REALITY"],"vmess":["VMess Websocket"],"trojan":["Trojan Websocket"],"shadowsocks":["Shadowsocks TCP"]},"note":"#,
    );
    optional(out, user.note.as_deref(), text);
    raw(out, r#","sub_updated_at":"#);
    optional(out, user.subscribed_at_ms, naive);
    raw(out, r#","sub_last_user_agent":"#);
    optional(out, user.subscribed_at_ms.map(|_| "v2rayNG/1.9.16"), text);
    raw(out, r#","online_at":"#);
    optional(out, user.online_at_ms, naive);
    raw(out, r#","on_hold_expire_duration":"#);
    optional(out, user.on_hold_expire_duration, integer);
    raw(out, r#","on_hold_timeout":"#);
    optional(out, user.on_hold_timeout_ms, naive);
    raw(out, r#","auto_delete_in_days":"#);
    optional(out, user.auto_delete_in_days, integer);
    if look.flavour == Flavour::Marzban {
        raw(out, r#","next_plan":"#);
        write_next_plan(out, user, look.flavour);
    }
    write_standing(out, user);
    raw(out, r#","created_at":"#);
    naive(out, user.created_at_ms);
    raw(out, r#","links":["#);
    for link in 0..look.links {
        if link > 0 {
            raw(out, ",");
        }
        write_link(out, user.username(), &keys, link);
    }
    raw(out, r#"],"subscription_url":"#);
    write_subscription(out, user, look);
    raw(out, r#","excluded_inbounds":{"vless":[],"vmess":[],"trojan":[],"shadowsocks":[]},"admin":"#);
    write_owner(out, user, look);
    raw(out, "}");
}

fn write_pasarguard(out: &mut Vec<u8>, user: &User, look: &Look) {
    raw(out, r#"{"proxy_settings":"#);
    write_proxies(out, &Keys::of(look.seed, user));
    // Both spellings of UTC that a Python panel writes, depending on the source of an instant.
    raw(out, r#","expire":"#);
    optional(out, user.expire.filter(|expire| *expire != 0).map(|expire| expire * 1000), with_offset);
    write_quota(out, user);
    raw(out, r#","note":"#);
    optional(out, user.note.as_deref(), text);
    raw(out, r#","on_hold_expire_duration":"#);
    optional(out, user.on_hold_expire_duration, integer);
    raw(out, r#","on_hold_timeout":"#);
    optional(out, user.on_hold_timeout_ms, zulu);
    raw(out, r#","group_ids":[1],"auto_delete_in_days":"#);
    optional(out, user.auto_delete_in_days, integer);
    raw(out, r#","hwid_limit":null,"next_plan":"#);
    write_next_plan(out, user, look.flavour);
    raw(out, r#","id":"#);
    integer(out, i64::from(user.id) + 1);
    write_standing(out, user);
    raw(out, r#","created_at":"#);
    zulu(out, user.created_at_ms);
    raw(out, r#","edit_at":"#);
    optional(out, (user.edited_at_ms != user.created_at_ms).then_some(user.edited_at_ms), zulu);
    raw(out, r#","online_at":"#);
    optional(out, user.online_at_ms, zulu);
    raw(out, r#","subscription_url":"#);
    write_subscription(out, user, look);
    raw(out, r#","admin":"#);
    write_owner(out, user, look);
    raw(out, "}");
}

fn write_quota(out: &mut Vec<u8>, user: &User) {
    raw(out, r#","data_limit":"#);
    optional(out, user.data_limit, integer);
    raw(out, r#","data_limit_reset_strategy":""#);
    raw(out, user.data_limit_reset_strategy.as_str());
    raw(out, "\"");
}

fn write_standing(out: &mut Vec<u8>, user: &User) {
    raw(out, r#","username":"#);
    text(out, user.username());
    raw(out, r#","status":""#);
    raw(out, user.status.as_str());
    raw(out, r#"","used_traffic":"#);
    integer(out, user.used_traffic);
    raw(out, r#","lifetime_used_traffic":"#);
    integer(out, user.lifetime_used_traffic());
}

fn write_next_plan(out: &mut Vec<u8>, user: &User, flavour: Flavour) {
    let Some(plan) = user.next_plan else { return raw(out, "null") };
    raw(out, "{");
    if flavour == Flavour::PasarGuard {
        raw(out, r#""user_template_id":null,"#);
    }
    raw(out, r#""data_limit":"#);
    optional(out, plan.data_limit, integer);
    raw(out, r#","expire":"#);
    optional(out, plan.expire, integer);
    raw(out, r#","add_remaining_traffic":"#);
    raw(out, if plan.add_remaining_traffic { "true" } else { "false" });
    if flavour != Flavour::PasarGuard {
        raw(out, r#","fire_on_either":"#);
        raw(out, if plan.fire_on_either { "true" } else { "false" });
    }
    raw(out, "}");
}

fn write_owner(out: &mut Vec<u8>, user: &User, look: &Look) {
    raw(out, user.owner.and_then(|owner| look.admins.get(owner)).map_or("null", String::as_str));
}

/// A new link with every answer, because the real one contains the signed time.
fn write_subscription(out: &mut Vec<u8>, user: &User, look: &Look) {
    raw(out, r#""https://sub.example.org/sub/"#);
    base64(out, format!("{},{}", user.username, look.now_s).as_bytes(), Alphabet::Url);
    let signature = scatter(look.seed ^ look.answer.rotate_left(32), u64::from(user.id)).to_be_bytes();
    base64(out, &signature, Alphabet::Url);
    raw(out, "\"");
}

/// A user's credentials, made from the seed.
struct Keys {
    vless: String,
    vmess: String,
    trojan: String,
    shadowsocks: String,
}

impl Keys {
    fn of(seed: u64, user: &User) -> Keys {
        let part = |number: u64| scatter(seed, u64::from(user.id) * 8 + number);
        let uuid = |high: u64, low: u64| {
            let (a, b, c) = (high >> 32, (high >> 16) & 0xffff, high & 0xfff);
            let (d, e) = ((low >> 48) & 0x3fff | 0x8000, low & 0xffff_ffff_ffff);
            format!("{a:08x}-{b:04x}-4{c:03x}-{d:04x}-{e:012x}")
        };
        let password = |high: u64, low: u64| {
            let mut out = Vec::with_capacity(22);
            base64(&mut out, &(u128::from(high) << 64 | u128::from(low)).to_be_bytes(), Alphabet::Url);
            String::from_utf8_lossy(&out).into_owned()
        };
        Keys {
            vless: uuid(part(0), part(1)),
            vmess: uuid(part(2), part(3)),
            trojan: password(part(4), part(5)),
            shadowsocks: password(part(6), part(7)),
        }
    }
}

fn write_proxies(out: &mut Vec<u8>, keys: &Keys) {
    for piece in [
        r#"{"vless":{"id":""#,
        &keys.vless,
        r#"","flow":"xtls-rprx-vision"},"vmess":{"id":""#,
        &keys.vmess,
        r#""},"trojan":{"password":""#,
        &keys.trojan,
        r#"","flow":""},"shadowsocks":{"password":""#,
        &keys.shadowsocks,
        r#"","method":"chacha20-ietf-poly1305"}}"#,
    ] {
        raw(out, piece);
    }
}

/// One of five kinds of link, each on two hosts in turn.
fn write_link(out: &mut Vec<u8>, username: &str, keys: &Keys, number: usize) {
    const REALITY: &str =
        "sni=www.example.org&fp=chrome&pbk=c2ltdWxhdGVkLXB1YmxpYy1rZXktb2YtcmVhbGl0eS0&sid=5e1f2a3b4c5d6e7f";
    let second_host = number % 2 == 1;
    let host = if second_host { "nl2.example.org" } else { "de1.example.org" };
    let flag =
        if second_host { "%F0%9F%87%B3%F0%9F%87%B1%20NL%20" } else { "%F0%9F%87%A9%F0%9F%87%AA%20DE%20" };
    let remark = |out: &mut Vec<u8>, kind: &str| {
        raw(out, "#");
        raw(out, flag);
        raw(out, "%28");
        for (at, part) in username.split('@').enumerate() {
            raw(out, if at > 0 { "%40" } else { "" });
            raw(out, part);
        }
        raw(out, "%29%20%5B");
        raw(out, kind);
        raw(out, "%5D\"");
    };
    match number / 2 % 5 {
        0 => {
            all(
                out,
                &[
                    "\"vless://",
                    &keys.vless,
                    "@",
                    host,
                    ":8443?security=reality&type=tcp&headerType=&flow=xtls-rprx-vision&path=&host=&",
                    REALITY,
                ],
            );
            remark(out, "VLESS%20-%20tcp");
        }
        1 => {
            all(
                out,
                &[
                    "\"vless://",
                    &keys.vless,
                    "@",
                    host,
                    ":2053?security=reality&type=grpc&headerType=&serviceName=svc&authority=&mode=gun&",
                    REALITY,
                ],
            );
            remark(out, "VLESS%20-%20grpc");
        }
        2 => {
            let (uuid, marks) = (&keys.vmess, r"\ud83c\udde9\ud83c\uddea");
            let inner = format!(
                r#"{{"add": "{host}", "aid": "0", "host": "cdn.example.org", "id": "{uuid}", "net": "ws", "path": "/vmess", "port": 8082, "ps": "{marks} ({username}) [VMess - ws]", "scy": "auto", "tls": "none", "type": "", "v": "2"}}"#
            );
            raw(out, "\"vmess://");
            base64(out, inner.as_bytes(), Alphabet::Standard);
            raw(out, "\"");
        }
        3 => {
            all(
                out,
                &[
                    "\"trojan://",
                    &keys.trojan,
                    "@",
                    host,
                    ":8083?security=none&type=ws&headerType=&path=%2Ftrojan&host=cdn.example.org",
                ],
            );
            remark(out, "Trojan%20-%20ws");
        }
        _ => {
            raw(out, "\"ss://");
            base64(
                out,
                format!("chacha20-ietf-poly1305:{}", keys.shadowsocks).as_bytes(),
                Alphabet::Standard,
            );
            all(out, &["@", host, ":1080"]);
            remark(out, "Shadowsocks%20-%20tcp");
        }
    }
}

fn all(out: &mut Vec<u8>, pieces: &[&str]) {
    for piece in pieces {
        raw(out, piece);
    }
}

fn raw(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn optional<T>(out: &mut Vec<u8>, value: Option<T>, write: impl FnOnce(&mut Vec<u8>, T)) {
    match value {
        Some(value) => write(out, value),
        None => raw(out, "null"),
    }
}

fn integer(out: &mut Vec<u8>, value: impl itoa::Integer) {
    raw(out, itoa::Buffer::new().format(value));
}

fn text(out: &mut Vec<u8>, value: &str) {
    // Neither can fail: every string has a JSON form, and the output is a vector.
    if serde_json::to_writer(&mut *out, value).is_err() {
        raw(out, "null");
    }
}

/// UTC without saying so, the fraction left out when it is zero: `2026-11-21T02:19:04.634000`.
pub(super) fn naive(out: &mut Vec<u8>, at_ms: i64) {
    instant(out, at_ms, "");
}

/// The same with `Z`.
pub(super) fn zulu(out: &mut Vec<u8>, at_ms: i64) {
    instant(out, at_ms, "Z");
}

/// The same with `+00:00`.
fn with_offset(out: &mut Vec<u8>, at_ms: i64) {
    instant(out, at_ms, "+00:00");
}

fn instant(out: &mut Vec<u8>, at_ms: i64, offset: &str) {
    let at = Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    let at = Offset::UTC.to_datetime(at);
    raw(out, "\"");
    digits(out, at.year().into(), 4);
    for (before, value) in
        [("-", at.month()), ("-", at.day()), ("T", at.hour()), (":", at.minute()), (":", at.second())]
    {
        raw(out, before);
        digits(out, value.into(), 2);
    }
    if at.millisecond() != 0 {
        raw(out, ".");
        digits(out, at.millisecond().into(), 3);
        raw(out, "000");
    }
    raw(out, offset);
    raw(out, "\"");
}

fn digits(out: &mut Vec<u8>, value: i32, width: u32) {
    for place in (0..width).rev() {
        let digit = value / 10_i32.pow(place) % 10;
        out.push(b'0' + u8::try_from(digit).unwrap_or(0));
    }
}

/// Which letters base64 uses, and whether it pads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Alphabet {
    /// `+/`, padded.
    Standard,
    /// `-_`, not padded.
    Url,
}

pub(super) fn base64(out: &mut Vec<u8>, bytes: &[u8], alphabet: Alphabet) {
    const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let letters = if alphabet == Alphabet::Standard { STANDARD } else { URL };
    for group in bytes.chunks(3) {
        let [a, b, c] = [0, 1, 2].map(|at| group.get(at).copied().unwrap_or(0));
        let bits = u32::from_be_bytes([0, a, b, c]);
        for place in 0..4 {
            let letter = usize::try_from(bits >> (18 - 6 * place) & 63).unwrap_or(0);
            if place <= group.len() {
                out.push(letters[letter]);
            } else if alphabet == Alphabet::Standard {
                out.push(b'=');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_matches_the_examples_of_rfc_4648() {
        for (plain, padded) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            let mut out = Vec::new();
            base64(&mut out, plain.as_bytes(), Alphabet::Standard);
            assert_eq!(String::from_utf8(out).unwrap(), padded);
            let mut out = Vec::new();
            base64(&mut out, plain.as_bytes(), Alphabet::Url);
            assert_eq!(String::from_utf8(out).unwrap(), padded.trim_end_matches('='));
        }
        let mut out = Vec::new();
        base64(&mut out, &[0xfb, 0xff], Alphabet::Url);
        assert_eq!(out, b"-_8");
    }

    #[test]
    fn instants_are_written_as_python_does() {
        let cases = [
            (1_795_227_832_000, "\"2026-11-21T02:23:52\""),
            (1_795_227_832_045, "\"2026-11-21T02:23:52.045000\""),
        ];
        for (at_ms, expected) in cases {
            let mut out = Vec::new();
            naive(&mut out, at_ms);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
